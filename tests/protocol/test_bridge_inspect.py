"""`renzheng document inspect` on dumps: what is parsed, what is proven, and the exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli.document import document
from firmware_bridge.emrtd.files import COM, SOD
from firmware_bridge.emrtd.files import GROUPS as FILES
from firmware_bridge.simulator import IssuingState, Personalisation
from tests.protocol.bridge_chips import PERSON, memory, picture, state


def write(folder: Path, held: Personalisation) -> Path:
    folder.mkdir(exist_ok=True)
    names = {COM.fid: "EF_COM.bin", SOD.fid: "EF_SOD.bin"} | {file.fid: f"{file.name}.bin" for file in FILES.values()}
    for fid, content in held.application.items():
        (folder / names[fid]).write_bytes(content)
    return folder


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return write(tmp_path / "dump", memory())


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    state().write_trust(tmp_path / "trust")
    return tmp_path / "trust"


def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    outcome = CliRunner().invoke(document, ["inspect", *map(str, arguments), "--json"])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome.exit_code, dict(json.loads(outcome.stdout))


def passive(result: dict[str, Any]) -> tuple[str, str | None]:
    check = result["authentication"]["passive_authentication"]
    return check["verdict"], check["code"]


def test_a_genuine_dump_passes_and_says_what_is_in_it(dump: Path, trust: Path) -> None:
    status, result = run(dump, "--trust", trust)
    assert status == 0
    assert passive(result) == ("passed", None)
    assert result["files"]["DG1"]["surname"] == PERSON.surname
    assert result["files"]["DG1"]["birth_date"] == PERSON.birth_date.isoformat()
    assert result["files"]["DG2"]["format"] == "image/jp2"
    assert result["files"]["DG2"]["image_bytes"] == len(picture())
    assert result["files"]["DG2"]["genuine"] is True
    assert result["files"]["DG14"]["chip_authentication"] == ["ECDH AES-128"]
    assert result["files"]["DG15"]["key"] == "RSA 2048"
    assert result["security_object"]["data_groups"] == ["DG1", "DG2", "DG14", "DG15"]
    assert result["authentication"]["chip_authentication"]["verdict"] == "not_present"


def test_without_trust_nothing_is_believed(dump: Path) -> None:
    status, result = run(dump)
    assert status == 1
    assert passive(result) == ("not_trusted", "document.untrusted")


def test_another_state_is_not_trusted(dump: Path, tmp_path: Path) -> None:
    other = IssuingState.create().write_trust(tmp_path / "other")
    status, result = run(dump, "--trust", other)
    assert (status, *passive(result)) == (1, "not_trusted", "document.untrusted")


def test_a_changed_byte_is_told(dump: Path, trust: Path) -> None:
    content = bytearray((dump / "DG1.bin").read_bytes())
    content[20] ^= 1
    (dump / "DG1.bin").write_bytes(bytes(content))
    status, result = run(dump, "--trust", trust)
    assert (status, *passive(result)) == (1, "failed", "document.altered")
    assert result["files"]["DG1"]["genuine"] is False
    assert result["files"]["DG2"]["genuine"] is True


def test_missing_files_are_listed_and_do_not_matter(dump: Path, trust: Path) -> None:
    for name in ("DG2.bin", "DG15.bin", "EF_COM.bin"):
        (dump / name).unlink()
    status, result = run(dump, "--trust", trust)
    assert status == 0
    assert result["missing"] == ["DG2", "DG15"]


def test_a_security_object_without_data_proves_nothing(dump: Path, trust: Path) -> None:
    for file in dump.glob("DG*.bin"):
        file.unlink()
    status, result = run(dump, "--trust", trust)
    assert (status, passive(result)[0]) == (1, "not_present")


def test_data_without_a_security_object_proves_nothing(dump: Path, trust: Path) -> None:
    (dump / "EF_SOD.bin").unlink()
    status, result = run(dump, "--trust", trust)
    assert (status, passive(result)[0]) == (1, "not_present")
    assert result["files"]["DG1"]["surname"] == PERSON.surname


def test_after_the_certificates_last_day_nothing_is_believed(dump: Path, trust: Path) -> None:
    status, result = run(dump, "--trust", trust, "--at", "2070-01-01")
    assert (status, passive(result)[0]) == (1, "not_trusted")
    assert result["authentication"]["expiry"]["code"] == "document.expired"


def test_padding_after_a_file_and_other_spellings_of_names_are_tolerated(dump: Path, trust: Path) -> None:
    (dump / "DG2.bin").write_bytes((dump / "DG2.bin").read_bytes() + bytes(40))
    (dump / "DG1.bin").rename(dump / "dg01")
    (dump / "EF_SOD.bin").rename(dump / "ef.sod")
    (dump / "dg².bin").write_bytes(b"no data group's name")
    status, result = run(dump, "--trust", trust)
    assert status == 0
    assert result["notes"] == ["DG2: 40 bytes after the end were ignored"]


@pytest.mark.parametrize("junk", [b"", b"\x77", b"\x77\x84\xff\xff\xff\xff", b"\x00" * 300, b"\x30\x80" * 40_000])
@pytest.mark.parametrize("name", ["EF_SOD.bin", "DG1.bin", "DG2.bin", "DG14.bin", "EF_COM.bin"])
def test_junk_in_any_file_is_a_verdict_and_never_a_crash(dump: Path, trust: Path, name: str, junk: bytes) -> None:
    (dump / name).write_bytes(junk)
    status, result = run(dump, "--trust", trust)
    empty_or_unsigned = not junk or name == "EF_COM.bin"
    assert status == (0 if empty_or_unsigned and name != "EF_SOD.bin" else 1)
    assert passive(result)[0] in {"passed", "failed", "not_present"}


def test_the_portrait_can_be_written_out(dump: Path, trust: Path, tmp_path: Path) -> None:
    status, _result = run(dump, "--trust", trust, "--portrait", tmp_path / "face.jp2")
    assert status == 0
    assert (tmp_path / "face.jp2").read_bytes() == picture()


def test_people_get_a_table_and_the_same_exit_status(dump: Path, trust: Path) -> None:
    outcome = CliRunner().invoke(document, ["inspect", str(dump), "--trust", str(trust)])
    assert outcome.exit_code == 0
    assert "passive authentication" in outcome.stdout
    assert PERSON.surname in outcome.stdout
