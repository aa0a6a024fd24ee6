"""WLT portraits: proprietary, opaque here, decoded by whoever installs a licensed decoder.

A decoder is an entry point of the group `renzheng.portrait_decoders` named `wlt`: a callable that takes the 1024 bytes
and returns an encoded image (JPEG, JPEG 2000).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from firmware_bridge.document import Portrait, PortraitFormat
from firmware_bridge.emrtd.portrait import dimensions, image_format
from firmware_bridge.errors import Code, DocumentError

GROUP = "renzheng.portrait_decoders"
_NAME = "wlt"
Decoder = Callable[[bytes], bytes]


def find_decoder() -> Decoder | None:
    """The installed decoder, None if there is none.

    Raises:
        DocumentError: `document.malformed` if it is installed and cannot be loaded.
    """
    for point in metadata.entry_points(group=GROUP, name=_NAME):
        try:
            loaded: Decoder = point.load()
        except (ImportError, AttributeError) as error:
            raise DocumentError(Code.DOCUMENT_MALFORMED, "the portrait decoder cannot be loaded") from error
        return loaded
    return None


def decoded(portrait: Portrait, decoder: Decoder) -> Portrait:
    """The portrait as an image that anybody can open.

    Raises:
        DocumentError: `document.malformed` if the decoder fails or gives no image.
    """
    if portrait.format is not PortraitFormat.WLT:
        return portrait
    try:
        image = decoder(portrait.data)
    except Exception as error:
        raise DocumentError(Code.DOCUMENT_MALFORMED, f"the portrait decoder failed ({type(error).__name__})") from error
    if not isinstance(image, bytes):
        raise DocumentError(Code.DOCUMENT_MALFORMED, f"the portrait decoder gave no bytes ({type(image).__name__})")
    dimensions(image)
    return Portrait(image, image_format(image))
