"""What the operator page asks of the agent: how the parts are, the last outcomes, the self-test, the camera's aim."""

import asyncio
from collections import deque
from pathlib import Path
from time import monotonic, time

from agent import __version__
from agent.configuration.schema import Settings
from agent.failures import RenzhengError
from agent.health import check, device
from agent.health.check import Status
from agent.health.checks import checks_of
from agent.health.state import PartState, PartStates
from agent.kiosk.aim import Aim, measure
from agent.kiosk.operator import Facts, Health, Outcome, Part
from agent.threads import WorkerStuckError
from agent.verification import outcome as ended
from agent.verification.camera import Camera

#: Outcomes that the page shows, and seconds that a preview made for it stays.
OUTCOMES = 20
PREVIEW_LIFE = 2.0
NETWORK = frozenset({"broker", "issuer"})
_HEALTH = {Status.PASS: Health.GOOD, Status.SKIP: Health.GOOD, Status.WARN: Health.DEGRADED, Status.FAIL: Health.BAD}


class OperatorDesk:
    """An `agent.kiosk.operator.OperatorView` over the running parts."""

    def __init__(self, terminal: str, settings: Settings, states: PartStates, camera: Camera) -> None:
        self._terminal, self._settings = terminal, settings
        self._states, self._camera = states, camera
        self._started = monotonic()
        self._outcomes: deque[Outcome] = deque(maxlen=OUTCOMES)
        self._checks: tuple[Part, ...] = ()
        self._preview_end: asyncio.TimerHandle | None = None

    async def follow(self, outcomes: "asyncio.Queue[ended.Outcome]") -> None:
        """Note outcomes for ever."""
        while True:
            outcome = await outcomes.get()
            seconds = round(outcome.phases.get("whole", 0.0), 2)
            self._outcomes.appendleft(Outcome(at=time(), seconds=seconds, code=outcome.code))

    async def facts(self) -> Facts:
        """The newest facts."""
        parts = {name: _part(name, state) for name, state in sorted(self._states.states.items())}
        return Facts(
            terminal=self._terminal,
            version=__version__,
            uptime=round(monotonic() - self._started, 1),
            temperature=device.temperature(),
            devices=tuple(part for name, part in parts.items() if name not in NETWORK),
            network=tuple(part for name, part in parts.items() if name in NETWORK),
            checks=self._checks,
            outcomes=tuple(self._outcomes),
        )

    async def self_test(self) -> None:
        """Run it beside the service; its threads are its own."""
        chosen = checks_of(self._settings, None)
        report = await asyncio.to_thread(check.run, chosen)
        self._checks = tuple(
            Part(result.id, _HEALTH[result.finding.status], result.finding.measured, result.finding.code)
            for result in report.results
        )

    async def aim(self) -> Aim | None:
        """One reading of light and sharpness, on a preview that is gone two seconds later."""
        try:
            await self._camera.look(preview=True)
        except (RenzhengError, TimeoutError, WorkerStuckError):
            return None
        if self._preview_end is not None:
            self._preview_end.cancel()
        self._preview_end = asyncio.get_running_loop().call_later(PREVIEW_LIFE, self._camera.preview.clear)
        jpeg = self._camera.preview.newest()
        return await asyncio.to_thread(measure, jpeg) if jpeg else None


def pin_hash(path: Path | None) -> str | None:
    """The hash of the operator's PIN; None closes the operator page.

    Raises:
        RenzhengError: `settings.invalid`, the file cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RenzhengError("settings.invalid", f"{path}: {getattr(error, 'strerror', 'not text')}") from error


def _part(name: str, state: PartState) -> Part:
    since = f"since {max(0, int(time() - state.since))} s"
    return Part(name, Health.GOOD if state.up else Health.BAD, since, state.code)
