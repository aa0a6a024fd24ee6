"""The few PC/SC calls that are used, each with an error of our own (PC/SC part 5, through pcsc-lite)."""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase
from typing import NamedTuple

from smartcard import scard

from firmware_bridge.errors import BridgeError, Code, DocumentError, ReaderError

_MASK = 0xFFFFFFFF


class State(NamedTuple):
    """A reader's state as pcscd tells it."""

    present: bool
    mute: bool
    gone: bool
    #: Somebody is connected to the card.
    used: bool
    raw: int
    atr: bytes


class BrokenExchangeError(DocumentError):
    """The driver gave an exchange up: the card left the field, or the command is longer than the reader carries."""


_FAILURES: tuple[tuple[type[BridgeError], Code, set[int]], ...] = (
    (
        ReaderError,
        Code.READER_SERVICE,
        {
            scard.SCARD_E_NO_SERVICE,
            scard.SCARD_E_SERVICE_STOPPED,
            scard.SCARD_F_COMM_ERROR,
            scard.SCARD_E_INVALID_HANDLE,
            scard.SCARD_F_INTERNAL_ERROR,
        },
    ),
    (
        ReaderError,
        Code.READER_GONE,
        {scard.SCARD_E_UNKNOWN_READER, scard.SCARD_E_READER_UNAVAILABLE, scard.SCARD_E_NO_READERS_AVAILABLE},
    ),
    (ReaderError, Code.READER_REFUSED, {scard.SCARD_W_SECURITY_VIOLATION, scard.SCARD_E_NO_ACCESS}),
    (ReaderError, Code.READER_BUSY, {scard.SCARD_E_SHARING_VIOLATION}),
    (BrokenExchangeError, Code.DOCUMENT_REMOVED, {scard.SCARD_E_NOT_TRANSACTED}),
    (
        DocumentError,
        Code.DOCUMENT_REMOVED,
        {scard.SCARD_W_REMOVED_CARD, scard.SCARD_E_NO_SMARTCARD, scard.SCARD_W_RESET_CARD},
    ),
    (
        DocumentError,
        Code.DOCUMENT_SILENT,
        {scard.SCARD_W_UNRESPONSIVE_CARD, scard.SCARD_W_UNPOWERED_CARD, scard.SCARD_E_PROTO_MISMATCH},
    ),
)


def failure(result: int, doing: str) -> BridgeError:
    """The error for a PC/SC return code."""
    number = result & _MASK
    text = f"{doing}: {scard.SCardGetErrorMessage(result)} (0x{number:08X})"
    for kind, code, results in _FAILURES:
        if number in {known & _MASK for known in results}:
            return kind(code, text)
    return ReaderError(Code.READER_PROTOCOL, text)


class Context:
    """One resource manager context; a new one is needed after every restart of pcscd."""

    def __init__(self) -> None:
        result, self.handle = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        if result != scard.SCARD_S_SUCCESS:
            raise failure(result, "no smart card service")

    def close(self) -> None:
        """Release the context."""
        with contextlib.suppress(Exception):
            scard.SCardReleaseContext(self.handle)

    def cancel(self) -> None:
        """End a `wait` that another thread is in."""
        scard.SCardCancel(self.handle)

    def readers(self) -> list[str]:
        """Names of the readers that are there."""
        result, names = scard.SCardListReaders(self.handle, [])
        if result & _MASK == scard.SCARD_E_NO_READERS_AVAILABLE & _MASK:
            return []
        if result != scard.SCARD_S_SUCCESS:
            raise failure(result, "readers cannot be listed")
        return list(names)

    def wait(self, known: dict[str, int], milliseconds: int) -> dict[str, State] | None:
        """The new states once one differs from `known`; None after `milliseconds` without a change."""
        result, states = scard.SCardGetStatusChange(self.handle, milliseconds, list(known.items()))
        if result & _MASK in {scard.SCARD_E_TIMEOUT & _MASK, scard.SCARD_E_CANCELLED & _MASK}:
            return None
        if result != scard.SCARD_S_SUCCESS:
            raise failure(result, "the reader's state")
        return {name: _state(raw, bytes(atr)) for name, raw, atr in states}


def _state(raw: int, atr: bytes) -> State:
    return State(
        present=bool(raw & scard.SCARD_STATE_PRESENT),
        mute=bool(raw & scard.SCARD_STATE_MUTE),
        gone=bool(raw & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE | scard.SCARD_STATE_IGNORE)),
        used=bool(raw & (scard.SCARD_STATE_INUSE | scard.SCARD_STATE_EXCLUSIVE)),
        raw=raw & ~scard.SCARD_STATE_CHANGED,
        atr=atr,
    )


def list_readers() -> list[str]:
    """Names of the PC/SC readers of this machine.

    Raises:
        ReaderError: `reader.service` if pcscd is not there.
    """
    context = Context()
    try:
        return context.readers()
    finally:
        context.close()


def choose_reader(names: list[str], match: str) -> str | None:
    """The first name that contains `match`, or fits it as a pattern with `*` and `?`."""
    return next((name for name in names if match in name or fnmatchcase(name, match)), None)


class Card:
    """A connection to the card in a reader."""

    def __init__(self, context: Context, reader: str, *, exclusive: bool) -> None:
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        mode = scard.SCARD_SHARE_EXCLUSIVE if exclusive else scard.SCARD_SHARE_SHARED
        result, self._handle, protocol = scard.SCardConnect(context.handle, reader, mode, protocols)
        if exclusive and result & _MASK == scard.SCARD_E_SHARING_VIOLATION & _MASK:
            exclusive = False
            result, self._handle, protocol = scard.SCardConnect(
                context.handle, reader, scard.SCARD_SHARE_SHARED, protocols
            )
        if result != scard.SCARD_S_SUCCESS:
            raise failure(result, "the card cannot be connected")
        self._failed = False
        if not exclusive:
            # A transaction keeps other programs off the card for as long as this connection lasts.
            scard.SCardBeginTransaction(self._handle)
        self._pci = scard.SCARD_PCI_T1 if protocol == scard.SCARD_PROTOCOL_T1 else scard.SCARD_PCI_T0
        result, _reader, _state, _protocol, atr = scard.SCardStatus(self._handle)
        self.atr = bytes(atr) if result == scard.SCARD_S_SUCCESS else b""

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        """One exchange; blocks for as long as the card is silent."""
        result, answer = scard.SCardTransmit(self._handle, self._pci, list(apdu))
        if result != scard.SCARD_S_SUCCESS:
            self._failed = True
            raise failure(result, "the card does not answer")
        if len(answer) < 2:
            # vpcd and some drivers report a card that left in the middle of a command as an empty answer.
            self._failed = True
            raise DocumentError(Code.DOCUMENT_REMOVED, "the card left in the middle of a command")
        data = bytes(answer)
        return data[:-2], int.from_bytes(data[-2:], "big")

    def close(self, *, reset: bool = True) -> None:
        """Let the card go; it forgets its session, unless it is not `reset`."""
        # A reset that fails leaves pcscd blind to a card that is put back at once.
        disposition = scard.SCARD_RESET_CARD if reset and not self._failed else scard.SCARD_LEAVE_CARD
        with contextlib.suppress(Exception):
            scard.SCardDisconnect(self._handle, disposition)
