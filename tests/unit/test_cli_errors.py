"""What a command cannot use is said in one message with its cause, never as a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

START = "from agent.cli.main import main; main()"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["provision", "--request", "absent/request", "--state", "state"], "absent/request: No such file"),
        (["simulate", "id-card", "absent/samv", "--for", "1"], "absent/samv: No such file"),
        (["audit", "show", "--folder", "absent"], "absent is not there"),
        (["audit", "show", "--folder", "odd"], "audit-0000000001.jsonl:1 is not a record"),
    ],
)
def test_a_path_that_cannot_be_used_is_named(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/audit-0000000001.jsonl").write_text("{}\n")
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
