"""How often a terminal may be tried: after some failures it waits, each time longer. The flow owns one of these."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Lockout:
    """Counts failures of liveness within a window; `wait` says how long nobody may try. Times are monotonic seconds."""

    failures: int = 3
    window: float = 300.0
    shortest: float = 30.0
    longest: float = 900.0
    _times: deque[float] = field(default_factory=deque)
    _until: float = float("-inf")
    _locks: int = 0

    def failed(self, now: float) -> None:
        """An attempt failed."""
        self._times.append(now)
        while self._times and now - self._times[0] > self.window:
            self._times.popleft()
        if len(self._times) >= self.failures:
            self._until = now + min(self.longest, self.shortest * 2.0**self._locks)
            self._locks += 1
            self._times.clear()

    def passed(self, now: float) -> None:
        """An attempt was live. What others did before is not forgotten while it is fresh."""
        if now - self._until > self.window:
            self._locks = 0

    def wait(self, now: float) -> float:
        """Seconds until the next attempt, 0 if there may be one now."""
        return max(0.0, self._until - now)
