"""A Debian root that boots: overlay over a cached root, systemd-nspawn as the board, a kill as the power cut.

The container shares the network namespace of the test (which `make test-boot` makes for it: loopback only), so that
broker, issuer and cards can live outside, where they do in the field.
"""

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

BOOT_TIMEOUT = 40.0
#: Lets systemd inside attach a program to a unit's control group, which is what `IPAddressDeny` is.
FILTERS = ("--system-call-filter=bpf", "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON")


class Board(ABC):
    """What a test asks of a booted terminal, whatever it runs on."""

    @abstractmethod
    def shell(self, script: str, *, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside the booted machine as root."""

    @abstractmethod
    def put(self, source: Path, target: str) -> None:
        """Copy the content of the folder `source` into the machine's folder `target`."""

    def show(self, property_: str, unit: str = "renzheng") -> str:
        """A property of a unit."""
        return self.shell(f"systemctl show -P {property_} {unit}").stdout.strip()

    def inside(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script as root among the service's processes: what is refused then, the kernel refuses them."""
        group = f"$(findmnt -n -o TARGET -t cgroup2){self.show('ControlGroup')}"
        return self.shell(f"echo $$ >{group}/cgroup.procs && {script}")

    def reaches(self, address: str) -> str:
        """What becomes of a connection that the service makes to a server at `address`, on the board itself."""
        probe = (
            f"import socket; server = socket.create_server(('{address}', 0)); "
            "socket.create_connection(server.getsockname(), 1); print('connected')"
        )
        done = self.inside(f'python3 -c "{probe}"')
        return done.stdout.strip() or done.stderr

    def journal(self, *arguments: str) -> str:
        """The agent's journal."""
        return self.shell(f"journalctl -u renzheng --no-pager -o cat {' '.join(arguments)}").stdout


class Machine(Board):
    """One terminal. `boot` and `cut_power` may follow each other; the disk stays."""

    def __init__(self, root: Path, disk: Path, *lower: Path) -> None:
        """`root` is where it is mounted, `disk` holds what it writes, `lower` are read-only layers, topmost first."""
        self.root, self._disk, self._lower = root, disk, lower
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        upper, work = self._disk / "upper", self._disk / "work"
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True, exist_ok=True)
        layers = ":".join(str(layer) for layer in self._lower)
        # volatile: a power cut is simulated by killing processes, and syncing a whole overlay only takes time.
        options = f"lowerdir={layers},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=True)
        return self

    def __exit__(self, *_error: object) -> None:
        self.cut_power()
        subprocess.run(["umount", str(self.root)], check=True)

    def run_unbooted(self, *command: str, network: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the root without booting it (installing, upgrading)."""
        private = [] if network else ["--private-network"]
        return subprocess.run(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", *private, "-D", str(self.root),
             *command],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False,
        )  # fmt: skip

    def boot(self, *options: str) -> float:
        """Switch on and wait for the last target; returns the seconds that it took."""
        start = time.monotonic()
        self._process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--machine", "terminal",
             "--bind-ro=/dev/null:/etc/resolv.conf", *FILTERS, *options, "-D", str(self.root)],
            stdin=subprocess.DEVNULL, stdout=(self._disk / "console.log").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        until(lambda: self.shell("systemctl is-system-running").stdout.strip() in {"running", "degraded"}, BOOT_TIMEOUT)
        return time.monotonic() - start

    def cut_power(self) -> None:
        """Nothing is told, nothing is flushed by us: every process of the machine dies at once."""
        if self._process is None:
            return
        leader = self._leader()
        if leader:
            os.kill(leader, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None

    def shell(self, script: str, *, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """See `Board.shell`."""
        leader = self._leader()
        if not leader:
            return subprocess.CompletedProcess(script, 255, "", "not booted")
        return subprocess.run(
            ["nsenter", "--target", str(leader), "--mount", "--uts", "--ipc", "--pid", "--root", "--wd", "--",
             "/bin/sh", "-c", script],
            capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"},
        )  # fmt: skip

    def put(self, source: Path, target: str) -> None:
        """See `Board.put`."""
        there = self.root / target.lstrip("/")
        there.mkdir(parents=True, exist_ok=True)
        # cp leaves the modes of folders that are there alone.
        subprocess.run(["cp", "-r", f"{source}/.", there], check=True)

    def pid(self) -> int:
        """The agent's main process, as the host counts it; 0 when it does not run."""
        inside = self.show("MainPID")
        if inside in ("", "0"):
            return 0
        found = self.shell(f"grep -H NSpid /proc/{inside}/status").stdout
        return self._outer(int(inside)) if found else 0

    def _outer(self, inside: int) -> int:
        """The process id outside of the one that is `inside` within the container."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = status.read_text("ascii", "replace").splitlines()
            except OSError:
                continue
            ids = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
            if len(ids) == 2 and ids[1] == str(inside) and _same_tree(int(ids[0]), self._leader()):
                return int(ids[0])
        return 0

    def _leader(self) -> int:
        """systemd inside, as the host counts it."""
        if self._process is None or self._process.poll() is not None:
            return 0
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        try:
            return int((children.read_text("ascii").split() or ["0"])[0])
        except (OSError, ValueError):
            return 0


def _same_tree(pid: int, leader: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path(f"/proc/{leader}/ns/pid").readlink()
    except OSError:
        return False


def until(condition: Callable[[], object], timeout: float, pause: float = 0.1) -> float:
    """Wait until `condition` holds; the seconds that it took. Raises AssertionError after `timeout`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout, f"not within {timeout:g} s: {condition}"
        time.sleep(pause)
    return time.monotonic() - start


@contextmanager
def machine(folder: Path, *lower: Path) -> Iterator[Machine]:
    """A machine whose disk lies in `folder` and is thrown away at the end."""
    try:
        with Machine(folder / "root", folder / "disk", *lower) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
