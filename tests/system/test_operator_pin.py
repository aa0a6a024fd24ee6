"""The PIN's file that root makes is the service's to read, and nobody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of its own needs root")]

PROGRAM = """
import sys
from click.testing import CliRunner
from agent.cli.operator_pin import operator_pin
done = CliRunner().invoke(operator_pin, ["--output", sys.argv[1]], input="40711953\\n40711953\\n")
sys.exit(done.exit_code)
"""


def test_the_service_can_read_it(tmp_path: Path) -> None:
    users = Path("/etc/passwd").read_text("utf-8")
    (tmp_path / "passwd").write_text(f"{users}renzheng:x:61234:61235::/var/lib/renzheng:/usr/sbin/nologin\n", "utf-8")
    script = f'mount --bind {tmp_path}/passwd /etc/passwd && exec "$0" -c "$1" "$2"'
    command = ["unshare", "--mount", "sh", "-c", script, sys.executable, PROGRAM, str(tmp_path / "pin")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    found = (tmp_path / "pin").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, 61235, 0o640)
