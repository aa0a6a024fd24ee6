"""A full disk refuses new events and loses no old one; a damaged file is told and the agent goes on."""

import contextlib
import itertools
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.configuration.bundles import Bundles
from agent.configuration.store import ConfigurationStore
from agent.transport.outbox.keeper import SET_ASIDE
from agent.wire.keys import KeyRing
from tests.hostile.kill.kill_agent import BURST
from tests.hostile.kill.kill_world import World, world
from tests.protocol.wire_stack import needs_broker
from tests.unit.config_world import ConfigWorld

pytestmark = [needs_broker, pytest.mark.slow, pytest.mark.timeout(240)]

LIVES = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes where the agent keeps its state."""
    folder = tmp_path / "state"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=64", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs root: `make test` runs as root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Until not a byte is left."""
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def exhaust_names(folder: Path) -> None:
    """Until no file can be made."""
    with contextlib.suppress(OSError):
        for number in itertools.count():
            (folder / f"name-{number}").touch()


def test_a_full_disk_refuses_the_new_and_keeps_the_old(tmp_path: Path, small_disk: Path) -> None:
    with world(tmp_path, seed=3) as scene:
        for number in range(LIVES):
            if number % 3 == 1:
                fill(small_disk)
            scene.one_life()
            (small_disk / "ballast").unlink(missing_ok=True)
        before = scene.promised
        fill(small_disk)
        # During the life a write-ahead log of an earlier one may be taken back, and a few pages become free.
        assert os.statvfs(small_disk).f_bavail == 0
        scene.one_life()
        (small_disk / "ballast").unlink()
        scene.drain(100)
        tally = scene.count()
    assert tally.lost == []
    assert tally.doubled == 0
    assert LIVES < before < tally.accepted <= tally.stored < tally.accepted + BURST


def test_a_damaged_file_is_told_and_the_agent_goes_on(tmp_path: Path) -> None:
    chance = random.Random(5)  # noqa: S311 - repeatable on purpose
    with world(tmp_path, seed=4) as scene:
        for number in range(LIVES):
            if number % 4 == 3:
                damage(scene, chance)
            scene.one_life()
        damaged_until = scene.promised
        for _ in range(4):
            scene.one_life()
        scene.drain(100)
        tally = scene.count()
        assert scene.told(SET_ASIDE) > 0, "the issuer was not told"
    assert tally.doubled == 0
    assert [number for number in tally.lost if number >= damaged_until] == []
    assert tally.accepted > damaged_until


def test_a_terminal_that_has_no_room_for_a_journal_starts_on_its_own_file(tmp_path: Path, small_disk: Path) -> None:
    world = ConfigWorld(tmp_path / "own")
    fill(small_disk)
    exhaust_names(small_disk)
    assert os.statvfs(small_disk).f_ffree == 0
    authority = KeyRing([world.authority.public_key])
    assert ConfigurationStore(small_disk / "state" / "configuration", world.own, authority).boot().number == 0
    assert Bundles(small_disk / "state" / "bundles", authority).boot() is None


def damage(scene: World, chance: random.Random) -> None:
    """Overwrite a page of the file, as a dying SD card does."""
    path = scene.state / "outbox.db"
    with path.open("r+b") as file:
        file.seek(4096 * chance.randrange(max(1, path.stat().st_size // 4096)))
        file.write(chance.randbytes(4096))
