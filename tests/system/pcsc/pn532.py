"""A PN532 reader on a pseudo terminal whose field holds one card: lets programs built on libnfc read our chips.

Frames and commands as the chip's user manual (NXP UM0701-02) has them, as far as libnfc uses them.
"""

from pathlib import Path
from typing import Self

from firmware_bridge.simulator.ptys import PtyDevice
from firmware_bridge.simulator.vpcd import CardSide

_ACK = bytes.fromhex("0000FF00FF00")
_TO_HOST = 0xD5
#: One ISO/IEC 14443-4A card: number, SENS_RES, SEL_RES, NFCID of four bytes, answer to select.
_TARGET = bytes.fromhex("01 01 0008 20 04 08112233 05 78807002")


def frame(data: bytes) -> bytes:
    """A frame, extended where it must be."""
    size = len(data)
    if size > 254:
        length = b"\xff\xff" + size.to_bytes(2, "big") + bytes((-(size >> 8) - (size & 0xFF) & 0xFF,))
    else:
        length = bytes((size, -size & 0xFF))
    return b"\x00\x00\xff" + length + data + bytes((-sum(data) & 0xFF, 0))


class Pn532:
    """The reader; `path` is its serial port."""

    def __init__(self, card: CardSide, path: Path | None = None) -> None:
        self._card = card
        self._device = PtyDevice(self._receive, path)
        self._buffer = b""
        self.apdus = 0

    @property
    def path(self) -> Path:
        return self._device.path

    def __enter__(self) -> Self:
        self._device.plug_in()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._device.close()

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        while (command := self._next()) is not None:
            self._device.send(_ACK)
            self._device.send(frame(bytes((_TO_HOST, command[0] + 1)) + self._answer(command[0], command[1:])))

    def _next(self) -> bytes | None:
        while True:
            start = self._buffer.find(b"\x00\xff")
            if start < 0 or len(self._buffer) < start + 4:
                return None
            size, begin = self._buffer[start + 2], start + 4
            if self._buffer[start + 2 : start + 4] == b"\x00\xff":
                self._buffer = self._buffer[start + 4 :]
                continue
            if self._buffer[start + 2 : start + 4] == b"\xff\xff":
                size, begin = int.from_bytes(self._buffer[start + 4 : start + 6], "big"), start + 7
            if len(self._buffer) < begin + size + 1:
                return None
            content, self._buffer = self._buffer[begin + 1 : begin + size], self._buffer[begin + size + 1 :]
            return content

    def _answer(self, command: int, arguments: bytes) -> bytes:
        match command:
            case 0x00:
                return arguments
            case 0x02:
                return bytes.fromhex("32010607")
            case 0x06:
                return bytes(len(arguments) // 2)
            case 0x4A:
                return _TARGET if arguments[1] == 0 else b"\x00"
            case 0x40 | 0x42:
                self.apdus += 1
                return b"\x00" + self._card.process(arguments[1:] if command == 0x40 else arguments)
            case 0x44 | 0x52 | 0x54 | 0x16:
                return b"\x00"
            case _:
                return b""
