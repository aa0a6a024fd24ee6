"""What the board says about itself: temperature, power, memory, disk. Works on any Linux; more on a Raspberry Pi.

The sandbox hides most of /proc: everything here comes from /sys, from system calls, or from the firmware's mailbox.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

THERMAL = Path("/sys/class/thermal")
#: Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "vcgencmd"): now, and since boot (shifted by 16).
THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


def temperature(folder: Path = THERMAL) -> float | None:
    """The hottest thermal zone in °C; None where there is none."""
    found = []
    for zone in folder.glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text("ascii")) / 1000)
        except (OSError, ValueError):
            continue
    return max(found, default=None)


def throttling(command: str = "vcgencmd") -> tuple[list[str], list[str]] | None:
    """What limits the Raspberry Pi now, and what did since boot; None on other boards."""
    program = shutil.which(command)
    if program is None:
        return None
    try:
        answer = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", answer.stdout.strip())
    if found is None:
        return None
    bits = int(found.group(1), 16)
    now = [name for bit, name in THROTTLE_BITS.items() if bits >> bit & 1]
    since_boot = [name for bit, name in THROTTLE_BITS.items() if bits >> (bit + 16) & 1]
    return now, since_boot


def free_memory() -> tuple[float, float]:
    """Free and whole memory in MiB. Page cache does not count as free, so the first is a lower bound."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


def reclaimable_memory(meminfo: Path = Path("/proc/meminfo")) -> float:
    """MiB that the kernel could give to a new process (`MemAvailable`); what is unused where /proc is hidden."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text("ascii"), re.MULTILINE)
    except OSError:
        found = None
    return int(found.group(1)) / 1024 if found else free_memory()[0]


def free_disk(folder: Path) -> float:
    """MiB that an ordinary user may still write to the file system of `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize / 2**20


def measurements(state: Path) -> Mapping[str, float]:
    """All of it by name, for telemetry."""
    free, whole = free_memory()
    values = {"memory_free_mib": round(free, 1), "memory_mib": round(whole, 1)}
    if (celsius := temperature()) is not None:
        values["temperature_celsius"] = celsius
    if (limits := throttling()) is not None:
        values["throttled"] = float(bool(limits[0]))
    if state.is_dir():
        values["state_free_mib"] = round(free_disk(state), 1)
    return values
