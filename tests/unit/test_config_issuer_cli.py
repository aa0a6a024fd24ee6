"""`renzheng-issuer config` and `command`: what they enter for a running issuer to carry, and what they refuse."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.wire import commands, configuration, topics
from agent.wire.commands import CommandResult
from agent.wire.configuration import ChangeReport, Fetch
from agent.wire.errors import WireError
from agent.wire.events import Event, EventBatch
from agent.wire.keys import SoftwareSigner
from issuer import certificates, config_outgoing, pki, store
from issuer.cli import main
from issuer.config_bundles import BundleFiles
from issuer.events import EventStore
from issuer.layout import Layout
from tests.unit.config_world import ConfigWorld


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    layout = pki.create(tmp_path / "issuer", "test-issuer")
    for name in ("lobby-1", "lobby-2"):
        pki.enroll(layout, name)
    return layout.root


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "change.cose"
    path.write_bytes(ConfigWorld(tmp_path / "world").signed(1))
    return path


def call(*arguments: object, fails: bool = False) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert (result.exit_code != 0) == fails, result.output
    return result


def carried(folder: Path) -> list[tuple[str, bytes, bool, int]]:
    """What a running issuer would publish now."""
    sent: list[tuple[str, bytes, bool, int]] = []

    def publish(topic: str, payload: bytes, retain: bool, expiry: int) -> bool:
        sent.append((topic, payload, retain, expiry))
        return True

    with store.opened(store.sqlite_url(Layout(folder).database)) as engine:
        config_outgoing.publish_waiting(engine, publish)
    return sent


@pytest.mark.parametrize("others", [0, 1], ids=["one worker", "two workers"])
def test_what_is_entered_while_its_predecessor_goes_out_is_published_last(folder: Path, others: int) -> None:
    told: list[bytes] = []
    with store.opened(store.sqlite_url(Layout(folder).database)) as engine:
        config_outgoing.enter(engine, topics.CONFIGURATION, ["lobby-1"], b"old")

        def other(_topic: str, payload: bytes, _retain: bool, _expiry: int) -> bool:
            told.append(payload)
            return True

        def slow(_topic: str, payload: bytes, _retain: bool, _expiry: int) -> bool:
            config_outgoing.enter(engine, topics.CONFIGURATION, ["lobby-1"], b"new")
            for _ in range(others):
                config_outgoing.publish_waiting(engine, other)
            told.append(payload)
            return True

        config_outgoing.publish_waiting(engine, slow)
        while config_outgoing.publish_waiting(engine, other):
            pass
    assert told == [*[b"new"] * others, b"old", b"new"]


def test_a_command_that_is_entered_while_two_workers_carry_another_is_not_lost(folder: Path) -> None:
    told: list[bytes] = []
    with store.opened(store.sqlite_url(Layout(folder).database)) as engine:
        config_outgoing.enter(engine, topics.COMMAND, ["lobby-1"], b"first")

        def fast(_topic: str, payload: bytes, _retain: bool, _expiry: int) -> bool:
            told.append(payload)
            return True

        def slow(_topic: str, payload: bytes, _retain: bool, _expiry: int) -> bool:
            config_outgoing.publish_waiting(engine, fast)
            config_outgoing.enter(engine, topics.COMMAND, ["lobby-1"], b"second")
            told.append(payload)
            return True

        config_outgoing.publish_waiting(engine, slow)
        config_outgoing.publish_waiting(engine, fast)
    assert told == [b"first", b"first", b"second"]


def happened(folder: Path, kind: str, payload: bytes) -> None:
    event = Event(event_id=hashlib.sha256(payload).digest()[:16], kind=kind, priority=2, created_at=0, payload=payload)
    batch = EventBatch(audience="test-issuer", terminal="lobby-1", events=(event,))
    with store.opened(store.sqlite_url(Layout(folder).database)) as engine:
        EventStore(engine).add(batch, int(time.time()))


def test_a_document_is_carried_once_and_the_newest_takes_the_place_of_what_waits(folder: Path, document: Path) -> None:
    call("config", "publish", folder, document, "lobby-1")
    newer = document.with_name("newer.cose")
    newer.write_bytes(b"a newer one")
    call("config", "publish", folder, newer, "--all")
    names = [topics.CONFIGURATION.of(name) for name in ("lobby-1", "lobby-2")]
    assert carried(folder) == [(name, b"a newer one", True, 0) for name in names]
    assert carried(folder) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("lobby-9",), "not enrolled: lobby-9"), ((), "--all"), (("lobby-1", "--all"), "--all")],
)
def test_an_order_that_cannot_be_meant_is_refused(
    folder: Path, document: Path, arguments: tuple[str, ...], told: str
) -> None:
    assert told in call("config", "publish", folder, document, *arguments, fails=True).output
    assert carried(folder) == []


def test_what_terminals_said_is_shown_newest_only(folder: Path) -> None:
    said: dict[str, Any] = {"subject": "configuration", "digest": bytes(32), "active": 0}
    for number, state in ((1, "committed"), (2, "rolled_back")):
        report = ChangeReport.model_validate({**said, "number": number, "state": state})
        happened(folder, configuration.REPORT, report.encode())
    (row,) = json.loads(call("config", "status", folder, "--json").output)
    assert (row["terminal"], row["number"], row["state"]) == ("lobby-1", 2, "rolled_back")
    assert "lobby-1" in call("config", "status", folder).output


def test_the_files_of_a_bundle_are_handed_out_to_who_asks_for_himself(folder: Path, tmp_path: Path) -> None:
    files = tmp_path / "models"
    files.mkdir()
    (files / "embed.tflite").write_bytes(bytes(100_000))
    manifest = tmp_path / "models.cose"
    manifest.write_bytes(b"signed by the authority")
    call("config", "publish-bundle", folder, manifest, "lobby-1", "--files", files)
    assert [(topic, retain) for topic, _payload, retain, _life in carried(folder)] == [
        (topics.BUNDLE.of("lobby-1"), True)
    ]
    digest = hashlib.sha256(bytes(100_000)).digest()
    held = BundleFiles(folder)
    sizes = []
    for offset in (0, 65_536, 100_000, 10**9):
        question = Fetch(terminal="lobby-1", sha256=digest, offset=offset).encode()
        answer = configuration.Chunk.decode(held.take("lobby-1", question), limit=configuration.CHUNK_LIMIT)
        sizes.append(len(answer.data))
    assert sizes == [65_536, 34_464, 0, 0]
    for terminal, sha256 in (("lobby-2", digest), ("lobby-1", bytes(32))):
        with pytest.raises(WireError):
            held.take(terminal, Fetch(terminal="lobby-1", sha256=sha256, offset=0).encode())


class TestCommands:
    def test_an_order_is_signed_and_expires_at_the_broker(self, folder: Path, tmp_path: Path) -> None:
        call("command", "keygen", tmp_path / "anna")
        call("command", "send", folder, "lobby-1", "identify", "--key", tmp_path / "anna.key", "--lifetime", 30)
        ((topic, payload, retain, life),) = carried(folder)
        key = SoftwareSigner(certificates.load_key(tmp_path / "anna.key")).public_key
        order = commands.read(payload, key, terminal="lobby-1")
        assert (topic, retain, order.name) == (topics.COMMAND.of("lobby-1"), False, "identify")
        assert 25 <= life <= order.expires_at - order.issued_at == 30

    def test_one_that_nobody_could_carry_in_time_is_dropped(self, folder: Path) -> None:
        with store.opened(store.sqlite_url(Layout(folder).database)) as engine:
            config_outgoing.enter(engine, topics.COMMAND, ["lobby-1"], b"late", expires_at=int(time.time()) - 1)
        assert carried(folder) == []

    def test_a_failure_is_the_exit_status(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        identifier = b"c" * 16
        monkeypatch.setattr("secrets.token_bytes", lambda _size: identifier)
        refused = CommandResult(
            command_id=identifier, name="roll-back", outcome="refused", reason="command.not_authorised"
        )
        happened(folder, commands.RESULT, refused.encode())
        call("command", "keygen", tmp_path / "anna")
        order = ("command", "send", folder, "lobby-1", "roll-back", "--key", tmp_path / "anna.key", "--wait", 2)
        assert "refused: command.not_authorised" in call(*order, fails=True).output

    def test_silence_is_told(self, folder: Path, tmp_path: Path) -> None:
        call("command", "keygen", tmp_path / "anna")
        order = ("command", "send", folder, "lobby-1", "identify", "--key", tmp_path / "anna.key", "--wait", 0.5)
        assert "is it connected?" in call(*order, fails=True).output

    def test_a_key_is_never_overwritten(self, tmp_path: Path) -> None:
        call("command", "keygen", tmp_path / "anna")
        assert "there already" in call("command", "keygen", tmp_path / "anna", fails=True).output
