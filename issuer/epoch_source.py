"""Where epochs come from: one worker a period wins the row in the database and publishes.

Their sequence always rises, since terminals take nothing older than what they have heard: also after the interval was
changed, or the issuer's clock set back. When an epoch was made says the epoch itself, never its sequence.
"""

import secrets
import time
from collections.abc import Callable, Iterable

from sqlalchemy.engine import Engine

from agent.wire import bounded, epochs
from agent.wire.epochs import Epoch
from agent.wire.keys import Signer
from issuer import store
from issuer.store import StoredEpoch


class EpochSource:
    """Makes the epochs of one issuer; several workers on one database make each only once."""

    def __init__(
        self, engine: Engine, name: str, interval: int, signer: Signer, *, now: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._name = name
        self._interval = interval
        self._signer = signer
        self._now = now

    def advance(self) -> bytes | None:
        """The signed epoch of this period, if this call made it."""
        now = self._now()
        sequence = int(now // self._interval)
        for newest in store.newest_epochs(self._engine)[:1]:
            if self._is_of_now(_content(newest), now):
                return None
            sequence = max(sequence, newest.sequence + 1)
        epoch = Epoch(
            issuer=self._name,
            issued_at=int(now),
            epoch_id=secrets.token_bytes(16),
            sequence=sequence,
            interval=self._interval,
        )
        signed = epochs.sign(epoch, self._signer)
        return signed if store.add_epoch(self._engine, epoch.sequence, epoch.epoch_id, signed) else None

    def seconds_to_next(self) -> float:
        """Seconds to the start of the next period."""
        return self._interval - self._now() % self._interval

    def _is_of_now(self, epoch: Epoch, now: float) -> bool:
        """Whether `epoch` is that of this period, or of the next by a worker whose clock is a little ahead."""
        return epoch.interval == self._interval and _periods_since(epoch, now) in {-1, 0}


def accepted(found: Iterable[StoredEpoch], now: float) -> dict[bytes, bytes]:
    """Of the newest epochs the current and the previous one at `now`: identifier and signed form.

    After a pause of the issuer an older one is the newest, and not taken; nor is one of a clock that was far ahead.
    """
    return {epoch.epoch_id: epoch.signed for epoch in found if _periods_since(_content(epoch), now) in {-1, 0, 1}}


def _periods_since(epoch: Epoch, now: float) -> int:
    return int(now // epoch.interval) - epoch.issued_at // epoch.interval


def _content(stored: StoredEpoch) -> Epoch:
    """What our own database holds needs no check of its signature; the key may have been changed since."""
    return Epoch.decode(bounded.decode(stored.signed, limit=epochs.LIMIT).value[2], limit=epochs.LIMIT)
