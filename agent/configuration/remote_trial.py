"""One change, from prepared to committed or rolled back. The same for settings and for model bundles.

Each phase is in the journal before its act begins. `apply` may return (the change is in force in this process) or never
return (the process ends and starts anew): `resume` goes on where the journal stands, after `boot`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.configuration.store_journal import Journal, Phase, Revision
from agent.failures import RenzhengError

_LOG = logging.getLogger(__name__)

SELF_TEST = "configuration.self_test"
BROKER_LOST = "configuration.broker_lost"


@dataclass(frozen=True, slots=True)
class Acts:
    """What the application does for a trial. Each raises RenzhengError where it fails.

    apply      put this revision in force (None: the terminal's own state); or end the process so that it is at the next
    verify     the self-test with it in force
    reachable  return once the issuer can be reached with it in force

    `verify` and `reachable` each have `probation` seconds.
    """

    apply: Callable[[Revision | None], Awaitable[None]]
    verify: Callable[[], Awaitable[None]]
    reachable: Callable[[], Awaitable[None]]
    probation: float = 120.0


class Trial:
    """Drives changes through the journal."""

    def __init__(self, journal: Journal, acts: Acts) -> None:
        self._journal = journal
        self._acts = acts

    async def start(self, candidate: Revision) -> None:
        """Try a candidate that is stored and valid, to its end."""
        self._journal.prepared(candidate)
        self._journal.moved(Phase.APPLYING)
        try:
            await self._acts.apply(candidate)
        except RenzhengError as error:
            await self._back(error.code)
            return
        await self._judge()

    async def resume(self) -> None:
        """Go on with a trial that `boot` has put in force; nothing to do otherwise."""
        if self._journal.read().phase is Phase.APPLYING:
            await self._judge()

    async def _judge(self) -> None:
        try:
            self._journal.moved(Phase.VERIFYING)
            await self._in_time(self._acts.verify, SELF_TEST, "the self-test did not end")
            self._journal.moved(Phase.PROBATION)
            await self._in_time(self._acts.reachable, BROKER_LOST, "the issuer could not be reached")
        except RenzhengError as error:
            await self._back(error.code)
            return
        self._journal.committed()

    async def _in_time(self, act: Callable[[], Awaitable[None]], code: str, text: str) -> None:
        try:
            async with asyncio.timeout(self._acts.probation):
                await act()
        except TimeoutError:
            raise RenzhengError(code, text) from None

    async def _back(self, reason: str) -> None:
        _LOG.warning("the change is rolled back: %s", reason)
        self._journal.rolling_back(reason)
        await self._acts.apply(self._journal.read().active)
        self._journal.rolled_back()
