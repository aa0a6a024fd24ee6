"""Command and response APDUs, short and extended (ISO/IEC 7816-4, 5.2 and 12)."""

from dataclasses import dataclass
from typing import NamedTuple

from firmware_bridge.errors import Code, DocumentError

SHORT_DATA = 255
SHORT_RESPONSE = 256
EXTENDED_RESPONSE = 65536
CHAINED = 0x10


class Response(NamedTuple):
    """What a chip answered: data and status word."""

    data: bytes
    sw: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `le` is the number of bytes expected at most, None where no data is expected."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def extended(self) -> bool:
        """Whether only the extended form can carry this command."""
        return len(self.data) > SHORT_DATA or (self.le or 0) > SHORT_RESPONSE

    def encode(self) -> bytes:
        """The bytes for the transport, in the shortest form."""
        size, le = len(self.data), self.le
        if not self.extended:
            body = bytes((size,)) + self.data if size else b""
            return self.header + body + (bytes((le & 0xFF,)) if le is not None else b"")
        body = b"\x00" + size.to_bytes(2, "big") + self.data if size else b""
        if le is None:
            return self.header + body
        return self.header + body + (b"" if size else b"\x00") + (le & 0xFFFF).to_bytes(2, "big")


def decode(apdu: bytes) -> Command:
    """The command that `apdu` encodes (the card side of `Command.encode`).

    Raises:
        DocumentError: `document.malformed`.
    """
    if len(apdu) < 4:
        raise DocumentError(Code.DOCUMENT_MALFORMED, f"a command of {len(apdu)} bytes")
    (cla, ins, p1, p2), body = apdu[:4], apdu[4:]
    if not body:
        return Command(cla, ins, p1, p2)
    if len(body) == 1:
        return Command(cla, ins, p1, p2, le=body[0] or SHORT_RESPONSE)
    if body[0]:
        data, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
        if len(data) == body[0] and len(rest) <= 1:
            return Command(cla, ins, p1, p2, data=data, le=(rest[0] or SHORT_RESPONSE) if rest else None)
    elif len(body) == 3:
        return Command(cla, ins, p1, p2, le=int.from_bytes(body[1:], "big") or EXTENDED_RESPONSE)
    elif len(body) > 3:
        size = int.from_bytes(body[1:3], "big")
        data, rest = body[3 : 3 + size], body[3 + size :]
        if len(data) == size and len(rest) in (0, 2):
            le = (int.from_bytes(rest, "big") or EXTENDED_RESPONSE) if rest else None
            return Command(cla, ins, p1, p2, data=data, le=le)
    raise DocumentError(Code.DOCUMENT_MALFORMED, "the command's length fields contradict its size")
