"""Epochs of the issuer rise whatever its clock and its policy do, and one from another time is not taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from agent.wire import epochs
from agent.wire.epochs import Epoch
from agent.wire.keys import KeyRing, SoftwareSigner
from issuer import certificates, store
from issuer.epoch_source import EpochSource, accepted

NOW = 1_800_000_000.0
NAME = "example"
SIGNER = SoftwareSigner(certificates.new_key())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with store.opened(store.sqlite_url(tmp_path / "issuer.db")) as made:
        yield made


class Time:
    """The clock of a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def source(engine: Engine, clock: Time, interval: int = 5, signer: SoftwareSigner = SIGNER) -> EpochSource:
    return EpochSource(engine, NAME, interval, signer, now=clock)


def made(source: EpochSource) -> Epoch:
    signed = source.advance()
    assert signed is not None
    return epochs.verify(signed, KeyRing([SIGNER.public_key]), NAME)


def taken(engine: Engine, clock: Time) -> set[bytes]:
    return set(accepted(store.newest_epochs(engine), clock()))


def test_the_current_and_the_previous_one_are_taken(engine: Engine) -> None:
    clock = Time()
    issuer = source(engine, clock)
    found = []
    for _ in range(3):
        found.append(made(issuer).epoch_id)
        clock.now += 5
    clock.now -= 5
    assert taken(engine, clock) == set(found[1:])
    clock.now += 5
    assert taken(engine, clock) == {found[2]}
    clock.now += 5
    assert taken(engine, clock) == set()


def test_two_workers_make_one_in_a_period(engine: Engine) -> None:
    clock = Time()
    assert source(engine, clock).advance() is not None
    clock.now += 4.9
    assert source(engine, clock).advance() is None


@pytest.mark.parametrize("interval", [1, 4, 6, 10, 3600])
def test_they_rise_also_after_the_interval_was_changed(engine: Engine, interval: int) -> None:
    clock = Time()
    before = made(source(engine, clock))
    clock.now += interval
    again = source(engine, clock, interval)
    after = made(again)
    assert after.sequence > before.sequence
    assert after.epoch_id in taken(engine, clock)
    clock.now += 2 * interval
    made(again)
    assert before.epoch_id not in taken(engine, clock)


def test_they_rise_also_after_the_clock_was_set_back(engine: Engine) -> None:
    clock = Time()
    clock.now += 365 * 86400
    ahead = made(source(engine, clock))
    clock.now -= 365 * 86400
    issuer = source(engine, clock)
    assert taken(engine, clock) == set()
    right = made(issuer)
    assert right.sequence > ahead.sequence
    assert taken(engine, clock) == {right.epoch_id}
    assert issuer.advance() is None
    clock.now += 5
    assert made(issuer).sequence > right.sequence


def test_a_worker_whose_clock_is_a_little_behind_takes_those_of_the_other(engine: Engine) -> None:
    clock = Time()
    ahead = made(source(engine, clock))
    clock.now -= 3
    assert ahead.epoch_id in taken(engine, clock)


def test_another_signing_key_goes_on_where_the_old_one_ended(engine: Engine) -> None:
    clock = Time()
    old = made(source(engine, clock, signer=SIGNER))
    clock.now += 5
    signer = SoftwareSigner(certificates.new_key())
    new = source(engine, clock, signer=signer)
    signed = new.advance()
    assert signed is not None
    assert epochs.verify(signed, KeyRing([signer.public_key]), NAME).sequence > old.sequence
    assert old.epoch_id in taken(engine, clock)
