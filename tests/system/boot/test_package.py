"""The package in a clean root: installed by apt, upgraded, downgraded, removed, purged; and what lintian says of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import __version__
from tests.system.boot.conftest import ROOTS
from tests.system.boot.machine import Machine, machine


@pytest.fixture
def clean(release: str, package: Path) -> Iterator[Machine]:
    """What debootstrap makes, and nothing else."""
    with machine(ROOTS / "run" / f"{release}-clean", ROOTS / f"{release}.clean") as made:
        yield made


def in_root(machine: Machine, script: str) -> str:
    done = machine.run_unbooted("sh", "-c", script, network=True)
    assert done.returncode == 0, f"{script}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return done.stdout


def repacked(package: Path, folder: Path, version: str) -> Path:
    """The same package under another version."""
    subprocess.run(["dpkg-deb", "-R", package, folder / "tree"], check=True)
    control = folder / "tree/DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", f"Version: {version}"))
    target = folder / f"renzheng_{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "-b", folder / "tree", target], check=True)
    return target


def test_a_clean_root_installs_upgrades_downgrades_removes_and_purges_it(
    clean: Machine, package: Path, tmp_path: Path
) -> None:
    newer = repacked(package, tmp_path, "99.0")
    packages = clean.root / "root"
    (packages / "old.deb").write_bytes(package.read_bytes())
    (packages / "new.deb").write_bytes(newer.read_bytes())
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --allow-downgrades -o DPkg::Options::=--force-unsafe-io"
    in_root(clean, f"apt-get -qq update && {apt} install /root/old.deb")
    assert in_root(clean, "renzheng --version").strip() == f"renzheng, version {__version__}"
    assert "Test every part of this terminal" in in_root(clean, "renzheng self-test --help")
    in_root(clean, "id -nG renzheng | tr ' ' '\\n' | sort | tr '\\n' ' ' | grep -q 'dialout renzheng tss video'")
    in_root(clean, "ls /usr/share/man/man1/renzheng-self-test.1.gz /usr/share/bash-completion/completions/renzheng")
    in_root(clean, "test -n \"$(find /opt/renzheng/lib/common/agent -name '*.pyc')\"")
    # What belongs to the terminal: an edited conffile, settings, state.
    in_root(
        clean, "echo '# mine' >>/etc/default/renzheng; mkdir -p /var/lib/renzheng; echo key >/var/lib/renzheng/x.key"
    )
    in_root(clean, "echo '# provisioned' >/etc/renzheng/renzheng.toml")

    def kept() -> None:
        in_root(clean, "grep -q '# mine' /etc/default/renzheng")
        in_root(clean, "grep -q provisioned /etc/renzheng/renzheng.toml && grep -q key /var/lib/renzheng/x.key")

    in_root(clean, f"{apt} install /root/new.deb && dpkg -s renzheng | grep -q '^Version: 99.0'")
    kept()
    in_root(clean, f"{apt} install /root/old.deb && dpkg -s renzheng | grep -q '^Version: {__version__}'")
    kept()
    in_root(clean, f"{apt} remove renzheng && ! test -e /opt/renzheng && ! test -e /usr/bin/renzheng")
    kept()
    in_root(clean, f"{apt} purge renzheng")
    left = in_root(clean, "find / -xdev -path /var/lib/dpkg -prune -o -name '*renzheng*' -print")
    # systemd's own notes of which units were ever enabled go with the next purge of the helper, not with ours.
    assert [line for line in left.splitlines() if "deb-systemd-helper" not in line] == []


def test_lintian_finds_no_error(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--display-level", "error", package],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
