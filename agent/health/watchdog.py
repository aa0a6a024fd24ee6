"""The watchdog and its escalation: a loop that hangs is started anew; when that does not help, the process is.

systemd hears `WATCHDOG=1` only while every critical loop has beaten within its own deadline, or is being started anew
within its budget. A device that is absent costs nobody a restart: its loop keeps trying and beats.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from agent.health import events
from agent.health.heartbeat import Heartbeat, Heartbeats
from agent.health.notify import Notifier

log = logging.getLogger(__name__)

Restart = Callable[[], Awaitable[None]]

#: Seconds between two looks, and so the longest that a hang goes unseen past its deadline.
INTERVAL = 0.5
#: Seconds that starting a part anew may take.
RESTART_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How often a part may be started anew before the process is given up: `restarts` within `window` seconds."""

    restarts: int = 3
    window: float = 300.0


class Watchdog:
    """Looks at the heartbeats and acts on those that stopped."""

    def __init__(
        self,
        heartbeats: Heartbeats,
        notifier: Notifier,
        restarts: Mapping[str, Restart],
        *,
        restarted: Callable[[str], None] = lambda _name: None,
        budget: Budget = Budget(),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`restarts` starts the part behind a loop anew, by the loop's name; a loop without one takes the process.

        `restarted` hears the name of each part that is started anew.
        """
        self._heartbeats, self._notifier = heartbeats, notifier
        self._restarts, self._budget = restarts, budget
        self._restarted, self._clock = restarted, clock
        self._interval = min(INTERVAL, notifier.watchdog / 4) if notifier.watchdog else INTERVAL
        self._history: dict[str, deque[float]] = {}
        self.given_up = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval)

    async def look(self) -> None:
        """One look: feed systemd's watchdog, start a part anew, or give the process up."""
        for beat in self._heartbeats.overdue():
            if not await self._revive(beat):
                return
        if not self.given_up:
            self._notifier.alive()

    def fail(self, name: str) -> None:
        """The loop `name` has ended by an error: no beat will come, and only a new process brings it back."""
        self._give_up(name, 0.0)

    async def _revive(self, beat: Heartbeat) -> bool:
        restart = self._restarts.get(beat.name)
        if self.given_up or restart is None or not self._affordable(beat.name):
            self._give_up(beat.name, beat.age)
            return False
        events.emit(events.PART_RESTARTED, part=beat.name, seconds=round(beat.age, 1))
        self._restarted(beat.name)
        beat.beat()
        try:
            async with asyncio.timeout(RESTART_TIMEOUT):
                await self._patiently(restart)
        except Exception as error:  # noqa: BLE001  # whatever a part raises, the others go on
            log.warning("%s could not be started anew: %s", beat.name, type(error).__name__)
        # The part gets its whole deadline to show that it lives.
        beat.beat()
        return True

    async def _patiently(self, restart: Restart) -> None:
        """Start a part anew; systemd is fed meanwhile, as its own time-out is no longer than that of a restart."""
        task = asyncio.ensure_future(restart())
        try:
            while not (await asyncio.wait([task], timeout=self._interval))[0]:
                self._notifier.alive()
            await task
        finally:
            task.cancel()

    def _affordable(self, name: str) -> bool:
        history = self._history.setdefault(name, deque())
        now = self._clock()
        while history and now - history[0] > self._budget.window:
            history.popleft()
        if len(history) >= self._budget.restarts:
            return False
        history.append(now)
        return True

    def _give_up(self, name: str, age: float) -> None:
        if not self.given_up:
            self.given_up = name
            events.emit(events.PROCESS_GIVEN_UP, part=name, seconds=round(age, 1))
            with suppress(OSError):
                self._notifier.status(f"{name} hangs; asking for a restart")
        with suppress(OSError):
            self._notifier.trigger()
