"""A simulated SAM-V module with a resident card on it, on a pseudo terminal."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from firmware_bridge.samv import frames, records
from firmware_bridge.simulator.ptys import PtyDevice

_DONE = b"\x00\x00\x90"


class LineFault(StrEnum):
    """What the line does to one answer."""

    NONE = "none"
    NOISE_BEFORE = "noise-before"
    STRAY_BYTE = "stray-byte"
    HALF_FRAME = "half-frame"
    FLIPPED_BIT = "flipped-bit"
    SILENCE = "silence"
    ENDLESS_NOISE = "endless-noise"


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """A card's contents as the module hands them out."""

    text: bytes
    photo: bytes
    fingerprint: bytes = b""
    newest_address: str = ""


def _pad(text: str, size: int) -> bytes:
    return text.ljust(size // 2).encode("utf-16-le")[:size]


def compose(fields: dict[tuple[int, int], str], kind: str = " ") -> bytes:
    """A text block with `fields` by offset and size in bytes, blank everywhere else."""
    data = bytearray(_pad("", records.TEXT_SIZE))
    for (offset, size), text in fields.items():
        data[offset : offset + size] = _pad(text, size)
    data[248:250] = _pad(kind, 2)
    return bytes(data)


def opaque_photo() -> bytes:
    """1024 bytes in a photo's place; no decoder opens them."""
    return b"WLf\x00" + b"".join(hashlib.sha256(bytes((n,))).digest() for n in range(32))[:1020]


def citizen_number(region: str = "110101", birth: str = "19900101", order: str = "001") -> str:
    """A number with the right check character; the region and the order are the caller's."""
    body = region + birth + order
    return body + records.check_character(body)


def resident(name: str = "测试甲", *, until: str = "20400101", number: str = "") -> Card:
    """A resident card of a fictional person."""
    fields = {
        (0, 30): name,
        (30, 2): "1",
        (32, 4): "01",
        (36, 16): "19900101",
        (52, 70): "某省某市某区测试路１号",
        (122, 36): number or citizen_number(),
        (158, 30): "某市公安局测试分局",
        (188, 16): "20200101",
        (204, 16): until,
    }
    return Card(compose(fields), opaque_photo())


def permit(name: str = "測試乙") -> Card:
    """A residence permit for Hong Kong, Macau or Taiwan residents."""
    fields = {
        (0, 30): name,
        (30, 2): "2",
        (36, 16): "19910203",
        (52, 70): "某市某区测试路２号",
        (122, 36): citizen_number("810000", "19910203", "002"),
        (158, 30): "某市公安局",
        (188, 16): "20210101",
        (204, 16): "20360101",
        (220, 18): "H12345678",
        (238, 4): "01",
    }
    return Card(compose(fields, "J"), opaque_photo())


def foreigner_2017(name: str = "EXAMPLE, ANNA MARIA") -> Card:
    """A foreign permanent resident's card in the layout of 2017."""
    fields = {
        (0, 120): name,
        (120, 2): "2",
        (122, 30): "UTO110080081310",
        (152, 6): "UTO",
        (158, 30): "安娜",
        (188, 16): "20170615",
        (204, 16): "20370614",
        (220, 16): "19810803",
        (236, 4): "01",
        (240, 8): "1500",
    }
    return Card(compose(fields, "I"), opaque_photo())


def foreigner_2023(name: str = "EXAMPLE, ANNA MARIA ALEXANDRA WILHELMINA") -> Card:
    """A foreign permanent resident's card in the layout of 2023."""
    fields = {
        (0, 30): "安娜",
        (30, 2): "2",
        (32, 4): "00",
        (36, 16): "19810803",
        (52, 70): name[:35],
        (122, 36): citizen_number("911110", "19810803", "003"),
        (158, 30): "国家移民管理局",
        (188, 16): "20231201",
        (204, 16): "20431130",
        (220, 22): name[35:46],
        (242, 6): "UTO",
    }
    return Card(compose(fields, "Y"), opaque_photo())


class SimulatedSamv:
    """The module; `path` is what a `SamvReader` opens.

    `fault` is done to the next `fault_count` answers, then the line is clean again.
    """

    SAM_ID = bytes.fromhex("05000100") + (20260101).to_bytes(4, "little") + bytes((7, 0, 0, 0, 9, 0, 0, 0))

    def __init__(self, *, path: Path | None = None, stray_byte: bool = False) -> None:
        self._device = PtyDevice(self._receive, path)
        self._buffer = b""
        self._stray_byte = stray_byte
        self._card: Card | None = None
        self._found = self._selected = self._read = False
        self.fault = LineFault.NONE
        self.fault_count = 0
        self.commands: list[bytes] = []

    @property
    def path(self) -> Path:
        """The device's path."""
        return self._device.path

    def insert(self, card: Card) -> None:
        """Lay a card on the module."""
        self._card = replace(card)
        self._found = self._selected = self._read = False

    def remove(self) -> None:
        """Lift it."""
        self._card = None
        self._selected = False

    def disturb(self, fault: LineFault, count: int = 1) -> None:
        """Do `fault` to the next `count` answers."""
        self.fault, self.fault_count = fault, count

    def unplug(self) -> None:
        """Pull the cable."""
        self._device.unplug()

    def plug_in(self) -> None:
        """Put it back."""
        self._buffer = b""
        self._device.plug_in()

    def __enter__(self) -> Self:
        self._device.plug_in()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._device.close()

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        while True:
            start = self._buffer.find(frames.PREAMBLE)
            if start < 0 or len(self._buffer) < start + 7:
                return
            size = int.from_bytes(self._buffer[start + 5 : start + 7], "big")
            frame, self._buffer = self._buffer[start : start + 7 + size], self._buffer[start + 7 + size :]
            content = frame[7:-1]
            self.commands.append(content)
            answer = b"\x00\x00\x10" if frames.encode(content) != frame else self._answer(content)
            self._send(frames.encode(answer))

    def _answer(self, command: bytes) -> bytes:
        simple = {b"\x10\xff": _DONE, b"\x11\xff": _DONE, b"\x12\xff": _DONE + self.SAM_ID}
        if command in simple:
            return simple[command]
        if command == b"\x20\x01":
            self._found = self._card is not None and not self._read
            return b"\x00\x00\x9f" + bytes(4) if self._found else b"\x00\x00\x80"
        if command == b"\x20\x02":
            self._selected = self._found and self._card is not None
            return _DONE + bytes(8) if self._selected else b"\x00\x00\x81"
        return self._reading(command)

    def _reading(self, command: bytes) -> bytes:
        card = self._card
        if card is None or not self._selected:
            return b"\x00\x00\x41"
        if command == b"\x30\x03":
            return _DONE + _pad(card.newest_address, 70) if card.newest_address else b"\x00\x00\x91"
        parts = [card.text, card.photo]
        if command == b"\x30\x10":
            parts.append(card.fingerprint)
        elif command != b"\x30\x01":
            return b"\x00\x00\x24"
        self._read = True
        self._found = False
        return _DONE + b"".join(len(part).to_bytes(2, "big") for part in parts) + b"".join(parts)

    def _send(self, frame: bytes) -> None:
        fault = self.fault if self.fault_count > 0 else LineFault.NONE
        self.fault_count -= fault is not LineFault.NONE
        match fault:
            case LineFault.SILENCE:
                return
            case LineFault.NOISE_BEFORE:
                frame = bytes.fromhex("00AAAAAA9600FFAA") + frame
            case LineFault.STRAY_BYTE:
                frame += b"\x55"
            case LineFault.HALF_FRAME:
                frame = frame[: len(frame) // 2]
            case LineFault.FLIPPED_BIT:
                frame = frame[:-2] + bytes((frame[-2] ^ 0x04,)) + frame[-1:]
            case LineFault.ENDLESS_NOISE:
                for _ in range(40):
                    self._device.send(hashlib.sha512(frame).digest())
                    time.sleep(0.02)
                return
            case _:
                pass
        self._device.send(frame + (b"\x00" if self._stray_byte else b""))
