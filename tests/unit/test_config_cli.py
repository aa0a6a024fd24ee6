"""`renzheng config` from a new authority key to a difference, a history and the way back."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli.config import config
from agent.configuration import signing
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store import open_store
from agent.failures import RenzhengError
from tests.unit.config_world import OWN


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "renzheng.toml"
    path.write_text(OWN, "utf-8")
    (tmp_path / "identity" / "trust").mkdir(parents=True)
    return path


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(config, [str(argument) for argument in arguments])
    if isinstance(result.exception, RenzhengError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def signed(own: Path, text: str, number: int = 4) -> Path:
    key = own.with_name("authority.key")
    if not key.exists():
        call("keygen", key)
        key.with_suffix(".pub.pem").rename(own.parent / "identity" / "trust" / signing.AUTHORITY)
    path = own.with_name(f"change-{number}.toml")
    path.write_text(text, "utf-8")
    call("sign", path, "--key", key, "--number", number, "--target", "group:lobby")
    return path.with_suffix(".cose")


def commit(own: Path, document: Path) -> None:
    async def nothing(*_: object) -> None:
        return None

    store = open_store(own)
    revision = store.keep(signing.open_document(document.read_bytes(), store.authority))
    asyncio.run(Trial(store.journal, Acts(nothing, nothing, nothing)).start(revision))


def test_a_document_is_checked_and_compared_before_it_is_sent(own: Path) -> None:
    document = signed(own, "[deadlines]\nface = 12.0\n")
    assert "not in that group: it would be refused" in call("check", "--settings", own, document).output
    own.write_text(own.read_text().replace('state = "state"', 'state = "state"\ngroups = ["lobby"]'))
    assert call("check", "--settings", own, document).output.endswith("good, number 4 for group:lobby\n")
    changes = json.loads(call("diff", "--settings", own, "--json", document).output)
    assert changes == [{"setting": "deadlines.face", "from": 45.0, "to": 12.0}]


def test_a_wrong_setting_is_found_on_the_terminal(own: Path) -> None:
    document = signed(own, "[deadlines]\nface = 0.0\n")
    with pytest.raises(RenzhengError, match=r"deadlines\.face"):
        call("check", "--settings", own, document)


def test_show_history_and_the_way_back(own: Path) -> None:
    commit(own, signed(own, "[deadlines]\nface = 12.0\n", 4))
    commit(own, signed(own, "[deadlines]\nface = 13.0\n", 5))
    shown = json.loads(call("show", "--settings", own, "--json").output)
    assert (shown["number"], shown["settings"]["deadlines"]["face"]) == (5, 13.0)
    call("roll-back", "--settings", own, "--yes")
    shown = json.loads(call("show", "--settings", own, "--json").output)
    assert (shown["number"], shown["settings"]["deadlines"]["face"]) == (4, 12.0)
    told = json.loads(call("history", "--settings", own, "--json").output)
    assert [(step["revision"]["number"], step["state"]) for step in told["history"]] == [
        (4, "committed"),
        (5, "committed"),
        (5, "rolled_back"),
    ]
    assert "not newer than 5" in call("check", "--settings", own, own.with_name("change-5.cose")).output


def test_the_private_key_is_for_its_owner_and_never_overwritten(own: Path) -> None:
    key = own.with_name("a.key")
    call("keygen", key)
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(RenzhengError):
        call("keygen", key)
