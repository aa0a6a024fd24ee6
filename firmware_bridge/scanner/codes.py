"""What a scanned text means, and codes found in pictures: the fallback for a terminal without a scanner."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.emrtd import mrz
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import AccessKey, CanKey

_CAN = re.compile(r"(?:CAN[:=]\s*)?(\d{6})")
#: Codes in one picture that are looked at.
MAX_CODES = 8
_MAX_SIDE = 8192


def access_key(text: str, *, today: date) -> AccessKey | None:
    """The chip's key that a text holds: a machine readable zone, or a card access number (`CAN:123456` or six digits).

    None for any other text.
    """
    match = _CAN.fullmatch(text.strip())
    if match is not None:
        return CanKey(match[1])
    try:
        return mrz.parse(text, today=today).key
    except DocumentError:
        return None


def find_codes(picture: NDArray[Any]) -> list[str]:
    """The texts of the QR codes, PDF417 and other codes in a picture.

    Args:
        picture: shape (height, width) or (height, width, 3), 8 bits a channel.

    Raises:
        DocumentError: `document.limit` for a picture of another shape, or one that is too large.
    """
    import zxingcpp

    if picture.dtype != np.uint8 or picture.ndim not in {2, 3} or max(picture.shape[:2]) > _MAX_SIDE:
        raise DocumentError(Code.DOCUMENT_LIMIT, f"no picture that can be searched: {picture.shape} {picture.dtype}")
    return [code.text for code in zxingcpp.read_barcodes(np.ascontiguousarray(picture))[:MAX_CODES] if code.text]
