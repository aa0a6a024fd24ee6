"""Recorded evidence: every check holds months later, and each way to tamper is found by its own check."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.trust import anchors, identity
from agent.wire import claims, envelope, epochs, evidence
from agent.wire.evidence import EvidenceRecord
from issuer import pki, policy, store, verifier
from issuer.epoch_source import EpochSource
from issuer.layout import Layout
from tests.protocol.wire_attacker import craft, reseal

CHECKS = 8


class Office:
    """An issuer without a broker: it decides on a request and keeps the record."""

    def __init__(self, root: Path, *, now: float | None = None) -> None:
        self.layout: Layout = pki.create(root, "test-issuer")
        self.who = identity.load(pki.enroll(self.layout, "lobby-1"))
        self.now = now or time.time()
        self.counter = 0

    def record(self) -> EvidenceRecord:
        settings = policy.load(self.layout.policy)
        keys = verifier.load_keys(self.layout)
        with store.opened(store.sqlite_url(self.layout.database)) as engine:
            EpochSource(engine, settings.name, settings.epoch_interval, keys.signing, now=lambda: self.now).advance()
            newest = store.newest_epochs(engine)[0]
            epoch = epochs.verify(newest.signed, self.who.issuer.pinned_keys, settings.name)
            self.counter += 1
            request_id = secrets.token_bytes(16)
            signed, _ = craft(self.who, epoch, self.counter, request_id)
            worker = verifier.Verifier(engine, settings, keys, now=lambda: self.now)
            worker.answer("lobby-1", request_id, reseal(signed, self.who))
            found = store.find_record(engine, request_id.hex())
        assert found is not None
        return EvidenceRecord(token=found[0], epoch=found[1], decision=found[2])


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("evidence") / "issuer")


def problems(office: Office, record: EvidenceRecord) -> list[str]:
    trust = anchors.load_evidence_trust(office.layout.terminal("lobby-1") / "trust")
    findings, request, _ = evidence.verify(record, trust)
    assert len(findings) == CHECKS
    assert (request is not None) == all(finding.holds for finding in findings)
    return [finding.check for finding in findings if not finding.holds]


def test_every_check_of_an_honest_record_holds(office: Office) -> None:
    assert problems(office, office.record()) == []


def test_nothing_of_the_holder_is_in_a_record(office: Office) -> None:
    encoded = office.record().encode()
    assert not any(personal in encoded for personal in (b"ERIKSSON", b"L898902C3", b"1974"))


@pytest.mark.parametrize(
    ("swap", "first"),
    [
        (lambda mine, other: {"decision": other.decision}, "the decision is on this token"),
        (lambda mine, other: {"token": other.token}, "the decision is on this token"),
        (lambda mine, other: {"token": mine.token[:-1] + bytes([mine.token[-1] ^ 1])}, "the token is signed"),
        (lambda mine, other: {"decision": mine.token}, "the decision is signed"),
        (lambda mine, other: {"epoch": mine.decision}, "the epoch is signed"),
        (lambda mine, other: {"token": mine.token.replace(b"Hotel Utopia", b"Hotel Erewho")}, "the token is signed"),
    ],
)
def test_tampering_is_found(
    office: Office, swap: Callable[[EvidenceRecord, EvidenceRecord], dict[str, bytes]], first: str
) -> None:
    mine, other = office.record(), office.record()
    found = problems(office, mine.model_copy(update=swap(mine, other)))
    assert found
    assert found[0].startswith(first)


def test_an_epoch_of_another_time_is_found(office: Office) -> None:
    mine = office.record()
    office.now += 10
    later = office.record()
    assert "the token names the epoch" in problems(office, mine.model_copy(update={"epoch": later.epoch}))


def test_a_record_of_another_deployment_is_not_believed(office: Office, tmp_path: Path) -> None:
    stranger = Office(tmp_path / "other")
    assert len(problems(office, stranger.record())) == CHECKS


def test_a_certificate_that_was_not_valid_at_the_epoch_is_found(tmp_path: Path) -> None:
    office = Office(tmp_path / "issuer", now=time.time() + 20 * 365 * 86400)
    settings, keys = policy.load(office.layout.policy), verifier.load_keys(office.layout)
    with store.opened(store.sqlite_url(office.layout.database)) as engine:
        source = EpochSource(engine, settings.name, settings.epoch_interval, keys.signing, now=lambda: office.now)
        signed = source.advance()
    assert signed is not None
    epoch = epochs.verify(signed, office.who.issuer.pinned_keys, settings.name)
    token, _ = craft(office.who, epoch, 1, bytes(16))
    late = EvidenceRecord(token=token, epoch=signed, decision=b"")
    assert problems(office, late)[0] == "the device certificate was valid at the epoch"


def test_the_command_line_prints_each_verdict(office: Office, tmp_path: Path) -> None:
    record = office.record()
    (tmp_path / "good").write_bytes(record.encode())
    broken = record.model_copy(update={"token": record.token[:-1] + b"\0"})
    (tmp_path / "bad").write_bytes(broken.encode())
    trust = str(office.layout.terminal("lobby-1") / "trust")

    def run(name: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-c", "from agent.cli.main import main; main()", "evidence", "verify"]
        command += [str(tmp_path / name), "--trust", trust, "--json"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    status, found = run("good")
    assert (status, found["holds"]) == (0, True)
    status, found = run("bad")
    assert (status, found["holds"], found["evidence"]) == (1, False, None)


def test_a_record_fits_its_limit() -> None:
    assert envelope.DECISION_LIMIT + claims.REQUEST_LIMIT < evidence.RECORD_LIMIT
