"""Configuration from afar through a real broker and issuer: taken, refused, rolled back, and always reported."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.configuration.remote import RemoteConfiguration, connected
from agent.configuration.remote_trial import Acts
from agent.configuration.store import ConfigurationStore
from agent.configuration.store_journal import Phase, Revision
from agent.transport.issuer_client import mqtt_link
from agent.transport.outbox import Outbox, OutboxSender
from agent.trust import identity
from agent.trust.clock import Clock
from agent.wire import topics
from issuer import config_outgoing, store
from issuer.config_cli import last_reports
from issuer.events import EventStore
from tests.protocol.wire_stack import Stack, free_port, needs_broker, stack
from tests.unit.config_world import ConfigWorld, new_signer

pytestmark = needs_broker


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack")) as made:
        yield made


class Terminal:
    """A small agent that applies settings by starting anew, as the real one does."""

    def __init__(self, world: Stack, name: str, folder: Path) -> None:
        self.name = name
        self.configuration = ConfigWorld(folder)
        own = self.configuration.own
        own.write_text(own.read_text().replace("mqtts://127.0.0.1:8883", world.url), "utf-8")
        self.store: ConfigurationStore = self.configuration.store()
        self.starts: list[int] = []
        self._world = world
        self._identity = identity.load(world.enroll(name))
        self._folder = folder

    def send(self, payload: bytes) -> None:
        """As `renzheng-issuer config publish` does."""
        with store.opened(store.sqlite_url(self._world.layout.database)) as engine:
            config_outgoing.enter(engine, topics.CONFIGURATION, [self.name], payload)

    def signed(self, number: int, text: str = "[deadlines]\nface = 12.0\n", **more: Any) -> bytes:
        return self.configuration.signed(number, text, **{"target": f"terminal:{self.name}", **more})

    async def reported(self, number: int, state: str, seconds: float = 10.0) -> dict[str, Any]:
        """What the issuer was told, once it is this."""
        told: dict[str, Any] = {}
        with store.opened(store.sqlite_url(self._world.layout.database)) as engine:
            events = EventStore(engine)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                told = next((row for row in last_reports(events) if row["terminal"] == self.name), {})
                if (told.get("number"), told.get("state")) == (number, state):
                    return told
                await asyncio.sleep(0.05)
        raise AssertionError(f"the issuer was last told {told}")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await self._live()

    async def _live(self) -> None:
        """One process: from its boot to the restart that applies something."""
        in_force = self.store.boot()
        self.starts.append(in_force.number)
        restart = asyncio.Event()

        async def apply(_revision: Revision | None) -> None:
            restart.set()
            await asyncio.Event().wait()

        async def verify() -> None:
            return None

        link = mqtt_link(self._identity, in_force.settings.broker.urls, online=b"online", offline=b"offline")
        outbox = Outbox(self._folder / "outbox.db", bytes(32))
        sender = OutboxSender(outbox, link, self._identity, clock=Clock(), patience=0.5)
        acts = Acts(apply, verify, lambda: connected(link, steady=0.2), probation=4.0)
        remote = RemoteConfiguration(
            self.store,
            link,
            outbox,
            acts,
            terminal=self.name,
            groups=("lobby",),
            clock=lambda: int(time.time()),
        )
        link.start()
        tasks = [asyncio.create_task(sender.run()), asyncio.create_task(remote.run())]
        try:
            await restart.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await link.stop()
            await outbox.close()


async def test_a_document_is_tried_after_a_restart_and_committed(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "config-1", tmp_path)
    async with terminal.running():
        terminal.send(terminal.signed(4, target="group:lobby"))
        told = await terminal.reported(4, "committed")
        assert told["active"] == 4
        assert terminal.store.active().settings.deadlines.face == 12.0
        assert terminal.starts == [0, 4]


async def test_one_that_loses_the_broker_is_rolled_back_by_itself_and_not_taken_again(
    world: Stack, tmp_path: Path
) -> None:
    terminal = Terminal(world, "config-2", tmp_path)
    async with terminal.running():
        terminal.send(terminal.signed(1))
        await terminal.reported(1, "committed")
        terminal.send(terminal.signed(2, f'[broker]\nurls = ["mqtts://127.0.0.1:{free_port()}"]\n'))
        told = await terminal.reported(2, "refused", 25)
        assert (told["reason"], told["active"]) == ("configuration.failed_before", 1)
        steps = [(step.state, step.reason) for step in terminal.store.journal.read().history[-2:]]
        assert steps == [("rolled_back", "configuration.broker_lost"), ("refused", "configuration.failed_before")]
        assert terminal.starts == [0, 1, 2, 1]


async def test_what_is_refused_is_reported_and_changes_nothing(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "config-3", tmp_path)
    async with terminal.running():
        terminal.send(terminal.signed(5))
        await terminal.reported(5, "committed")
        signed = terminal.signed(6)
        for payload, number, reason in (
            (terminal.signed(7, signer=new_signer()), 0, "configuration.unsigned"),
            (b"not a document", 0, "configuration.malformed"),
            (bytes(100_000), 0, "configuration.oversized"),
            (terminal.signed(6, target="terminal:config-9"), 6, "configuration.foreign"),
            (terminal.signed(4), 4, "configuration.older"),
            (terminal.signed(5), 5, "configuration.older"),
            (terminal.signed(6, "[deadlines]\nface = -1.0\n"), 6, "configuration.invalid"),
        ):
            terminal.send(payload)
            for _ in range(200):
                told = await terminal.reported(number, "refused")
                if told["reason"] == reason:
                    break
                await asyncio.sleep(0.05)
            assert (told["reason"], told["active"]) == (reason, 5)
        state = terminal.store.journal.read()
        assert (state.phase, state.highest, terminal.store.active().number) == (Phase.SETTLED, 5, 5)
        terminal.send(signed)
        await terminal.reported(6, "committed")


async def test_it_waits_for_its_time_and_a_newer_one_takes_its_place(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "config-4", tmp_path)
    async with terminal.running():
        terminal.send(terminal.signed(1, valid_from=int(time.time()) + 3))
        await asyncio.sleep(1.5)
        assert terminal.store.journal.read().phase is Phase.SETTLED
        assert terminal.store.active().number == 0
        await terminal.reported(1, "committed")
        terminal.send(terminal.signed(2, valid_from=int(time.time()) + 3600))
        await asyncio.sleep(1.0)
        terminal.send(terminal.signed(3))
        # Long before the next look at the clock.
        await terminal.reported(3, "committed", 15)


async def test_a_broker_that_was_killed_and_has_forgotten_it_carries_it_again(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "config-5", tmp_path)
    terminal.send(terminal.signed(1))
    await asyncio.sleep(1.5)
    assert world.broker is not None
    world.broker.kill()
    world.broker.wait()
    world.start_broker()
    async with terminal.running():
        await terminal.reported(1, "committed", 20)
