"""The start script brings the page up in Chromium under cage, as the unit does on a terminal."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.kiosk.stand import Stand

SCRIPT = Path(__file__).parents[3] / "systemd/renzheng-kiosk"
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


def test_the_page_opens_under_a_kiosk_compositor_once_the_agent_is_there(runtime: Path, tmp_path: Path) -> None:
    stand = Stand()
    stand.stop()
    tmp_path.chmod(0o755)
    script = runtime / "renzheng-kiosk"
    shutil.copy(SCRIPT, script)
    kiosk = subprocess.Popen(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", str(script)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(runtime),
            "XDG_RUNTIME_DIR": str(runtime),
            "RUNTIME_DIRECTORY": str(runtime),
            "WLR_BACKENDS": "headless",
            "WLR_RENDERER": "pixman",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "RENZHENG_KIOSK_PORT": str(stand.server.port),
            "RENZHENG_KIOSK_FLAGS": "--no-sandbox --disable-gpu",
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
