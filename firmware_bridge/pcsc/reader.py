"""`PcscReader`: the document reader for chips behind pcscd."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from firmware_bridge.document import Document
from firmware_bridge.emrtd.reading import read_chip
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import BridgeError, Code, DocumentError, ReaderError
from firmware_bridge.pcsc.context import BrokenExchangeError, Card, Context, choose_reader
from firmware_bridge.pcsc.monitor import Monitor
from firmware_bridge.pcsc.worker import Worker
from firmware_bridge.reader import ReaderEvent, ReadRequest

#: Seconds that one command may take: chips delay their answer after wrong keys, drivers give up at about five.
SILENCE = 6.0
_CONNECT = 3.0
_RELEASE = 1.0


class PcscReader:
    """Reads eMRTDs in the first PC/SC reader whose name contains `match`.

    `wait` and `read` belong to one thread; `close` may come from any.
    """

    def __init__(
        self,
        store: TrustStore,
        *,
        match: str = "",
        name: str = "pcsc",
        exclusive: bool = True,
        silence: float = SILENCE,
        full_trace: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Nothing is opened yet.

        Args:
            store: the CSCA certificates to believe.
            match: a part of the PC/SC reader's name, or a pattern with `*`; the empty string takes the first.
            name: the reader's name in settings and events.
            exclusive: keep other programs off the card; where that is refused, a transaction does.
            silence: seconds without an answer after which a card counts as silent.
            full_trace: keep whole APDUs in the log of a failed read (they hold personal data).
            now: the present, for expiry dates.
        """
        self._store = store
        self._match = match
        self._name = name
        self._exclusive = exclusive
        self._silence = silence
        self._full_trace = full_trace
        self._now = now
        self._extended = True
        self._monitor = Monitor(match)

    @property
    def name(self) -> str:
        """See `DocumentReader.name`."""
        return self._name

    def wait(self, timeout: float) -> ReaderEvent | None:
        """See `DocumentReader.wait`."""
        kind = self._monitor.wait(timeout)
        return None if kind is None else ReaderEvent(kind, self._name)

    def close(self) -> None:
        """See `DocumentReader.close`."""
        self._monitor.close()

    def read(self, request: ReadRequest) -> Document:
        """See `DocumentReader.read`; the checks of the document hold every verdict on its authenticity.

        Raises:
            BridgeError: a chip that could not be read to its end; `trace` is its log.
        """
        deadline = time.monotonic() + request.timeout
        try:
            try:
                return self._read(request, deadline, extended=self._extended)
            except _ExtendedRefusedError:
                # Either the reader does not carry the extended lengths that the chip announces, or the card was pulled
                # in the middle of one: only the first is for good, and only a read that succeeds tells them apart.
                document = self._read(request, deadline, extended=False)
                self._extended = False
                return document
        except BridgeError as error:
            if error.code is Code.DOCUMENT_SILENT and time.monotonic() >= deadline:
                error.code = Code.DOCUMENT_TIMEOUT
            raise

    def _read(self, request: ReadRequest, deadline: float, *, extended: bool) -> Document:
        worker = Worker(f"{self._name}-card")
        session = _Session(self._match, exclusive=self._exclusive)
        try:
            left = max(0.0, deadline - time.monotonic())
            card = session.opened(worker, min(_CONNECT, left), request.cancel)
            transport = _Deadline(worker, card, request, deadline, self._silence)
            return read_chip(
                transport,
                request,
                self._store,
                atr=card.atr,
                now=self._now(),
                extended=extended,
                full_trace=self._full_trace,
            )
        finally:
            # A stuck worker lets the card go when its last call comes back at last.
            worker.finish(session.release, timeout=_RELEASE)


class _ExtendedRefusedError(BridgeError):
    """The reader failed on a command that only the extended form can carry."""


class _Session:
    """A context and a card; made and released in the worker's thread."""

    def __init__(self, match: str, *, exclusive: bool) -> None:
        self._match = match
        self._exclusive = exclusive
        self._context: Context | None = None
        self._card: Card | None = None

    def opened(self, worker: Worker, timeout: float, cancel: threading.Event) -> Card:
        """The card, connected to in the worker's thread.

        Raises:
            BridgeError: what PC/SC says, `document.silent`, or `reader.busy` if another program keeps the card.
        """
        try:
            return worker.call(self._open, timeout=timeout, cancel=cancel)
        except DocumentError as error:
            # pcscd lets a connection wait for as long as another one's transaction lasts.
            if error.code is Code.DOCUMENT_SILENT and _in_use(self._match):
                raise ReaderError(Code.READER_BUSY, "another program keeps the card to itself") from error
            raise

    def _open(self) -> Card:
        self._context = Context()
        reader = choose_reader(self._context.readers(), self._match)
        if reader is None:
            raise ReaderError(Code.READER_GONE, "no reader of that name is connected")
        self._card = Card(self._context, reader, exclusive=self._exclusive)
        return self._card

    def release(self) -> None:
        """Let go of whatever was opened."""
        if self._card is not None:
            self._card.close()
        if self._context is not None:
            self._context.close()


def _in_use(match: str) -> bool:
    """Whether anybody is connected to the card in the reader; False if pcscd does not say so at once."""
    worker = Worker("pcsc-look")
    try:
        return worker.call(_used, match, timeout=_RELEASE)
    except BridgeError:
        return False
    finally:
        worker.finish(lambda: None, timeout=_RELEASE)


def _used(match: str) -> bool:
    with contextlib.closing(Context()) as context:
        reader = choose_reader(context.readers(), match)
        states = context.wait({reader: 0}, 0) if reader is not None else None
    return states is not None and any(state.used for state in states.values())


class _Deadline:
    """A card whose every exchange is bounded by the read's deadline and ends with its cancellation."""

    def __init__(self, worker: Worker, card: Card, request: ReadRequest, deadline: float, silence: float) -> None:
        self._worker = worker
        self._card = card
        self._cancel = request.cancel
        self._deadline = deadline
        self._silence = silence

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        """See `Transport.send_and_receive`."""
        left = self._deadline - time.monotonic()
        if self._cancel.is_set():
            raise DocumentError(Code.DOCUMENT_CANCELLED, "the read was cancelled")
        if left <= 0:
            raise DocumentError(Code.DOCUMENT_TIMEOUT, "the read took longer than it may")
        try:
            return self._worker.call(
                self._card.send_and_receive, apdu, timeout=min(left, self._silence), cancel=self._cancel
            )
        except (BrokenExchangeError, ReaderError) as error:
            broken = isinstance(error, BrokenExchangeError) or error.code is Code.READER_PROTOCOL
            if broken and len(apdu) > 6 and apdu[4] == 0:
                raise _ExtendedRefusedError(error.code, str(error)) from error
            raise
