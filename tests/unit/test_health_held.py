"""What is no input device, or is none that may be asked, holds nothing (a real key is held in `make test-arm64`)."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.self_test import self_test
from agent.health.held import DEVICES, held


def test_without_an_input_device_nothing_is_held(tmp_path: Path) -> None:
    assert not held(tmp_path / "none")


def test_what_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "event0").write_bytes(b"\xff" * 96)
    (tmp_path / "event1").symlink_to("/dev/null")
    (tmp_path / "event2").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "mouse0")
    assert not held(tmp_path)


@pytest.mark.skipif(DEVICES.is_dir() and held(), reason="somebody leans on the keyboard")
def test_a_self_test_that_nobody_asked_for_does_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(self_test, ["--if-held", "--settings", str(tmp_path / "none.toml")])
    assert (done.exit_code, done.output) == (0, "")
