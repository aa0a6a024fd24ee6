"""`renzheng kiosk` brings the page up in Chromium under cage, as the unit does on a terminal."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent
from tests.system.kiosk.stand import Stand

CHECKOUT = Path(agent.__file__).parents[1]
NOBODY = 65534

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="cage refuses root, and only root can start it as somebody else"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("cage", "Xwayland", "chromium"))),
        reason="cage, xwayland or chromium is not installed",
    ),
]


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime folder that nobody may write, on a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="kiosk-", ignore_cleanup_errors=True) as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


def test_the_page_opens_under_a_kiosk_compositor_once_the_agent_is_there(runtime: Path) -> None:
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if subprocess.run([*become, sys.executable, "-c", "import agent.cli.kiosk"], cwd=CHECKOUT, check=False).returncode:
        pytest.skip("this checkout or its Python is closed to the user nobody, as whom cage would run")
    command = [sys.executable, "-c", "from agent.cli.kiosk import kiosk; kiosk()"]
    stand = Stand()
    stand.stop()
    kiosk = subprocess.Popen(
        [*become, *command, "--port", str(stand.server.port), "--flag=--no-sandbox", "--flag=--disable-gpu"],
        cwd=CHECKOUT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(runtime),
            "XDG_RUNTIME_DIR": str(runtime),
            "RUNTIME_DIRECTORY": str(runtime),
            "WLR_BACKENDS": "headless",
            "WLR_RENDERER": "pixman",
            "WLR_LIBINPUT_NO_DEVICES": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        time.sleep(1)
        assert kiosk.poll() is None, "it waits for the agent"
        stand.restart()
        deadline = time.monotonic() + 30
        while stand.server.pages == 0 and time.monotonic() < deadline:
            assert kiosk.poll() is None
            time.sleep(0.1)
        assert stand.server.pages == 1
    finally:
        os.killpg(kiosk.pid, signal.SIGKILL)
        kiosk.wait(10)
        stand.close()
