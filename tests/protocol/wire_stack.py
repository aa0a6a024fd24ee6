"""A real Mosquitto and a real issuer on loopback for the tests of the wire, and terminals to talk to them."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.transport.issuer_client import IssuerClient, mqtt_link
from agent.transport.mqtt import MqttLink
from agent.trust import identity
from agent.trust.clock import Clock
from agent.trust.counter import Counter
from agent.wire import claims
from agent.wire.claims import Evidence, HolderData
from issuer import broker as broker_module
from issuer import pki
from issuer.layout import Layout

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin") or ""
needs_broker = pytest.mark.skipif(not MOSQUITTO, reason="mosquitto is not installed: `make test` installs it")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Stack:
    """One deployment: a PKI, a broker process and an issuer process, each of which can be stopped and started."""

    root: Path
    port: int = field(default_factory=free_port)
    #: Lines added to the broker's access rules.
    extra_rules: str = ""
    #: The terminals that the dynamic security plug-in begins with; None for an ACL file.
    dynamic: list[str] | None = None
    #: SQLAlchemy URL; empty for SQLite.
    database: str = ""
    broker: subprocess.Popen[bytes] | None = None
    issuer: subprocess.Popen[bytes] | None = None

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"

    def start_broker(self) -> None:
        user = "root" if os.geteuid() == 0 else ""
        configuration = broker_module.config(self.root, self.port, user=user, dynamic=self.dynamic)
        if self.dynamic is None:
            with (self.root / "broker" / "acl.conf").open("a", encoding="utf-8") as rules:
                rules.write(self.extra_rules)
        with (self.root / "broker.log").open("ab") as log:
            self.broker = subprocess.Popen([MOSQUITTO, "-c", configuration], stdout=log, stderr=log)
        _until(lambda: listens(self.port), self.root / "broker.log")

    def start_issuer(self) -> None:
        self.issuer = self.start_worker("issuer")

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        path = self.root / f"{name}.log"
        command = [sys.executable, "-m", "issuer.cli", "run", str(self.root), "--broker", self.url, "--worker", name]
        if self.database:
            command += ["--database", self.database]
        with path.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        _until(lambda: b"connected" in path.read_bytes(), path)
        return process

    def stop_broker(self) -> None:
        _end(self.broker)
        self.broker = None

    def stop_issuer(self) -> None:
        _end(self.issuer)
        self.issuer = None

    def enroll(self, terminal: str) -> Path:
        return pki.enroll(self.layout, terminal, database=self.database)

    def stop(self) -> None:
        self.stop_issuer()
        self.stop_broker()


@contextlib.contextmanager
def stack(
    root: Path,
    *,
    epoch_interval: int = 1,
    store: str = "[]",
    suites: str = '["ES256", "EdDSA"]',
    extra_rules: str = "",
) -> Iterator[Stack]:
    made = Stack(root, extra_rules=extra_rules)
    layout = pki.create(root, "test-issuer")
    text = layout.policy.read_text("utf-8")
    text = text.replace("epoch_interval = 5", f"epoch_interval = {epoch_interval}")
    text = text.replace("store = []", f"store = {store}").replace('suites = ["ES256", "EdDSA"]', f"suites = {suites}")
    layout.policy.write_text(text, "utf-8")
    try:
        made.start_broker()
        made.start_issuer()
        yield made
    finally:
        made.stop()


@dataclass
class Terminal:
    """A terminal that is connected."""

    link: MqttLink
    client: IssuerClient
    identity: identity.DeviceIdentity
    #: Set when the link was lost.
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def verify(
        self, evidence: Evidence, holder: HolderData | None = None, *, within: float = 5.0
    ) -> claims.Decision:
        return await self.client.verify(evidence, holder, deadline=asyncio.get_running_loop().time() + within)


@contextlib.asynccontextmanager
async def terminal(
    folder: Path, url: str, *, clock: Clock | None = None, connect: bool = True
) -> AsyncIterator[Terminal]:
    loaded = identity.load(folder)
    lost = asyncio.Event()

    def on_state(up: bool, _why: str) -> None:
        if not up:
            lost.set()

    link = mqtt_link(loaded, [url], online=b"online", offline=b"offline", will_delay=1, on_state=on_state)
    counter = Counter(folder / "counter.db")
    client = IssuerClient(link, loaded, clock=clock or Clock(), counter=counter)
    link.start()
    try:
        if connect:
            await link.wait_connected(5.0)
        yield Terminal(link, client, loaded, lost)
    finally:
        await link.stop()
        counter.close()


def evidence(*, similarity: float = 0.8, liveness: str = "live", passive: str = "passed") -> Evidence:
    """Evidence of a fictional verification."""
    return Evidence.model_validate(
        {
            "document": {
                "kind": "passport",
                "issuing_state": "UTO",
                "access": "pace",
                "checks": [
                    {"name": "passive_authentication", "verdict": passive},
                    {"name": "active_authentication", "verdict": "passed", "reason": "ok"},
                ],
                "data_groups": [{"name": "DG1", "sha256": bytes(range(32))}],
            },
            "face": {
                "liveness": {
                    "verdict": liveness,
                    "policy": "passive",
                    "parts": [
                        {"name": "passive", "verdict": liveness, "score": 0.9, "threshold": 0.5, "required": True}
                    ],
                    "challenge": ["turn_left"],
                },
                "similarity": similarity,
                "threshold": 0.61,
                "target_fmr": 1e-5,
                "quality": [{"name": "sharpness", "value": 12.5}],
                "frames": 14,
            },
            "models": [{"role": "embed", "sha256": b"\x11" * 32}],
            "configuration": {"version": 3, "sha256": b"\x22" * 32},
            "relying_party": "Hotel Utopia",
            "purpose": "check-in",
            "software_version": "0.1.0",
        }
    )


def holder() -> HolderData:
    """A fictional person."""
    return HolderData(
        salt=b"\x33" * 16,
        surname="ERIKSSON",
        given_names="ANNA MARIA",
        document_number="L898902C3",
        birth_date="1974-08-12",
        valid_until="2042-04-15",
    )


def _until(ready: Callable[[], bool], log: Path, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not ready in {seconds} s:\n{log.read_text('utf-8', 'replace')}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
        return True
    return False


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.terminate()
        process.wait(10)
