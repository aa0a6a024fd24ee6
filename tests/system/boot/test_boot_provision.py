"""Installing is two steps, typed as an operator types them; certificates are renewed with nobody there."""

import json
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from tests.system.boot.conftest import ROOTS, STRANGER
from tests.system.boot.machine import Machine, machine, until
from tests.system.boot.site import ENROLMENT, Site, listening, outcomes

SETTINGS = "/etc/renzheng/renzheng.toml"
IDENTITY = "/var/lib/renzheng/identity"


def typed(terminal: Machine, line: str) -> str:
    done = terminal.shell(line, timeout=180)
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture
def enrolling(site: Site) -> Site:
    """A site whose issuer takes new terminals."""
    site.start("provisioning")
    until(lambda: listening(ENROLMENT), 20)
    return site


def test_two_steps_from_a_bare_debian_to_a_verified_person(release: str, package: Path, enrolling: Site) -> None:
    with machine(ROOTS / "run" / f"{release}-bare", ROOTS / release) as bare:
        bare.boot()
        shutil.copy(package, bare.root / "root/renzheng.deb")
        typed(bare, "cd /root && apt-get -qq -o DPkg::Options::=--force-unsafe-io --no-install-recommends "
                    "install ./renzheng.deb")  # fmt: skip
        said = typed(bare, f"renzheng provision --issuer 127.0.0.1 --code {enrolling.code()}")
        assert "lobby-1 serves" in said
        enrolling.verified(bare)
        # Owners and modes: the identity is the service's alone, the settings are root's, readable by the service.
        owned = typed(bare, f"stat -c '%U:%G %a %n' {SETTINGS} {IDENTITY} {IDENTITY}/device.key {IDENTITY}/tls.key")
        assert owned.splitlines() == [
            f"root:renzheng 640 {SETTINGS}",
            f"renzheng:renzheng 700 {IDENTITY}",
            f"renzheng:renzheng 600 {IDENTITY}/device.key",
            f"renzheng:renzheng 600 {IDENTITY}/tls.key",
        ]
        assert typed(bare, f"find {IDENTITY} ! -user renzheng") == ""
        # The broker has an address, not a name: the service speaks with it and with nobody else.
        assert set(bare.show("IPAddressDeny").split()) == {"::/0", "0.0.0.0/0"}
        # (systemd itself drops 127.0.0.1/32, the broker, from the list: loopback covers it.)
        assert set(bare.show("IPAddressAllow").split()) == {"::1/128", "127.0.0.0/8"}
        assert bare.show("UnitFileState", "renzheng-renew.timer") == "enabled"
        assert bare.show("ActiveState", "renzheng-renew.timer") == "active"
        # Once more, with the code that is used up: nothing changes, nothing is restarted, and an edit stays.
        typed(bare, f"echo '# mine' >>{SETTINGS}")
        before, process = typed(bare, f"sha256sum {SETTINGS} {IDENTITY}/*.pem"), bare.show("MainPID")
        again = typed(bare, f"renzheng provision --issuer 127.0.0.1 --code {enrolling.code('other')}")
        assert "was enrolled already as lobby-1" in again
        assert typed(bare, f"sha256sum {SETTINGS} {IDENTITY}/*.pem") == before
        assert bare.show("MainPID") == process
        # What an operator gets who mistypes.
        wrong = bare.shell("renzheng provision --issuer 127.0.0.1 --code ABCD-EFGH --again")
        assert wrong.returncode == 1
        assert "remedy: Copy all 32 letters" in wrong.stderr
        typed(bare, "DEBIAN_FRONTEND=noninteractive apt-get -qq purge renzheng")
        assert (
            typed(bare, "ls -d /etc/systemd/system/renzheng* /etc/renzheng /var/lib/renzheng 2>/dev/null || true") == ""
        )


def test_the_service_reaches_its_broker_and_no_stranger(terminal: Machine, enrolling: Site) -> None:
    terminal.boot()
    # Before it is provisioned, the self-test does not blame the unit, whose time-out systemd then reports as none.
    report = json.loads(terminal.shell("renzheng self-test --only watchdog --json").stdout)
    assert [check["measured"] for check in report["checks"]] == ["service is inactive"]
    typed(terminal, f"renzheng provision --issuer 127.0.0.1 --code {enrolling.code()}")
    assert terminal.reaches("127.0.0.1") == "connected"
    assert "timed out" in terminal.reaches(STRANGER)
    typed(terminal, f"systemctl set-property --runtime renzheng IPAddressAllow={STRANGER}")
    assert terminal.reaches(STRANGER) == "connected"


def serial(terminal: Machine) -> int:
    return x509.load_pem_x509_certificate((terminal.root / f"{IDENTITY[1:]}/device.pem").read_bytes()).serial_number


def test_certificates_are_renewed_and_count_after_they_have_connected(terminal: Machine, enrolling: Site) -> None:
    terminal.boot()
    typed(terminal, f"renzheng provision --issuer 127.0.0.1 --code {enrolling.code()}")
    first = serial(terminal)
    typed(terminal, "systemctl start renzheng-renew.service")
    assert "nothing to do" in terminal.shell("journalctl -u renzheng-renew -o cat").stdout
    assert serial(terminal) == first
    enrolling.shorten(terminal, days=20)
    short = serial(terminal)
    typed(terminal, "systemctl restart renzheng")
    # New certificates come, and no broker lets them in: the old ones stay.
    enrolling.stop("broker")
    assert terminal.shell("systemctl start renzheng-renew.service").returncode != 0
    assert serial(terminal) == short
    assert "broker.unreachable" in terminal.shell("journalctl -u renzheng-renew -o cat").stdout
    enrolling.start("broker")
    until(lambda: "all parts serve" in terminal.show("StatusText"), 30)
    typed(terminal, "systemctl start renzheng-renew.service")
    assert serial(terminal) not in {first, short}
    assert typed(terminal, f"find {IDENTITY} -name '*.new'") == ""
    # The running terminal takes them up by itself, without a new process.
    process = terminal.show("MainPID")
    until(lambda: "is ready" in terminal.journal().partition("starting anew with them")[2], 120)
    until(lambda: "all parts serve" in terminal.show("StatusText"), 30)
    assert terminal.show("MainPID") == process
    enrolling.verified(terminal)
    assert len(outcomes(terminal)) >= 1
