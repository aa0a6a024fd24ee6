"""Chips that misbehave at a command of one's choice: each wraps a card and is one itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from firmware_bridge.simulator.vpcd import CardPulled, CardSide


class Fault(StrEnum):
    """What goes wrong."""

    PULLED = "pulled"
    SILENT = "silent"
    GARBAGE = "garbage"
    WRONG_MAC = "wrong-mac"
    LYING_LENGTH = "lying-length"


@dataclass(frozen=True, slots=True)
class At:
    """A fault at the `command`-th APDU after each reset, counted from 1."""

    fault: Fault
    command: int


class FaultyCard:
    """A card with one fault."""

    def __init__(self, card: CardSide, at: At) -> None:
        self._card = card
        self._at = at
        self._count = 0
        self._released = threading.Event()

    @property
    def atr(self) -> bytes:
        """See `CardSide.atr`."""
        return self._card.atr

    def reset(self) -> None:
        """See `CardSide.reset`."""
        self._count = 0
        self._card.reset()

    def release(self) -> None:
        """Let a silent card go on."""
        self._released.set()

    def process(self, apdu: bytes) -> bytes:
        """See `CardSide.process`."""
        self._count += 1
        if self._count != self._at.command:
            return self._card.process(apdu)
        match self._at.fault:
            case Fault.PULLED:
                raise CardPulled
            case Fault.SILENT:
                self._released.wait()
                raise CardPulled
            case Fault.GARBAGE:
                return bytes((37 * i + 11) & 0xFF for i in range(64)) + b"\x90\x00"
            case Fault.WRONG_MAC:
                answer = bytearray(self._card.process(apdu))
                # The last byte of the checksum, or of the status word where there is no data to protect.
                answer[-3 if len(answer) > 2 else -1] ^= 0x01
                return bytes(answer)
            case Fault.LYING_LENGTH:
                return bytes.fromhex("7584FFFFFFF0") + self._card.process(apdu)


class ShortCard:
    """A card that announces extended lengths and takes none: `word` is what it answers to one."""

    def __init__(self, card: CardSide, word: int = 0x6700) -> None:
        self._card = card
        self._word = word

    @property
    def atr(self) -> bytes:
        """See `CardSide.atr`."""
        return self._card.atr

    def reset(self) -> None:
        """See `CardSide.reset`."""
        self._card.reset()

    def process(self, apdu: bytes) -> bytes:
        """See `CardSide.process`."""
        if len(apdu) > 6 and apdu[4] == 0:
            return self._word.to_bytes(2, "big")
        return self._card.process(apdu)
