"""What people and scanners give to the flow: the key of a chip, a wish to stop, a wish for the staff."""

import asyncio
import logging
import threading
from datetime import UTC, datetime

from firmware_bridge.reader import AccessKey
from firmware_bridge.scanner.codes import access_key

log = logging.getLogger(__name__)

#: A key that nobody has taken, for its document never lay on the reader, is forgotten after this many seconds.
KEY_LIFETIME = 60.0


class Inputs:
    """A box with room for one key. The page, a scanner and the demo put into it; a verification takes from it."""

    def __init__(self) -> None:
        self._key: AccessKey | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self.cancelled = asyncio.Event()
        #: The person asked for the staff; the camera's thread sees it between two frames.
        self.staffed = threading.Event()

    def give(self, key: AccessKey) -> None:
        """Offer the key of the document that lies, or will lie, on the reader (call it on the loop)."""
        self._forget_key()
        self._key = key
        self._expiry = asyncio.get_running_loop().call_later(KEY_LIFETIME, self._forget_key)
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
        while self._key is None:
            await self._arrived.wait()
        key = self._key
        self._forget_key()
        return key

    def begin(self) -> None:
        """Somebody steps up: what was wished for before is not their wish, but the key may be theirs."""
        self.cancelled.clear()
        self.staffed.clear()

    def clear(self) -> None:
        """Forget everything: the person has gone."""
        self._forget_key()
        self.begin()

    def _forget_key(self) -> None:
        self._key = None
        self._arrived.clear()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
