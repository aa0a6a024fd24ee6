"""The arm64 package on an emulated board: it boots, serves, verifies a simulated person, passes its self-test."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from agent import __version__
from firmware_bridge.simulator.vpcd import DEFAULT_PORT
from tests.system.boot import emulated
from tests.system.boot.conftest import ROOTS
from tests.system.boot.emulated import EmulatedBoard, make_disk
from tests.system.boot.machine import machine, until
from tests.system.boot.site import PAGE, PORT, Site, outcomes

#: Our seconds in one of the board's. The self-test then has 1152 of ours, and took 220 to 240 on two cores.
SLOWNESS = int(os.environ.get("SLOWNESS", "128"))

pytestmark = pytest.mark.skipif(
    "BOOT_ROOTS" not in os.environ, reason="needs an arm64 root and an emulator: run `make test-arm64`"
)

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Progress, seen while it happens: this test takes the better part of an hour."""

    def now(line: str) -> None:
        with capsys.disabled():
            click.echo(f"\n  {line}", nl=False)

    return now


@pytest.fixture
def board(release: str, installed: tuple[Path, ...], tmp_path: Path) -> Iterator[EmulatedBoard]:
    """A board whose disk holds the root with the package installed, switched off."""
    with machine(ROOTS / "run" / f"{release}-disk", *installed) as made:
        make_disk(made.root, tmp_path)
    root = ROOTS / release
    with EmulatedBoard(tmp_path, root, slowness=SLOWNESS, ours=(PORT,), its=(PAGE, DEFAULT_PORT)) as off:
        yield off


@pytest.fixture
def slow_site(tmp_path: Path, board: EmulatedBoard) -> Iterator[Site]:
    with Site(tmp_path, pace=SLOWNESS) as made:
        yield made


@pytest.mark.timeout(5400)
def test_the_package_boots_verifies_a_person_and_passes_its_self_test(
    board: EmulatedBoard, slow_site: Site, package: Path, say: Say
) -> None:
    site = slow_site
    say(f"{package.name}: {package.stat().st_size / 1e6:.0f} MB; {SLOWNESS} of our seconds are one of the board's")
    say(f"booted in {board.boot():.0f} s of ours")
    say(board.shell("systemd-analyze time | head -n 1").stdout.strip())
    # What a time server does: the board's clock and the issuer's started some seconds of ours apart.
    assert board.shell(f"date -s @{site.now():.2f}").returncode == 0

    start = time.monotonic()
    site.provision(board)
    until(lambda: board.show("ActiveState") == "active", 60 + 30 * SLOWNESS, 5)
    until(lambda: "all parts serve" in board.show("StatusText"), 60 + 30 * SLOWNESS, 5)
    say(f"provisioned, and all parts serve, {time.monotonic() - start:.0f} s later")

    start = time.monotonic()
    site.verified(board)
    seconds = time.monotonic() - start
    say(f"verified in {seconds:.0f} s ({seconds / SLOWNESS:.1f} s of the board's)")
    until(lambda: site.counts()["events"].get("verification", 0) == len(outcomes(board)), 30 * SLOWNESS, SLOWNESS)

    # The sandbox of Debian's kernel: the broker is reached and no other address, root reads the kernel's log and the
    # service, whose unit names no such device, does not.
    typed = "systemctl set-property --runtime renzheng IPAddressDeny=any IPAddressAllow=127.0.0.1"
    assert board.shell(typed).returncode == 0
    assert board.reaches("127.0.0.1") == "connected"
    assert "timed out" in board.reaches(emulated.ADDRESS)
    assert board.shell("dd if=/dev/kmsg count=0").returncode == 0
    assert "Operation not permitted" in board.inside("dd if=/dev/kmsg count=0").stderr

    done = board.shell("renzheng self-test --json", timeout=60)
    report = json.loads(done.stdout)
    for check in report["checks"]:
        say(f"{check['id']:18}{check['status']:6}{check['measured']}")
    say(f"self-test: {report['status']} in {report['seconds']:.1f} s of the board's")
    failed = [check["id"] for check in report["checks"] if check["status"] == "fail"]
    assert not failed, "a check without an answer wants more time: a machine with less to do, or a greater SLOWNESS"

    # By hand at the board itself: while a key is down the unit tests, shows the table, and waits for it to be let go.
    unit, table = "renzheng-self-test", f"renzheng {__version__}: "
    assert board.shell(f"systemctl restart {unit}").returncode == 0
    assert table not in board.shell(f"journalctl -u {unit} -o cat").stdout
    board.key(down=True)
    assert board.shell(f"systemctl restart --no-block {unit}").returncode == 0
    until(lambda: table in board.shell(f"journalctl -u {unit} -o cat").stdout, 60 + 30 * SLOWNESS, 5)
    assert board.show("ActiveState", unit) == "activating"
    board.key(down=False)
    until(lambda: board.show("ActiveState", unit) == "active", 60 + 10 * SLOWNESS, 5)
    say("self-test by a key held down, until it was let go")
