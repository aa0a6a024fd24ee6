"""What a command cannot use is said in one message with its cause, never as a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_bridge.simulator.pki import IssuingState

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


#: What the commands load is loaded before the rights go: the interpreter may lie where nobody can read it.
AS_NOBODY = f"""
import os
import agent.cli.audit, agent.cli.config, agent.cli.main, agent.cli.provision
import agent.provisioning.provision
from agent.failures import catalogue
catalogue()
os.setgroups([]); os.setegid(65534); os.seteuid(65534)
{START}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
@pytest.mark.parametrize("command", [["config", "show"], ["audit", "show"], ["provision"]])
def test_who_has_no_rights_is_told_to_use_sudo(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "renzheng.toml").touch(0o600)
    arguments = [*command, "--settings", str(tmp_path / "renzheng.toml")]
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "renzheng.toml: Permission denied" in done.stderr
    assert "remedy: run it with sudo" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_root_imports_with_a_tight_mask_is_for_the_service_to_read(tmp_path: Path) -> None:
    anchor = IssuingState.create("UT").write_trust(tmp_path / "brought")
    command = f"import os; os.umask(0o077)\n{START}"
    arguments = ["trust", "import", str(anchor), "--folder", str(tmp_path / "trust")]
    subprocess.run([sys.executable, "-c", command, *arguments], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "trust").stat().st_mode & 0o777 == 0o755
    assert [file.stat().st_mode & 0o777 for file in (tmp_path / "trust").iterdir()] == [0o644]
