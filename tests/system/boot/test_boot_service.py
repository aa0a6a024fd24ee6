"""The package, installed and booted: it serves, says how it is, and comes back from whatever happens to it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.system.boot.conftest import ROOTS
from tests.system.boot.faults import FaultPage, Trial
from tests.system.boot.machine import Machine, until
from tests.system.boot.site import Site, outcomes

HERE = Path(__file__).parent
#: Exposure that `systemd-analyze security` may find, times ten.
EXPOSURE = 15
DAY = 86400


def up(machine: Machine, site: Site, *boot: str, camera: str = "", extra: str = "") -> float:
    """Boot, provision, and wait until all parts serve; the seconds from provisioning to READY."""
    machine.boot(*boot)
    site.provision(machine, camera=camera, extra=extra)
    ready = until(lambda: machine.show("ActiveState") == "active", 30, 0.05)
    until(lambda: "all parts serve" in machine.show("StatusText"), 30)
    return ready


def told(site: Site, number: int) -> bool:
    """Whether the issuer has heard of so many endings."""
    return site.counts()["events"].get("verification", 0) >= number


@contextmanager
def mounted(kind: str, *arguments: str | Path) -> Iterator[None]:
    """Something mounted while the context is open."""
    subprocess.run(["mount", "-t", kind, *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(arguments[-1])], check=True)


def audit_holds(machine: Machine) -> int:
    """The number of records of the audit, after every one was verified."""
    done = machine.shell("renzheng audit verify --json")
    assert done.returncode == 0, done.stdout + done.stderr
    return int(json.loads(done.stdout)["records"])


def told_once(site: Site, machine: Machine) -> None:
    """Every ending reaches the issuer, each once."""
    endings = len(outcomes(machine))
    until(lambda: site.counts()["events"].get("verification", 0) >= endings, 30)
    assert site.counts()["events"]["verification"] == endings


def test_a_provisioned_terminal_serves_and_passes_its_self_test(terminal: Machine, site: Site, release: str) -> None:
    ready = up(terminal, site)
    assert ready < 10
    site.verified(terminal)
    told_once(site, terminal)
    done = terminal.shell("renzheng self-test --json")
    # What README.md shows.
    (ROOTS / f"self-test-{release}.json").write_text(done.stdout, "utf-8")
    (ROOTS / f"self-test-{release}.txt").write_text(terminal.shell("COLUMNS=118 renzheng self-test").stdout, "utf-8")
    report = json.loads(done.stdout)
    failed = [check for check in report["checks"] if check["status"] == "fail"]
    assert not failed
    assert report["seconds"] < 10
    assert audit_holds(terminal) == len(outcomes(terminal))
    # Nothing of the holder in the journal: no name, no number.
    everything = terminal.shell("journalctl --no-pager -o export").stdout
    assert site.holder.surname not in everything
    assert site.holder.number not in everything
    exposure = terminal.shell(f"systemd-analyze security --threshold={EXPOSURE} --no-pager renzheng")
    assert exposure.returncode == 0, exposure.stdout[-300:]


def test_faults_of_the_process_the_reader_and_the_way_to_the_issuer(
    terminal: Machine, site: Site, page: FaultPage, release: str
) -> None:
    up(terminal, site)
    trial = Trial(terminal, page, release)
    shell = terminal.shell
    trial.run(
        "agent killed (SIGKILL)", do=lambda: os.kill(terminal.pid(), signal.SIGKILL), told="code=killed, status=9/KILL"
    )
    trial.run(
        "agent frozen (SIGSTOP)",
        do=lambda: os.kill(terminal.pid(), signal.SIGSTOP),
        told="Watchdog timeout (limit 10s)!",
    )
    trial.run(
        "pcscd restarted", do=lambda: shell("systemctl restart pcscd"), told="reader passport is down: reader.gone"
    )
    trial.run(
        "reader gone, then back",
        do=lambda: shell("systemctl stop pcscd.socket pcscd.service"),
        told="reader passport is down: reader.gone",
        undo=lambda: shell("systemctl start pcscd.socket"),
    )
    trial.run(
        "broker gone, then back",
        do=lambda: site.stop("broker"),
        told="broker is down: broker.unreachable",
        undo=lambda: site.start("broker"),
    )
    trial.run(
        "issuer gone, then back",
        do=lambda: site.stop("issuer"),
        told="issuer is down: issuer.silent",
        undo=lambda: site.start("issuer"),
        within=(60, 30),
    )
    settings = "/etc/renzheng/renzheng.toml"
    trial.run(
        "settings that break",
        do=lambda: shell(f"cp {settings} /root/good && echo nonsense=1 >> {settings} && systemctl restart renzheng"),
        told="no such setting",
        undo=lambda: shell(f"cp /root/good {settings}"),
    )
    site.verified(terminal)
    assert audit_holds(terminal) == len(outcomes(terminal))


def test_a_person_is_told_in_time_while_the_broker_is_away(terminal: Machine, site: Site) -> None:
    up(terminal, site)
    site.stop("broker")
    assert site.verify(terminal) == {"result": "failed", "code": "broker.unreachable"}
    site.start("broker")
    until(lambda: "all parts serve" in terminal.show("StatusText"), 30)
    site.verified(terminal)
    told_once(site, terminal)


def test_a_camera_that_hangs_or_is_absent(terminal: Machine, site: Site, page: FaultPage, release: str) -> None:
    frames = terminal.root / "var/lib/frames"
    terminal.boot()
    terminal.shell("mkdir /var/lib/frames && cp /opt/renzheng/lib/common/firmware_bridge/simulator/portraits/other.jpg "
                   "/var/lib/frames/a.jpg")  # fmt: skip
    site.provision(terminal, camera='[camera]\ntype = "replay"\npath = "/var/lib/frames"\n')
    trial = Trial(terminal, page, release)
    until(trial.serving, 30)
    picture = frames / "a.jpg"
    kept = picture.read_bytes()

    def hang() -> None:
        # A pipe that nobody writes to: opening it blocks the camera's thread for ever, as a hung driver does.
        terminal.shell("rm /var/lib/frames/a.jpg && mkfifo -m 644 /var/lib/frames/a.jpg")

    def mend() -> None:
        until(lambda: "camera made no progress" in terminal.journal(), 60)
        terminal.shell("mv /var/lib/frames/a.jpg /var/lib/pipe")
        picture.write_bytes(kept)

    trial.run("camera hangs in its driver", do=hang, told="camera is down: camera.gone", undo=mend, within=(30, 60))
    assert terminal.show("NRestarts") == "0"
    trial.run(
        "camera gone, then back",
        do=lambda: terminal.shell("mv /var/lib/frames/a.jpg /var/lib/ && systemctl restart renzheng"),
        told="camera is down: camera.gone",
        undo=lambda: terminal.shell("mv /var/lib/a.jpg /var/lib/frames/"),
    )


def test_a_full_disk_costs_a_person_a_clear_failure_and_nothing_else(
    terminal: Machine, site: Site, page: FaultPage, release: str
) -> None:
    terminal.boot()
    terminal.shell("mkdir -p /var/lib/renzheng && mount -t tmpfs -o size=4M,mode=700 tmpfs /var/lib/renzheng")
    site.provision(terminal)
    trial = Trial(terminal, page, release)
    until(trial.serving, 30)
    site.verified(terminal)

    def fill() -> None:
        terminal.shell("dd if=/dev/zero of=/var/lib/renzheng/fill bs=4k; sync")
        assert site.ending(terminal) == {"result": "failed", "code": "trust.counter"}

    trial.run(
        "state folder full, then freed",
        do=fill,
        told="verification failed trust.counter",
        undo=lambda: terminal.shell("rm /var/lib/renzheng/fill"),
        within=(60, 30),
    )
    site.verified(terminal)
    audit_holds(terminal)


class WallClock:
    """The service's own wall clock, to be set while it runs; inside/jump.c says why not the machine's."""

    def __init__(self, machine: Machine, offset: int = 0) -> None:
        self._offset = machine.root / "etc/renzheng/offset"
        self.set(offset)
        library = machine.root / "etc/renzheng/jump.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "inside/jump.c"], check=True)
        drop_in = machine.root / "etc/systemd/system/renzheng.service.d/clock.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(
            "[Service]\nEnvironment=LD_PRELOAD=/etc/renzheng/jump.so WALL_CLOCK_OFFSET=/etc/renzheng/offset\n"
        )
        machine.shell("systemctl daemon-reload")

    def set(self, offset: int) -> None:
        """Be so many seconds off."""
        self._offset.write_text(f"{offset}\n")


def test_a_clock_that_is_wrong_at_boot(terminal: Machine, site: Site, page: FaultPage, release: str) -> None:
    """A board without a battery wakes in the past: nobody is verified until the clock is right, and it says why."""
    terminal.boot()
    clock = WallClock(terminal, -DAY)

    def right() -> None:
        until(lambda: terminal.show("ActiveState") == "active", 30)
        assert site.verify(terminal) == {"result": "failed", "code": "broker.certificate_time"}
        clock.set(0)

    Trial(terminal, page, release).run(
        "clock a day behind at boot, then right",
        do=lambda: site.provision(terminal),
        told="certificate is not yet valid",
        undo=right,
    )
    site.verified(terminal)


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_jumps_while_it_serves(
    terminal: Machine, site: Site, page: FaultPage, release: str, years: int
) -> None:
    """Nothing ends, nobody is verified by a clock that the issuer contradicts, and all goes on when it is right."""
    terminal.boot()
    clock = WallClock(terminal)
    site.provision(terminal)
    trial = Trial(terminal, page, release)
    until(trial.serving, 30)
    site.verified(terminal)
    process = terminal.show("MainPID")

    def right() -> None:
        assert site.verify(terminal)["code"] in {"clock.contradicted", "broker.certificate_time"}
        clock.set(0)

    trial.run(
        f"clock jumps {years:+d} years while it serves, then right",
        do=lambda: clock.set(years * 365 * DAY),
        told="clock is down: clock.contradicted",
        undo=right,
        well=lambda: trial.serving() and "clock down" not in terminal.show("StatusText"),
        # pcsc-lite measures its waits by the wall clock: one that was set back hangs, and its reader is started anew.
        within=(30, 90),
    )
    site.verified(terminal)
    assert terminal.show("MainPID") == process, terminal.journal()[-2000:]
    assert audit_holds(terminal) == len(outcomes(terminal))
    told_once(site, terminal)


@pytest.mark.parametrize("root", ["--volatile=overlay", "--read-only"])
def test_a_read_only_root_with_a_small_state_folder(
    terminal: Machine, site: Site, page: FaultPage, release: str, tmp_path: Path, root: str
) -> None:
    """As Raspberry Pi OS does it (an overlay in memory, forgotten at every boot), and with no writable root at all."""
    up(terminal, site)
    terminal.cut_power()
    state = tmp_path / "state"
    state.mkdir()
    inside = terminal.root / "var/lib/renzheng"
    with mounted("tmpfs", "-osize=64M,mode=700", "tmpfs", state):
        subprocess.run(["cp", "-a", f"{inside}/.", state], check=True)
        os.chown(state, inside.stat().st_uid, inside.stat().st_gid)
        options = (root, f"--bind={state}:/var/lib/renzheng")
        trial = Trial(terminal, page, release)
        how = "overlay in memory" if "overlay" in root else "nothing else writable"
        for number, boot in enumerate(("first", "next"), 1):
            trial.run(
                f"{boot} boot on a read-only root ({how}, 64 MB of state)",
                do=lambda: terminal.boot(*options),
                told=f"renzheng {_version()} is ready",
                within=(60, 30),
            )
            site.verified(terminal)
            # Every boot forgets the journal, none the state: the chain of records goes on.
            assert audit_holds(terminal) >= number
            until(partial(told, site, number), 30)
            terminal.cut_power()
        used = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
        assert used < 8 * 2**20


def test_a_power_cut_in_the_middle_of_a_verification(
    terminal: Machine, site: Site, page: FaultPage, release: str
) -> None:
    up(terminal, site)
    site.verified(terminal)
    with pytest.raises(AssertionError):
        site.verify(terminal, patience=1.2)
    terminal.cut_power()
    trial = Trial(terminal, page, release)
    trial.run(
        "power cut during a verification",
        do=terminal.boot,
        told=f"renzheng {_version()} is ready",
        within=(60, 30),
    )
    site.verified(terminal)
    # The one that was cut has no outcome, anywhere; all others have one, everywhere.
    assert audit_holds(terminal) == len(outcomes(terminal))
    told_once(site, terminal)


def test_a_power_cut_in_the_middle_of_an_update(
    terminal: Machine, site: Site, page: FaultPage, release: str, package: Path
) -> None:
    up(terminal, site)
    (terminal.root / "root/update.deb").write_bytes(package.read_bytes())
    terminal.shell("dpkg --force-unsafe-io -i /root/update.deb >/root/update.log 2>&1 &")
    until(lambda: "Unpacking" in (terminal.root / "root/update.log").read_text(), 30, 0.05)
    terminal.cut_power()
    trial = Trial(terminal, page, release)

    def again() -> None:
        terminal.boot()
        done = terminal.shell("dpkg --force-unsafe-io -i /root/update.deb", timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr

    trial.run(
        "power cut during an update, then the update again",
        do=again,
        told=f"renzheng {_version()} is ready",
        within=(180, 60),
    )
    site.verified(terminal)


def _version() -> str:
    from agent import __version__

    return __version__
