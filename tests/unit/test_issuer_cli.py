"""The issuer's command line: what an operator can get wrong is told in one line, and nothing is made of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from issuer.cli import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli") / "issuer"
    assert run("init", made, "--name", "test-issuer").exit_code == 0
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("code", "lobby-1"),
        ("revoke", "lobby-1"),
        ("evidence", "00", "-o", "record"),
        ("run", "--broker", "mqtts://127.0.0.1:1"),
    ],
)
def test_a_folder_without_an_issuer_is_told_and_stays_as_it_was(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    result = run(command, tmp_path, *rest)
    assert result.exit_code == 1
    assert "renzheng-issuer init" in result.output
    assert list(tmp_path.iterdir()) == []


def test_an_issuer_is_not_made_twice(folder: Path) -> None:
    result = run("init", folder, "--name", "other")
    assert (result.exit_code, "already" in result.output) == (1, True)


def test_a_terminal_is_not_enrolled_twice(folder: Path) -> None:
    assert run("enroll", folder, "lobby-1").exit_code == 0
    result = run("enroll", folder, "lobby-1")
    assert (result.exit_code, "already" in result.output) == (1, True)


def test_a_terminal_that_is_not_there_cannot_be_revoked(folder: Path) -> None:
    assert run("revoke", folder, "nobody").exit_code == 1


def test_a_request_without_a_decision_has_no_record(folder: Path, tmp_path: Path) -> None:
    result = run("evidence", folder, "00", "-o", tmp_path / "record")
    assert (result.exit_code, "no decision" in result.output) == (1, True)
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize(
    ("line", "wrong", "named"),
    [
        ("max_fmr = 1e-4", "max_fmr = 2", "max_fmr"),
        ("store = []", 'store = ["shoe_size"]', "shoe_size"),
        ("epoch_interval = 5", "epoch_interval = 0", "epoch_interval"),
        ("store = []", "store = []\nnonsense = 1", "nonsense"),
    ],
)
def test_a_wrong_policy_names_the_key(tmp_path: Path, line: str, wrong: str, named: str) -> None:
    root = tmp_path / "issuer"
    run("init", root, "--name", "test-issuer")
    path = root / "issuer.toml"
    text = path.read_text("utf-8")
    assert line in text
    path.write_text(text.replace(line, wrong), "utf-8")
    result = run("run", root, "--broker", "mqtts://127.0.0.1:1")
    assert result.exit_code == 1
    assert named in result.output


@pytest.mark.parametrize("url", ["http://127.0.0.1", "mqtts://", "mqtts://h:99999", "mqtts://[::1", "mqtts://a..b"])
def test_a_url_that_is_not_a_brokers_is_told(folder: Path, url: str) -> None:
    result = run("run", folder, "--broker", url)
    assert (result.exit_code, "not a broker URL" in result.output) == (1, True)


@pytest.mark.parametrize("url", ["nonsense", "nosuch://example/issuer"])
def test_a_url_that_is_no_databases_is_told(folder: Path, url: str) -> None:
    result = run("show", folder, "--database", url)
    assert (result.exit_code, "the database's URL cannot be used" in result.output) == (1, True)
