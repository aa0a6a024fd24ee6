"""The V4L2 camera on Debian's own kernel in an emulated machine: the driver is real (`vivid`), the sensor is not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system.boot.conftest import ROOTS
from tests.system.boot.machine import machine

HERE = Path(__file__).parent
KERNEL = ROOTS / "trixie.kernel"
QEMU = shutil.which("qemu-system-x86_64")
#: No acceleration: it is not everywhere, and where one machine lies in another it may not even start.
COMMAND = "-accel tcg,thread=multi -cpu max -m 2G -smp 2 -nographic -no-reboot -nic none"
SETTINGS = """
[terminal]
relying_party = "nobody"
state = "/tmp/state"
[camera]
type = "v4l2"
[broker]
urls = ["mqtts://127.0.0.1"]
"""

pytestmark = pytest.mark.skipif(
    not KERNEL.is_dir() or QEMU is None, reason="needs a root with a kernel, and QEMU: run `make test-v4l2`"
)


def booted(package: Path, folder: Path) -> list[dict[str, Any]]:
    """What the machine printed as JSON."""
    disk = folder / "disk.img"
    with machine(ROOTS / "run/v4l2", KERNEL) as made:
        shutil.copy(package, made.root / "var/renzheng.deb")
        done = made.run_unbooted("dpkg", "--force-unsafe-io", "-i", "/var/renzheng.deb")
        assert done.returncode == 0, done.stderr
        (made.root / "var/renzheng.deb").unlink()
        for name in ("v4l2.sh", "v4l2.py"):
            shutil.copy(HERE / "inside" / name, made.root / "srv")
        (made.root / "srv/v4l2.sh").chmod(0o755)
        (made.root / "srv/renzheng.toml").write_text(SETTINGS)
        subprocess.run(["truncate", "-s", "3G", disk], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", made.root, disk], check=True)
    boot = [next((KERNEL / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img")]
    seen = subprocess.run(
        [str(QEMU), *COMMAND.split(), "-kernel", boot[0], "-initrd", boot[1],
         "-drive", f"file={disk},if=virtio,format=raw",
         "-append", "root=/dev/vda rw console=ttyS0 quiet init=/srv/v4l2.sh"],
        capture_output=True, text=True, errors="replace", timeout=600, check=False, stdin=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    # The console shows more than what was printed to it.
    found = [line[line.index("{") :] for line in seen.splitlines() if "{" in line and line.rstrip().endswith("}")]
    assert len(found) == 3, seen[-3000:]
    return [json.loads(line) for line in found]


@pytest.mark.timeout(900)
def test_a_v4l2_camera_delivers_is_judged_and_is_missed_when_it_goes(package: Path, tmp_path: Path) -> None:
    first, by_hand, seen = booted(package, tmp_path)
    assert {check["id"]: check["status"] for check in first["checks"]} == {"camera": "pass", "exposure": "pass"}
    assert "auto-gain 1" in first["checks"][1]["measured"]
    assert "auto-gain 0" in by_hand["checks"][0]["measured"]
    assert seen["devices"] == [["/dev/video0", "vivid-000-vid-cap"]]
    assert seen["refused"] == "camera.format"
    assert seen["shape"] == [480, 640, 3]
    assert seen["rising"]
    assert seen["gone"] == "camera.gone"
    assert seen["noticed"] < 2
