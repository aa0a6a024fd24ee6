"""Status bytes of the SAM-V module (SW3), with how sure the sources are: A several agree, B one, C unsure."""

from typing import NamedTuple

from firmware_bridge.errors import BridgeError, Code, DocumentError, ReaderError
from firmware_bridge.samv.frames import Reply

DONE, FOUND, ADDRESS_ABSENT = 0x90, 0x9F, 0x91
NOT_FOUND, NOT_SELECTED = 0x80, 0x81


class Meaning(NamedTuple):
    """What a status byte means and which failure it is."""

    text: str
    code: Code


MEANINGS = {
    0x10: Meaning("the module received a wrong checksum", Code.READER_PROTOCOL),  # B
    0x11: Meaning("the module received a wrong length", Code.READER_PROTOCOL),  # B
    0x21: Meaning("the module received a wrong command", Code.READER_PROTOCOL),  # B
    0x24: Meaning("the module does not know the command", Code.READER_PROTOCOL),  # B
    0x31: Meaning("the card refuses the module", Code.DOCUMENT_ACCESS),  # A
    0x32: Meaning("the module refuses the card", Code.DOCUMENT_UNTRUSTED),  # A
    0x33: Meaning("the card's data does not verify", Code.DOCUMENT_ALTERED),  # B
    0x40: Meaning("a card that is no identity card", Code.DOCUMENT_UNKNOWN),  # B
    0x41: Meaning("the card could not be read", Code.DOCUMENT_REMOVED),  # A
    0x47: Meaning("the module could not get a random number", Code.DOCUMENT_ACCESS),  # B
    0x60: Meaning("the module failed its self-test", Code.READER_PROTOCOL),  # B
    0x66: Meaning("the module is not authorised", Code.READER_REFUSED),  # B
    0x80: Meaning("no card was found", Code.DOCUMENT_REMOVED),  # A
    0x81: Meaning("the card could not be selected", Code.DOCUMENT_REMOVED),  # A
    0x91: Meaning("the card holds no such content", Code.DOCUMENT_UNKNOWN),  # C
}


def text(reply: Reply) -> str:
    """The status bytes with their meaning."""
    shown = f"{reply.sw1:02X} {reply.sw2:02X} {reply.sw3:02X}"
    if reply.sw3 in {DONE, FOUND}:
        return f"{shown} (done)"
    known = MEANINGS.get(reply.sw3)
    return f"{shown} ({known.text})" if known else f"{shown} (unknown)"


def failure(reply: Reply) -> BridgeError:
    """The error for a reply that reports failure."""
    known = MEANINGS.get(reply.sw3)
    code = known.code if known else Code.READER_PROTOCOL
    kind = DocumentError if code.value.startswith("document.") else ReaderError
    return kind(code, f"the module answered {text(reply)}")
