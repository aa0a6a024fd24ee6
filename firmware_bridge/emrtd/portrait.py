"""DG2: the holder's portrait (ICAO Doc 9303-10, 4.7.2; ISO/IEC 19794-5; ISO/IEC 39794-5)."""

import struct

from firmware_bridge.apdu import tlv
from firmware_bridge.document import Portrait, PortraitFormat
from firmware_bridge.errors import Code, DocumentError

_DG2, _GROUP, _TEMPLATE, _COUNT = 0x75, 0x7F61, 0x7F60, 0x02
_BLOCKS = (0x5F2E, 0x7F2E)
_FACIAL_HEADER, _RECORD_HEADER, _FEATURE, _IMAGE_HEADER = 14, 20, 8, 12
_FORMAT_19794 = b"FAC\x00"
#: First bytes of an encoded image: JPEG, JP2 container, JPEG 2000 code stream.
_SIGNATURES = (
    (b"\xff\xd8\xff", PortraitFormat.JPEG),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", PortraitFormat.JPEG2000),
    (b"\xff\x4f\xff\x51", PortraitFormat.JPEG2000),
)
_MAX_DEPTH = 12
_DISPLAYED = 0x5F43
#: Beyond this a picture is a bomb and no portrait.
MAX_PIXELS = 40_000_000


def _malformed(text: str) -> DocumentError:
    return DocumentError(Code.DOCUMENT_MALFORMED, text)


def parse(dg2: bytes) -> Portrait:
    """The first portrait of DG2.

    Raises:
        DocumentError: `document.malformed`.
    """
    group = tlv.require(dg2, _DG2, _GROUP)
    count = tlv.require(group, _COUNT)
    if not count or count[0] < 1:
        raise _malformed("DG2 holds no portrait")
    template = tlv.require(group, _TEMPLATE)
    for item in tlv.parse(template):
        if item.tag in _BLOCKS:
            return _block(item.value)
    raise _malformed("DG2 holds no biometric data block")


def _block(block: bytes) -> Portrait:
    image = _image_19794(block) if block[:4] == _FORMAT_19794 else _image_39794(block)
    kind = image_format(image)
    dimensions(image)
    return Portrait(image, kind)


def encoding(dg2: bytes) -> str:
    """Which standard DG2's biometric data block follows."""
    block = next(i.value for i in tlv.parse(tlv.require(dg2, _DG2, _GROUP, _TEMPLATE)) if i.tag in _BLOCKS)
    return "ISO/IEC 19794-5" if block[:4] == _FORMAT_19794 else "ISO/IEC 39794-5"


def displayed_images(dg7: bytes) -> list[Portrait]:
    """The signatures or marks of DG7 (Doc 9303-10, 4.7.7).

    Raises:
        DocumentError: `document.malformed`.
    """
    objects = tlv.parse(tlv.require(dg7, 0x67))
    return [Portrait(item.value, image_format(item.value)) for item in objects if item.tag == _DISPLAYED]


def dimensions(image: bytes) -> tuple[int, int]:
    """Width and height as the image's header states them; nothing is decoded.

    Raises:
        DocumentError: `document.malformed` or, for a picture larger than any document's, `document.limit`.
    """
    size = _jpeg_size(image) if image.startswith(_SIGNATURES[0][0]) else _jpeg2000_size(image)
    if size is None:
        raise _malformed("the portrait's header is cut off")
    if size[0] * size[1] > MAX_PIXELS or not all(size):
        raise DocumentError(Code.DOCUMENT_LIMIT, f"a portrait of {size[0]} x {size[1]} pixels")
    return size


def _jpeg_size(image: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(image) and image[position] == 0xFF:
        marker = image[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        # Start of frame, all kinds; C4, C8 and CC are tables.
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", image, position + 5)
            return width, height
        position += 2 + int.from_bytes(image[position + 2 : position + 4], "big")
    return None


def _jpeg2000_size(image: bytes) -> tuple[int, int] | None:
    start = image.find(_SIGNATURES[2][0])
    if start < 0 or len(image) < start + 24:
        return None
    width, height, left, top = struct.unpack_from(">IIII", image, start + 8)
    return (width - left, height - top) if width > left and height > top else (0, 0)


def image_format(image: bytes) -> PortraitFormat:
    """The encoding that an image's first bytes tell.

    Raises:
        DocumentError: `document.malformed` for any other.
    """
    for signature, kind in _SIGNATURES:
        if image.startswith(signature):
            return kind
    raise _malformed("the portrait is neither JPEG nor JPEG 2000")


def _image_19794(block: bytes) -> bytes:
    try:
        _magic, _version, total, faces = struct.unpack_from(">4s4sIH", block)
        record, features = struct.unpack_from(">IH", block, _FACIAL_HEADER)
    except struct.error:
        raise _malformed("the portrait's record is cut off") from None
    if faces < 1:
        raise _malformed("the portrait's record holds no face")
    begin = _FACIAL_HEADER + _RECORD_HEADER + features * _FEATURE + _IMAGE_HEADER
    # Issuers disagree whether the first length counts its own header: the record's length leads, the block ends it.
    end = min(len(block), _FACIAL_HEADER + record if record else total)
    if begin >= end:
        raise _malformed("the portrait's record claims more feature points than it has bytes")
    return block[begin:end]


def _image_39794(block: bytes) -> bytes:
    """The image of an ISO/IEC 39794-5 block: representation data, found by the path of its context tags."""
    image = _find_image(block, 0)
    if image is None:
        raise _malformed("the portrait is in no known format")
    return image


def _find_image(data: bytes, depth: int) -> bytes | None:
    if depth > _MAX_DEPTH:
        raise DocumentError(Code.DOCUMENT_LIMIT, "the portrait's record is nested without end")
    for item in tlv.parse(data):
        first = item.tag >> 8 * ((item.tag.bit_length() - 1) // 8 if item.tag else 0)
        if first & 0x20:
            found = _find_image(item.value, depth + 1)
            if found is not None:
                return found
        elif any(item.value.startswith(signature) for signature, _kind in _SIGNATURES):
            return item.value
    return None


def encode(image: bytes, *, width: int, height: int) -> bytes:
    """DG2 around an encoded image, in the format of ISO/IEC 19794-5: for simulated chips."""
    jpeg2000 = image_format(image) is PortraitFormat.JPEG2000
    record = struct.pack(">IH", _RECORD_HEADER + _IMAGE_HEADER + len(image), 0) + bytes(14)
    information = struct.pack(">BBHHBBHH", 1, 1 if jpeg2000 else 0, width, height, 1, 0, 0, 0)
    block = struct.pack(">4s4sIH", _FORMAT_19794, b"010\x00", _FACIAL_HEADER + len(record) + 12 + len(image), 1)
    block += record + information + image
    header = tlv.encode(0xA1, bytes.fromhex("8002010181010282010087020101") + tlv.encode(0x88, bytes.fromhex("0008")))
    template = tlv.encode(_TEMPLATE, header + tlv.encode(0x5F2E, block))
    return tlv.encode(_DG2, tlv.encode(_GROUP, tlv.encode(_COUNT, b"\x01") + template))
