"""Controls of a Video4Linux camera, asked of the driver: allowed beside a program that streams (V4L2 API, controls)."""

import fcntl
import os
import struct
from collections.abc import Mapping
from pathlib import Path

#: VIDIOC_QUERYCTRL and VIDIOC_G_CTRL: _IOWR('V', 36, 68 bytes), _IOWR('V', 27, 8 bytes).
_QUERY, _GET = 0xC0445624, 0xC008561B
_QUERY_SIZE, _NAME_SIZE = 68, 32
_DISABLED = 0x0001
#: Names of ours for control ids of videodev2.h and v4l2-controls.h.
CONTROLS = {
    "auto-exposure": 0x009A0901,
    "exposure": 0x009A0902,
    "auto-focus": 0x009A090C,
    "gain": 0x00980913,
    "auto-gain": 0x00980912,
}
#: Values of V4L2_CID_EXPOSURE_AUTO that leave nothing to the camera.
MANUAL = 1


def read(device: Path) -> Mapping[str, int]:
    """The value of each control that the camera has, by our name for it; empty when it has none of them.

    Raises:
        OSError: the device cannot be opened.
    """
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = {name: _value(descriptor, number) for name, number in CONTROLS.items()}
    finally:
        os.close(descriptor)
    return {name: value for name, value in found.items() if value is not None}


def _value(descriptor: int, number: int) -> int | None:
    query = bytearray(_QUERY_SIZE)
    struct.pack_into("=I", query, 0, number)
    try:
        fcntl.ioctl(descriptor, _QUERY, query)
        # struct v4l2_queryctrl: id, type, name[32], minimum, maximum, step, default, flags, reserved[2].
        (flags,) = struct.unpack_from("=I", query, 8 + _NAME_SIZE + 16)
        if flags & _DISABLED:
            return None
        control = bytearray(struct.pack("=Ii", number, 0))
        fcntl.ioctl(descriptor, _GET, control)
    except OSError:
        return None
    return int(struct.unpack("=Ii", control)[1])
