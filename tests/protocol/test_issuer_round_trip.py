"""From evidence to a decision and back, through a real broker and a real issuer, in good weather and bad."""

import asyncio
import contextlib
import dataclasses
import json
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.failures import RenzhengError
from agent.transport.errors import TransportError
from agent.transport.issuer_client import IssuerClient, mqtt_link
from agent.trust import identity
from agent.trust.clock import Clock
from agent.trust.counter import Counter
from agent.wire import claims, cose, envelope, topics
from agent.wire.claims import Decision, PortraitData
from agent.wire.keys import PublicKey, Signer, SoftwareSigner
from issuer import certificates
from tests.protocol.wire_attacker import NAME, mallory, mallory_credentials
from tests.protocol.wire_stack import Stack, Terminal, evidence, holder, needs_broker, stack, terminal

pytestmark = needs_broker

PORTRAIT = secrets.token_bytes(1024)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    rules = f"user {NAME}\ntopic readwrite #\n"
    root = tmp_path_factory.mktemp("round-trip") / "issuer"
    with stack(root, extra_rules=rules, store='["document_number"]') as made:
        mallory_credentials(made)
        yield made


@pytest.fixture
def folder(deployment: Stack) -> Path:
    return deployment.enroll(f"lobby-{secrets.token_hex(4)}")


@pytest.fixture
async def lobby(deployment: Stack, folder: Path) -> AsyncIterator[Terminal]:
    async with terminal(folder, deployment.url) as made:
        yield made


async def code_of(lobby: Terminal, *, within: float = 5.0) -> str:
    with pytest.raises(RenzhengError) as failed:
        await lobby.verify(evidence(), holder(), within=within)
    return failed.value.code


async def test_a_genuine_holder_is_accepted(lobby: Terminal) -> None:
    decision = await lobby.verify(evidence(), holder())
    assert decision.accepted
    assert decision.reasons == ()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (evidence(similarity=0.3), "face.mismatch"),
        (evidence(liveness="attack"), "liveness.attack"),
        (evidence(liveness="indeterminate"), "liveness.indeterminate"),
        (evidence(passive="failed"), "document.altered"),
        (evidence(passive="not_trusted"), "document.untrusted"),
        (evidence(passive="not_present"), "document.untrusted"),
    ],
)
async def test_evidence_that_does_not_hold_is_refused_with_its_reason(
    lobby: Terminal, found: claims.Evidence, reason: str
) -> None:
    decision = await lobby.verify(found, holder())
    assert (decision.outcome, decision.reasons) == ("refused", (reason,))


async def test_an_expired_document_is_refused(lobby: Terminal) -> None:
    decision = await lobby.verify(evidence(), holder().model_copy(update={"valid_until": "2012-04-15"}))
    assert decision.reasons == ("document.expired",)


async def test_many_questions_at_once_get_each_its_own_answer(lobby: Terminal) -> None:
    wanted = [0.9, 0.1] * 5
    decisions = await asyncio.gather(*(lobby.verify(evidence(similarity=value)) for value in wanted))
    for value, decision in zip(wanted, decisions, strict=True):
        assert decision.reasons == (() if value > 0.6 else ("face.mismatch",))


async def test_an_eavesdropper_on_the_broker_sees_nobody(deployment: Stack, lobby: Terminal) -> None:
    person = holder().model_copy(update={"portrait": PortraitData(media_type="application/x-wlt", data=PORTRAIT)})
    async with mallory(deployment) as eavesdropper:
        decision = await lobby.verify(evidence(), person)
        request = await eavesdropper.next(topics.REQUEST.of(lobby.identity.terminal))
        await eavesdropper.next(topics.DECISION.of(lobby.identity.terminal), request.correlation)
        heard = b"".join(message.payload for message in eavesdropper.seen)
    assert decision.accepted
    assert len(request.payload) > 1024
    for secret in (b"ERIKSSON", b"ANNA", b"L898902C3", b"1974", PORTRAIT[:16], PORTRAIT[-16:], b"Hotel Utopia"):
        assert secret not in heard


async def test_the_issuer_keeps_what_its_policy_names_and_nothing_else(deployment: Stack, lobby: Terminal) -> None:
    person = holder().model_copy(update={"portrait": PortraitData(media_type="application/x-wlt", data=PORTRAIT)})
    assert (await lobby.verify(evidence(), person)).accepted
    with sqlite3.connect(deployment.layout.database) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        kept = database.execute("SELECT holder FROM decisions ORDER BY rowid DESC LIMIT 1").fetchone()[0]
    database.close()
    assert json.loads(kept) == {"document_number": "L898902C3"}
    stored = b"".join(path.read_bytes() for path in deployment.root.glob("issuer.db*"))
    for secret in (b"ERIKSSON", b"ANNA", b"1974-08-12", PORTRAIT[:16]):
        assert secret not in stored


async def test_a_false_answer_is_not_taken_and_does_not_hide_the_true_one(deployment: Stack, lobby: Terminal) -> None:
    forger = SoftwareSigner(certificates.new_key())
    async with mallory(deployment) as attacker:

        async def forge() -> None:
            request = await attacker.next(topics.REQUEST.of(lobby.identity.terminal))
            name = lobby.identity.issuer.name
            decision = Decision(
                issuer=name,
                terminal=lobby.identity.terminal,
                issued_at=0,
                decision_id=bytes(16),
                epoch=bytes(16),
                request_id=request.correlation,
                outcome="accepted",
            )
            false = envelope.sign_decision(decision, forger)
            await attacker.send(topics.DECISION.of(lobby.identity.terminal), false, request.correlation)

        _, decision = await asyncio.gather(forge(), lobby.verify(evidence(similarity=0.1)))
    assert decision.reasons == ("face.mismatch",)


async def test_only_false_answers_are_a_failure_that_says_so(deployment: Stack, lobby: Terminal) -> None:
    earlier: list[bytes] = []
    async with mallory(deployment) as attacker:
        topic = topics.DECISION.of(lobby.identity.terminal)
        await lobby.verify(evidence())
        earlier.append((await attacker.next(topic)).payload)
        deployment.stop_issuer()
        try:

            async def replay_acceptance() -> None:
                seen = len(attacker.seen)
                request = await attacker.next(topics.REQUEST.of(lobby.identity.terminal), after=seen)
                await attacker.send(topic, earlier[0], request.correlation)

            _, code = await asyncio.gather(replay_acceptance(), code_of(lobby, within=1.0))
        finally:
            deployment.start_issuer()
    assert code == "issuer.decision_invalid"


async def test_an_epoch_of_a_stranger_changes_nothing(deployment: Stack, lobby: Terminal) -> None:
    stranger = SoftwareSigner(certificates.new_key())
    await lobby.verify(evidence())
    newest = lobby.client.epochs.fresh
    assert newest is not None
    false = newest.model_copy(update={"sequence": newest.sequence + 1000, "epoch_id": bytes(16)})
    context = cose.Context("epoch", "*", newest.issuer)
    async with mallory(deployment) as attacker:
        await attacker.send(topics.EPOCH.of(), cose.sign(false.encode(), stranger, context))
        assert (await lobby.verify(evidence())).accepted


async def test_without_an_issuer_the_failure_comes_in_time_and_says_so(deployment: Stack, lobby: Terminal) -> None:
    await lobby.verify(evidence())
    deployment.stop_issuer()
    try:
        start = time.monotonic()
        assert await code_of(lobby, within=0.5) == "issuer.silent"
        await asyncio.sleep(2.1)
        assert await code_of(lobby, within=0.5) == "issuer.silent"
        assert time.monotonic() - start < 5
    finally:
        deployment.start_issuer()
    assert (await lobby.verify(evidence())).accepted


async def test_a_broker_that_goes_and_comes_back(deployment: Stack, lobby: Terminal) -> None:
    assert (await lobby.verify(evidence())).accepted
    deployment.stop_broker()
    start = time.monotonic()
    assert await code_of(lobby, within=1.0) == "broker.unreachable"
    assert time.monotonic() - start < 3
    deployment.start_broker()
    await lobby.link.wait_connected(10.0)
    assert (await lobby.verify(evidence(), within=10.0)).accepted


@dataclass
class HangingSigner:
    """A device key whose token does not answer until it is let go."""

    key: Signer
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def algorithm(self) -> int:
        return self.key.algorithm

    @property
    def public_key(self) -> PublicKey:
        return self.key.public_key

    def sign(self, message: bytes) -> bytes:
        assert self.go_on.wait(20)
        return self.key.sign(message)


async def test_a_key_that_hangs_keeps_nobody_waiting_past_the_deadline(deployment: Stack, folder: Path) -> None:
    known = identity.load(folder)
    signer = HangingSigner(known.signer)
    who = dataclasses.replace(known, signer=signer)
    link = mqtt_link(who, [deployment.url], online=b"online", offline=b"offline")
    counter = Counter(folder / "counter.db")
    client = IssuerClient(link, who, clock=Clock(), counter=counter)
    link.start()
    try:
        loop = asyncio.get_running_loop()
        await client.reach(deadline=loop.time() + 5)
        deadline = loop.time() + 0.5
        questions = [asyncio.create_task(client.verify(evidence(), deadline=deadline)) for _ in range(2)]
        done, waiting = await asyncio.wait(questions, timeout=5)
        assert not waiting
        assert {getattr(question.exception(), "code", "") for question in done} == {"issuer.no_decision"}
        signer.go_on.set()
        assert (await client.verify(evidence(), deadline=loop.time() + 5)).accepted
    finally:
        signer.go_on.set()
        await link.stop()
        counter.close()


@contextlib.contextmanager
def without_table(deployment: Stack, name: str) -> Iterator[None]:
    """The issuer's database while every statement on one table fails."""
    with contextlib.closing(sqlite3.connect(deployment.layout.database, isolation_level=None)) as database:
        database.execute(f"ALTER TABLE {name} RENAME TO away")
        try:
            yield
        finally:
            database.execute(f"ALTER TABLE away RENAME TO {name}")


async def test_an_issuer_whose_database_failed_while_the_broker_came_back_serves_again(
    deployment: Stack, lobby: Terminal
) -> None:
    log = deployment.root / "issuer.log"
    connected = log.read_bytes().count(b"connected to")
    with without_table(deployment, "epochs"):
        deployment.stop_broker()
        deployment.start_broker()
        end = time.monotonic() + 10
        while log.read_bytes().count(b"connected to") == connected:
            assert time.monotonic() < end, log.read_text("utf-8")
            await asyncio.sleep(0.05)
    await lobby.link.wait_connected(10.0)
    assert (await lobby.verify(evidence(), within=10.0)).accepted


async def test_a_database_that_fails_puts_nothing_of_the_holder_into_the_log(
    deployment: Stack, lobby: Terminal
) -> None:
    assert (await lobby.verify(evidence(), holder())).accepted
    with without_table(deployment, "decisions"):
        assert await code_of(lobby, within=1.0) == "issuer.no_decision"
    log = (deployment.root / "issuer.log").read_text("utf-8")
    assert "could not be answered" in log
    assert str(holder().document_number) not in log


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_wrong_clock_is_told_and_passes_nothing(deployment: Stack, folder: Path, years: int) -> None:
    wrong = Clock(now=lambda: time.time() + years * 365.25 * 86400)
    async with terminal(folder, deployment.url, clock=wrong) as lobby:
        assert await code_of(lobby) == "clock.contradicted"


async def test_a_terminal_that_was_never_enrolled_at_this_broker_does_not_get_in(
    deployment: Stack, tmp_path: Path
) -> None:
    from issuer import pki

    stranger = pki.enroll(pki.create(tmp_path / "rogue", "test-issuer"), "lobby-9")
    (stranger / "trust" / "broker-ca.pem").write_bytes((deployment.layout.broker / "client-ca.pem").read_bytes())
    async with terminal(stranger, deployment.url, connect=False) as lobby:
        with pytest.raises(TransportError) as failed:
            await lobby.link.wait_connected(1.5)
    assert failed.value.code.startswith("broker.")


async def test_the_counter_goes_on_after_a_restart_of_the_terminal(deployment: Stack, folder: Path) -> None:
    for _ in range(2):
        async with terminal(folder, deployment.url) as lobby:
            assert (await lobby.verify(evidence())).accepted


async def test_a_terminal_that_lost_its_counter_is_refused(deployment: Stack, folder: Path) -> None:
    async with terminal(folder, deployment.url) as lobby:
        assert (await lobby.verify(evidence())).accepted
    for suffix in ("", "-wal", "-shm"):
        (folder / f"counter.db{suffix}").unlink(missing_ok=True)
    async with terminal(folder, deployment.url) as lobby:
        assert (await lobby.verify(evidence())).reasons == ("issuer.refused.counter",)


def test_the_command_line_shows_what_was_decided(deployment: Stack) -> None:
    command = [sys.executable, "-m", "issuer.cli", "show", str(deployment.root), "--json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert shown["decisions"]["accepted"] >= 1
    assert shown["refusals"]["face.mismatch"] >= 1
    assert "holder" not in shown["newest"][0]
