"""Scanners on ptys: bar codes, zones that come line by line, noise, unplugged cables; codes in pictures."""

import contextlib
import io
import time
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
import segno
from PIL import Image

from firmware_bridge.errors import DocumentError
from firmware_bridge.reader import CanKey, EventKind, ReaderEvent, ReadRequest
from firmware_bridge.scanner import ScannerReader
from firmware_bridge.scanner.codes import access_key, find_codes
from firmware_bridge.scanner.lines import LineAssembler
from firmware_bridge.simulator import Person
from firmware_bridge.simulator.scanner import SimulatedScanner

TODAY = date(2026, 6, 1)
PERSON = Person()
ZONE = PERSON.zone()


@pytest.fixture
def device() -> Iterator[SimulatedScanner]:
    with SimulatedScanner() as running:
        yield running


@pytest.fixture
def scanner(device: SimulatedScanner) -> Iterator[ScannerReader]:
    with contextlib.closing(ScannerReader("scanner", str(device.path))) as reader:
        assert reader.wait(0) is None
        yield reader


def scanned(event: ReaderEvent | None) -> str:
    assert event is not None
    assert event.kind is EventKind.SCANNED
    return event.text


def test_a_bar_code_arrives_whole_even_in_pieces(device: SimulatedScanner, scanner: ScannerReader) -> None:
    device.scan("HELLO-1234", pieces=5, pause=0.01)
    assert scanned(scanner.wait(2)) == "HELLO-1234"
    assert scanner.wait(0.05) is None


def test_two_codes_at_once_are_two_events(device: SimulatedScanner, scanner: ScannerReader) -> None:
    device.scan("ONE")
    device.scan("TWO")
    assert [scanned(scanner.wait(2)), scanned(scanner.wait(2))] == ["ONE", "TWO"]


@pytest.mark.parametrize("width", [30, 36, 44])
def test_a_swiped_zone_is_joined_from_its_lines(device: SimulatedScanner, scanner: ScannerReader, width: int) -> None:
    person = Person(size={30: "TD1", 36: "TD2", 44: "TD3"}[width], personal_number="")
    zone = person.zone()
    device.scan("\n".join(zone[i : i + width] for i in range(0, len(zone), width)), pause=0.02)
    text = scanned(scanner.wait(2))
    assert text.replace("\n", "") == zone
    assert access_key(text, today=TODAY) == person.key


def test_half_a_zone_is_given_after_a_while(device: SimulatedScanner, scanner: ScannerReader) -> None:
    device.scan(ZONE[:44])
    assert scanned(scanner.wait(2)) == ZONE[:44]


def test_prefix_terminator_and_trigger_are_the_settings_business() -> None:
    with SimulatedScanner(terminator="\x03", prefix="\x02QR") as device:
        reader = ScannerReader("s", str(device.path), terminator="\x03", prefix="\x02QR", trigger="\x16T\r")
        with contextlib.closing(reader):
            assert reader.wait(0.2) is None
            end = time.monotonic() + 5
            while len(device.received) < 3 and time.monotonic() < end:
                time.sleep(0.01)
            assert device.received == b"\x16T\r"
            device.scan("CAN:500540")
            assert scanned(reader.wait(2)) == "CAN:500540"


def test_an_unplugged_scanner_is_told_once_and_taken_back(device: SimulatedScanner, scanner: ScannerReader) -> None:
    device.unplug()
    event = scanner.wait(2)
    assert event is not None
    assert event.kind is EventKind.GONE
    assert scanner.wait(0.4) is None
    device.plug_in()
    event = scanner.wait(3)
    assert event is not None
    assert event.kind is EventKind.BACK
    device.scan("AGAIN")
    assert scanned(scanner.wait(2)) == "AGAIN"


@pytest.mark.parametrize("unplugged", [True, False])
def test_half_a_code_is_not_glued_to_the_next_person_s(
    device: SimulatedScanner, scanner: ScannerReader, unplugged: bool
) -> None:
    device.noise(b"HALF OF ONE")
    assert scanner.wait(0.05) is None
    if unplugged:
        device.unplug()
        assert [event.kind for _ in range(2) if (event := scanner.wait(0.3))] == [EventKind.GONE]
        device.plug_in()
    assert [event.kind for _ in range(2) if (event := scanner.wait(1.0))] == [EventKind.BACK] * unplugged
    device.scan("WHOLE")
    assert scanned(scanner.wait(2)) == "WHOLE"


def test_a_zone_that_another_code_breaks_off_is_told_before_it() -> None:
    lines = LineAssembler(b"\r")
    assert lines.feed(f"{ZONE[:44]}\rCODE\r{ZONE[44:]}".encode()) == [ZONE[:44], "CODE"]
    assert lines.feed(b"\r") == []
    assert lines.flush() == [ZONE[44:]]


def test_a_scanner_reads_no_documents(scanner: ScannerReader) -> None:
    with pytest.raises(DocumentError):
        scanner.read(ReadRequest())


def test_endless_noise_is_bounded_and_control_characters_go() -> None:
    lines = LineAssembler(b"\r")
    for _ in range(100):
        assert lines.feed(b"\xff" * 1000) == []
    assert lines.dropped > 90_000
    assert lines.feed(b"\r\x1b[31mA\x00B\r")[-1] == "[31mAB"


def test_what_a_text_means() -> None:
    assert access_key("CAN:500540", today=TODAY) == CanKey("500540")
    assert access_key("500540", today=TODAY) == CanKey("500540")
    assert access_key(ZONE, today=TODAY) == PERSON.key
    assert access_key(ZONE.replace("L898902C3", "L898902C4"), today=TODAY) is None
    assert access_key("https://example.org/", today=TODAY) is None


def test_a_code_is_found_in_a_camera_picture() -> None:
    out = io.BytesIO()
    segno.make("CAN:500540").save(out, kind="png", scale=5)
    code = Image.open(out).convert("RGB").rotate(12, expand=True, fillcolor=(255, 255, 255))
    scene = Image.new("RGB", (640, 480), (120, 130, 140))
    scene.paste(code, (150, 90))
    assert find_codes(np.asarray(scene)) == ["CAN:500540"]
    assert find_codes(np.zeros((480, 640), np.uint8)) == []


def test_a_picture_that_is_none_is_refused() -> None:
    for shape in ((10, 10, 3, 3), (20_000, 2)):
        with pytest.raises(DocumentError):
            find_codes(np.zeros(shape, np.uint8))
