"""The newest epoch of the issuer: what a terminal that has just started makes of old ones."""

import asyncio
import secrets
from pathlib import Path

import pytest

from agent.transport.epoch_watch import EpochWatch
from agent.transport.mqtt import Incoming
from agent.trust import identity
from agent.trust.anchors import IssuerTrust
from agent.trust.clock import Clock, ClockTrust
from agent.wire import epochs, topics
from agent.wire.epochs import Epoch
from agent.wire.keys import SoftwareSigner
from issuer import certificates, pki

INTERVAL = 5


class Issuer:
    """The issuer's epochs, on its topic."""

    def __init__(self, root: Path) -> None:
        layout = pki.create(root, "example")
        self._signer = SoftwareSigner(certificates.load_key(layout.key("signing")))
        self.trust: IssuerTrust = identity.load(pki.enroll(layout, "lobby-1")).issuer
        self.now = int(self.trust.signing[0].not_valid_before_utc.timestamp()) + 86400 * 30

    def at(self, age: int) -> Incoming:
        epoch = Epoch(
            issuer="example",
            issued_at=self.now - age,
            epoch_id=secrets.token_bytes(16),
            sequence=(self.now - age) // INTERVAL,
            interval=INTERVAL,
        )
        return Incoming(topics.EPOCH.of(), epochs.sign(epoch, self._signer), True, b"", "")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("epochs") / "issuer")


def watch(issuer: Issuer, *, ahead: int = 0, synchronised: bool = True) -> tuple[EpochWatch, Clock]:
    clock = Clock(now=lambda: float(issuer.now + ahead), synchronised=lambda: synchronised)
    return EpochWatch(issuer.trust, clock), clock


def test_the_newest_tells_the_issuers_time(issuer: Issuer) -> None:
    watched, _ = watch(issuer)
    assert watched.issuer_time is None
    for age in (8, 2, 6):
        watched.take(issuer.at(age))
    assert watched.issuer_time == issuer.now - 2


def test_one_that_was_kept_while_the_issuer_was_away_tells_nothing(issuer: Issuer) -> None:
    watched, clock = watch(issuer)
    watched.take(issuer.at(3600))
    assert (watched.fresh, watched.issuer_time, clock.trust) == (None, None, ClockTrust.SYNCHRONISED)


def test_epochs_of_another_day_tell_no_time_where_something_keeps_the_clock(issuer: Issuer) -> None:
    watched, clock = watch(issuer)
    for age in (86400 + INTERVAL, 86400):
        watched.take(issuer.at(age))
    assert (watched.issuer_time, clock.trust) == (None, ClockTrust.CONTRADICTED)
    watched.take(issuer.at(0))
    assert (watched.issuer_time, clock.trust) == (issuer.now, ClockTrust.SYNCHRONISED)


@pytest.mark.parametrize("ahead", [-86400, 86400])
def test_a_wrong_clock_that_nothing_keeps_does_not_matter(issuer: Issuer, ahead: int) -> None:
    watched, clock = watch(issuer, ahead=ahead, synchronised=False)
    for age in (INTERVAL, 0):
        watched.take(issuer.at(age))
    assert (watched.issuer_time, clock.trust) == (issuer.now, ClockTrust.CONTRADICTED)


async def test_who_waits_for_a_newer_one_hides_the_fresh_one_from_nobody(issuer: Issuer) -> None:
    watched, _ = watch(issuer)
    watched.take(issuer.at(INTERVAL))
    now = await watched.wait(1)
    waiting = asyncio.create_task(watched.newer(now, 5))
    await asyncio.sleep(0)
    assert watched.fresh == now
    assert await watched.wait(0) == now
    watched.take(issuer.at(0))
    assert (await waiting).sequence > now.sequence
