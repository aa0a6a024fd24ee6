"""DG2 in both standards, DG7, and what is no picture."""

import struct

import pytest

from firmware_bridge.apdu import tlv
from firmware_bridge.document import PortraitFormat
from firmware_bridge.emrtd import portrait
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.simulator import portraits

JPEG = portraits.jpeg(portraits.HOLDER_CHIP)
JPEG2000 = portraits.jpeg2000(portraits.HOLDER_CHIP)


def wrapped(block: bytes, tag: int = 0x5F2E) -> bytes:
    template = tlv.encode(0x7F60, tlv.encode(0xA1, b"\x81\x01\x02") + tlv.encode(tag, block))
    return tlv.encode(0x75, tlv.encode(0x7F61, b"\x02\x01\x01" + template))


def iso_39794(image: bytes) -> bytes:
    """A face image data block of ISO/IEC 39794-5: version, one representation with its image last."""
    version = tlv.encode(0xA0, b"\x80\x01\x03" + b"\x81\x02\x07\xe3")
    capture = tlv.encode(0xA2, b"\x80\x02\x07\xea")
    two_dimensional = tlv.encode(0xA0, tlv.encode(0x80, image) + tlv.encode(0xA1, tlv.encode(0xA0, b"\x80\x01\x02")))
    representation = tlv.encode(0x30, b"\x80\x01\x01" + tlv.encode(0xA1, tlv.encode(0xA0, two_dimensional)) + capture)
    return tlv.encode(0xA1, tlv.encode(0x65, version + tlv.encode(0xA1, representation)))


@pytest.mark.parametrize("image", [JPEG, JPEG2000], ids=["JPEG", "JPEG 2000"])
@pytest.mark.parametrize("encoding", ["ISO/IEC 19794-5", "ISO/IEC 39794-5"])
def test_both_standards_and_both_encodings(image: bytes, encoding: str) -> None:
    old = encoding == "ISO/IEC 19794-5"
    dg2 = portrait.encode(image, width=480, height=640) if old else wrapped(iso_39794(image), 0x7F2E)
    found = portrait.parse(dg2)
    assert found.data == image
    assert found.format is (PortraitFormat.JPEG if image is JPEG else PortraitFormat.JPEG2000)
    assert portrait.encoding(dg2) == encoding
    assert portrait.dimensions(image) == (480, 640)


def test_feature_points_before_the_image_are_skipped() -> None:
    features = bytes(8 * 3)
    record = struct.pack(">IH", 20 + 24 + 12 + len(JPEG), 3) + bytes(14) + features + bytes(12)
    block = struct.pack(">4s4sIH", b"FAC\x00", b"010\x00", 14 + len(record) + len(JPEG), 1) + record + JPEG
    assert portrait.parse(wrapped(block)).data == JPEG


@pytest.mark.parametrize(
    "block",
    [b"", b"FAC\x00", struct.pack(">4s4sIHIH", b"FAC\x00", b"010\x00", 99, 1, 99, 0xFFFF) + bytes(80), bytes(200)],
)
def test_a_record_that_is_none_is_malformed(block: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        portrait.parse(wrapped(block))
    assert caught.value.code is Code.DOCUMENT_MALFORMED


def test_the_images_of_dg7_are_found() -> None:
    dg7 = tlv.encode(0x67, b"\x02\x01\x02" + tlv.encode(0x5F43, JPEG) + tlv.encode(0x5F43, JPEG2000))
    formats = [image.format for image in portrait.displayed_images(dg7)]
    assert formats == [PortraitFormat.JPEG, PortraitFormat.JPEG2000]
