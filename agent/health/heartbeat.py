"""Heartbeats: every critical loop says that it made progress, and the watchdog believes nobody else.

A beat means progress, not existence: a reader's loop beats after it has asked its reader, the camera's after a frame or
after it has tried to open a camera that is not there, the broker's after a round trip, or while the link is down and
tries again. A loop whose device is gone and that keeps trying is healthy; a loop that hangs in its device is not.
"""

from collections.abc import Callable
from time import monotonic


class Heartbeat:
    """The pulse of one loop. `beat` may be called from any thread."""

    def __init__(self, name: str, deadline: float, clock: Callable[[], float]) -> None:
        self.name = name
        #: Seconds that may pass between two beats.
        self.deadline = deadline
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """The loop has made progress."""
        self._last = self._clock()

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._last

    @property
    def overdue(self) -> bool:
        """Whether the loop has missed its deadline."""
        return self.age > self.deadline


class Heartbeats:
    """The loops that must live."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, Heartbeat] = {}

    def register(self, name: str, deadline: float) -> Heartbeat:
        """A new critical loop that promises a beat every `deadline` seconds; its first is now.

        Raises:
            ValueError: there is one of this name.
        """
        if name in self._beats:
            raise ValueError(f"two loops are called {name}")
        heartbeat = self._beats[name] = Heartbeat(name, deadline, self._clock)
        return heartbeat

    def overdue(self) -> list[Heartbeat]:
        """The loops that missed their deadline."""
        return [beat for beat in list(self._beats.values()) if beat.overdue]

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last beat."""
        return {beat.name: beat.age for beat in list(self._beats.values())}
