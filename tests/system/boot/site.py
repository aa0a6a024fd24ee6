"""What stands outside of the terminal: the broker, the issuer, the documents, and the holder at the page."""

import http.cookiejar
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import Personalisation, personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.vpcd import DEFAULT_PORT, VirtualCard
from issuer import certificates
from issuer.layout import Layout
from tests.system.boot import slow_issuer
from tests.system.boot.machine import Board, Machine, until
from tests.system.boot.slow_issuer import slowed

PORT = 28883
PAGE = 8471
#: Seconds that the broker waits for a sign of life, by its own clock.
KEEPALIVE = 15
#: What `renzheng provision` takes when no port is named.
ENROLMENT = 8443
TERMINAL = "lobby-1"
TOOLS = Path(sys.executable).parent
PORTRAITS = Path(__file__).parents[3] / "firmware_bridge/simulator/portraits"
#: Tries that a person has, and what one tries again for: a busy test machine drops frames.
TRIES = 4
AGAIN = frozenset({"liveness.person_changed", "liveness.indeterminate", "liveness.timeout", "face.none"})
#: The same pictures, as the package brings them.
PACKAGED = "/opt/renzheng/lib/common/firmware_bridge/simulator/portraits"


class Site:
    """Broker and issuer as programs of the test, a passport, and a terminal's identity.

    `pace` is how many of our seconds pass in one of the terminal's: an emulated board lives slowly, and the issuer's
    clock goes as slowly as the board's.
    """

    def __init__(self, folder: Path, *, pace: float = 1.0) -> None:
        self.folder, self.pace = folder, pace
        self._issuer_folder = folder / "issuer"
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._start = time.time()
        made = json.loads(
            subprocess.run(
                [TOOLS / "renzheng-issuer", "quickstart", self._issuer_folder, "--name", "site", "--terminal", TERMINAL,
                 "--port", str(PORT), "--user", "root"],
                check=True, capture_output=True,
            ).stdout
        )  # fmt: skip
        self._identity, self._broker = Path(made["terminal"]), made["broker"]
        state = IssuingState.create()
        self._trust = folder / "trust"
        state.write_trust(self._trust)
        # What the issuer's operator lays out for terminals that enrol.
        shutil.copytree(self._trust, self._issuer_folder / "site/documents", dirs_exist_ok=True)
        wished = SETTINGS.format(camera=HOLDER, extra="", keepalive=KEEPALIVE).partition("[identity]")[0] + HOLDER
        (self._issuer_folder / "site/settings.toml").write_text(wished, "utf-8")
        self.holder = Person()
        self.passport: Personalisation = personalise(self.holder, (PORTRAITS / "holder-chip.jpg").read_bytes(), state)

    def __enter__(self) -> Self:
        self.start("broker")
        self.start("issuer")
        return self

    def __exit__(self, *_error: object) -> None:
        for name in list(self._programs):
            self.stop(name)

    def start(self, name: str) -> None:
        """Start `broker`, `issuer` or `provisioning`."""
        issuer = (
            [TOOLS / "renzheng-issuer"]
            if self.pace == 1
            else [sys.executable, "-m", slow_issuer.__name__, str(self._start), str(self.pace)]
        )
        commands = {
            "broker": [shutil.which("mosquitto", path="/usr/sbin:/usr/bin") or "mosquitto", "-c", self._broker],
            "issuer": [*issuer, "run", self._issuer_folder, "--broker", f"mqtts://127.0.0.1:{PORT}"],
            "provisioning": [TOOLS / "renzheng-issuer", "provisioning", self._issuer_folder, "--port", str(ENROLMENT)],
        }
        with (self.folder / f"{name}.log").open("ab") as output:
            self._programs[name] = subprocess.Popen(commands[name], stdout=output, stderr=output)

    def now(self) -> float:
        """The issuer's clock."""
        return slowed(self._start, self.pace)()

    def stop(self, name: str) -> None:
        """Stop what was started."""
        program = self._programs.pop(name, None)
        if program is not None:
            program.send_signal(signal.SIGTERM)
            try:
                program.wait(5)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def code(self, terminal: str = TERMINAL) -> str:
        """A one-time code of the issuer, as its operator reads it out."""
        command: list[str | Path] = [TOOLS / "renzheng-issuer", "code", self._issuer_folder, terminal]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def shorten(self, machine: Machine, days: int) -> None:
        """Give the machine's certificates anew, for its own keys, with only `days` left."""
        layout = Layout(self._issuer_folder)
        for name, authority in (("device", "evidence"), ("tls", "transport")):
            path = machine.root / f"var/lib/renzheng/identity/{name}.pem"
            before = x509.load_pem_x509_certificate(path.read_bytes())
            usage = before.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            subject, ueid, *_ = (*(str(entry.value) for entry in before.subject), "")
            key = before.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            leaf = certificates.issue(
                certificates.load_authority(layout.authority(authority)), certificates.Subject(subject, ueid), key,
                next(iter(usage)), timedelta(days=days),
            )  # fmt: skip
            path.write_bytes(leaf.public_bytes(Encoding.PEM))

    def counts(self) -> dict[str, dict[str, int]]:
        """What the issuer has: decisions by verdict, events by kind."""
        shown = subprocess.run(
            [TOOLS / "renzheng-issuer", "show", self._issuer_folder, "--json"], check=True, capture_output=True
        ).stdout
        found: dict[str, dict[str, int]] = json.loads(shown)
        return found

    def provision(self, machine: Board, *, camera: str = "", extra: str = "") -> None:
        """Lay identity, trust and settings into the machine, settings last: they start the service."""
        keepalive = round(KEEPALIVE * self.pace)
        settings = self.folder / "settings"
        settings.mkdir(exist_ok=True)
        (settings / "renzheng.new").write_text(
            SETTINGS.format(camera=camera or HOLDER, extra=extra, keepalive=keepalive), "utf-8"
        )
        machine.put(self._identity, "/root/identity")
        machine.put(self._trust, "/etc/renzheng/trust")
        machine.put(settings, "/etc/renzheng")
        own = (
            "mkdir -p /var/lib/renzheng && mv /root/identity /var/lib/renzheng/ && "
            "chown -R renzheng:renzheng /var/lib/renzheng && chmod 700 /var/lib/renzheng"
        )
        move = "chmod 644 /etc/renzheng/renzheng.new && mv /etc/renzheng/renzheng.new /etc/renzheng/renzheng.toml"
        done = machine.shell(f"{own}; chmod -R a+rX /etc/renzheng/trust; {move}")
        assert done.returncode == 0, done.stderr

    def verify(self, machine: Board, *, patience: float = 60.0) -> dict[str, str]:
        """The holder types the data page's key and lays the passport down; the outcome as the log has it."""
        before = len(outcomes(machine))
        until(lambda: listening(DEFAULT_PORT), 20)
        Page(self.pace).type(self.holder)
        with VirtualCard(PassportChip(self.passport)):
            until(lambda: len(outcomes(machine)) > before, patience * self.pace, 0.3 * self.pace)
        return outcomes(machine)[-1]

    def ending(self, machine: Board) -> dict[str, str]:
        """How it ends for a holder who tries again when the camera asks for it, as anyone would."""
        outcome: dict[str, str] = {}
        for _ in range(TRIES):
            outcome = self.verify(machine)
            if outcome["code"] not in AGAIN:
                break
        return outcome

    def verified(self, machine: Board) -> None:
        """The holder is verified."""
        outcome = self.ending(machine)
        assert outcome == {"result": "verified", "code": ""}, outcome


class Page:
    """The kiosk page, as its script talks to the agent."""

    def __init__(self, pace: float = 1.0) -> None:
        self._pace = pace
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._client = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self._url = f"http://127.0.0.1:{PAGE}"
        with self._client.open(f"{self._url}/", timeout=5 * pace) as answer:
            answer.read()

    def type(self, holder: Person) -> None:
        """Enter number, birth and expiry with their check digits."""
        lower = holder.zone()[44:]
        typed = {"kind": "mrz", "number": lower[:10], "birth": lower[13:20], "expiry": lower[21:28]}
        request = urllib.request.Request(  # noqa: S310  # our own page
            f"{self._url}/key", json.dumps(typed).encode(), {"Origin": self._url, "Content-Type": "application/json"}
        )
        deadline = time.monotonic() + 20 * self._pace
        while True:
            try:
                with self._client.open(request, timeout=5 * self._pace) as answer:
                    assert answer.status == 204
                    return
            except urllib.error.HTTPError as error:
                # The page may still show how the last verification ended.
                if error.code != 409 or time.monotonic() > deadline:
                    raise
                time.sleep(0.3 * self._pace)


def listening(port: int) -> bool:
    """Whether the virtual reader is there (a connection would already insert a card)."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:])
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def outcomes(machine: Board) -> list[dict[str, str]]:
    """The verifications in the journal, oldest first: result and code."""
    shown = machine.shell("journalctl -u renzheng --no-pager -o json RENZHENG_EVENT=verification.ended").stdout
    records = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    return [{"result": record["RENZHENG_RESULT"], "code": record["RENZHENG_CODE"]} for record in records]


HOLDER = f'[camera]\ntype = "simulated"\nportrait = "{PACKAGED}/holder-live.jpg"\n'
SETTINGS = """
[terminal]
relying_party = "Grand Hotel"
[[readers]]
type = "pcsc"
match = "Virtual PCD"
[documents]
trust = "/etc/renzheng/trust"
clone_proof = "required"
[faces]
liveness = "convenience"
[broker]
urls = ["mqtts://127.0.0.1:28883"]
keepalive = {keepalive}
[identity]
folder = "/var/lib/renzheng/identity"
{extra}
{camera}
"""
