"""Pictures from untrusted bytes: chip portraits, files of a command line. Bounded before a pixel is decoded."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from agent.biometrics.errors import FaceError
from agent.biometrics.types import Image

PORTRAIT_FORMATS = ("JPEG", "JPEG2000", "PNG")
FILE_FORMATS = (*PORTRAIT_FORMATS, "WEBP", "BMP", "TIFF")
#: A picture larger than this is not decoded: 50 megapixels are 150 MB as RGB.
LARGEST_PICTURE = 50_000_000
LARGEST_PORTRAIT = 20_000_000
LARGEST_FILE = 64 << 20
#: JPEG is decoded at a fraction of its size when that still leaves this many pixels a side.
ENOUGH = 1600


def decode_portrait(content: bytes) -> Image:
    """The chip's portrait as RGB (h, w, 3).

    Raises:
        FaceError: `face.portrait_unreadable`.
    """
    try:
        return _decode(content, PORTRAIT_FORMATS, LARGEST_PORTRAIT)
    except ValueError as error:
        raise FaceError("face.portrait_unreadable", f"the portrait: {error}") from error


def decode_file(path: Path) -> Image:
    """The picture in a file as RGB (h, w, 3), turned upright as its EXIF says.

    Raises:
        FaceError: `face.image_unreadable`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        return _decode(content, FILE_FORMATS, LARGEST_PICTURE)
    except OSError as error:
        raise FaceError("face.image_unreadable", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FaceError("face.image_unreadable", f"{path}: {error}") from error


def _decode(content: bytes, formats: tuple[str, ...], largest: int) -> Image:
    if not content:
        raise ValueError("empty")
    if len(content) > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE >> 20} MiB")
    try:
        with warnings.catch_warnings():
            # Pillow's own bound is higher than ours, and ours is an error.
            warnings.simplefilter("ignore")
            return _decode_picture(content, formats, largest)
    except UnidentifiedImageError as error:
        raise ValueError(f"not a picture of a known format ({', '.join(formats)})") from error
    except Pillow.DecompressionBombError as error:
        raise ValueError("too many pixels") from error
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders answer broken files with almost anything
        raise ValueError(f"damaged or cut off ({type(error).__name__})") from error


def _decode_picture(content: bytes, formats: tuple[str, ...], largest: int) -> Image:
    with Pillow.open(io.BytesIO(content), formats=formats) as picture:
        width, height = picture.size
        if width * height > largest:
            raise ValueError(f"{width} x {height} pixels, at most {largest // 1_000_000} megapixels are read")
        if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
            raise ValueError("animated or of several pages")
        if picture.format in {"JPEG", "MPO"}:
            picture.draft("RGB", (ENOUGH, ENOUGH))
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):
            return _from_sixteen_bits(upright)
        return np.asarray(upright.convert("RGB"), np.uint8)


def _from_sixteen_bits(picture: Pillow.Image) -> Image:
    grey = (np.asarray(picture, np.int64) >> 8).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
