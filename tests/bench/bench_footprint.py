"""What a terminal costs the machine, measured on the service as it runs: `python -m tests.bench.bench_footprint`.

As Greengrass nucleus lite does it: the proportional set size every ten seconds after a warm-up, and the median of it.
The agent is a process of its own, with its models loaded, its page, readers, a broker and an issuer. The camera shows
one still picture at fifteen frames a second, so that rendering a person costs nothing here: first nobody comes, then a
passport is laid on the reader and the face in the picture is looked at.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from agent.biometrics.simulator.portraits import SHIPPED
from agent.demo import stage
from agent.health.notify import Notifier
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.scanner import SimulatedScanner
from firmware_bridge.simulator.stack import CardStack
from tests.bench.soak import median, pss_mib

UNIT = Path(__file__).parents[2] / "systemd/renzheng.service"
WARM_UP = 20.0
SAMPLE = 10.0
#: Seconds before a picture that never changes is told from a person (`camera.frozen`): until then, a look every second.
VERIFYING = 6
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def written_bytes(pid: int) -> int:
    """Bytes that a process caused to be written to the disk (proc(5), io: write_bytes)."""
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def settings(folder: Path, built: stage.Stage, scanner: Path) -> Path:
    """A settings file for the service."""
    pictures = folder / "pictures"
    pictures.mkdir()
    shutil.copy(SHIPPED / "other.jpg", pictures)
    made = built.settings
    path = folder / "renzheng.toml"
    path.write_text(
        f'[terminal]\nrelying_party = "Bench"\nstate = "{folder / "state"}"\n'
        '[[readers]]\ntype = "pcsc"\nmatch = "Virtual PCD"\n'
        f'[[readers]]\ntype = "scanner"\nport = "{scanner}"\n'
        f'[camera]\ntype = "replay"\npath = "{pictures}"\n'
        f'[documents]\ntrust = "{folder / "trust"}"\n'
        f'[broker]\nurls = ["{made.broker.urls[0]}"]\n[identity]\nfolder = "{made.identity.folder}"\n'
        f"[kiosk]\nport = {stage.free_port()}\n"
    )
    return path


async def measure(seconds: float) -> dict[str, object]:
    """Run the service for a warm-up and `seconds` more, and look at it."""
    with (
        tempfile.TemporaryDirectory(prefix="renzheng-bench-") as name,
        CardStack() as cards,
        SimulatedScanner() as scanner,
    ):
        folder, state, person = Path(name), IssuingState.create(), Person()
        state.write_trust(folder / "trust")
        passport = personalise(person, (SHIPPED / "holder-chip.jpg").read_bytes(), state)

        @contextmanager
        def guest() -> Iterator[None]:
            with cards.card(PassportChip(passport)):
                scanner.scan(person.zone())
                yield

        async with stage.built(folder, folder / "trust", "standard") as built:
            return await asyncio.to_thread(watch, settings(folder, built, scanner.path), folder, seconds, guest)


def watch(
    path: Path, folder: Path, seconds: float, guest: Callable[[], AbstractContextManager[None]]
) -> dict[str, object]:
    """Start the service as systemd would and sample it; its runtime folder is in memory, as systemd's is."""
    with Ready(folder / "notify") as ready, tempfile.TemporaryDirectory(dir="/dev/shm") as runtime:
        start = monotonic()
        environment = {**os.environ, **of_the_unit(), "RUNTIME_DIRECTORY": str(runtime)}
        environment |= {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "10000000"}
        service = subprocess.Popen([stage.tool("renzheng"), "run", "--settings", str(path)], env=environment)
        try:
            ready.wait(60)
            to_ready = monotonic() - start
            sleep(WARM_UP)
            samples, cpu, written, began = [], cpu_seconds(service.pid), written_bytes(service.pid), monotonic()
            while monotonic() - began < seconds:
                sleep(SAMPLE)
                samples.append(pss_mib(service.pid))
            elapsed = monotonic() - began
            idle_cpu, idle_written = cpu_seconds(service.pid) - cpu, written_bytes(service.pid) - written
            with guest():
                verifying = []
                for _ in range(VERIFYING):
                    sleep(1.0)
                    verifying.append(pss_mib(service.pid))
            return {
                "start to READY, s": round(to_ready, 2),
                "idle PSS, MiB (median)": median(samples),
                "PSS while verifying, MiB (median)": median(verifying),
                "PSS while verifying, MiB (most)": max(verifying),
                "idle CPU, % of a core": round(100 * idle_cpu / elapsed, 2),
                "written to disk, KiB an hour": round(idle_written / 1024 / elapsed * 3600),
                "samples": len(samples),
            }
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(20)


def of_the_unit() -> dict[str, str]:
    """The environment that the packaged unit gives the service."""
    (line,) = (line for line in UNIT.read_text("utf-8").splitlines() if line.startswith("Environment="))
    return dict(pair.split("=", 1) for pair in line.removeprefix("Environment=").split())


class Ready:
    """The notify socket, as systemd holds it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def wait(self, seconds: float) -> None:
        """Until READY=1; raises TimeoutError."""
        self._socket.settimeout(seconds)
        while "READY=1" not in self._socket.recv(4096).decode():
            pass


def main() -> int:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    assert not Notifier().wired  # under systemd the service would talk to it instead
    result = asyncio.run(measure(options.seconds))
    packages = sorted(Path("dist").glob("renzheng_*.deb"))
    result["package, MiB"] = {package.name: round(package.stat().st_size / 2**20, 1) for package in packages}
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
