"""BER-TLV as chips send it (ISO/IEC 7816-4, 5.2.2; ITU-T X.690), with a bound on everything a chip can claim.

Definite lengths only: a CMS structure that uses indefinite ones is parsed elsewhere.
"""

from typing import NamedTuple

from firmware_bridge.errors import Code, DocumentError

#: No data object of an eMRTD is larger (an EF is addressed with 24 bits at most; portraits are 15 to 60 kB).
MAX_LENGTH = 1 << 20
#: Objects on one level of a template.
MAX_OBJECTS = 512
_MAX_TAG_BYTES = 3
_MAX_LENGTH_BYTES = 4


class Tlv(NamedTuple):
    """One data object: `tag` as the number its bytes spell, `start` of its header and `end` of its value."""

    tag: int
    value: bytes
    start: int
    end: int


class Header(NamedTuple):
    """A data object's header: its tag, its own size, and the size of the value that it claims, all in bytes."""

    tag: int
    size: int
    length: int


def _malformed(text: str) -> DocumentError:
    return DocumentError(Code.DOCUMENT_MALFORMED, text)


def header(data: bytes, offset: int = 0) -> Header:
    """Parse the header at `offset`; the value need not be there yet.

    Raises:
        DocumentError: `document.malformed` or, for a length over `MAX_LENGTH`, `document.limit`.
    """
    try:
        position = offset
        tag = data[position]
        position += 1
        if tag & 0x1F == 0x1F:
            while True:
                tag = tag << 8 | data[position]
                position += 1
                if not tag & 0x80:
                    break
                if position - offset >= _MAX_TAG_BYTES:
                    raise _malformed("a tag is longer than three bytes")
        length = data[position]
        position += 1
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= _MAX_LENGTH_BYTES:
                raise _malformed(f"length field {length:02X} is not allowed")
            length = int.from_bytes(data[position : position + count], "big")
            if position + count > len(data):
                raise _malformed("a length field is cut off")
            position += count
    except IndexError:
        raise _malformed("a data object's header is cut off") from None
    if length > MAX_LENGTH:
        raise DocumentError(Code.DOCUMENT_LIMIT, f"a data object claims {length} bytes, the limit is {MAX_LENGTH}")
    return Header(tag, position - offset, length)


def read(data: bytes, offset: int = 0) -> Tlv:
    """Parse the data object at `offset`; its value must be there.

    Raises:
        DocumentError: `document.malformed` or `document.limit`.
    """
    tag, size, length = header(data, offset)
    begin = offset + size
    end = begin + length
    if end > len(data):
        raise _malformed(f"object {tag:X} claims {length} bytes and has {len(data) - begin}")
    return Tlv(tag, data[begin:end], offset, end)


def parse(data: bytes) -> list[Tlv]:
    """All data objects of one level, in order; filler bytes 00 and FF between them are skipped.

    Raises:
        DocumentError: `document.malformed` or `document.limit`.
    """
    found: list[Tlv] = []
    offset = 0
    while offset < len(data):
        if data[offset] in (0x00, 0xFF):
            offset += 1
            continue
        if len(found) == MAX_OBJECTS:
            raise DocumentError(Code.DOCUMENT_LIMIT, f"a template holds more than {MAX_OBJECTS} objects")
        item = read(data, offset)
        found.append(item)
        offset = item.end
    return found


def find(data: bytes, *path: int) -> bytes | None:
    """The value of the first object at `path`, a tag for each level, or None.

    Raises:
        DocumentError: `document.malformed` or `document.limit`.
    """
    for tag in path:
        value = next((item.value for item in parse(data) if item.tag == tag), None)
        if value is None:
            return None
        data = value
    return data


def require(data: bytes, *path: int) -> bytes:
    """As `find`, for an object that must be there.

    Raises:
        DocumentError: `document.malformed`, also when the object is missing.
    """
    value = find(data, *path)
    if value is None:
        raise _malformed("object " + "/".join(f"{tag:X}" for tag in path) + " is missing")
    return value


def encode(tag: int, value: bytes) -> bytes:
    """One data object with the shortest length field."""
    size = len(value)
    if size < 0x80:
        length = bytes((size,))
    else:
        count = (size.bit_length() + 7) // 8
        length = bytes((0x80 | count,)) + size.to_bytes(count, "big")
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big") + length + value
