"""How far the terminal's clock can be trusted: a state, not a hope.

The kernel says whether something keeps the clock (adjtimex); the issuer's signed epochs say whether it is right. An
epoch that disagrees wins over the kernel: the clock is then `contradicted`, whoever is wrong, and nothing whose
validity depends on time passes until they agree again. Freshness never depends on this clock: epochs carry it.
"""

import ctypes
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

_TIMESYNC = Path("/run/systemd/timesync/synchronized")
#: `TIME_ERROR` of adjtimex(2): nothing keeps the clock.
_TIME_ERROR = 5
#: Larger than `struct timex` on every Linux (208 bytes on 64 bits); a zeroed one asks and sets nothing.
_TIMEX_SIZE = 512


class ClockTrust(StrEnum):
    """The states; the words are those of the wire."""

    UNSYNCHRONISED = "unsynchronised"
    SYNCHRONISED = "synchronised"
    CONTRADICTED = "contradicted"


def kernel_synchronised() -> bool:
    """Whether timesyncd, chrony, ntpd or PTP keeps this machine's clock."""
    if _TIMESYNC.exists():
        return True
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) < _TIME_ERROR


class Clock:
    """The wall clock with its trust. `observe` every epoch."""

    def __init__(
        self,
        *,
        tolerance: float = 30.0,
        now: Callable[[], float] = time.time,
        synchronised: Callable[[], bool] = kernel_synchronised,
    ) -> None:
        self._tolerance = tolerance
        self._now = now
        self._synchronised = synchronised
        self._offset = 0

    def now(self) -> float:
        """Seconds since 1970 by this machine's clock."""
        return self._now()

    @property
    def offset(self) -> int:
        """This clock minus the newest epoch's when it arrived, in seconds; positive: this clock is ahead."""
        return self._offset

    @property
    def trust(self) -> ClockTrust:
        """The state now."""
        if abs(self._offset) > self._tolerance:
            return ClockTrust.CONTRADICTED
        return ClockTrust.SYNCHRONISED if self._synchronised() else ClockTrust.UNSYNCHRONISED

    @property
    def is_past(self) -> bool:
        """Whether a clock that something keeps says later than the newest epoch: an old epoch, most likely."""
        return self._offset > self._tolerance and self._synchronised()

    def observe(self, issued_at: int, interval: int) -> ClockTrust:
        """Compare with an epoch that arrived now."""
        self._offset = self._difference(issued_at, interval)
        return self.trust

    def agrees(self, issued_at: int, interval: int) -> bool:
        """Whether an epoch that arrived now fits this clock."""
        return abs(self._difference(issued_at, interval)) <= self._tolerance

    def _difference(self, issued_at: int, interval: int) -> int:
        # An epoch is up to an interval old when it is heard: it may have been retained.
        ahead = self._now() - issued_at
        return int(ahead - interval) if ahead > interval else int(min(ahead, 0))
