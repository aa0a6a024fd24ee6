"""From a command to bytes and back: encoding, command chaining, GET RESPONSE and wrong-Le repair (ISO/IEC 7816-4).

`Tracer` wraps any transport and keeps a timed log; personal data stays out of it unless tracing in full is asked for.
"""

import time
from collections.abc import Callable
from typing import Protocol

from firmware_bridge.apdu import status
from firmware_bridge.apdu.command import CHAINED, EXTENDED_RESPONSE, SHORT_DATA, SHORT_RESPONSE, Command, Response
from firmware_bridge.errors import Code, DocumentError

#: More answers than this to one command are a chip that never ends.
MAX_CHAIN = 64
_MAX_RESPONSE = EXTENDED_RESPONSE
_GET_RESPONSE = 0xC0


class ExtendedRefusedError(DocumentError):
    """The chip takes no extended lengths, although it announces them; under secure messaging its session is lost."""

    def __init__(self) -> None:
        super().__init__(Code.DOCUMENT_ACCESS, "the chip announces extended lengths and refuses them")


class Transport(Protocol):
    """What carries bytes to a chip."""

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        """One exchange: response data and status word.

        Raises:
            BridgeError: the reader, the card or the deadline failed.
        """


class Channel(Protocol):
    """What carries commands: plain or secured."""

    #: Whether the chip takes extended lengths.
    extended: bool

    def transmit(self, command: Command) -> Response:
        """One command, answered in full.

        Raises:
            BridgeError: from the transport, or `document.malformed`, `document.limit`, `document.secure_messaging`.
        """


class PlainChannel:
    """Commands in clear; chains long ones where the chip takes no extended length."""

    def __init__(self, transport: Transport, *, extended: bool = False) -> None:
        self._exchange = transport.send_and_receive
        self.extended = extended

    def transmit(self, command: Command) -> Response:
        """See `Channel.transmit`."""
        if not self.extended and command.extended:
            return self._chained(command)
        return self._complete(command, *self._exchange(command.encode()))

    def _chained(self, command: Command) -> Response:
        le = None if command.le is None else min(command.le, SHORT_RESPONSE)
        data = command.data
        while len(data) > SHORT_DATA:
            part = Command(command.cla | CHAINED, command.ins, command.p1, command.p2, data[:SHORT_DATA])
            answer, sw = self._exchange(part.encode())
            if sw != status.OK:
                return Response(answer, sw)
            data = data[SHORT_DATA:]
        last = Command(command.cla, command.ins, command.p1, command.p2, data, le)
        return self._complete(last, *self._exchange(last.encode()))

    def _complete(self, command: Command, data: bytes, sw: int) -> Response:
        if sw >> 8 == 0x6C and not data:
            data, sw = self._exchange(
                Command(command.cla, command.ins, command.p1, command.p2, command.data, sw & 0xFF or 256).encode()
            )
        rounds = 0
        while sw >> 8 == 0x61:
            rounds += 1
            if rounds > MAX_CHAIN or len(data) > _MAX_RESPONSE:
                raise DocumentError(Code.DOCUMENT_LIMIT, "the chip announces more data without end")
            more, sw = self._exchange(Command(command.cla & 0x03, _GET_RESPONSE, 0, 0, le=sw & 0xFF or 256).encode())
            data += more
        return Response(data, sw)


class Tracer:
    """A transport that logs each exchange with its time.

    Bytes are cut to the first 5 and the last 2 unless `full`; `after` is called once an exchange (a deadline or a
    cancelled read raises from there).
    """

    def __init__(self, transport: Transport, *, full: bool = False, limit: int = 512) -> None:
        self._exchange = transport.send_and_receive
        self._full = full
        self._limit = limit
        self._started = time.perf_counter()
        self.entries: list[Callable[[], str]] = []

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        """See `Transport.send_and_receive`."""
        begin = time.perf_counter()
        data, sw = b"", 0
        try:
            data, sw = self._exchange(apdu)
        finally:
            end = time.perf_counter()
            self._keep(apdu, data, sw, begin, end)
        return data, sw

    def _keep(self, apdu: bytes, data: bytes, sw: int, begin: float, end: float) -> None:
        if len(self.entries) >= self._limit:
            return
        sent, received = (apdu, data) if self._full else (_cut(apdu), _cut(data))
        at, took, sizes = begin - self._started, end - begin, (len(apdu), len(data))

        def line() -> str:
            return (
                f"{at * 1e3:9.1f} ms  +{took * 1e3:7.2f} ms  > {_show(sent, sizes[0])}  "
                f"< {_show(received, sizes[1])} {sw:04X}"
            )

        self.entries.append(line)

    def log(self) -> list[str]:
        """One line for each exchange."""
        return [entry() for entry in self.entries]


def _cut(data: bytes) -> bytes:
    return data if len(data) <= 7 else data[:5] + data[-2:]


def _show(kept: bytes, size: int) -> str:
    if len(kept) == size:
        return kept.hex()
    return f"{kept[:5].hex()}..{kept[-2:].hex()} [{size}]"
