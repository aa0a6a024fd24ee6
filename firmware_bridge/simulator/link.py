"""The speed of a radio field: what a card's answers would take over ISO/IEC 14443, and waiting for as long.

The model is the physics that no reader can beat: every byte of command and answer with its start and stop bits at the
link's rate, the frames' own overhead, a fixed latency for each exchange (frame delay and the reader's USB), and the
chip's own time for its cryptography and its memory.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from firmware_bridge.simulator.vpcd import CardSide

#: Bits on air for a byte: eight and a parity (type A).
_BITS = 9
#: Prologue and check bytes of a block (ISO/IEC 14443-4, 7.1).
_BLOCK_OVERHEAD = 3
_PUBLIC_KEY_INSTRUCTIONS = {0x86, 0x88}


@dataclass(frozen=True, slots=True)
class Link:
    """A link and a chip.

    `bit_rate` in bits a second, `latency` in seconds an exchange, `frame` the bytes of one block, `block_delay` seconds
    between two blocks, `crypto` seconds for one public-key operation, `byte_time` seconds the chip spends on each
    protected byte.
    """

    bit_rate: float = 424_000.0
    latency: float = 0.003
    frame: int = 256
    block_delay: float = 0.0003
    crypto: float = 0.040
    byte_time: float = 2e-6

    def seconds(self, command: bytes, answer: bytes) -> float:
        """Time of one exchange."""
        total = len(command) + len(answer)
        blocks = -(-len(command) // self.frame) + -(-len(answer) // self.frame)
        on_air = (total + blocks * _BLOCK_OVERHEAD) * _BITS / self.bit_rate
        chip = self.crypto if command[1] in _PUBLIC_KEY_INSTRUCTIONS and len(command) > 10 else 0.0
        return self.latency + on_air + blocks * self.block_delay + chip + total * self.byte_time


class LinkedCard:
    """A card behind a link: waits out what the exchange would have taken, less what the simulation itself took."""

    def __init__(self, card: CardSide, link: Link) -> None:
        self._card = card
        self._link = link
        #: What the exchanges would have taken in all.
        self.physics = 0.0
        #: What the simulation took beyond that, where its own cryptography is slower than the modelled chip's.
        self.excess = 0.0

    @property
    def atr(self) -> bytes:
        """See `CardSide.atr`."""
        return self._card.atr

    def reset(self) -> None:
        """See `CardSide.reset`."""
        self._card.reset()

    def process(self, apdu: bytes) -> bytes:
        """See `CardSide.process`."""
        begin = time.perf_counter()
        answer = self._card.process(apdu)
        due = self._link.seconds(apdu, answer)
        self.physics += due
        left = begin + due - time.perf_counter()
        if left > 0:
            _wait_until(begin + due)
        else:
            self.excess -= left
        return answer


def _wait_until(moment: float) -> None:
    """Sleep, then spin for the last stretch: sleeping alone is late by more than what is measured."""
    while (left := moment - time.perf_counter()) > 0:
        if left > 0.0015:
            time.sleep(left - 0.001)
