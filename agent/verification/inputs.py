"""What people and scanners give to the flow: the key of a chip, a wish to stop, a wish for the staff."""

import asyncio
import logging
import threading
from datetime import UTC, datetime
from time import monotonic

from firmware_bridge.reader import AccessKey
from firmware_bridge.scanner.codes import access_key

log = logging.getLogger(__name__)

#: A key that was scanned before its document lay on the reader is forgotten after this many seconds.
KEY_LIFETIME = 60.0


class Inputs:
    """A box with room for one key. The page, a scanner and the demo put into it; a verification takes from it."""

    def __init__(self) -> None:
        self._key: AccessKey | None = None
        self._given = 0.0
        self._arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        #: The person asked for the staff; the camera's thread sees it between two frames.
        self.staffed = threading.Event()

    def give(self, key: AccessKey) -> None:
        """Offer the key of the document that lies, or will lie, on the reader."""
        self._key, self._given = key, monotonic()
        self._arrived.set()

    def scanned(self, text: str) -> None:
        """Offer the key that a scanned text holds: machine-readable lines or a card access number. Others are told."""
        key = access_key(text, today=datetime.now(UTC).date())
        if key is None:
            log.info("a scanned code holds no key of a chip")
        else:
            self.give(key)

    def cancel(self) -> None:
        """End the verification that runs now, if any."""
        self.cancelled.set()

    def ask_for_staff(self) -> None:
        """The person cannot do what the camera asks for: a member of the staff is to go on."""
        self.staffed.set()

    async def take(self) -> AccessKey:
        """The next key; waits until there is one."""
        while True:
            if self._key is not None and monotonic() - self._given <= KEY_LIFETIME:
                key, self._key = self._key, None
                self._arrived.clear()
                return key
            self._arrived.clear()
            await self._arrived.wait()

    def clear(self) -> None:
        """Forget everything: the person has gone."""
        self._key = None
        self._arrived.clear()
        self.cancelled.clear()
        self.staffed.clear()
