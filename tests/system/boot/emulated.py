"""An arm64 board under qemu-system-aarch64: kernel, disk and systemd of a Debian root, nothing of the host's.

Without KVM every instruction is emulated, floating point worst: a face that a board embeds in 50 ms takes seconds. So
that the deadlines of the package hold unchanged, the board lives slowly instead: its generic timer ticks `slowness`
times slower than the device tree says, and all that the kernel and the package call a second takes that many of ours.

The way in is ssh, whose one connection also carries the ports: of the board's page and virtual reader to us, of our
broker to the board.
"""

import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.system.boot.machine import Board, until

SSH_PORT = 28022
MEMORY = "2G"
PROCESSORS = 2
DISK = 4 << 30
#: Ticks of the emulated timer a second of ours; the device tree tells the kernel `slowness` times as many.
TICKS = 10_000_000
#: Seconds of ours and of the board's that a boot may take.
OUR_BOOT, BOARD_BOOT = 600.0, 20.0
ADDRESS = "10.0.2.15"
NETWORK = f"[Match]\nName=en* eth*\n[Network]\nAddress={ADDRESS}/24\n"
#: A packet on the board's loopback is acknowledged at once (see conftest), and so are ours.
QUICK = f"""
for route in 127.0.0.0/8 127.0.0.1; do
  ip route change local $route dev lo proto kernel scope host src 127.0.0.1 table local quickack 1
done
ip route change 10.0.2.0/24 dev $(ls /sys/class/net | grep -v lo) proto kernel scope link src {ADDRESS} quickack 1
"""


def make_disk(root: Path, folder: Path) -> None:
    """Write what a board needs besides Debian into `root`, and `root` into the file `folder`/disk."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root / "root/.ssh/authorized_keys").write_bytes((folder / "key.pub").read_bytes())
    (root / "etc/systemd/network/wired.network").write_text(NETWORK)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    with (folder / "disk").open("wb") as disk:
        disk.truncate(DISK)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, folder / "disk"], check=True)


class EmulatedBoard(Board):
    """One board, its disk in `folder`. What it writes is forgotten when it is switched off."""

    def __init__(self, folder: Path, root: Path, *, slowness: int, ours: tuple[int, ...], its: tuple[int, ...]) -> None:
        """`root` holds the kernel; the board sees our ports `ours` on its loopback, and we see `its`."""
        self._folder, self._slowness = folder, slowness
        self._kernel, self._initrd = root / "vmlinuz", root / "initrd.img"
        self._control = folder / "ssh"
        self._forwards = [
            *(option for port in ours for option in ("-R", f"{port}:127.0.0.1:{port}")),
            *(option for port in its for option in ("-L", f"{port}:127.0.0.1:{port}")),
        ]
        self._emulator: subprocess.Popen[bytes] | None = None
        self._line: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.cut_power()

    def boot(self) -> float:
        """Switch on and wait for the last target; returns our seconds."""
        start = time.monotonic()
        board = ["qemu-system-aarch64", "-cpu", f"cortex-a72,cntfrq={TICKS}", "-smp", str(PROCESSORS), "-m", MEMORY,
                 "-nodefaults", "-display", "none"]  # fmt: skip
        tree = self._folder / "board.dtb"
        subprocess.run([*board, "-machine", f"virt,dumpdtb={tree}"], check=True, capture_output=True)
        frequency = str(TICKS * self._slowness)
        subprocess.run(["fdtput", "-t", "u", tree, "/timer", "clock-frequency", frequency], check=True)
        self._emulator = subprocess.Popen(
            [*board, "-machine", "virt", "-dtb", tree, "-serial", f"file:{self._folder / 'console.log'}", "-no-reboot",
             "-kernel", self._kernel, "-initrd", self._initrd, "-append", "console=ttyAMA0 root=/dev/vda rw",
             "-drive", f"file={self._folder / 'disk'},if=virtio,format=raw,cache=unsafe,snapshot=on",
             "-device", "virtio-keyboard-pci", "-qmp", f"unix:{self._folder / 'qmp'},server=on,wait=off",
             "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{SSH_PORT}-:22",
             "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._reached, OUR_BOOT + BOARD_BOOT * self._slowness, 1.0)
        return time.monotonic() - start

    def cut_power(self) -> None:
        """End the emulator and the line to it."""
        for process in (self._line, self._emulator):
            if process is not None:
                process.kill()
                process.wait()
        self._line = self._emulator = None
        self._control.unlink(missing_ok=True)

    def shell(self, script: str, *, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """See `Board.shell`; `timeout` is in the board's seconds."""
        return subprocess.run(
            [*self._ssh(), script], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
            timeout=60 + timeout * self._slowness,
        )  # fmt: skip

    def key(self, *, down: bool) -> None:
        """Press the space bar of the board's keyboard and keep it down, or let it go."""
        event = {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": "spc"}}}
        orders = [{"execute": "qmp_capabilities"}, {"execute": "input-send-event", "arguments": {"events": [event]}}]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.connect(str(self._folder / "qmp"))
            with line.makefile("rw") as control:
                for order in orders:
                    control.write(json.dumps(order) + "\n")
                    control.flush()
                    while "return" not in (answer := json.loads(control.readline())):
                        assert "error" not in answer, answer

    def put(self, source: Path, target: str) -> None:
        """See `Board.put`."""
        with subprocess.Popen(["tar", "-C", source, "-c", "."], stdout=subprocess.PIPE) as packed:
            unpack = f"mkdir -p {target} && tar -C {target} -x --no-same-owner --no-overwrite-dir"
            subprocess.run([*self._ssh(), unpack], stdin=packed.stdout, check=True)

    def _reached(self) -> bool:
        assert self._emulator is not None
        assert self._emulator.poll() is None, "the emulator ended; see its console"
        if self._line is None or self._line.poll() is not None:
            self._line = subprocess.Popen(
                [*self._ssh("-N", "-M", *self._forwards)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            with suppress(subprocess.TimeoutExpired):
                self._line.wait(10)
        if not self._control.exists():
            return False
        if self.shell("systemctl is-system-running").stdout.strip() not in {"running", "degraded"}:
            return False
        return self.shell(QUICK).returncode == 0

    def _ssh(self, *options: str) -> list[str]:
        return ["ssh", "-F", "none", "-S", str(self._control), "-i", str(self._folder / "key"), "-p", str(SSH_PORT),
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                "-o", "ExitOnForwardFailure=yes", *options, "root@127.0.0.1"]  # fmt: skip
