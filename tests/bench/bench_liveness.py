"""How often each kind of presentation passes the liveness gate, in whole attempts of rendered frames.

    python -m tests.bench.bench_liveness --runs 100 --out report.json

`--portraits` takes a CSV (`path,subject`) of further frontal pictures, one of each subject; every fifth from each
`--part` on. Without it the persons are the three shipped portraits. The report is written again after every attempt, so
that a run may be ended at any time. Angles alone, by the thousand: bench_liveness_orders. What this proves and what it
does not: docs/liveness.md.
"""

import csv
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import monotonic

import click
import numpy as np

from agent.biometrics.liveness.challenge import Challenge, draw
from agent.biometrics.liveness.policy import POLICIES, LivenessPolicy
from agent.biometrics.liveness.turns import Look, TurnGate
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator import portraits
from agent.biometrics.simulator.actors import Actor, Holder, Swap
from agent.biometrics.simulator.attacks import Injected, Paper, Print, Replay, record
from agent.biometrics.simulator.attempt import attempt, seeded
from agent.biometrics.simulator.motion import Habits, Mover
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.scene import Light, Studio
from agent.biometrics.simulator.texture import Portrait
from agent.biometrics.types import Guidance, LivenessVerdict
from tests.bench.liveness_rates import Outcome, show, write

RATE = 12.0


@cache
def pipeline() -> FacePipeline:
    return FacePipeline()


@cache
def cast(source: str, parts: tuple[int, ...], between: tuple[int, int] | None = None) -> tuple[Portrait, ...]:
    """The portraits of everybody, or of those whose number lies between two."""
    if not source:
        return tuple(portraits.shipped(name) for name in (portraits.LIVE, portraits.OTHER, portraits.CHIP))
    table = Path(source)
    with table.open(newline="") as lines:
        first = {row["subject"]: row["path"] for row in reversed(list(csv.DictReader(lines)))}
    paths = sorted(first.values())
    chosen = [path for part in parts for path in paths[part::5]]
    chosen = chosen if between is None else chosen[between[0] : between[1] + 1]
    return tuple(portraits.read_portrait(table.parent / path, pipeline()) for path in chosen)


@cache
def person(source: str, parts: tuple[int, ...], between: tuple[int, int] | None, number: int) -> Person:
    return Person.of(cast(source, parts, between)[number], number)


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt that is to be made."""

    species: str
    source: str
    parts: tuple[int, ...]
    policy: str
    seed: int
    gain: float
    between: tuple[int, int] | None = None

    @property
    def subject(self) -> int:
        """Whose portrait it is."""
        return self.seed % len(self._cast)

    @property
    def _cast(self) -> tuple[Portrait, ...]:
        return cast(self.source, self.parts, self.between)

    def portrait(self) -> Portrait:
        """The portrait of the subject."""
        return self._cast[self.subject]

    def person(self, *, glasses: bool = False) -> Person:
        """The subject."""
        return replace(person(self.source, self.parts, self.between, self.subject), wears_glasses=glasses)

    def somebody_else(self) -> Person:
        """Another one, over time everybody else. The first two shipped portraits are of two people."""
        count = len(self._cast) if self.source else 2
        step = 1 + (self.seed // count) % (count - 1)
        return person(self.source, self.parts, self.between, (self.subject + step) % count)


def _replay(job: Job, policy: LivenessPolicy, *, same: bool) -> tuple[Actor, Challenge]:
    """A screen that plays an earlier attempt of its victim, against a fresh challenge or (`same`) its own turns."""
    mine, theirs = draw(policy, rng=seeded(job.seed)), draw(policy, rng=seeded(10**6 + job.seed))
    mover = Mover(np.random.default_rng(job.seed), Habits())
    gate = TurnGate(theirs, policy, 0.0)
    prompts: list[tuple[float, Guidance]] = []
    now = 0.0
    while not gate.over:
        pose = mover.pose(now)
        gate.see(Look(now, pose.yaw, pose.pitch, 0))
        if not prompts or prompts[-1][1] is not gate.guidance:
            prompts.append((now, gate.guidance))
        mover.observe(gate.guidance, now)
        now += 1 / RATE
    recording = record(Holder(job.person(), job.seed), Studio(seed=job.seed), prompts, now + 0.5, RATE)
    if same:
        right = tuple(replace(step, turn=old.turn) for step, old in zip(mine.steps, theirs.steps, strict=True))
        mine = replace(mine, steps=right)
    return Replay(recording, seed=job.seed), mine


def _turn(angle: float) -> Habits:
    return Habits(yaw=(angle, 0.5), pitch=(0.8 * angle, 0.5), insist=0.0)


def _holder(habits: Habits | None = None, *, glasses: bool = False) -> Callable[[Job], Actor]:
    return lambda job: Holder(job.person(glasses=glasses), job.seed, habits)


def _print(handling: Paper, angle: float = 60.0, *, holes: bool = False) -> Callable[[Job], Actor]:
    return lambda job: Print(
        job.portrait(), handling, angle=angle, behind=job.somebody_else() if holes else None, seed=job.seed
    )


SPECIES: dict[str, Callable[[Job], Actor]] = {
    "person, 25° turns": _holder(_turn(25.0)),
    "person, 30° turns": _holder(_turn(30.0)),
    "person, 35° turns": _holder(_turn(35.0)),
    "person, as people turn": _holder(),
    "person with glasses": _holder(glasses=True),
    "print, still": _print(Paper.STILL),
    "print, tilted 45°": _print(Paper.TILTED, 45.0),
    "print, tilted 60°": _print(Paper.TILTED),
    "print, bent and turned 45°": _print(Paper.BENT, 45.0),
    "print, bent and turned 60°": _print(Paper.BENT),
    "print, bent, holes for eyes": _print(Paper.BENT, holes=True),
    "two persons change places": lambda job: Swap(job.person(), job.somebody_else(), job.seed),
    "injected portrait, noise added": lambda job: Injected(job.portrait(), noise=True),
}
REPLAYS = ("screen, earlier attempt", "screen, right turns")


def run(job: Job) -> tuple[str, Outcome]:
    """Make one attempt."""
    policy, challenge = POLICIES[job.policy], None
    if job.species in REPLAYS:
        actor, challenge = _replay(job, policy, same="right" in job.species)
    else:
        actor = SPECIES[job.species](job)
    result = attempt(pipeline(), actor, policy, job.seed, rate=RATE, light=Light(gain=job.gain), challenge=challenge)
    live = result.evidence.liveness.verdict is LivenessVerdict.LIVE
    failure = "" if live else result.evidence.failure or "liveness.indeterminate"
    return job.species, Outcome(failure, job.subject, round(result.seconds, 2))


@click.command()
@click.option("--runs", default=60, show_default=True, help="Attempts of each species.")
@click.option("--policy", default="standard", type=click.Choice(sorted(POLICIES)), show_default=True)
@click.option("--portraits", "source", default="", help="CSV (path,subject) of frontal pictures.")
@click.option("--part", "parts", multiple=True, type=click.IntRange(0, 4), default=(0,), help="Which fifth of them.")
@click.option("--between", type=(int, int), help="Of these the first and the last one to take.")
@click.option("--only", multiple=True, help="Only the species whose name holds this.")
@click.option("--gain", default=1.0, show_default=True, help="Brightness of the scene; 0.35 is a dim room.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--minutes", default=600.0, show_default=True, help="Stop after this time and report what was done.")
@click.option("--workers", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the rates as JSON.")
def main(
    runs: int,
    policy: str,
    source: str,
    parts: tuple[int, ...],
    between: tuple[int, int] | None,
    only: tuple[str, ...],
    gain: float,
    first: int,
    minutes: float,
    workers: int,
    out: Path | None,
) -> None:
    """Print the rate at which each presentation passes, with its 95 % intervals."""
    names = [name for name in (*SPECIES, *REPLAYS) if not only or any(part in name for part in only)]
    # One attempt of each species after another, so that a run that is cut short has as many of each.
    wanted = (
        Job(name, source, parts, policy, seed, gain, between) for seed in range(first, first + runs) for name in names
    )
    rows: dict[str, list[Outcome]] = {}
    end = monotonic() + 60 * minutes
    with ProcessPoolExecutor(workers) as pool:
        for done in pool.map(run, wanted):
            rows.setdefault(done[0], []).append(done[1])
            write(out, rows, policy=policy, gain=gain, first=first, parts=parts, between=between)
            if monotonic() > end:
                pool.shutdown(cancel_futures=True)
                break
    show(policy, rows)


if __name__ == "__main__":
    main()
