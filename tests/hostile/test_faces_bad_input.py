"""Whatever a chip or a file holds in a picture's place: a clear error, in bounded time and memory."""

import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from agent.biometrics.decode import decode_file, decode_portrait
from agent.biometrics.errors import FaceError
from agent.biometrics.image import Picture
from tests.unit.faces_world import HOLDER_CHIP, pipeline, portrait, portrait_bytes


def encoded(picture: Pillow.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def holder() -> Pillow.Image:
    return Pillow.fromarray(portrait(HOLDER_CHIP))


def huge_png() -> bytes:
    """A header that claims 100,000 x 100,000 pixels, and almost nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def hundred_megapixels() -> bytes:
    return encoded(Pillow.new("L", (10_000, 10_000)), "JPEG")


def animated() -> bytes:
    frames = [Pillow.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 100, 200)]
    return encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])


def turned_with(tag: int, kind: int) -> bytes:
    """A JPEG whose EXIF asks for a quarter turn, and gives `tag` in a kind of value that it never has."""
    entries = sorted([struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0), struct.pack(">HHI4s", tag, kind, 1, b"ab")])
    directory = struct.pack(">4sIH", b"MM\0*", 8, len(entries)) + b"".join(entries) + bytes(4)
    return encoded(holder(), "JPEG", exif=b"Exif\0\0" + directory)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"this is no picture",
        lambda: bytes(5000),
        lambda: portrait_bytes(HOLDER_CHIP)[:5000],
        lambda: encoded(holder(), "JPEG2000")[:3000],
        lambda: encoded(holder(), "PNG")[:3000],
        huge_png,
        hundred_megapixels,
        animated,
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda: encoded(holder(), "GIF"),
        lambda: encoded(holder(), "TIFF"),
        lambda: turned_with(0x0213, 7),
        lambda: turned_with(0x010E, 11),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        "cut jpeg",
        "cut jp2",
        "cut png",
        "bomb",
        "100 MP",
        "animated",
        "svg",
        "gif",
        "tiff",
        "exif struct.error",
        "exif AttributeError",
    ],
)
def test_what_is_no_portrait_is_refused(make: Callable[[], bytes]) -> None:
    content = make()
    pipeline()
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(FaceError) as caught:
        pipeline().enroll(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "face.portrait_unreadable"
    assert time.monotonic() - began < 5
    assert peak < 64 << 20


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (4000, 3), (3, 4000)])
def test_a_portrait_of_any_shape_without_a_face_is_told_so(size: tuple[int, int]) -> None:
    with pytest.raises(FaceError) as caught:
        pipeline().enroll(encoded(Pillow.new("RGB", size, (120, 90, 80)), "PNG"))
    assert caught.value.code == "face.portrait_no_face"


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("JPEG2000", "RGB"),
        ("JPEG2000", "L"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
    ],
)
def test_every_honest_encoding_gives_the_same_face(form: str, mode: str) -> None:
    reference = pipeline().enroll(portrait_bytes(HOLDER_CHIP))
    other = pipeline().enroll(encoded(holder().convert(mode), form))
    # Without colour the face is a little another.
    assert reference.vector @ other.vector > (0.75 if mode == "L" else 0.95)


def test_a_picture_turned_by_its_exif_is_turned_back(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    file = tmp_path / "turned.jpg"
    file.write_bytes(encoded(holder().transpose(Pillow.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95))
    upright = decode_file(file)
    assert upright.shape == portrait(HOLDER_CHIP).shape
    face = pipeline().analyse_still(Picture(upright)).face
    assert face is not None
    assert abs(face.pose.roll) < 10


def test_a_deep_png_keeps_its_greys(tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Pillow.fromarray(ramp).save(file)
    read = decode_file(file)
    assert read.shape == (64, 64, 3)
    assert read.min() == 0
    assert read.max() == 255


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"absent\.jpg") as caught:
        decode_file(tmp_path / "absent.jpg")
    assert caught.value.code == "face.image_unreadable"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_never_a_portrait_and_never_a_crash(content: bytes) -> None:
    with pytest.raises(FaceError):
        decode_portrait(content)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_portrait_decodes_or_is_refused(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["JPEG", "JPEG2000", "PNG"]))
    content = bytearray(encoded(holder().resize((60, 80)), form))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FaceError):
        pixels = decode_portrait(bytes(content))
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
