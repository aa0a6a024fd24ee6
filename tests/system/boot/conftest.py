"""The boot tests need what `make test-boot` makes: roots, a package, and a network namespace with loopback only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.boot.faults import FaultPage
from tests.system.boot.machine import Machine, machine
from tests.system.boot.site import Site

ROOTS = Path(os.environ.get("BOOT_ROOTS", Path(__file__).parents[3] / "build/boot"))
RELEASES = tuple(os.environ.get("RELEASES", "bookworm trixie").split())
#: An address that is neither the broker's nor loopback (RFC 5737), and yet answers.
STRANGER = "192.0.2.1"
#: Answers to a packet at once: without it each exchange with the virtual reader waits 40 ms for an acknowledgement.
LOOPBACK = f"""
ip link set lo up
ip address add {STRANGER}/32 dev lo
for route in 127.0.0.0/8 127.0.0.1; do
  ip route change local $route dev lo proto kernel scope host src 127.0.0.1 table local quickack 1
done
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def package() -> Path:
    """The package that is booted."""
    found = sorted(ROOTS.glob("renzheng_*.deb"))
    if "BOOT_ROOTS" not in os.environ or not found:
        pytest.skip("needs Debian roots, a package and a network namespace of its own: run `make test-boot`")
    return found[-1]


@pytest.fixture(scope="session", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def loopback(package: Path) -> None:
    """The network of the namespace that `make test-boot` made for these tests."""
    subprocess.run(["sh", "-c", LOOPBACK], check=True)


@pytest.fixture(scope="session")
def installed(release: str, package: Path, loopback: None) -> Iterator[tuple[Path, ...]]:
    """The layers of a root with the package installed."""
    folder = ROOTS / "run" / f"{release}-installed"
    shutil.rmtree(folder, ignore_errors=True)
    with Machine(folder / "root", folder / "disk", ROOTS / release) as made:
        shutil.copy(package, made.root / "var/renzheng.deb")
        done = made.run_unbooted("dpkg", "--force-unsafe-io", "-i", "/var/renzheng.deb")
        assert done.returncode == 0, done.stdout + done.stderr
        (made.root / "var/renzheng.deb").unlink()
    yield folder / "disk/upper", ROOTS / release
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def page() -> Iterator[FaultPage]:
    with FaultPage() as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, loopback: None) -> Iterator[Site]:
    with Site(tmp_path) as made:
        yield made


@pytest.fixture
def terminal(release: str, installed: tuple[Path, ...]) -> Iterator[Machine]:
    """A machine with the package installed, switched off."""
    with machine(ROOTS / "run" / release, *installed) as made:
        yield made
