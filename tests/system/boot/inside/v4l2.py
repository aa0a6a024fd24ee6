# ruff: noqa: T201 - a script
"""Reads a real V4L2 device through the agent's source until it is unplugged; tells as JSON what it saw."""

import json
import subprocess
from itertools import pairwise
from time import monotonic

from agent.biometrics.camera.v4l2 import V4l2Source
from agent.biometrics.camera.watch import WatchedSource
from agent.biometrics.errors import CameraError
from agent.provisioning.hardware import v4l2_devices

FRAMES = 30


def refused(width: int, height: int) -> str:
    """The code with which a mode that the device has not is refused."""
    try:
        V4l2Source("/dev/video0", width, height).close()
    except CameraError as error:
        return str(error.code)
    return ""


found: dict[str, object] = {"devices": v4l2_devices()[:1], "refused": refused(352, 246)}
source = WatchedSource(V4l2Source("/dev/video0"))
frames = [source.read(3.0) for _ in range(FRAMES)]
found["shape"] = list(frames[-1].pixels.shape)
found["rising"] = all(a.timestamp < b.timestamp for a, b in pairwise(frames))
subprocess.run(["v4l2-ctl", "-d", "/dev/video0", "-c", "disconnect=1"], check=True)
start = monotonic()
try:
    while True:
        source.read(3.0)
except CameraError as error:
    found |= {"gone": str(error.code), "noticed": monotonic() - start}
source.close()
print(json.dumps(found))
