"""Whether somebody holds a key, a button or a finger on the screen: asked of the kernel (linux/input.h).

A button on a GPIO pin is one of them once the board's settings make it an input (`dtoverlay=gpio-key`).
"""

import fcntl
import time
from pathlib import Path

DEVICES = Path("/dev/input")
#: KEY_CNT bits (linux/input-event-codes.h): keys, buttons and the touch of a touch screen.
_BYTES = 0x300 // 8
#: _IOR('E', 0x18, _BYTES): the state of all of a device's keys now.
_EVIOCGKEY = 2 << 30 | _BYTES << 16 | ord("E") << 8 | 0x18


def held(devices: Path = DEVICES) -> bool:
    """Whether anything is pressed at this moment. A device that cannot be asked holds nothing."""
    return any(_pressed(device) for device in sorted(devices.glob("event*")))


def wait_for_release(seconds: float) -> None:
    """Return when everything is let go, or after `seconds`: a key may be stuck."""
    end = time.monotonic() + seconds
    while held() and time.monotonic() < end:
        time.sleep(0.1)


def _pressed(device: Path) -> bool:
    state = bytearray(_BYTES)
    try:
        with device.open("rb", buffering=0) as file:
            fcntl.ioctl(file, _EVIOCGKEY, state)
    except OSError:
        return False
    return any(state)
