"""A wrong setting is named with its file, its key and what is allowed."""

from pathlib import Path

import pytest

from agent.configuration.load import load
from agent.failures import RenzhengError

GOOD = """
[terminal]
relying_party = "Grand Hotel"
[[readers]]
type = "pcsc"
[camera]
type = "v4l2"
[broker]
urls = ["mqtts://127.0.0.1:8883"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "renzheng.toml"
    path.write_text(text, "utf-8")
    return path


def test_relative_paths_start_from_the_settings_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD))
    assert settings.identity.folder == tmp_path / "identity"
    assert settings.documents.trust == tmp_path / "trust"
    assert settings.terminal.state == Path("/var/lib/renzheng")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[terminal]", "[terminal]\ncolour = 1"), "terminal.colour: no such setting"),
        (('type = "pcsc"', 'type = "usb"'), "readers.0: Input tag 'usb'"),
        (
            ('relying_party = "Grand Hotel"', 'relying_party = ""'),
            "terminal.relying_party: String should have at least",
        ),
        (("[camera]", "[faces]\ntarget_fmr = 2.0\n[camera]"), "faces.target_fmr: Input should be less than"),
        (("[terminal]", "[terminal"), "not TOML"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    path = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(RenzhengError) as error:
        load(path)
    assert error.value.code == "settings.invalid"
    assert str(path) in str(error.value)
    assert named in str(error.value)


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD))
    with pytest.raises(ValueError, match="frozen"):
        settings.terminal.purpose = "other"  # type: ignore[misc]  # the point of the test


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(RenzhengError, match="No such file"):
        load(tmp_path / "absent.toml")


def test_an_oversized_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenzhengError, match="larger than"):
        load(written(tmp_path, "# " + "x" * 300_000))
