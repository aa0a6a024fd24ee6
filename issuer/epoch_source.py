"""Where epochs come from: one worker a period wins the row in the database and publishes."""

import secrets
import time
from collections.abc import Callable

from sqlalchemy.engine import Engine

from agent.wire import epochs
from agent.wire.epochs import Epoch
from agent.wire.keys import Signer
from issuer import store


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
        epoch = Epoch(
            issuer=self._name,
            issued_at=int(now),
            epoch_id=secrets.token_bytes(16),
            sequence=int(now // self._interval),
            interval=self._interval,
        )
        signed = epochs.sign(epoch, self._signer)
        return signed if store.add_epoch(self._engine, epoch.sequence, epoch.epoch_id, signed) else None

    def seconds_to_next(self) -> float:
        """Seconds to the start of the next period."""
        return self._interval - self._now() % self._interval
