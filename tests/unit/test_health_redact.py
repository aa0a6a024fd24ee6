"""Planted personal data does not come through the redaction, and is found where it lies."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.health import runtime
from agent.health.audit import Audit
from agent.health.diagnosis import bundle
from agent.health.golden import PORTRAITS, portrait
from agent.health.redact import redact, scan
from agent.health.state import PartStates
from agent.wire.keys import SoftwareSigner
from firmware_bridge.simulator.person import Person

HOLDER = Person()
RESIDENT = "11010519491231002X"
#: Passports whose optional data fill their field, China's among them.
FULL_LINE = "E000000001CHN8001019M2605156NGKELMPONBPJB978"
PLANTED = {
    "the machine-readable zone": HOLDER.zone(),
    "its lower line": HOLDER.zone()[44:],
    "a lower line without a filler": FULL_LINE,
    "a document number": f"read {HOLDER.number} failed",
    "a resident identity number": f"number {RESIDENT}",
    "a birth date": "birth_date=1974-08-12",
    "a Chinese name": "姓名 张三丰",
    "a Chinese name in single characters, one of them rare": "姓 张 名 㼆",
    "an e-mail address": "anna.maria@example.org",
    "a picture as base64": "A" * 200,
    "a private key": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----",
    "a password in a URL": "mqtts://user:secret@host:8883",
}
SECRETS = (
    "ERIKSSON",
    HOLDER.number,
    RESIDENT,
    "1974-08-12",
    FULL_LINE,
    "张",
    "㼆",
    "anna.maria",
    "A" * 90,
    "MIGHAgEAMBMG",
    "secret",
)


@pytest.mark.parametrize("what", PLANTED)
def test_planted_data_is_taken_out_of_text(what: str) -> None:
    text = redact(f"before {PLANTED[what]} after")
    assert not [secret for secret in SECRETS if secret in text]
    assert text.startswith("before")
    assert text.endswith("after")


def test_what_a_maintainer_needs_stays() -> None:
    text = "2026-11-21T22:48:36 renzheng[49]: verification failed document.removed in 3.5 s on t-0001, 127.0.0.1:8883"
    assert redact(text) == text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (HOLDER.zone().encode(), "machine-readable lines"),
        (b"x" * ((1 << 20) - 10) + HOLDER.zone().encode(), "machine-readable lines"),
        (FULL_LINE.encode(), "machine-readable lines"),
        (RESIDENT.encode(), "resident identity number"),
        (b"\0\0" + RESIDENT.encode("utf-16-le"), "resident identity number"),
        (b"\0" * 77 + portrait(PORTRAITS[0]), "JPEG picture"),
    ],
)
def test_the_scan_finds_what_lies_in_a_file(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "some.db").write_bytes(content)
    found = list(scan(tmp_path))
    assert [finding.kind for finding in found] == [kind]
    assert found[0].offset >= 0


def test_the_scan_finds_nothing_in_what_the_agent_writes(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", SoftwareSigner(ec.generate_private_key(ec.SECP256R1())))
    for _ in range(300):
        audit.append("verification", result="verified", code="", seconds=2.5, request="0f" * 16)
    assert list(scan(tmp_path)) == []


def test_a_bundle_holds_nothing_that_was_planted_in_every_place_it_looks(tmp_path: Path) -> None:
    settings = tmp_path / "renzheng.toml"
    settings.write_text(
        f'[terminal]\nrelying_party = "{RESIDENT}"\npurpose = "{HOLDER.number}"\nstate = "{tmp_path / "state"}"\n'
        '[camera]\ntype = "v4l2"\n[broker]\nurls = ["mqtts://user:secret@127.0.0.1:8883"]\n'
    )
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / runtime.LINK).symlink_to(tmp_path)
    states = PartStates()
    states.up("camera")
    states.note("camera", HOLDER.zone())
    states.write(tmp_path)
    tested = {"checks": [{"measured": " ".join(PLANTED.values())}]}
    archive = tarfile.open(fileobj=io.BytesIO(bundle(settings, tested)))  # noqa: SIM115  # in memory
    pieces = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]  # files only
    assert {"renzheng-diagnosis/settings.json", "renzheng-diagnosis/self-test.json"} <= pieces.keys()
    for name, text in pieces.items():
        assert not [secret for secret in SECRETS if secret in text], name
    assert "machine-readable lines taken out" in pieces["renzheng-diagnosis/health.json"]
    assert "v4l2" in pieces["renzheng-diagnosis/settings.json"]


def test_a_bundle_of_broken_settings_says_what_is_wrong_and_on_what_it_ran(tmp_path: Path) -> None:
    settings = tmp_path / "renzheng.toml"
    settings.write_text("[terminal]\ncolour = 1\n")
    archive = tarfile.open(fileobj=io.BytesIO(bundle(settings, {})))  # noqa: SIM115  # in memory
    pieces = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]  # files only
    assert "terminal.colour: no such setting" in pieces["renzheng-diagnosis/settings.json"]
    assert '"python"' in pieces["renzheng-diagnosis/system.json"]


def test_a_bundle_of_a_damaged_audit_says_where(tmp_path: Path) -> None:
    settings = tmp_path / "renzheng.toml"
    settings.write_text(
        f'[terminal]\nrelying_party = "Grand Hotel"\nstate = "{tmp_path}"\n[camera]\ntype = "v4l2"\n'
        '[broker]\nurls = ["mqtts://127.0.0.1"]\n'
    )
    audit = Audit(tmp_path / "audit", SoftwareSigner(ec.generate_private_key(ec.SECP256R1())))
    for _ in range(2):
        audit.append("verification", code="reader.gone")
    (file,) = (tmp_path / "audit").iterdir()
    file.write_bytes(b"damaged\n" + file.read_bytes())
    archive = tarfile.open(fileobj=io.BytesIO(bundle(settings, {})))  # noqa: SIM115  # in memory
    told = json.load(archive.extractfile("renzheng-diagnosis/audit.json"))  # type: ignore[arg-type]  # it is there
    assert told["by code"] == {"verification reader.gone": 2}
    assert told["unreadable"] == [f"{file.name}:1"]


def test_a_long_word_is_redacted_in_no_time() -> None:
    started = time.monotonic()
    redact("a" * 200_000)
    assert time.monotonic() - started < 5.0


def test_the_scan_follows_no_link_and_waits_for_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(FULL_LINE)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "state/pipe")
    assert list(scan(tmp_path / "state")) == []


def test_what_cannot_be_read_is_no_clean_scan(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    program = (
        "import os, sys; from pathlib import Path; from agent.health.redact import scan\n"
        "os.geteuid() or os.seteuid(65534)\nlist(scan(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
