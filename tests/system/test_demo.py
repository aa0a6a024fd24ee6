"""`renzheng demo` shows what it promises, says so in its exit status, and leaves nothing behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from firmware_bridge.simulator.stack import missing

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
    pytest.mark.timeout(300),
]

DEMO = [sys.executable, "-m", "agent", "demo"]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demonstration keeps its files: nothing may be left there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("scratch")
def test_every_scenario_ends_as_expected() -> None:
    run = subprocess.run([*DEMO, "--json"], capture_output=True, text=True, timeout=240, check=False)
    report = json.loads(run.stdout)
    wrong = {row["scenario"]: row["seen"] for row in report["scenarios"] if not row["agrees"]}
    assert not wrong
    assert run.returncode == 0, run.stderr
    assert len(report["scenarios"]) == 7
    assert all(row["phases"] for row in report["scenarios"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_takes_everything_with_it(number: signal.Signals, scratch: Path) -> None:
    # A shell starts its background jobs with SIGINT ignored, and so would the demonstration be.
    command = ["env", "--default-signal=INT", *DEMO]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as demo:
        process, end = psutil.Process(demo.pid), monotonic() + 60
        while monotonic() < end and not list(scratch.glob("*/issuer.log")):
            sleep(0.05)
        started = process.children(recursive=True)
        assert any("mosquitto" in child.name() for child in started)
        demo.send_signal(number)
        assert demo.wait(30) == 130
    _gone, alive = psutil.wait_procs(started, timeout=5)
    assert not alive


def test_without_root_it_says_what_to_do() -> None:
    # The interpreter may lie where only root reads: it is loaded first, then the rights are dropped.
    script = (
        "import os, sys; from agent.cli import demo, main; import agent.demo.play; os.seteuid(65534);"
        "sys.argv = ['renzheng', 'demo']; main.main()"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "run it with sudo" in run.stderr
