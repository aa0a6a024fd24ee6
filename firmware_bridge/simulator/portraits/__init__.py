"""The pictures that ship with the simulator; NOTICE beside them names their source."""

import io
from pathlib import Path

from PIL import Image

_FOLDER = Path(__file__).parent
#: The holder as on the chip, the same person at the terminal, and somebody else.
HOLDER_CHIP, HOLDER_LIVE, OTHER = "holder-chip", "holder-live", "other"


def jpeg(name: str) -> bytes:
    """A picture as it ships."""
    return (_FOLDER / f"{name}.jpg").read_bytes()


def jpeg2000(name: str, size: int = 15_000) -> bytes:
    """A picture as JPEG 2000 of about `size` bytes, as most chips hold it."""
    return to_jpeg2000(jpeg(name), size)


def to_jpeg2000(picture: bytes, size: int) -> bytes:
    """Any picture as JPEG 2000 of about `size` bytes."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    rate = image.width * image.height * 3 / size
    out = io.BytesIO()
    image.save(out, "JPEG2000", quality_mode="rates", quality_layers=[max(rate, 1.0)], irreversible=True)
    return out.getvalue()
