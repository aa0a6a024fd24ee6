"""What hangs on this machine, as tables of the settings: readers by asking them, a camera by what the system lists.

Guesses are told as such. Whatever the issuer's site settings or the operator name is not looked for.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from firmware_bridge.errors import BridgeError

log = logging.getLogger(__name__)

Table = dict[str, object]
T = TypeVar("T")

#: USB bridges inside identity-card modules: CH34x, CP210x, FT232, PL2303 (systemd/renzheng.udev names the same).
BRIDGES = frozenset({0x1A86, 0x10C4, 0x0403, 0x067B})
VIDEO = Path("/sys/class/video4linux")
BOARD = Path("/proc/device-tree/model")


def readers() -> tuple[list[Table], list[str]]:
    """Tables for the readers that answer, and a line about each."""
    tables: list[Table] = []
    told: list[str] = []
    for name in _pcsc()[:1]:
        tables.append({"type": "pcsc"})
        told.append(f"PC/SC reader {name}")
    for port, number in _samv():
        tables.append({"type": "samv", "port": port})
        told.append(f"SAM-V module {number} at {port}")
    return tables, told


def camera() -> tuple[Table, str] | None:
    """The table of the camera that the system lists, and a line about it; None when there is none."""
    found = _picamera()
    if found:
        return {"type": "picamera2"}, f"Raspberry Pi camera {found}"
    devices = v4l2_devices()
    if not devices:
        return None
    device, name = devices[0]
    return {"type": "v4l2", "device": device}, f"{name} at {device}"


def likely_camera(board: Path = BOARD) -> Table:
    """What to write where no camera is seen yet: the kind that this board usually has."""
    raspberry = board.exists() and "Raspberry" in board.read_text("ascii", "replace")
    return {"type": "picamera2"} if raspberry else {"type": "v4l2"}


def v4l2_devices(folder: Path = VIDEO) -> list[tuple[str, str]]:
    """Device path and name of each camera; the second nodes of a camera (metadata) have another index."""
    found = []
    for entry in sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name)):
        try:
            first = (entry / "index").read_text("ascii").strip() == "0"
            name = (entry / "name").read_text("utf-8", "replace").strip()
        except OSError:
            continue
        if first:
            found.append((f"/dev/{entry.name}", name))
    return found


def _pcsc() -> list[str]:
    from firmware_bridge.pcsc import list_readers

    return _quietly(list_readers) or []


def _samv() -> list[tuple[str, str]]:
    """Ports behind which a SAM-V module says its number. Other devices get a frame that they do not understand."""
    from serial.tools import list_ports

    from firmware_bridge.samv.reader import SamvReader

    found = []
    for port in list_ports.comports():
        if port.vid not in BRIDGES or port.pid is None:
            continue
        spec = f"usb:{port.vid:04x}:{port.pid:04x}"
        reader = SamvReader("id-card", str(port.device))
        number = _quietly(reader.sam_id)
        reader.close()
        if number:
            found.append((spec, number))
    return found


def _picamera() -> str:
    try:
        from picamera2 import Picamera2
    except ImportError:
        return ""
    listed = _quietly(Picamera2.global_camera_info) or []
    return str(listed[0].get("Model", "")) if listed else ""


def _quietly(ask: Callable[[], T]) -> T | None:
    """What a probe says, None when the part behind it fails: provisioning goes on without it."""
    try:
        return ask()
    except (BridgeError, OSError, RuntimeError) as error:
        log.debug("a probe found nothing: %s", type(error).__name__)
        return None
