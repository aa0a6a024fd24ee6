"""`renzheng trust`: what is taken, what is refused, what is shown."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli.trust import trust
from firmware_bridge.emrtd.trust import TrustStore
from tests.protocol.openssl_state import OpensslState
from tests.protocol.test_bridge_passive import GROUPS, P256, judge, master_list, revoke

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> OpensslState:
    return OpensslState(tmp_path_factory.mktemp("state"), P256)


def run(command: str, folder: Path, *arguments: str | Path) -> tuple[int, Any]:
    outcome = CliRunner().invoke(trust, [command, *map(str, arguments), "--folder", str(folder), "--json"])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome.exit_code, json.loads(outcome.stdout)


def test_an_imported_state_is_believed_and_listed(state: OpensslState, tmp_path: Path) -> None:
    status, results = run("import", tmp_path / "trust", state.csca)
    assert (status, results[0]["new"]) == (0, 1)
    assert judge(state, state.security_object(GROUPS), trust=tmp_path / "trust").passed
    assert run("import", tmp_path / "trust", state.csca)[1][0]["known"] == 1
    _status, listed = run("list", tmp_path / "trust")
    assert [(entry["role"], entry["country"], entry["expired"]) for entry in listed["entries"]] == [
        ("csca", "UT", False)
    ]


def test_a_master_list_is_unpacked(state: OpensslState, tmp_path: Path) -> None:
    assert run("import", tmp_path / "trust", master_list(state, tmp_path))[0] == 0
    assert len(TrustStore.load(tmp_path / "trust").certificates) == 1


def test_a_revocation_list_needs_its_issuer_and_comes_after_it(state: OpensslState, tmp_path: Path) -> None:
    revoke(state, tmp_path)
    status, results = run("import", tmp_path / "trust", tmp_path / "list.crl")
    assert status == 1
    assert "no known CSCA signed" in results[0]["refused"][0]
    assert run("import", tmp_path / "trust", tmp_path / "list.crl", state.csca)[0] == 0
    assert not judge(state, state.security_object(GROUPS), trust=tmp_path / "trust").passed
    assert [entry["role"] for entry in run("list", tmp_path / "trust")[1]["entries"]] == ["csca", "crl"]


def test_junk_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "junk.cer").write_bytes(b"\x30\x82\xff\xff" + bytes(100))
    status, results = run("import", tmp_path / "trust", tmp_path / "junk.cer")
    assert status == 1
    assert results[0]["refused"] == ["no certificate, revocation list or master list"]
    assert not (tmp_path / "trust").exists()


def test_people_get_a_table(state: OpensslState, tmp_path: Path) -> None:
    run("import", tmp_path / "trust", state.csca)
    outcome = CliRunner().invoke(trust, ["list", "--folder", str(tmp_path / "trust")])
    assert outcome.exit_code == 0
    assert "csca" in outcome.stdout
