"""Several workers of one issuer: they share the work, one may die, and together they are as strict as one."""

import asyncio
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.transport.errors import TransportError
from agent.trust import identity
from agent.wire import epochs, topics
from issuer import pki, store
from tests.protocol.databases import of_kind
from tests.protocol.wire_attacker import NAME, craft, mallory, mallory_credentials, reseal
from tests.protocol.wire_stack import Stack, evidence, needs_broker, terminal

pytestmark = needs_broker


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with of_kind(request.param) as url:
        yield url


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("workers") / "issuer"
    layout = pki.create(root, "test-issuer")
    layout.policy.write_text(layout.policy.read_text("utf-8").replace("interval = 5", "interval = 1"), "utf-8")
    pki.add_worker(layout, "issuer-2")
    made = Stack(root, extra_rules=f"user {NAME}\ntopic readwrite #\n", database=database)
    mallory_credentials(made)
    second = None
    try:
        made.start_broker()
        made.start_issuer()
        second = made.start_worker("issuer-2")
        yield made
    finally:
        if second is not None:
            second.terminate()
            second.wait(10)
        made.stop()


def decided_by(deployment: Stack, worker: str) -> int:
    return (deployment.root / f"{worker}.log").read_text("utf-8").count(" accepted")


async def test_both_take_their_share(deployment: Stack) -> None:
    async with terminal(deployment.enroll(f"busy-{secrets.token_hex(4)}"), deployment.url) as lobby:
        for _ in range(12):
            assert (await lobby.verify(evidence())).accepted
    assert decided_by(deployment, "issuer") >= 3
    assert decided_by(deployment, "issuer-2") >= 3


async def test_a_replay_that_reaches_the_other_worker_is_refused(deployment: Stack) -> None:
    victim = identity.load(deployment.enroll(f"victim-{secrets.token_hex(4)}"))
    async with mallory(deployment) as attacker:
        message = await attacker.next(topics.EPOCH.of())
        epoch = epochs.verify(message.payload, victim.issuer.pinned_keys, victim.issuer.name)
        request_id = secrets.token_bytes(16)
        signed, _ = craft(victim, epoch, 1, request_id)
        sealed = reseal(signed, victim)
        decisions = [await attacker.ask(victim.terminal, sealed, request_id, victim) for _ in range(6)]
    assert [decision.outcome for decision in decisions].count("accepted") == 1
    assert {reason for decision in decisions[1:] for reason in decision.reasons} == {"issuer.refused.replay"}


async def test_every_epoch_is_made_once(deployment: Stack) -> None:
    async with mallory(deployment) as watcher:
        await asyncio.sleep(3.3)
        heard = {message.payload for message in watcher.seen if message.topic == topics.EPOCH.of()}
    assert 3 <= len(heard) <= 5


async def test_when_one_dies_the_other_goes_on(deployment: Stack) -> None:
    assert deployment.issuer is not None
    async with terminal(deployment.enroll(f"steady-{secrets.token_hex(4)}"), deployment.url) as lobby:
        assert (await lobby.verify(evidence())).accepted
        deployment.issuer.send_signal(signal.SIGKILL)
        outcomes: list[str] = []
        for _ in range(6):
            try:
                outcomes.append((await lobby.verify(evidence(), within=2.0)).outcome)
            except TransportError as error:
                # A request that the dead worker had already been given is not answered: a failure in time.
                outcomes.append(error.code)
    assert outcomes[-4:] == ["accepted"] * 4
    deployment.issuer.wait(10)
    deployment.start_issuer()


async def test_what_both_decided_is_in_one_place(deployment: Stack) -> None:
    url = deployment.database or store.sqlite_url(deployment.layout.database)
    with store.opened(url) as engine:
        before = store.summary(engine)["decisions"].get("accepted", 0)
        async with terminal(deployment.enroll(f"counted-{secrets.token_hex(4)}"), deployment.url) as lobby:
            for _ in range(4):
                assert (await lobby.verify(evidence())).accepted
        assert store.summary(engine)["decisions"]["accepted"] == before + 4


async def test_a_database_that_was_started_anew_costs_nobody_an_answer(deployment: Stack) -> None:
    if not deployment.database:
        pytest.skip("a file has no connections to lose")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'test'"
    async with terminal(deployment.enroll(f"lasting-{secrets.token_hex(4)}"), deployment.url) as lobby:
        for _ in range(3):
            assert (await lobby.verify(evidence())).accepted
            with store.opened(deployment.database) as engine, engine.connect() as connection:
                # One at least: a worker that had nothing to do yet has not connected.
                assert connection.execute(sa.text(others)).all()
        for _ in range(4):
            assert (await lobby.verify(evidence())).accepted


def test_a_worker_that_is_not_there_is_told(deployment: Stack, tmp_path: Path) -> None:
    from issuer.errors import IssuerError
    from issuer.service import Issuer

    with pytest.raises(IssuerError, match="renzheng-issuer worker"):
        Issuer(deployment.root, deployment.url, worker="issuer-9")
    with pytest.raises(IssuerError, match="begins with"):
        pki.add_worker(deployment.layout, "lobby-1")
    with pytest.raises(IssuerError, match="already"):
        pki.add_worker(deployment.layout, "issuer-2")
