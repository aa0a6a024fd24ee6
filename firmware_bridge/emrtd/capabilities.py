"""What a chip says of itself before anything is read: its answer to reset and EF.ATR/INFO (ISO/IEC 7816-4, 12.1)."""

from dataclasses import dataclass

from firmware_bridge.apdu import tlv
from firmware_bridge.errors import DocumentError

_CAPABILITIES, _EXTENDED_LENGTH_INFO, _HISTORICAL = 0x47, 0x7F66, 0x5F52
_EXTENDED_BIT = 0x40


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Whether extended lengths are taken, and the longest response in bytes."""

    extended: bool = False
    max_response: int = 65536


def historical_bytes(atr: bytes) -> bytes:
    """The historical bytes of an answer to reset; empty if it cannot be parsed (ISO/IEC 7816-3, 8.2)."""
    try:
        count, follows, index = atr[1] & 0x0F, atr[1] >> 4, 2
        while follows:
            index += follows.bit_count()
            follows = atr[index - 1] >> 4 if follows & 8 else 0
    except IndexError:
        return b""
    return atr[index : index + count]


def from_atr(atr: bytes) -> Capabilities | None:
    """Capabilities from the historical bytes, None if they say nothing."""
    historical = historical_bytes(atr)
    if historical[:1] not in {b"\x00", b"\x80"}:
        return None
    return _from_compact(historical[1:])


def _from_compact(data: bytes) -> Capabilities | None:
    index = 0
    while index < len(data):
        tag, size = data[index] >> 4, data[index] & 0x0F
        if tag == 7 and size >= 3 and len(data) > index + 3:
            return Capabilities(bool(data[index + 3] & _EXTENDED_BIT))
        index += 1 + size
    return None


def from_info(content: bytes) -> Capabilities | None:
    """Capabilities from EF.ATR/INFO, None if it says nothing."""
    try:
        objects = {item.tag: item.value for item in tlv.parse(content)}
        extended = len(objects.get(_CAPABILITIES, b"")) >= 3 and bool(objects[_CAPABILITIES][2] & _EXTENDED_BIT)
        if _EXTENDED_LENGTH_INFO in objects:
            sizes = [int.from_bytes(i.value, "big") for i in tlv.parse(objects[_EXTENDED_LENGTH_INFO]) if i.tag == 2]
            if len(sizes) == 2:
                return Capabilities(True, min(max(sizes[1], 256), 65536))
        return Capabilities(extended) if _CAPABILITIES in objects else None
    except DocumentError:
        return None
