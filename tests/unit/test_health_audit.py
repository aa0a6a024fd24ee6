"""The audit: whatever is changed, taken out, put in or cut off is found; a power cut or a full disk breaks nothing."""

import json
import resource
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.failures import RenzhengError
from agent.health import audit as audit_module
from agent.health.audit import Audit, Head, segments
from agent.health.audit_check import by_key, verify
from agent.wire.keys import SoftwareSigner


@pytest.fixture(params=["P-256", "Ed25519"])
def signer(request: pytest.FixtureRequest) -> SoftwareSigner:
    if request.param == "P-256":
        return SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    return SoftwareSigner(ed25519.Ed25519PrivateKey.generate())


def written(folder: Path, signer: SoftwareSigner, count: int = 5) -> Head:
    audit = Audit(folder, signer)
    for number in range(count):
        audit.append("verification", result="verified", code="", seconds=2.5 + number, request="ab" * 16)
    return audit.head


def test_a_chain_holds_over_restarts(tmp_path: Path, signer: SoftwareSigner) -> None:
    for _ in range(3):
        head = written(tmp_path, signer)
    report = verify(tmp_path, by_key(signer.public_key), head=head)
    assert (report.fault, report.records, report.first, report.head) == ("", 15, 1, head)


def change(folder: Path, edit) -> None:  # type: ignore[no-untyped-def]  # a list to a list
    path = segments(folder)[0]
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


def refused(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"verified"', b'"refused"'), *lines[2:]]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (refused, "jsonl:2: the signature of record 2"),
        (lambda lines: [*lines[:2], *lines[3:]], "jsonl:3: the chain is broken before record 4"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "jsonl:2: the chain is broken"),
        (lambda lines: [*lines, lines[-1]], "jsonl:6: the chain is broken"),
        (lambda lines: [*lines[:-1], b"{}\n"], "jsonl:5: not a record"),
        (lambda lines: [*lines[:-1], lines[-1].replace(b":", b": ", 1)], "jsonl:5: not a record"),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"time":', b'"seconds":NaN,"time":')], "jsonl:5: not a record"),
        (lambda lines: [*lines[:-1], b"[" * 4000 + b"\n"], "jsonl:5: not a record"),
    ],
)
def test_a_change_is_found_at_its_place(tmp_path: Path, signer: SoftwareSigner, edit, named: str) -> None:  # type: ignore[no-untyped-def]  # as above
    written(tmp_path, signer)
    change(tmp_path, edit)
    assert named in verify(tmp_path, by_key(signer.public_key)).fault


def test_records_of_another_key_do_not_count(tmp_path: Path, signer: SoftwareSigner) -> None:
    written(tmp_path, SoftwareSigner(ec.generate_private_key(ec.SECP256R1())))
    assert "is not the device's" in verify(tmp_path, by_key(signer.public_key)).fault


def test_a_cut_end_is_found_by_the_head_that_somebody_else_has_seen(tmp_path: Path, signer: SoftwareSigner) -> None:
    head = written(tmp_path, signer)
    change(tmp_path, lambda lines: lines[:-1])
    assert verify(tmp_path, by_key(signer.public_key)).fault == ""
    assert "the end was cut off" in verify(tmp_path, by_key(signer.public_key), head=head).fault


@pytest.mark.parametrize("torn", [1, 20, 150])
def test_a_power_cut_in_the_middle_of_a_record_costs_that_record_alone(
    tmp_path: Path, signer: SoftwareSigner, torn: int
) -> None:
    written(tmp_path, signer)
    path = segments(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[0][:torn])
    written(tmp_path, signer, 1)
    report = verify(tmp_path, by_key(signer.public_key))
    assert (report.fault, report.records) == ("", 6)


@pytest.mark.parametrize("last", [b"\0" * 100, b"[" * 4000])
def test_a_file_that_cannot_be_continued_is_set_aside_and_the_terminal_goes_on(
    tmp_path: Path, signer: SoftwareSigner, last: bytes
) -> None:
    for _ in range(2):
        head = written(tmp_path, signer, 2)
        assert head.seq == 2
        segments(tmp_path)[0].write_bytes(last + b"\n")
    written(tmp_path, signer, 2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "audit-0000000001.jsonl", "audit-0000000001.broken", "audit-0000000001.broken.1",
    }  # fmt: skip
    # The chain that began anew is whole, and says nothing of what stood there before.
    assert "audit-0000000001.broken: could not be continued" in verify(tmp_path, by_key(signer.public_key)).fault
    for path in tmp_path.glob("*.broken*"):
        path.unlink()
    assert verify(tmp_path, by_key(signer.public_key)).fault == ""


def test_a_terminal_that_was_heard_before_its_first_record_is_not_accused(
    tmp_path: Path, signer: SoftwareSigner
) -> None:
    told = Audit(tmp_path, signer).head
    assert verify(tmp_path, by_key(signer.public_key), head=told).fault == ""
    written(tmp_path, signer)
    assert verify(tmp_path, by_key(signer.public_key), head=told).fault == ""


def test_a_full_disk_costs_one_record_and_never_the_chain(tmp_path: Path, signer: SoftwareSigner) -> None:
    audit = Audit(tmp_path, signer)
    audit.append("verification", code="")
    size = segments(tmp_path)[0].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow behaves as one on a full disk: the write is cut short, or fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
    try:
        with pytest.raises(RenzhengError, match=r"audit\.unwritable"):
            audit.append("verification", code="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    audit.append("verification", code="")
    report = verify(tmp_path, by_key(signer.public_key))
    assert (report.fault, report.records) == ("", 2)


def test_old_segments_go_and_the_rest_still_holds(
    tmp_path: Path, signer: SoftwareSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "SEGMENT_BYTES", 1200)
    monkeypatch.setattr(audit_module, "SEGMENTS", 3)
    head = written(tmp_path, signer, 20)
    assert len(segments(tmp_path)) == 3
    report = verify(tmp_path, by_key(signer.public_key), head=head)
    assert report.fault == ""
    assert report.first > 1


@pytest.mark.parametrize("value", ["Anna Maria", "ERIKSSON", "张三", "a\nb", "x" * 200])
def test_free_text_does_not_get_into_a_record(tmp_path: Path, signer: SoftwareSigner, value: str) -> None:
    audit = Audit(tmp_path, signer)
    with pytest.raises(ValueError, match="free text"):
        audit.append("verification", code=value)
    assert segments(tmp_path) == []


def test_only_the_owner_can_read_it(tmp_path: Path, signer: SoftwareSigner) -> None:
    written(tmp_path / "audit", signer, 1)
    assert (tmp_path / "audit").stat().st_mode & 0o077 == 0
    assert segments(tmp_path / "audit")[0].stat().st_mode & 0o077 == 0
    record = json.loads(segments(tmp_path / "audit")[0].read_bytes())["record"]
    assert record["seq"] == 1
