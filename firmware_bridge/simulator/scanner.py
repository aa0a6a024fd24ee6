"""A simulated serial scanner: sends what it is told to, whole or in pieces."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from firmware_bridge.simulator.ptys import PtyDevice


class SimulatedScanner:
    """A scanner on a pseudo terminal; `path` is what a `ScannerReader` opens."""

    def __init__(self, *, terminator: str = "\r", prefix: str = "", path: Path | None = None) -> None:
        self._device = PtyDevice(self._triggered, path)
        self._terminator = terminator
        self._prefix = prefix
        #: What the reader sent: triggers.
        self.received = b""

    @property
    def path(self) -> Path:
        """The device's path."""
        return self._device.path

    def scan(self, text: str, *, pieces: int = 1, pause: float = 0.0) -> None:
        """Send a code; several lines are sent as an MRZ reader sends them, each with the terminator."""
        for line in text.split("\n"):
            data = (self._prefix + line + self._terminator).encode()
            size = max(1, -(-len(data) // pieces))
            for start in range(0, len(data), size):
                self._device.send(data[start : start + size])
                time.sleep(pause)

    def noise(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._device.send(data)

    def unplug(self) -> None:
        """Pull the cable."""
        self._device.unplug()

    def plug_in(self) -> None:
        """Put it back."""
        self._device.plug_in()

    def __enter__(self) -> Self:
        self._device.plug_in()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._device.close()

    def _triggered(self, data: bytes) -> None:
        self.received += data
