"""Files that are whole or not there, and whose they are."""

import os
from pathlib import Path

import pytest

from agent import durable
from agent.configuration.store_journal import Journal, Phase

#: Any user that is not root.
SERVICE = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others: `make test` runs as root")


def test_what_was_written_is_read_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "file"
    for content in (b"one", b"two"):
        durable.write(path, content)
        assert durable.read(path, limit=10) == content
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_larger_than_it_may_be_is_not_read(tmp_path: Path) -> None:
    durable.write(tmp_path / "file", bytes(11))
    with pytest.raises(OSError, match="larger than 10 bytes"):
        durable.read(tmp_path / "file", limit=10)
    assert durable.read(tmp_path / "absent", limit=10) is None


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for name in (".file.new", "file", ".journal.lock"):
        (tmp_path / name).symlink_to(victim)
    durable.write(tmp_path / "file", b"new")
    with pytest.raises(OSError, match="symbolic"):
        durable.create(tmp_path / ".journal.lock")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "file").read_bytes() == b"new"


@needs_root
def test_what_root_changes_stays_the_services(tmp_path: Path) -> None:
    os.chown(tmp_path, SERVICE, SERVICE)
    journal = Journal(tmp_path / "journal.json")
    for phase in (Phase.SETTLED, Phase.ROLLING_BACK):
        journal.moved(phase)
    assert {path.name for path in tmp_path.iterdir()} == {"journal.json", ".journal.json.lock"}
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {SERVICE}
