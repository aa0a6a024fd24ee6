"""Commands through a real broker and issuer: authorised, done once, answered, and refused when stale."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.commands.journal import CommandJournal
from agent.commands.operators import Operator, Role
from agent.commands.registry import Action, Order, Registry
from agent.commands.server import CommandServer
from agent.failures import RenzhengError
from agent.transport.issuer_client import mqtt_link
from agent.transport.outbox import Outbox, OutboxSender
from agent.trust import identity
from agent.trust.clock import Clock
from agent.wire import bounded, commands, topics
from agent.wire.commands import Command, CommandProgress, CommandResult
from agent.wire.keys import SoftwareSigner, thumbprint
from issuer import config_outgoing, store
from issuer.events import EventStore
from tests.protocol.wire_stack import Stack, needs_broker, stack

pytestmark = needs_broker


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack")) as made:
        yield made


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Terminal:
    """A small agent with the five commands, and somebody for each role."""

    def __init__(self, world: Stack, name: str, folder: Path) -> None:
        self.name = name
        self.done: list[str] = []
        self.heard: int | None = int(time.time())
        self.keys = {role: new_key() for role in Role}
        self.seal = new_key()
        self._world = world
        self._identity = identity.load(world.enroll(name))
        self._folder = folder
        self._ended = asyncio.Event()

    def order(
        self, name: str, role: Role, *, command_id: bytes = b"", age: int = 0, life: int = 60, argument: str = ""
    ) -> Command:
        now = int(time.time()) - age
        return Command(
            issued_at=now,
            command_id=command_id or f"{name}-{role}-{age}".encode().ljust(16, b"\0")[:16],
            terminal=self.name,
            name=name,
            expires_at=now + life,
            argument=argument,
        )

    def send(self, command: Command, role: Role, *, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        signed = commands.sign(command, SoftwareSigner(key or self.keys[role]))
        with store.opened(store.sqlite_url(self._world.layout.database)) as engine:
            config_outgoing.enter(engine, topics.COMMAND, [self.name], signed)

    async def result(self, command: Command, seconds: float = 6.0) -> CommandResult:
        for _ in range(int(seconds / 0.05)):
            for payload in self.events(commands.RESULT):
                result = CommandResult.decode(payload, limit=commands.RESULT_LIMIT)
                if result.command_id == command.command_id:
                    return result
            await asyncio.sleep(0.05)
        raise AssertionError("no result")

    def events(self, kind: str) -> list[bytes]:
        with store.opened(store.sqlite_url(self._world.layout.database)) as engine:
            return [event.payload for event in EventStore(engine).read(self.name, kind=kind)]

    def registry(self) -> Registry:
        async def self_test(order: Order) -> bytes:
            for done in (0, 50, 100):
                await order.progress("camera", done)
            self.done.append(f"self-test {order.argument}".strip())
            return bounded.encode({"camera": "passed"})

        async def diagnostics(_order: Order) -> bytes:
            return b"a redacted bundle"

        async def identify(_order: Order) -> bytes:
            self.done.append("identify")
            return b""

        async def restart(_order: Order) -> bytes:
            self.done.append("restart")
            self._ended.set()
            await asyncio.Event().wait()
            return b""

        async def roll_back(_order: Order) -> bytes:
            raise RenzhengError("configuration.nothing_to_roll_back", "told to fail")

        async def hang(_order: Order) -> bytes:
            await asyncio.Event().wait()
            return b""

        registry = Registry()
        registry.add(Action("self-test", Role.OBSERVER, self_test))
        registry.add(Action("diagnostics", Role.SUPPORT, diagnostics, sealed=True))
        registry.add(Action("identify", Role.OBSERVER, identify))
        registry.add(Action("restart", Role.SUPPORT, restart, ends_process=True))
        registry.add(Action("roll-back", Role.ADMINISTRATOR, roll_back))
        registry.add(Action("hang", Role.OBSERVER, hang, deadline=0.1))
        return registry

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """One process of the agent; it ends at a restart, and the test starts the next one."""
        self._ended.clear()
        people = {
            thumbprint(key.public_key()): Operator(role.name.lower(), role, key.public_key(), self.seal.public_key())
            for role, key in self.keys.items()
        }
        link = mqtt_link(self._identity, [self._world.url], online=b"online", offline=b"offline")
        outbox = Outbox(self._folder / "outbox.db", bytes(32))
        sender = OutboxSender(outbox, link, self._identity, clock=Clock(), patience=0.5)
        server = CommandServer(
            link,
            outbox,
            people,
            self.registry(),
            CommandJournal(self._folder / "commands.json"),
            terminal=self.name,
            clock=lambda: self.heard,
        )
        link.start()
        await link.wait_connected(5)
        tasks = [asyncio.create_task(sender.run()), asyncio.create_task(server.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await link.stop()
            await outbox.close()


async def test_a_self_test_is_done_told_and_answered(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "command-1", tmp_path)
    order = terminal.order("self-test", Role.OBSERVER, argument="camera")
    async with terminal.running():
        terminal.send(order, Role.OBSERVER)
        result = await terminal.result(order)
        # Progress is of a lower class: it may come after the result.
        async with asyncio.timeout(10):
            while len(told := terminal.events(commands.PROGRESS)) < 3:  # noqa: ASYNC110 - another process stores them
                await asyncio.sleep(0.05)
    assert (result.outcome, bounded.decode(result.content, limit=100)) == ("done", {"camera": "passed"})
    assert terminal.done == ["self-test camera"]
    assert sorted(CommandProgress.decode(payload, limit=1000).done for payload in told) == [0, 50, 100]


async def test_diagnostics_are_for_the_operator_alone(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "command-2", tmp_path)
    order = terminal.order("diagnostics", Role.SUPPORT)
    async with terminal.running():
        terminal.send(order, Role.SUPPORT)
        result = await terminal.result(order)
    assert result.sealed
    assert b"redacted" not in result.content
    keys = {thumbprint(terminal.seal.public_key()): terminal.seal}
    opened = commands.open_result(result.content, keys, terminal=terminal.name, command_id=order.command_id)
    assert opened == b"a redacted bundle"


async def test_what_is_refused_is_answered_with_its_reason_and_not_done(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "command-3", tmp_path)
    async with terminal.running():
        for order, role, reason in (
            (terminal.order("roll-back", Role.SUPPORT), Role.SUPPORT, "command.not_authorised"),
            (terminal.order("restart", Role.OBSERVER), Role.OBSERVER, "command.not_authorised"),
            (terminal.order("format-disk", Role.ADMINISTRATOR), Role.ADMINISTRATOR, "command.unknown"),
            (terminal.order("identify", Role.OBSERVER, age=300), Role.OBSERVER, "command.stale"),
            (terminal.order("identify", Role.OBSERVER, age=-300), Role.OBSERVER, "command.stale"),
            (terminal.order("identify", Role.OBSERVER, age=1, life=86_400), Role.OBSERVER, "command.stale"),
        ):
            terminal.send(order, role)
            result = await terminal.result(order)
            assert (result.outcome, result.reason) == ("refused", reason)
        terminal.heard = None
        blind = terminal.order("identify", Role.OBSERVER, age=2)
        terminal.send(blind, Role.OBSERVER)
        assert (await terminal.result(blind)).reason == "command.stale"
    assert terminal.done == []


async def test_nobody_who_is_not_known_is_even_answered(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "command-4", tmp_path)
    async with terminal.running():
        terminal.send(terminal.order("identify", Role.OBSERVER), Role.OBSERVER, key=new_key())
        elsewhere = terminal.order("identify", Role.OBSERVER).model_copy(update={"terminal": "command-1"})
        terminal.send(elsewhere, Role.OBSERVER)
        last = terminal.order("identify", Role.OBSERVER, age=3)
        terminal.send(last, Role.OBSERVER)
        await terminal.result(last)
    assert terminal.done == ["identify"]
    assert len(terminal.events(commands.RESULT)) == 1


async def test_a_repeated_command_is_done_once(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "command-5", tmp_path)
    order = terminal.order("identify", Role.OBSERVER)
    async with terminal.running():
        for _ in range(3):
            terminal.send(order, Role.OBSERVER)
        assert (await terminal.result(order)).outcome == "done"
        last = terminal.order("self-test", Role.OBSERVER)
        terminal.send(last, Role.OBSERVER)
        await terminal.result(last)
    assert terminal.done == ["identify", "self-test"]


async def test_a_restart_is_done_once_and_answered_by_the_next_process(world: Stack, tmp_path: Path) -> None:
    terminal = Terminal(world, "command-6", tmp_path)
    order = terminal.order("restart", Role.SUPPORT)
    async with terminal.running():
        terminal.send(order, Role.SUPPORT)
        async with asyncio.timeout(5):
            await terminal._ended.wait()
    async with terminal.running():
        terminal.send(order, Role.SUPPORT)
        assert (await terminal.result(order)).outcome == "done"
        await asyncio.sleep(1.0)
    assert terminal.done == ["restart"]


@pytest.mark.parametrize(
    ("name", "reason"), [("roll-back", "configuration.nothing_to_roll_back"), ("hang", "command.timeout")]
)
async def test_a_failure_is_told_with_its_code(world: Stack, tmp_path: Path, name: str, reason: str) -> None:
    terminal = Terminal(world, f"command-{name}", tmp_path)
    order = terminal.order(name, Role.ADMINISTRATOR)
    async with terminal.running():
        terminal.send(order, Role.ADMINISTRATOR)
        result = await terminal.result(order)
    assert (result.outcome, result.reason) == ("failed", reason)
