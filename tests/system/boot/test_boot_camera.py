"""The real picamera2 on the real libcamera, in the unit's sandbox on Debian 13, feeds camera source and models."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.system.boot.conftest import ROOTS
from tests.system.boot.machine import machine
from tests.system.boot.site import PORTRAITS

HERE = Path(__file__).parent
CAMERA = """
"Terminal":
  supported_formats:
  - width: 640
    height: 480
    frame_rates: [30]
  frames:
    path: "/srv/frames/"
  location: "CameraLocationFront"
  model: "virtual"
"""
#: The agent's own unit, all of its sandbox included, around the script instead of the agent.
INSTEAD = """
[Unit]
ConditionPathExists=
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/python3 /srv/virtual_camera.py
WorkingDirectory=/srv
Environment=PYTHONPATH=/opt/renzheng/lib/python3.13:/opt/renzheng/lib/common:/srv/picamera
"""


def letterboxed(path: Path) -> NDArray[np.uint8]:
    """A portrait in the middle of a frame of 640 x 480."""
    portrait = cv2.imread(str(path))
    assert portrait is not None
    scale = min(640 / portrait.shape[1], 480 / portrait.shape[0])
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), 120, np.uint8)
    left, top = (640 - small.shape[1]) // 2, (480 - small.shape[0]) // 2
    frame[top : top + small.shape[0], left : left + small.shape[1]] = small
    return frame


def test_picamera2_on_the_virtual_pipeline_delivers_frames_with_faces(
    release: str, installed: tuple[Path, ...], tmp_path: Path
) -> None:
    if release != "trixie":
        pytest.skip("Debian 12's libcamera has neither the virtual pipeline nor the interface that picamera2 needs")
    with machine(ROOTS / "run/camera", *installed) as made:
        pipeline = made.root / "usr/share/libcamera/pipeline/virtual"
        frames = made.root / "srv/frames"
        for folder in (pipeline, frames):
            folder.mkdir(parents=True)
        (pipeline / "virtual.yaml").write_text(CAMERA)
        for number in range(4):
            cv2.imwrite(str(frames / f"{number}.jpg"), letterboxed(PORTRAITS / "holder-live.jpg"))
        shutil.copytree(ROOTS / "picamera", made.root / "srv/picamera")
        shutil.copy(HERE / "inside/virtual_camera.py", made.root / "srv")
        units = made.root / "etc/systemd/system"
        shutil.copy(made.root / "lib/systemd/system/renzheng.service", units / "camera.service")
        (units / "camera.service.d").mkdir()
        (units / "camera.service.d/instead.conf").write_text(INSTEAD)
        made.boot("--private-network")
        made.shell("systemctl start camera", timeout=120)
        said = made.shell("journalctl -u camera --no-pager -o cat").stdout
        shown = [line for line in said.splitlines() if line.startswith("{")]
        assert shown, said[-1600:]
        seen = json.loads(shown[0])
    assert seen["size"] == [640, 480]
    assert seen["sequence"] == list(range(1, 13))
    assert seen["faces"] == seen["frames"] == 13
    assert seen["picamera2"].startswith("/srv/picamera/")
    # The system's would be built for the system's numpy, and would not load beside ours.
    assert seen["simplejpeg"].startswith("/opt/renzheng/")
