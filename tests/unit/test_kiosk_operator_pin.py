"""`renzheng operator-pin` writes a hash that opens the page, and never the PIN."""

from pathlib import Path

from click.testing import CliRunner

from agent.cli.operator_pin import operator_pin
from agent.kiosk.pin import pin_matches


def test_the_file_opens_for_the_pin_that_was_given(tmp_path: Path) -> None:
    file = tmp_path / "operator-pin"
    result = CliRunner().invoke(operator_pin, ["--output", str(file)], input="40711953\n40711953\n")
    assert result.exit_code == 0, result.output
    assert pin_matches("40711953", file.read_text("ascii"))
    assert "40711953" not in result.output + file.read_text("ascii")
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_pin_of_other_length_is_asked_for_again(tmp_path: Path) -> None:
    file = tmp_path / "operator-pin"
    typed = "1234\n1234\n40711953\n40711953\n"
    result = CliRunner().invoke(operator_pin, ["--output", str(file)], input=typed)
    assert result.exit_code == 0, result.output
    assert "eight digits" in result.output
    assert pin_matches("40711953", file.read_text("ascii"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "absent" / "operator-pin"
    result = CliRunner().invoke(operator_pin, ["--output", str(file)], input="40711953\n40711953\n")
    assert result.exit_code == 1
    assert str(file) in result.output
