"""A name service that never answers costs the self-test its three seconds, and is named as what it is."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of its own needs root")]

PROGRAM = """
    import json, socket, ssl, time
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 53))
    from agent.health.checks.network import brokers
    context, start = ssl.create_default_context(), time.monotonic()
    found = brokers(["mqtts://broker.example:8883"], context)
    print(json.dumps([found.status, found.measured, found.code, time.monotonic() - start]))
"""


def test_a_silent_name_service_is_told_in_time(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    script = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && ip link set lo up && exec "$0" -c "$1"'
    command = ["unshare", "--net", "--mount", "sh", "-c", script, sys.executable, textwrap.dedent(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    status, measured, code, seconds = json.loads(done.stdout)
    # The resolver itself gives up after ten seconds or more.
    assert seconds < 8.0
    assert (status, code) == ("fail", "broker.unreachable")
    assert "no answer" in measured
