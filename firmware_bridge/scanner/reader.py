"""`ScannerReader`: serial bar-code readers and MRZ swipe readers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import NoReturn

from firmware_bridge.errors import BridgeError, Code, DocumentError
from firmware_bridge.reader import EventKind, ReaderEvent, ReadRequest
from firmware_bridge.scanner.lines import LineAssembler
from firmware_bridge.serial import Backoff, SerialLine

#: Seconds of silence after which the lines of an unfinished zone are given as they are, and half a code is forgotten.
_ZONE_PAUSE = 0.5
_SLICE = 0.25


class ScannerReader:
    """Tells of scanned texts; reads no documents. `wait` belongs to one thread, `close` may come from any."""

    def __init__(
        self, name: str, port: str, *, baud: int = 9600, terminator: str = "\r", prefix: str = "", trigger: str = ""
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: the reader's name in settings and events.
            port: device path, or `usb:VID:PID`.
            baud: the scanner's rate.
            terminator: what ends a text.
            prefix: what the scanner puts before a text, to be removed.
            trigger: what to send when a wait begins, for scanners that scan on demand.
        """
        self._name = name
        self._port = port
        self._baud = baud
        self._trigger = trigger.encode("latin-1")
        self._lines = LineAssembler(terminator.encode("latin-1"), prefix.encode("latin-1"))
        self._line: SerialLine | None = None
        self._texts: deque[str] = deque()
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
        triggered = False
        while not self._closed.is_set():
            if self._texts:
                return ReaderEvent(EventKind.SCANNED, self._name, self._texts.popleft())
            try:
                if self._line is None:
                    self._line = SerialLine(self._port, self._baud)
                    self._backoff.reset()
                    if self._gone_told:
                        self._gone_told = False
                        return ReaderEvent(EventKind.BACK, self._name)
                if self._trigger and not triggered:
                    self._line.write(self._trigger)
                    triggered = True
                self._listen(self._line, deadline)
            except BridgeError:
                self._drop()
                if not self._gone_told:
                    self._gone_told = True
                    return ReaderEvent(EventKind.GONE, self._name)
                self._closed.wait(min(self._backoff.take(), max(0.0, deadline - time.monotonic())))
            if not self._texts and time.monotonic() >= deadline:
                return None
        self._drop()
        return None

    def read(self, request: ReadRequest) -> NoReturn:
        """See `DocumentReader.read`; a scanner has no documents.

        Raises:
            DocumentError: `document.unknown`, always.
        """
        del request
        raise DocumentError(Code.DOCUMENT_UNKNOWN, "a scanner reads codes, no documents")

    def close(self) -> None:
        """See `DocumentReader.close`."""
        self._closed.set()

    def _listen(self, line: SerialLine, deadline: float) -> None:
        left = max(0.0, deadline - time.monotonic())
        data = line.read(_ZONE_PAUSE if self._lines.pending else min(left, _SLICE))
        if data:
            self._texts += self._lines.feed(data)
        elif self._lines.pending:
            self._texts += self._lines.flush()

    def _drop(self) -> None:
        if self._line is not None:
            with contextlib.suppress(BridgeError):
                self._line.close()
        self._line = None
        self._lines.flush()
