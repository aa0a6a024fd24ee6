"""`SamvReader`: the document reader for resident identity cards on a serial SAM-V module."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

from firmware_bridge.document import Document
from firmware_bridge.errors import BridgeError, Code, DocumentError, ReaderError
from firmware_bridge.reader import EventKind, Progress, ReaderEvent, ReadRequest
from firmware_bridge.samv import assemble, portraits
from firmware_bridge.samv.module import Bound, SamvModule, detect_baud
from firmware_bridge.serial import Backoff, SerialLine

#: Seconds between two looks for a card.
POLL = 0.25
#: Looks without a card after which it counts as lifted.
_ABSENT_LOOKS = 2


class SamvReader:
    """Reads resident cards and permits; `wait` and `read` belong to one thread, `close` may come from any."""

    def __init__(
        self,
        name: str,
        port: str,
        *,
        baud: int = 115200,
        fingerprint: bool = False,
        newest_address: bool = False,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: the reader's name in settings and events.
            port: device path, or `usb:VID:PID`.
            baud: tried first; if the module does not answer, its other rates are.
            fingerprint: read the fingerprint templates too (their digest is kept, nothing else).
            newest_address: ask for an address that was written after the card was issued.
            today: for expiry dates.
        """
        self._name = name
        self._port = port
        self._baud = baud
        self._fingerprint = fingerprint
        self._newest_address = newest_address
        self._today = today
        self._line: SerialLine | None = None
        self._module: SamvModule | None = None
        self._present = False
        self._absent_looks = 0
        self._gone_told = False
        self._backoff = Backoff()
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        """See `DocumentReader.name`."""
        return self._name

    def wait(self, timeout: float) -> ReaderEvent | None:
        """See `DocumentReader.wait`."""
        deadline = time.monotonic() + timeout
        while not self._closed.is_set():
            try:
                kind = self._look()
                pause = POLL
            except BridgeError:
                kind = self._lost()
                pause = self._backoff.take()
            if kind is not None:
                return ReaderEvent(kind, self._name)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._closed.wait(min(pause, left))
        self._drop()
        return None

    def close(self) -> None:
        """See `DocumentReader.close`."""
        self._closed.set()

    def read(self, request: ReadRequest) -> Document:
        """See `DocumentReader.read`; keys and nonces play no part here."""
        bound = Bound(time.monotonic() + request.timeout, request.cancel)
        phases: dict[str, float] = {}
        try:
            module = self._opened()
            with _phase(request, phases, "select"):
                self._select(module, bound)
            with _phase(request, phases, "read"):
                contents = module.read(bound, fingerprint=self._fingerprint)
            address = None
            if self._newest_address:
                with _phase(request, phases, "newest address"):
                    address = module.newest_address(bound)
        except ReaderError:
            self._drop()
            raise
        document = assemble.document(contents, today=self._today(), address=address, phases=phases)
        decoder = portraits.find_decoder()
        if decoder is not None and document.portrait is not None:
            document = replace(document, portrait=portraits.decoded(document.portrait, decoder))
        return document

    def sam_id(self) -> str:
        """The security module's number, for the self-test.

        Raises:
            BridgeError: the module is not there or does not answer.
        """
        return self._opened().sam_id()

    def _opened(self) -> SamvModule:
        if self._module is None:
            self._line = SerialLine(self._port, self._baud)
            try:
                self._baud = detect_baud(self._line, self._line.set_baud, self._baud)
            except BridgeError:
                self._drop()
                raise
            self._module = SamvModule(self._line)
        return self._module

    def _look(self) -> EventKind | None:
        module = self._opened()
        try:
            found = module.find()
        except DocumentError:
            # Something lies there that the module can make nothing of.
            found = False
        self._backoff.reset()
        if self._gone_told:
            # Only now: a module that answers and refuses every order (unauthorised, broken) is not back.
            self._gone_told = False
            return EventKind.BACK
        self._absent_looks = 0 if found else self._absent_looks + 1
        if found and not self._present:
            self._present = True
            return EventKind.PRESENTED
        # A card that was read is not found again until it was lifted: both count as lifted here.
        if self._present and self._absent_looks >= _ABSENT_LOOKS:
            self._present = False
            return EventKind.REMOVED
        return None

    def _lost(self) -> EventKind | None:
        self._drop()
        if self._gone_told:
            return None
        self._gone_told = True
        return EventKind.GONE

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = self._module = None
        # Whatever lies there when the module is back is presented anew.
        self._present = False

    @staticmethod
    def _select(module: SamvModule, bound: Bound) -> None:
        # The card was found by `wait` a moment ago; a module that forgot it is asked to find it again.
        if module.select(bound) or (module.find(bound) and module.select(bound)):
            return
        raise DocumentError(Code.DOCUMENT_REMOVED, "the card left before it was selected")


@contextlib.contextmanager
def _phase(request: ReadRequest, phases: dict[str, float], name: str) -> Iterator[None]:
    request.progress(Progress(name))
    begin = time.perf_counter()
    try:
        yield
    finally:
        phases[name] = time.perf_counter() - begin
