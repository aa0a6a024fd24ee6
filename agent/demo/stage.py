"""The stage of the demonstration: a folder, a PKI made for the run, a broker, an issuer, a terminal, a trust store."""

import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.biometrics.simulator.portraits import SHIPPED
from agent.configuration.load import parse
from agent.configuration.schema import Settings
from agent.demo.processes import Program, output, running
from agent.failures import RenzhengError

TERMINAL = "demo-terminal"


def tool(name: str) -> str:
    """One of our commands, from the environment that runs this."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is, and the programs that can be taken away."""

    folder: Path
    port: int
    broker: Program
    issuer: Program
    settings: Settings

    @property
    def issuer_folder(self) -> Path:
        """The issuer's keys and database."""
        return self.folder / "issuer"


@asynccontextmanager
async def built(
    folder: Path, trust: Path, liveness: str, *, keep: Sequence[str] = (), page: bool = False
) -> AsyncIterator[Stage]:
    """Make the PKI, start the broker and the issuer; everything is stopped at the end.

    `keep` names the fields of the holder that the issuer's policy stores; `page` serves the kiosk page on a free port.
    """
    port = free_port()
    authority = folder / "issuer"
    quick = ["quickstart", str(authority), "--name", "demo-issuer", "--terminal", TERMINAL, "--port", str(port)]
    quick += ["--user", "root"] if os.geteuid() == 0 else []
    quick += [option for field in keep for option in ("--keep", field)]
    made = json.loads(await output([tool("renzheng-issuer"), *quick]))
    broker = Program("broker", [_mosquitto(), "-c", made["broker"]], folder / "broker.log")
    async with running(broker):
        await broker.listening(port)
        url = f"mqtts://127.0.0.1:{port}"
        issuer = Program(
            "issuer", [tool("renzheng-issuer"), "run", str(authority), "--broker", url], folder / "issuer.log"
        )
        async with running(issuer):
            settings = parse(
                _tables(folder, trust, url, Path(made["terminal"]), liveness, page=page),
                source="the demonstration",
                base=folder,
            )
            yield Stage(folder, port, broker, issuer, settings)


def _mosquitto() -> str:
    """Debian keeps the broker where an ordinary user's PATH does not look."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise RenzhengError("internal.error", "mosquitto is missing: apt-get install --no-install-recommends mosquitto")
    return found


def _tables(folder: Path, trust: Path, url: str, identity: Path, liveness: str, *, page: bool) -> dict[str, object]:
    """The terminal's settings, as its file would hold them."""
    return {
        "terminal": {"relying_party": "Demonstration Hotel", "state": str(folder / "state")},
        "readers": [{"type": "pcsc", "match": "Virtual PCD"}],
        "camera": {"type": "simulated", "portrait": str(SHIPPED / "holder-live.jpg")},
        "faces": {"liveness": liveness},
        "documents": {"trust": str(trust), "clone_proof": "required"},
        "broker": {"urls": [url]},
        "identity": {"folder": str(identity)},
        "kiosk": {"enabled": page, "port": free_port(), "language": "en"},
    }
