"""Resident cards: frames, layouts, the module on a line that disturbs, and the dump command."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli.document import document
from firmware_bridge.document import Access, CheckName, DocumentKind, PortraitFormat
from firmware_bridge.errors import BridgeError, Code, DocumentError
from firmware_bridge.reader import EventKind, Progress, ReadRequest
from firmware_bridge.samv import SamvReader, records
from firmware_bridge.samv.frames import FrameParser, encode
from firmware_bridge.samv.module import split
from firmware_bridge.simulator import portraits, samv
from firmware_bridge.simulator.samv import Card, LineFault, SimulatedSamv

FRAMES = {
    name: bytes.fromhex(text)
    for name, text in json.loads((Path(__file__).parent / "vectors/samv-frames.json").read_text("utf-8")).items()
    if name != "about"
}
TODAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [("cmd_reset", "10ff"), ("cmd_samid", "12ff"), ("cmd_find", "2001"), ("cmd_read_fp", "3010")],
)
def test_commands_are_encoded_as_the_vendors_print_them(name: str, content: str) -> None:
    assert encode(bytes.fromhex(content)) == FRAMES[name]


def test_the_published_replies_are_parsed() -> None:
    statuses = {name: FrameParser().feed(frame)[0].sw3 for name, frame in FRAMES.items() if name.startswith("rsp")}
    assert statuses == {
        "rsp_find_ok": 0x9F,
        "rsp_select_ok": 0x90,
        "rsp_generic_90": 0x90,
        "rsp_find_fail_80": 0x80,
        "rsp_select_fail_81": 0x81,
        "rsp_read_fail_41": 0x41,
        "rsp_read_A": 0x90,
    }


@given(st.binary(max_size=60), st.integers(1, 40), st.binary(max_size=20))
@settings(max_examples=150, deadline=None)
def test_a_frame_is_found_in_any_noise_and_in_any_pieces(noise: bytes, piece: int, tail: bytes) -> None:
    frame = FRAMES["rsp_find_ok"]
    parser = FrameParser()
    stream = noise + b"\x00" * 8300 + frame + tail
    replies = []
    for start in range(0, len(stream), piece * 97):
        replies += parser.feed(stream[start : start + piece * 97])
    assert any(reply.sw3 == 0x9F for reply in replies)


def test_half_a_frame_before_a_whole_one_does_not_hide_it() -> None:
    parser = FrameParser()
    assert parser.feed(FRAMES["rsp_read_A"][:300]) == []
    assert [reply.sw3 for reply in parser.feed(FRAMES["rsp_find_ok"])] == [0x9F]


def test_the_published_card_is_decoded() -> None:
    card = records.parse(split(FrameParser().feed(FRAMES["rsp_read_A"])[0].data).text)
    assert (card.name, card.sex, card.ethnicity) == ("测试甲", "M", "汉")
    assert (card.number, card.birth_date) == ("110101199001010015", date(1990, 1, 1))
    assert (card.valid_from, card.valid_until) == (date(2020, 1, 1), date(2040, 1, 1))


@pytest.mark.parametrize("number", ["11010519491231002X", "440524188001010014", "110101199001010015"])
def test_the_check_character_of_gb_11643(number: str) -> None:
    assert records.is_citizen_number(number)
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
    assert not records.is_citizen_number(wrong)
    assert not records.is_citizen_number(number[:-1])
    assert not records.is_citizen_number("１" + number[1:])


@pytest.fixture
def module() -> Iterator[SimulatedSamv]:
    with SimulatedSamv() as running:
        yield running


@pytest.fixture
def reader(module: SimulatedSamv) -> Iterator[SamvReader]:
    with contextlib.closing(SamvReader("id-card", str(module.path), today=lambda: TODAY)) as opened:
        yield opened


def present(module: SimulatedSamv, reader: SamvReader, card: Card) -> None:
    module.insert(card)
    event = reader.wait(3)
    assert event is not None
    assert event.kind is EventKind.PRESENTED


def code_of(reader: SamvReader) -> Code:
    with pytest.raises(BridgeError) as caught:
        reader.read(ReadRequest())
    return caught.value.code


LAYOUTS: list[tuple[Callable[[], Card], DocumentKind, str, str]] = [
    (samv.resident, DocumentKind.RESIDENT_CARD, "测试甲", "CHN"),
    (samv.permit, DocumentKind.HMT_RESIDENCE_PERMIT, "測試乙", ""),
    (samv.foreigner_2017, DocumentKind.FOREIGN_PERMANENT_RESIDENT, "EXAMPLE, ANNA MARIA", "UTO"),
    (
        samv.foreigner_2023,
        DocumentKind.FOREIGN_PERMANENT_RESIDENT,
        "EXAMPLE, ANNA MARIA ALEXANDRA WILHELMI",
        "UTO",
    ),
]


@pytest.mark.parametrize(("make", "kind", "name", "nationality"), LAYOUTS, ids=["resident", "J", "I", "Y"])
def test_every_layout_is_read(
    module: SimulatedSamv,
    reader: SamvReader,
    make: Callable[[], Card],
    kind: DocumentKind,
    name: str,
    nationality: str,
) -> None:
    present(module, reader, make())
    read = reader.read(ReadRequest())
    assert (read.kind, read.access) == (kind, Access.SAM)
    assert read.holder.surname.startswith(name[:35])
    assert read.holder.nationality == nationality
    assert read.check(CheckName.SAM).passed
    assert read.check(CheckName.EXPIRY).passed
    assert read.portrait is not None
    assert read.portrait.format is PortraitFormat.WLT
    event = reader.wait(3)
    assert event is not None
    assert event.kind is EventKind.REMOVED


def test_a_card_that_never_expires_and_one_that_has(module: SimulatedSamv, reader: SamvReader) -> None:
    present(module, reader, samv.resident(until="长期"))
    unlimited = reader.read(ReadRequest())
    assert unlimited.valid_until is None
    assert unlimited.check(CheckName.EXPIRY).passed
    module.insert(samv.resident(until="20250101"))
    while (event := reader.wait(3)) is not None and event.kind is not EventKind.PRESENTED:
        pass
    assert reader.read(ReadRequest()).check(CheckName.EXPIRY).code is Code.DOCUMENT_EXPIRED


def test_fingerprints_newest_address_and_module_number(module: SimulatedSamv) -> None:
    card = samv.resident()
    card = Card(card.text, card.photo, bytes(1024), "某市新地址９号")
    reader = SamvReader("id-card", str(module.path), fingerprint=True, newest_address=True, today=lambda: TODAY)
    with contextlib.closing(reader):
        present(module, reader, card)
        read = reader.read(ReadRequest())
        assert read.holder.address == "某市新地址９号"
        assert set(read.digests) == {"text", "photo", "fingerprint"}
        assert reader.sam_id() == "05.01-20260101-0000000007-0000000009"


@pytest.mark.parametrize(
    "fault", [LineFault.NOISE_BEFORE, LineFault.STRAY_BYTE, LineFault.FLIPPED_BIT, LineFault.HALF_FRAME]
)
def test_a_disturbed_line_is_survived(module: SimulatedSamv, reader: SamvReader, fault: LineFault) -> None:
    present(module, reader, samv.resident())
    module.disturb(fault)
    assert reader.read(ReadRequest()).number == samv.citizen_number()


def test_endless_noise_is_told_in_time(module: SimulatedSamv, reader: SamvReader) -> None:
    present(module, reader, samv.resident())
    module.disturb(LineFault.ENDLESS_NOISE, 10)
    assert code_of(reader) is Code.READER_PROTOCOL


def test_a_silent_module_is_gone_and_comes_back(module: SimulatedSamv, reader: SamvReader) -> None:
    assert reader.wait(0.1) is None
    module.unplug()
    event = reader.wait(3)
    assert event is not None
    assert event.kind is EventKind.GONE
    assert reader.wait(0.4) is None
    assert code_of(reader) is Code.READER_GONE
    module.plug_in()
    event = reader.wait(5)
    assert event is not None
    assert event.kind is EventKind.BACK
    present(module, reader, samv.resident())
    assert reader.read(ReadRequest()).number == samv.citizen_number()


def test_a_card_that_was_lifted_is_told(module: SimulatedSamv, reader: SamvReader) -> None:
    present(module, reader, samv.resident())
    module.remove()
    assert code_of(reader) is Code.DOCUMENT_REMOVED


def test_a_wrong_number_is_refused(module: SimulatedSamv, reader: SamvReader) -> None:
    present(module, reader, samv.resident(number="110101199001010016"))
    assert code_of(reader) is Code.DOCUMENT_MALFORMED


def test_an_installed_decoder_opens_the_portrait(
    module: SimulatedSamv, reader: SamvReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = portraits.jpeg(portraits.HOLDER_CHIP)
    monkeypatch.setattr("firmware_bridge.samv.portraits.find_decoder", lambda: lambda data: image if data else b"")
    present(module, reader, samv.resident())
    portrait = reader.read(ReadRequest()).portrait
    assert portrait is not None
    assert (portrait.format, portrait.data) == (PortraitFormat.JPEG, image)


@pytest.mark.parametrize("decoder", [lambda _data: None, lambda _data: b"", lambda _data: 1 / 0])
def test_a_decoder_that_gives_no_picture_is_told(
    module: SimulatedSamv, reader: SamvReader, monkeypatch: pytest.MonkeyPatch, decoder: object
) -> None:
    monkeypatch.setattr("firmware_bridge.samv.portraits.find_decoder", lambda: decoder)
    present(module, reader, samv.resident())
    assert code_of(reader) is Code.DOCUMENT_MALFORMED


@pytest.mark.parametrize("rare", ["\ue863", "\U00020c53", "\U000323b0", "\u3000"], ids=ascii)
def test_a_name_with_a_character_that_this_machine_cannot_show_is_read(
    module: SimulatedSamv, reader: SamvReader, rare: str
) -> None:
    """Cards write rare characters in Unicode's private use area, and may know more of Unicode than this Python."""
    present(module, reader, samv.resident(f"测{rare}甲"))
    assert reader.read(ReadRequest()).holder.native_name == f"测{rare}甲"


class Refusing(SimulatedSamv):
    """A module that answers and finds no card, for a reason that `word` tells."""

    word = b""

    def _answer(self, command: bytes) -> bytes:
        return b"\x00\x00" + self.word if command == b"\x20\x01" and self.word else super()._answer(command)


def test_a_module_that_refuses_to_work_is_told_once_and_comes_back() -> None:
    with (
        Refusing() as module,
        contextlib.closing(SamvReader("id-card", str(module.path), today=lambda: TODAY)) as reader,
    ):
        module.word = b"\x66"
        kinds = []
        end = time.monotonic() + 1.5
        while (left := end - time.monotonic()) > 0:
            event = reader.wait(left)
            kinds += [event.kind] if event is not None else []
        assert kinds == [EventKind.GONE]
        module.word = b""
        event = reader.wait(5)
        assert event is not None
        assert event.kind is EventKind.BACK


def test_a_card_that_is_no_identity_card_does_not_take_the_reader_away() -> None:
    with (
        Refusing() as module,
        contextlib.closing(SamvReader("id-card", str(module.path), today=lambda: TODAY)) as reader,
    ):
        module.word = b"\x40"
        assert reader.wait(1.0) is None
        module.word = b""
        present(module, reader, samv.resident())


@pytest.mark.parametrize("fault", [LineFault.SILENCE, LineFault.ENDLESS_NOISE])
def test_a_read_ends_at_its_deadline(module: SimulatedSamv, reader: SamvReader, fault: LineFault) -> None:
    present(module, reader, samv.resident())
    module.disturb(fault, 10)
    begin = time.monotonic()
    with pytest.raises(BridgeError) as caught:
        reader.read(ReadRequest(timeout=0.4))
    assert time.monotonic() - begin < 1.4
    assert caught.value.code is Code.DOCUMENT_TIMEOUT


@pytest.mark.parametrize("step", ["select", "read", "newest address"])
def test_a_read_is_cancelled_at_every_step(module: SimulatedSamv, step: str) -> None:
    cancel = threading.Event()

    def progress(told: Progress) -> None:
        if told.step == step:
            module.disturb(LineFault.SILENCE, 10)
            threading.Timer(0.1, cancel.set).start()

    reader = SamvReader("id-card", str(module.path), newest_address=True, today=lambda: TODAY)
    with contextlib.closing(reader):
        present(module, reader, samv.resident())
        begin = time.monotonic()
        with pytest.raises(DocumentError) as caught:
            reader.read(ReadRequest(progress=progress, cancel=cancel))
        assert caught.value.code is Code.DOCUMENT_CANCELLED
        assert time.monotonic() - begin < 1.0


def decode(folder: Path, data: bytes) -> tuple[int, dict[str, Any]]:
    file = folder / "reply.bin"
    file.write_bytes(data)
    outcome = CliRunner().invoke(document, ["decode-samv", str(file), "--json"])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome.exit_code, dict(json.loads(outcome.stdout))


WHOLE = FRAMES["rsp_read_A"]


@pytest.mark.parametrize(
    "data",
    [WHOLE, WHOLE[5:], WHOLE + b"\x00", WHOLE[5:] + b"\x55", b"\x00\xaa" + WHOLE, WHOLE[2:], WHOLE.hex().encode()],
    ids=["whole", "no preamble", "stray byte", "both", "noise before", "half a preamble", "hexadecimal"],
)
def test_a_dump_is_decoded_however_it_was_cut(tmp_path: Path, data: bytes) -> None:
    status, result = decode(tmp_path, data)
    assert status == 0
    assert result["card"]["number"] == "110101199001010015"
    assert result["portrait"]["bytes"] == 1024


@pytest.mark.parametrize("data", [b"", b"\xaa" * 2000, WHOLE[:-1], WHOLE[:700], WHOLE[:-3] + b"\x00" + WHOLE[-2:]])
def test_a_dump_that_is_no_whole_reply_is_told(tmp_path: Path, data: bytes) -> None:
    status, result = decode(tmp_path, data)
    assert status == 1
    assert result["error"]["code"] == "reader.protocol"


def test_a_reply_of_failure_is_told_with_its_meaning(tmp_path: Path) -> None:
    status, result = decode(tmp_path, FRAMES["rsp_read_fail_41"])
    assert status == 1
    assert result["status"]["code"] == "document.removed"


def test_invalid_utf_16_is_told(tmp_path: Path) -> None:
    card = samv.resident()
    text = b"\x00\xd8" + card.text[2:]
    parts = [text, card.photo]
    body = b"\x00\x00\x90" + b"".join(len(part).to_bytes(2, "big") for part in parts) + b"".join(parts)
    status, result = decode(tmp_path, encode(body))
    assert status == 1
    assert result["error"]["code"] == "document.malformed"
