"""The inside of a `CardStack`: runs in namespaces of its own, holds one pcscd, obeys lines on standard input.

Started by `stack`, never by hand. It ends, and pcscd with it, when it is told to or when its standard input closes:
whoever started it may die in any way and nothing is left behind, the folder included.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from firmware_bridge.simulator.vpcd import DEFAULT_PORT

#: Where Debian's pcscd puts its socket; bound over by the stack's own folder.
RUNTIME = Path("/run/pcscd")
START_SECONDS = 10.0
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 1
_LISTEN = "0A"


def loopback_up() -> None:
    """Bring the namespace's loopback interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(probe, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def _listening(ports: range) -> bool:
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN:
            found.add(int(fields[1].split(":")[1], 16))
    return found >= set(ports)


class Daemon:
    """One pcscd; `start` returns when its readers are there."""

    def __init__(self, folder: Path, command: list[str], slots: int) -> None:
        self._folder = folder
        self._command = command
        self._ports = range(DEFAULT_PORT, DEFAULT_PORT + slots)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it; an empty string, or what went wrong."""
        for stale in RUNTIME.glob("pcscd.*"):
            stale.unlink()
        with (self._folder / "pcscd.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return f"pcscd ended with {self._process.returncode}"
            if (RUNTIME / "pcscd.comm").exists() and _listening(self._ports):
                return ""
            time.sleep(0.01)
        return f"pcscd was not ready after {START_SECONDS:.0f} seconds"

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def main() -> int:
    """Serve one stack. Arguments: its folder, the number of slots, then pcscd's command line."""
    folder, slots, command = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    loopback_up()
    RUNTIME.mkdir(exist_ok=True)
    mount = shutil.which("mount") or "/usr/bin/mount"
    subprocess.run([mount, "--bind", str(folder), str(RUNTIME)], check=True)
    daemon = Daemon(folder, command, slots)
    told_to_quit = False
    try:
        _tell(daemon.start())
        for line in sys.stdin:
            match line.strip():
                case "stop":
                    daemon.stop()
                    _tell("")
                case "start":
                    _tell(daemon.start())
                case "quit":
                    told_to_quit = True
                    break
    finally:
        daemon.stop()
        if not told_to_quit:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _tell(problem: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), (f"error {problem}\n" if problem else "ready\n").encode())


if __name__ == "__main__":
    sys.exit(main())
