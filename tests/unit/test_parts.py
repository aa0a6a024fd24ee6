"""Parts that are built from the settings: what a full disk or a power cut does to them."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.failures import RenzhengError
from agent.parts import outbox_key


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_key_that_could_not_be_written_is_made_when_there_is_room_again(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(OSError, match="too large"):
        outbox_key(tmp_path)
    key = outbox_key(tmp_path)
    assert outbox_key(tmp_path) == key
    assert (tmp_path / "outbox.key").stat().st_mode & 0o777 == 0o600


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outbox.key").write_bytes(bytes(31))
    with pytest.raises(RenzhengError) as caught:
        outbox_key(tmp_path)
    assert caught.value.code == "settings.invalid"
