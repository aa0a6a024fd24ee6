"""Run verifications for minutes, with faults at random moments, and see that nothing grows: `make soak MINUTES=n`.

Everything is real but the card and the person: pcscd, broker, issuer, models, state on disk. The faults are those of
an ordinary week: the document is lifted too early, pcscd restarts, the broker or the issuer is away for seconds.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agent.app import App, running
from agent.biometrics.simulator.actors import Holder, Nobody
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.simulator.person import Person as Body
from agent.biometrics.simulator.portraits import LIVE, shipped
from agent.demo import stage
from agent.demo.theatre import documents
from agent.health import log
from agent.verification.outcome import Outcome
from agent.verification.screen import Screen, Stage
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.faults import At, Fault, FaultyCard
from firmware_bridge.simulator.personalise import Personalisation
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack

#: Of a hundred verifications, so many meet a fault.
FAULTS_PER_HUNDRED = 20
#: What a process may gain from the end of its warm-up to the end: caches that fill, not leaks.
MEMORY_GROWTH_MIB = 15.0
FILES_GROWTH = 4
WARM_UP = 0.25
#: Seconds within which a verification ends, whatever happens.
PATIENCE = 90.0
#: What the page shows while a person is served.
SERVING = frozenset({Stage.NEED_KEY, Stage.READING, Stage.FACE, Stage.DECIDING})
Breaking = Callable[[], Coroutine[None, None, None]]
Tell = Callable[[float, str], None]


@dataclass(slots=True)
class Soak:
    """One run: what happened, and the process's size after each verification."""

    app: App
    built: stage.Stage
    cards: CardStack
    camera: SimulatedCamera
    passport: Personalisation
    luck: random.Random
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[float, float, int]] = field(default_factory=list)
    #: Verifications that never ended.
    lost: list[str] = field(default_factory=list)

    async def run(self, seconds: float, tell: Tell) -> None:
        """Verify until the time is over."""
        outcomes = self.app.outcomes.watch()
        start = monotonic()
        while (elapsed := monotonic() - start) < seconds:
            fault = self._draw()
            if fault is not None:
                self.faults[fault.__name__.strip("_")] += 1
            try:
                outcome = await self._verify(outcomes, fault)
            except TimeoutError:
                name = fault.__name__.strip("_") if fault else "no fault"
                self.lost.append(f"{name}, {elapsed / 60:.1f} minutes in: no end within {PATIENCE:.0f} s")
            else:
                self.endings[outcome.code or "verified"] += 1
            self.sizes.append((elapsed, pss_mib(), open_files()))
            gc.collect()
            faults = sum(self.faults.values())
            tell(elapsed, f"{self.endings.total()} verifications, {faults} faults, {len(self.lost)} without an end")

    def _draw(self) -> Breaking | None:
        if self.luck.randrange(100) >= FAULTS_PER_HUNDRED:
            return None
        return self.luck.choice([self._lifted_early, self._pcscd_restarts, self._broker_away, self._issuer_away])

    async def _verify(self, outcomes: "asyncio.Queue[Outcome]", fault: Breaking | None) -> Outcome:
        self.camera.stage(Holder(Body.of(shipped(LIVE)), seed=self.luck.randrange(1 << 30)))
        self.app.inputs.give(self.passport.key)
        chip: PassportChip | FaultyCard = PassportChip(self.passport)
        if fault == self._lifted_early:
            chip = FaultyCard(chip, At(Fault.PULLED, self.luck.randrange(1, 40)))
        with self.cards.card(chip):
            breaking = asyncio.create_task(fault()) if fault else None
            try:
                outcome = await asyncio.wait_for(outcomes.get(), PATIENCE)
            finally:
                if breaking is not None:
                    await breaking
        self.camera.stage(Nobody())
        with suppress(TimeoutError):
            await asyncio.wait_for(self.app.terminal.empty(), 10)
        await self.app.link.wait_connected(PATIENCE)
        return outcome

    async def _lifted_early(self) -> None:
        """The card itself does it."""

    async def _pcscd_restarts(self) -> None:
        # The virtual card leaves with its service, where a real one would still lie there: not before it was seen.
        async with asyncio.timeout(PATIENCE):
            while self.app.screens.current.stage not in SERVING:  # noqa: ASYNC110  # the flow sets it, not we
                await asyncio.sleep(0.02)
        await asyncio.sleep(self.luck.uniform(0, 2))
        await asyncio.to_thread(self.cards.stop_service)
        await asyncio.to_thread(self.cards.start_service)

    async def _broker_away(self) -> None:
        await asyncio.sleep(self.luck.uniform(0, 2))
        await self.built.broker.stop()
        await asyncio.sleep(self.luck.uniform(0, 3))
        await self.built.broker.start()
        await self.built.broker.listening(self.built.port)

    async def _issuer_away(self) -> None:
        await asyncio.sleep(self.luck.uniform(0, 2))
        await self.built.issuer.stop()
        await asyncio.sleep(self.luck.uniform(0, 3))
        await self.built.issuer.start()

    def report(self, seconds: float) -> dict[str, object]:
        """Rates, endings, and growth from the end of the warm-up to the end (medians of a quarter of the samples)."""
        total = sum(self.endings.values())
        warm = self.sizes[int(len(self.sizes) * WARM_UP) :] or self.sizes
        quarter = max(1, len(warm) // 4)
        memory, files = [size for _at, size, _files in warm], [count for _at, _size, count in warm]
        return {
            "minutes": round(seconds / 60, 1),
            "verifications": total,
            "per minute": round(total / (seconds / 60), 1),
            "endings": dict(self.endings.most_common()),
            "faults": dict(self.faults.most_common()),
            "without an end": self.lost,
            "pss MiB, first and last quarter": [median(memory[:quarter]), median(memory[-quarter:])],
            "open files, first and last quarter": [median(files[:quarter]), median(files[-quarter:])],
        }


def median(values: list[float] | list[int]) -> float:
    """The middle value, to a tenth."""
    return round(float(sorted(values)[len(values) // 2]), 1)


def pss_mib(pid: int | str = "self") -> float:
    """Proportional set size of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names only, a thousand times


def problems(report: dict[str, object]) -> list[str]:
    """What never ended, and what grew more than it may."""
    memory, files = report["pss MiB, first and last quarter"], report["open files, first and last quarter"]
    lost = report["without an end"]
    assert isinstance(memory, list)  # made above
    assert isinstance(files, list)  # made above
    assert isinstance(lost, list)  # made above
    found = [f"{len(lost)} verifications had no end"] if lost else []
    if memory[1] - memory[0] > MEMORY_GROWTH_MIB:
        found.append(f"memory grew by {memory[1] - memory[0]:.1f} MiB")
    if files[1] - files[0] > FILES_GROWTH:
        found.append(f"{files[1] - files[0]:.0f} more files are open")
    return found


async def soak(minutes: float, seed: int, tell: Tell) -> dict[str, object]:
    """Build the stage of the demonstration and let it run."""
    with tempfile.TemporaryDirectory(prefix="renzheng-soak-") as name, CardStack() as cards:
        folder = Path(name)
        state = IssuingState.create()
        state.write_trust(folder / "trust")
        async with stage.built(folder, folder / "trust", "convenience") as built:
            camera = SimulatedCamera(Nobody(), virtual=True)
            async with running(built.settings, frames=lambda: camera) as app:

                def observe(screen: Screen) -> None:
                    if screen.guidance is not None:
                        camera.observe(screen.guidance, screen.light)

                app.screens.listen(observe)
                run = Soak(app, built, cards, camera, documents(state).genuine, random.Random(seed))  # noqa: S311  # repeatable
                start = monotonic()
                await run.run(minutes * 60, tell)
                return run.report(monotonic() - start)


def main() -> int:
    """Print the report; status 1 when something grew or never ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    log.configure("error")
    console = Console(stderr=True)
    columns = (TextColumn("soak"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=options.minutes * 60)

        def tell(done: float, words: str) -> None:
            bar.update(task, completed=done, description=words)

        report = asyncio.run(soak(options.minutes, options.seed, tell))
    found = problems(report)
    sys.stdout.write(json.dumps({**report, "problems": found}, indent=1, ensure_ascii=False) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
