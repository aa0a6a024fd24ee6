"""The light meter and the focus help measure the picture."""

import io

from PIL import Image, ImageFilter

from agent.kiosk.aim import measure
from tests.system.kiosk.stand import portrait_jpeg


def jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def test_light_follows_the_picture() -> None:
    dark, bright = (
        measure(jpeg(Image.new("RGB", (320, 240), "#202020"))),
        measure(jpeg(Image.new("RGB", (320, 240), "#e0e0e0"))),
    )
    assert dark is not None
    assert bright is not None
    assert abs(dark.light - 0x20 / 255) < 0.01
    assert abs(bright.light - 0xE0 / 255) < 0.01


def test_blown_out_pixels_are_counted() -> None:
    half = Image.new("RGB", (320, 240), "#808080")
    half.paste("#ffffff", (0, 0, 160, 240))
    reading = measure(jpeg(half))
    assert reading is not None
    assert abs(reading.clipped - 0.5) < 0.02


def test_sharpness_falls_as_the_lens_turns_away() -> None:
    sharp = Image.open(io.BytesIO(portrait_jpeg()))
    readings = [measure(jpeg(sharp.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)]
    values = [reading.sharpness for reading in readings if reading is not None]
    assert values == sorted(values, reverse=True)
    assert values[0] > 3 * values[-1]


def test_what_is_no_preview_is_not_measured() -> None:
    assert measure(b"not a picture") is None
    assert measure(jpeg(Image.new("RGB", (4000, 3000)))) is None
