"""A wait ends when it was asked to, also where nothing answers: the agent's own deadlines count on it."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.pcsc import PcscReader
from firmware_bridge.reader import DocumentReader, EventKind
from firmware_bridge.samv import SamvReader
from firmware_bridge.scanner import ScannerReader
from firmware_bridge.simulator.ptys import PtyDevice

#: Seconds that a wait may last beyond its own: looking for a silent module's rate takes one.
OVER = 1.5
READERS: dict[str, Callable[[Path], DocumentReader]] = {
    "pcsc without a service": lambda _path: PcscReader(TrustStore()),
    "samv without a port": lambda path: SamvReader("samv", str(path / "none")),
    "scanner without a port": lambda path: ScannerReader("scanner", str(path / "none")),
}


def waits(reader: DocumentReader) -> None:
    with contextlib.closing(reader):
        event = reader.wait(0.2)
        assert event is not None
        assert event.kind is EventKind.GONE
        for _ in range(6):
            begin = time.monotonic()
            assert reader.wait(0.2) is None, "told a second time"
            assert time.monotonic() - begin < 0.2 + OVER


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_is_not_there_is_told_once_and_keeps_nobody(name: str, tmp_path: Path) -> None:
    waits(READERS[name](tmp_path))


def test_a_module_that_never_answers_is_told_once_and_keeps_nobody() -> None:
    with PtyDevice() as device:
        waits(SamvReader("samv", str(device.path)))
