"""Who may order what, and that what was accepted is remembered."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.commands import journal as journal_module
from agent.commands import operators
from agent.commands.journal import CommandJournal
from agent.commands.operators import Operator, Role
from agent.commands.registry import Action, Order, Registry
from agent.commands.server import CommandServer
from agent.configuration.signing import public_pem
from agent.failures import RenzhengError
from agent.transport.mqtt import Incoming, MqttLink, Tls
from agent.transport.outbox import Limits, Outbox
from agent.wire import commands
from agent.wire.commands import MAX_LIFETIME, Command
from agent.wire.keys import SoftwareSigner, thumbprint

NOW = 1_800_000_000


def operator(role: Role, *, seal: bool = False) -> Operator:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return Operator("anna", role, key, ec.generate_private_key(ec.SECP256R1()).public_key() if seal else None)


async def nothing(_order: Order) -> bytes:
    return b""


def written(folder: Path, *entries: str) -> Path:
    path = folder / "operators.toml"
    path.write_text("\n".join(f"[[operator]]\n{entry}" for entry in entries), "utf-8")
    return path


def pem(*, edwards: bool = False) -> str:
    key = ed25519.Ed25519PrivateKey.generate() if edwards else ec.generate_private_key(ec.SECP256R1())
    return public_pem(key.public_key()).decode()


class TestOperators:
    def test_they_are_found_by_their_key(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            f"name = 'anna'\nrole = 'support'\nkey = '''{pem()}'''\nseal = '''{pem()}'''",
            f"name = 'ben'\nrole = 'observer'\nkey = '''{pem(edwards=True)}'''",
        )
        found = operators.load(path)
        assert {(entry.name, entry.role) for entry in found.values()} == {
            ("anna", Role.SUPPORT),
            ("ben", Role.OBSERVER),
        }
        assert all(thumbprint(entry.key) == kid for kid, entry in found.items())

    def test_without_the_file_nobody_may_do_anything(self, tmp_path: Path) -> None:
        assert operators.load(tmp_path / "absent.toml") == {}

    @pytest.mark.parametrize(
        "entry",
        [
            "name = 'anna'\nrole = 'king'\nkey = '''{key}'''",
            "name = 'anna'\nrole = 'support'\nkey = 'no key'",
            "name = 'Anna B'\nrole = 'support'\nkey = '''{key}'''",
            "name = 'anna'\nrole = 'support'\nkey = '''{key}'''\nseal = '''{key}'''",
            "name = 'anna'\nrole = 'support'\nkey = '''{key}'''\ncolour = 1",
        ],
    )
    def test_a_wrong_entry_is_told(self, tmp_path: Path, entry: str) -> None:
        with pytest.raises(RenzhengError) as error:
            operators.load(written(tmp_path, entry.format(key=pem())))
        assert error.value.code == "command.operators"


class TestRegistry:
    @pytest.mark.parametrize("role", list(Role))
    def test_a_role_may_do_what_the_lesser_may(self, role: Role) -> None:
        registry = Registry()
        for wanted in Role:
            registry.add(Action(wanted.name.lower(), wanted, nothing))
        for wanted in Role:
            if role >= wanted:
                assert registry.find(wanted.name.lower(), operator(role)).role is wanted
            else:
                with pytest.raises(RenzhengError) as error:
                    registry.find(wanted.name.lower(), operator(role))
                assert error.value.code == "command.not_authorised"

    def test_what_is_sealed_needs_somebody_to_seal_it_to(self) -> None:
        registry = Registry()
        registry.add(Action("diagnostics", Role.SUPPORT, nothing, sealed=True))
        assert registry.find("diagnostics", operator(Role.SUPPORT, seal=True))
        with pytest.raises(RenzhengError) as error:
            registry.find("diagnostics", operator(Role.SUPPORT))
        assert error.value.code == "command.no_seal"


class TestJournal:
    def test_a_command_is_accepted_once_also_by_the_next_process(self, tmp_path: Path) -> None:
        journal = CommandJournal(tmp_path / "commands.json")
        journal.accept(bytes(16), "restart", now=NOW, ends_process=True)
        for each in (journal, CommandJournal(tmp_path / "commands.json")):
            with pytest.raises(RenzhengError) as error:
                each.accept(bytes(16), "restart", now=NOW, ends_process=True)
            assert error.value.code == "command.repeated"
        assert CommandJournal(tmp_path / "commands.json").unfinished() == [(bytes(16), "restart", True)]

    def test_one_is_forgotten_only_when_it_cannot_be_repeated_any_more(self, tmp_path: Path) -> None:
        journal = CommandJournal(tmp_path / "commands.json")
        journal.accept(b"a" * 16, "identify", now=NOW, ends_process=False)
        journal.end(b"a" * 16)
        journal.accept(b"b" * 16, "identify", now=NOW + MAX_LIFETIME, ends_process=False)
        with pytest.raises(RenzhengError):
            journal.accept(b"a" * 16, "identify", now=NOW + MAX_LIFETIME, ends_process=False)
        journal.accept(b"c" * 16, "identify", now=NOW + 3 * MAX_LIFETIME, ends_process=False)
        assert journal.unfinished() == [(b"c" * 16, "identify", False)]

    def test_one_that_was_forgotten_does_not_come_back_with_the_time_of_then(self, tmp_path: Path) -> None:
        journal = CommandJournal(tmp_path / "commands.json")
        journal.accept(b"a" * 16, "restart", now=NOW, ends_process=False)
        journal.accept(b"b" * 16, "restart", now=NOW + 3 * MAX_LIFETIME, ends_process=False)
        for each in (journal, CommandJournal(tmp_path / "commands.json")):
            with pytest.raises(RenzhengError) as error:
                each.accept(b"a" * 16, "restart", now=NOW + MAX_LIFETIME, ends_process=False)
            assert error.value.code == "command.stale"
        journal.accept(b"c" * 16, "restart", now=NOW + 3 * MAX_LIFETIME - 10, ends_process=False)

    def test_a_flood_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_module, "_MOST", 2)
        journal = CommandJournal(tmp_path / "commands.json")
        for number in range(2):
            journal.accept(bytes([number]) * 16, "identify", now=NOW, ends_process=False)
        with pytest.raises(RenzhengError) as error:
            journal.accept(b"x" * 16, "identify", now=NOW, ends_process=False)
        assert error.value.code == "command.too_many"

    def test_after_damage_nothing_is_accepted_until_nothing_old_can_be_repeated(self, tmp_path: Path) -> None:
        path = tmp_path / "commands.json"
        CommandJournal(path).accept(b"a" * 16, "restart", now=NOW, ends_process=True)
        path.write_text("{")
        for later, journal in ((0, CommandJournal(path)), (MAX_LIFETIME - 1, CommandJournal(path))):
            with pytest.raises(RenzhengError) as error:
                journal.accept(b"a" * 16, "restart", now=NOW + later, ends_process=True)
            assert error.value.code == "command.journal"
            assert journal.unfinished() == []
        CommandJournal(path).accept(b"b" * 16, "restart", now=NOW + 3 * MAX_LIFETIME, ends_process=True)


async def test_an_end_that_cannot_be_told_yet_keeps_nobody_from_being_served(tmp_path: Path) -> None:
    path, done = tmp_path / "commands.json", asyncio.Event()
    CommandJournal(path).accept(bytes(16), "restart", now=NOW, ends_process=True)

    async def identify(_order: Order) -> bytes:
        done.set()
        return b""

    anna, registry = ec.generate_private_key(ec.SECP256R1()), Registry()
    registry.add(Action("identify", Role.OBSERVER, identify))
    people = {thumbprint(anna.public_key()): Operator("anna", Role.OBSERVER, anna.public_key(), None)}
    link = MqttLink(client_id="lobby", brokers=["mqtts://localhost"], tls=Tls(tmp_path, tmp_path, tmp_path))
    full = Outbox(tmp_path / "outbox.db", bytes(32), Limits(rows=0))
    server = CommandServer(link, full, people, registry, CommandJournal(path), terminal="lobby", clock=lambda: NOW)
    order = Command(
        issued_at=NOW, command_id=b"a" * 16, terminal="lobby", name="identify", expires_at=NOW + MAX_LIFETIME
    )
    server.take(Incoming("", commands.sign(order, SoftwareSigner(anna)), False, b"", ""))
    life = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(5):
            await asyncio.wait({life, asyncio.create_task(done.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert done.is_set()
    finally:
        life.cancel()
        await asyncio.wait({life})
        await full.close()
    assert (bytes(16), "restart", True) in CommandJournal(path).unfinished()
