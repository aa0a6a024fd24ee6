"""The module's commands over a line: each one frame out, one frame back, in bounded time (FACTS: SAM-V)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.errors import Code, DocumentError, ReaderError
from firmware_bridge.samv import status
from firmware_bridge.samv.frames import FrameParser, Reply, encode

#: Rates that a module may be set to; the first is the factory's.
BAUD_RATES = (115200, 57600, 38400, 19200, 9600)
_RESET, _STATUS, _SAM_ID = b"\x10\xff", b"\x11\xff", b"\x12\xff"
_FIND, _SELECT = b"\x20\x01", b"\x20\x02"
_READ, _READ_FINGERPRINT, _READ_ADDRESS = b"\x30\x01", b"\x30\x10", b"\x30\x03"
#: Seconds for an answer; the vendors' own limits are 0.1, 2 and 3, a byte at 9600 baud takes another millisecond.
_QUICK, _READING, _FINGERPRINT = 0.5, 3.0, 6.0
#: Seconds for a status at each rate while the right one is looked for.
_PROBE = 0.2
_TRIES = 2
_LENGTHS = 4
_ADDRESS_BYTES = 70


class Line(Protocol):
    """What the module needs of a serial line."""

    def write(self, data: bytes) -> None:
        """Send."""

    def read(self, timeout: float, cancel: threading.Event | None = None) -> bytes:
        """Whatever arrives first."""

    def discard(self) -> None:
        """Forget what has arrived."""


@dataclass(frozen=True, slots=True, repr=False)
class Contents:
    """A card's three parts as bytes."""

    text: bytes
    photo: bytes
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class Bound:
    """Until when commands may go on (`time.monotonic()`), and what ends them before."""

    deadline: float = math.inf
    cancel: threading.Event | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline.

        Raises:
            DocumentError: `document.cancelled`, or `document.timeout` if there are none.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise DocumentError(Code.DOCUMENT_CANCELLED, "the read was cancelled")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DocumentError(Code.DOCUMENT_TIMEOUT, "the read took longer than it may")
        return left


_FREE = Bound()


class SamvModule:
    """Commands of one module."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._parser = FrameParser()

    def find(self, bound: Bound = _FREE) -> bool:
        """Whether a card that was not read yet lies on the module."""
        reply = self._transact(_FIND, _QUICK, bound)
        if reply.sw3 == status.FOUND:
            return True
        if reply.sw3 == status.NOT_FOUND:
            return False
        raise status.failure(reply)

    def select(self, bound: Bound = _FREE) -> bool:
        """Select the card that was found; False if it is gone."""
        reply = self._transact(_SELECT, _QUICK, bound)
        if reply.sw3 == status.DONE:
            return True
        if reply.sw3 in {status.NOT_FOUND, status.NOT_SELECTED}:
            return False
        raise status.failure(reply)

    def read(self, bound: Bound = _FREE, *, fingerprint: bool = False) -> Contents:
        """Read the selected card.

        Raises:
            BridgeError: what the module reports, or `document.malformed` for lengths that contradict the data.
        """
        command, limit = (_READ_FINGERPRINT, _FINGERPRINT) if fingerprint else (_READ, _READING)
        reply = self._transact(command, limit, bound)
        if reply.sw3 != status.DONE:
            raise status.failure(reply)
        return split(reply.data, fingerprint=fingerprint)

    def newest_address(self, bound: Bound = _FREE) -> str | None:
        """The address that was written after the card was issued; None if there is none."""
        reply = self._transact(_READ_ADDRESS, _READING, bound)
        if reply.sw3 in {status.ADDRESS_ABSENT, 0x41}:
            return None
        if reply.sw3 != status.DONE:
            raise status.failure(reply)
        try:
            return reply.data[:_ADDRESS_BYTES].decode("utf-16-le").replace("\x00", " ").strip() or None
        except UnicodeDecodeError:
            raise DocumentError(Code.DOCUMENT_MALFORMED, "the newest address is no UTF-16") from None

    def sam_id(self) -> str:
        """The security module's number, as it is printed."""
        reply = self._demand(_SAM_ID)
        if len(reply.data) < 16:
            raise ReaderError(Code.READER_PROTOCOL, f"a module number of {len(reply.data)} bytes")
        return format_sam_id(reply.data)

    def status(self, timeout: float = _QUICK) -> None:
        """Raise what is wrong with the module, if anything."""
        reply = self._transact(_STATUS, timeout)
        if reply.sw3 != status.DONE:
            raise status.failure(reply)

    def reset(self) -> None:
        """Restart the security module."""
        self._demand(_RESET)

    def _demand(self, command: bytes) -> Reply:
        reply = self._transact(command, _QUICK)
        if reply.sw3 != status.DONE:
            raise status.failure(reply)
        return reply

    def _transact(self, command: bytes, timeout: float, bound: Bound = _FREE) -> Reply:
        """One command; asked again once if the answer was damaged on the line."""
        for _ in range(_TRIES):
            limit = min(timeout, bound.left)
            self._line.discard()
            self._parser.clear()
            damaged, skipped = self._parser.damaged, self._parser.skipped
            self._line.write(encode(command))
            reply = self._answer(limit, bound.cancel)
            if reply is not None:
                return reply
            _ = bound.left
            heard = self._parser.damaged - damaged + self._parser.skipped - skipped
            if not heard and not self._parser.pending:
                raise ReaderError(Code.READER_GONE, "the module does not answer")
        raise ReaderError(Code.READER_PROTOCOL, "the module's answers are damaged")

    def _answer(self, timeout: float, cancel: threading.Event | None) -> Reply | None:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            damaged = self._parser.damaged
            data = self._line.read(left, cancel)
            if not data:
                return None
            replies = self._parser.feed(data)
            if replies:
                return replies[-1]
            if self._parser.damaged > damaged and not self._parser.pending:
                return None
        return None


def split(data: bytes, *, fingerprint: bool = False) -> Contents:
    """Text, photo and fingerprint by the lengths that lead a read's data.

    Raises:
        DocumentError: `document.malformed`.
    """
    lengths = _LENGTHS + (2 if fingerprint else 0)
    sizes = [int.from_bytes(data[i : i + 2], "big") for i in range(0, lengths, 2)]
    if len(data) < lengths or sum(sizes) != len(data) - lengths:
        raise DocumentError(Code.DOCUMENT_MALFORMED, "a read whose lengths contradict its size")
    parts, position = [], lengths
    for size in sizes:
        parts.append(data[position : position + size])
        position += size
    return Contents(*parts)


def format_sam_id(data: bytes) -> str:
    """A module's number in the form that is printed on readers (one source)."""
    first, second = (int.from_bytes(data[i : i + 2], "little") for i in (0, 2))
    day, number, _rest = (int.from_bytes(data[i : i + 4], "little") for i in (4, 8, 12))
    return f"{first:02d}.{second:02d}-{day}-{number:010d}-{_rest:010d}"


def detect_baud(line: Line, set_baud: Callable[[int], None], configured: int) -> int:
    """The rate at which the module answers, the configured one first.

    Raises:
        ReaderError: `reader.gone` if it answers at none.
    """
    module = SamvModule(line)
    for rate in (configured, *(rate for rate in BAUD_RATES if rate != configured)):
        set_baud(rate)
        try:
            module.status(_PROBE)
        except ReaderError as error:
            if error.code not in {Code.READER_PROTOCOL, Code.READER_GONE}:
                raise
            continue
        return rate
    raise ReaderError(Code.READER_GONE, "the module answers at none of its rates")
