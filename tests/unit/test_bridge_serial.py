"""Ports by path and by USB id, and what each way of not opening one is called."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware_bridge.errors import Code, ReaderError
from firmware_bridge.serial import Backoff, SerialLine, find_port
from firmware_bridge.simulator.ptys import PtyDevice

PORTS = [
    SimpleNamespace(vid=None, pid=None, serial_number=None, device="/dev/ttyS0"),
    SimpleNamespace(vid=0x067B, pid=0x2303, serial_number="A", device="/dev/ttyUSB0"),
    SimpleNamespace(vid=0x067B, pid=0x2303, serial_number="B", device="/dev/ttyUSB1"),
]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("/dev/ttyS7", "/dev/ttyS7"),
        ("usb:067b:2303", "/dev/ttyUSB0"),
        ("usb:67B:2303", "/dev/ttyUSB0"),
        ("usb:067b:2303:B", "/dev/ttyUSB1"),
        ("usb:067b:2303:C", None),
        ("usb:dead:beef", None),
    ],
)
def test_a_port_is_found(spec: str, path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.serial.list_ports.comports", lambda: PORTS)
    assert find_port(spec) == path


def code_of(spec: str, baud: int = 9600) -> Code:
    with pytest.raises(ReaderError) as caught:
        SerialLine(spec, baud)
    return caught.value.code


def test_a_port_that_is_not_there_is_gone(tmp_path: Path) -> None:
    assert code_of(str(tmp_path / "none")) is Code.READER_GONE
    assert code_of("usb:dead:beef") is Code.READER_GONE


def test_a_port_that_another_program_holds_is_busy() -> None:
    with PtyDevice() as device:
        line = SerialLine(str(device.path), 9600)
        assert code_of(str(device.path)) is Code.READER_BUSY
        line.close()
        SerialLine(str(device.path), 9600).close()


def test_a_rate_that_no_port_takes_is_told() -> None:
    with PtyDevice() as device:
        assert code_of(str(device.path), 1 << 40) is Code.READER_PROTOCOL


def test_a_line_whose_other_end_dies_is_gone() -> None:
    device = PtyDevice().plug_in()
    line = SerialLine(str(device.path), 9600)
    device.close()
    for call in (lambda: line.read(0.5), lambda: line.write(b"x"), line.discard):
        with pytest.raises(ReaderError) as caught:
            call()
        assert caught.value.code is Code.READER_GONE
    line.close()
    assert not os.path.lexists(device.path)


def test_pauses_double_up_to_a_cap_and_start_anew() -> None:
    backoff = Backoff(0.1, 1.0)
    assert [backoff.take() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.take() == 0.1
