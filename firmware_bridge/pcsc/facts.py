"""What a reader behind pcscd says of itself, and whether a card that lies there answers: for a self-test.

The card is asked whether it holds the application of a travel document, no more, and is not reset: who begins to read
it at that moment waits for some milliseconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from smartcard import scard

from firmware_bridge.apdu.channel import PlainChannel
from firmware_bridge.emrtd.files import select_application
from firmware_bridge.errors import BridgeError, Code, ReaderError
from firmware_bridge.pcsc.context import Card, Context, choose_reader
from firmware_bridge.pcsc.worker import Worker


class CardThere(StrEnum):
    """What lies on a reader."""

    NOTHING = "no card lies there"
    IN_USE = "a card is being read"
    SILENT = "what lies there does not answer"
    OTHER = "a card answers, and is no travel document"
    TRAVEL_DOCUMENT = "a travel document answers"


#: Seconds that a card has, and who reads it at that moment.
_ANSWER = 2.0

_TOLD_BY = {
    Code.DOCUMENT_REMOVED: CardThere.NOTHING,
    Code.READER_BUSY: CardThere.IN_USE,
    Code.DOCUMENT_SILENT: CardThere.SILENT,
    Code.DOCUMENT_UNKNOWN: CardThere.OTHER,
}


class ReaderFacts(NamedTuple):
    """A reader at this moment."""

    name: str
    #: The version of its firmware, "" where its driver tells none.
    firmware: str
    card: CardThere


def look(match: str) -> ReaderFacts:
    """Look at the first reader that `choose_reader` finds for `match`.

    Raises:
        ReaderError: `reader.gone`, naming the readers that are there; or what pcscd answers.
    """
    context = Context()
    try:
        names = context.readers()
        name = choose_reader(names, match)
        if name is None:
            raise ReaderError(Code.READER_GONE, f"seen: {', '.join(names) or 'none'}")
        firmware = _firmware(context, name)
    finally:
        context.close()
    return ReaderFacts(name, firmware, _card(name))


def version(value: bytes) -> str:
    """The version of an interface device, four bytes, least significant first: 0xMMmmbbbb (PC/SC part 3, 3.1.2).

    CCID drivers give a reader's `bcdDevice` in the upper half, in binary-coded decimals.
    """
    return f"{value[3]:x}.{value[2]:02x}"


def _firmware(context: Context, name: str) -> str:
    """What the driver tells without a card; nothing while another program has the reader to itself."""
    result, handle, _protocol = scard.SCardConnect(context.handle, name, scard.SCARD_SHARE_DIRECT, 0)
    if result != scard.SCARD_S_SUCCESS:
        return ""
    result, value = scard.SCardGetAttrib(handle, scard.SCARD_ATTR_VENDOR_IFD_VERSION)
    scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
    return version(bytes(value)) if result == scard.SCARD_S_SUCCESS and len(value) == 4 else ""


def _card(name: str) -> CardThere:
    worker = Worker("look-at-card")
    try:
        worker.call(_ask, name, timeout=_ANSWER)
    except BridgeError as error:
        if error.code in _TOLD_BY:
            return _TOLD_BY[error.code]
        raise
    finally:
        worker.finish(lambda: None, timeout=_ANSWER)
    return CardThere.TRAVEL_DOCUMENT


def _ask(name: str) -> None:
    """Select the application of a travel document; blocks while a card is silent, in a thread that is left behind."""
    context = Context()
    try:
        card = Card(context, name, exclusive=False)
        try:
            select_application(PlainChannel(card))
        finally:
            card.close(reset=False)
    finally:
        context.close()
