"""How often each kind of presentation passes the liveness gate, in simulation.

    python tests/bench/bench_liveness.py --runs 100 --out report.json

`--portraits` takes a CSV (`path,subject`) of further frontal pictures, one of each subject is used; without it the
persons are the three shipped portraits. What this proves and what it does not: docs/liveness.md.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import monotonic

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

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

Trace = list[tuple[float, float, float]]


# ---- Angles only: thousands of attempts against the state machine, no pixels ----


def follow(policy: LivenessPolicy, challenge: Challenge, mover: Mover, rate: float = 15.0) -> tuple[TurnGate, Trace]:
    """A person with `mover`'s habits who is led through `challenge`, and the angles that they showed."""
    gate, trace = TurnGate(challenge, policy, 0.0), []
    for index in range(int(policy.timeout * rate) + 2):
        now = index / rate
        pose = mover.pose(now)
        trace.append((now, pose.yaw, pose.pitch))
        gate.see(Look(now, pose.yaw, pose.pitch, 0))
        if gate.over:
            break
        mover.observe(gate.guidance, now)
    return gate, trace


def play(policy: LivenessPolicy, challenge: Challenge, trace: Trace, rate: float = 15.0) -> TurnGate:
    """A recording that is played again and again until the gate decides."""
    gate = TurnGate(challenge, policy, 0.0)
    index = 0
    while not gate.over:
        _, yaw, pitch = trace[index % len(trace)]
        gate.see(Look(index / rate, yaw, pitch, 0))
        index += 1
    return gate


def enumerating() -> Trace:
    """A video that shows every turn in order, with pauses in between."""
    mover = Mover(np.random.default_rng(7), Habits())
    turns = [Guidance.TURN_LEFT, Guidance.TURN_RIGHT, Guidance.LOOK_UP, Guidance.LOOK_DOWN]
    trace = []
    for index in range(int(4 * 4.0 * 15)):
        now = index / 15
        mover.observe(turns[int(now / 4.0)] if now % 4.0 < 2.0 else Guidance.LOOK_HERE, now)
        pose = mover.pose(now)
        trace.append((now, pose.yaw, pose.pitch))
    return trace


def angle_runs(policy: LivenessPolicy, runs: int) -> Iterator[tuple[str, list[str]]]:
    """The species that need no pixels, each with the outcome of each run ("" is passed)."""
    habits = {
        "person": Habits(),
        "person, 30° and 24° turns": Habits(yaw=(30.0, 1.0), pitch=(24.0, 1.0), insist=0.0),
        "person, slow to react": Habits(reaction=(1.6, 0.5), turning=(1.1, 0.2)),
        "person, mistakes 1 prompt in 10": Habits(confusion=0.1),
    }
    for name, habit in habits.items():
        outcomes = []
        for seed in range(runs):
            challenge = draw(policy, rng=seeded(seed))
            gate, _ = follow(policy, challenge, Mover(np.random.default_rng(seed), habit))
            outcomes.append(gate.failure)
        yield name, outcomes
    once: list[str] = []
    slow: list[str] = []
    right: list[str] = []
    for seed in range(runs):
        earlier, now = draw(policy, rng=seeded(seed)), draw(policy, rng=seeded(10**6 + seed))
        for outcomes, habit in ((once, Habits()), (slow, Habits(reaction=(1.3, 0.2)))):
            _, trace = follow(policy, earlier, Mover(np.random.default_rng(seed), habit))
            outcomes.append(play(policy, now, trace).failure)
        same_turns = replace(
            now, steps=tuple(replace(s, turn=e.turn) for s, e in zip(now.steps, earlier.steps, strict=True))
        )
        _, trace = follow(policy, earlier, Mover(np.random.default_rng(seed), Habits()))
        right.append(play(policy, same_turns, trace).failure)
    yield "recording of one earlier attempt", once
    yield "recording of one earlier attempt, slow victim", slow
    yield "recording with the right turns, other times", right
    everything = enumerating()
    yield (
        "recording of every turn in a loop",
        [play(policy, draw(policy, rng=seeded(seed)), everything[seed % 60 :]).failure for seed in range(runs)],
    )


# ---- Pixels: whole sessions with rendered frames ----


@cache
def pipeline() -> FacePipeline:
    return FacePipeline()


@cache
def cast(source: str) -> tuple[Portrait, ...]:
    """The portraits of everybody."""
    shipped = tuple(portraits.shipped(name) for name in (portraits.CHIP, portraits.LIVE, portraits.OTHER))
    if not source:
        return shipped
    table = Path(source)
    with table.open(newline="") as lines:
        first = {row["subject"]: row["path"] for row in reversed(list(csv.DictReader(lines)))}
    found = []
    for path in sorted(first.values())[::5]:
        portrait = portraits.read_portrait(table.parent / path, pipeline())
        found.append(portrait)
    return (*shipped, *found)


def _person(source: str, seed: int) -> Person:
    everybody = cast(source)
    return Person.of(everybody[seed % len(everybody)], seed)


def _print(source: str, seed: int, handling: Paper, angle: float) -> Actor:
    everybody = cast(source)
    return Print(everybody[seed % len(everybody)], handling, angle=angle, seed=seed)


def _eye_holes(source: str, seed: int) -> Actor:
    everybody = cast(source)
    behind = Person.of(everybody[(seed + 1) % len(everybody)], seed)
    return Print(everybody[seed % len(everybody)], Paper.BENT, behind=behind, seed=seed)


def _swap(source: str, seed: int) -> Actor:
    # The two pictures of one person that are shipped are no swap.
    everybody = cast(source)[1:]
    ahead, turning = everybody[seed % len(everybody)], everybody[(seed // len(everybody) + seed + 1) % len(everybody)]
    return Swap(Person.of(ahead, seed), Person.of(turning, seed), seed)


def _replay(source: str, seed: int, policy: LivenessPolicy, *, same: bool) -> tuple[Actor, Challenge]:
    """A screen that plays an earlier attempt of its victim, against a fresh challenge or (`same`) its own turns."""
    mine, theirs = draw(policy, rng=seeded(seed)), draw(policy, rng=seeded(10**6 + seed))
    mover = Mover(np.random.default_rng(seed), Habits())
    gate = TurnGate(theirs, policy, 0.0)
    prompts: list[tuple[float, Guidance]] = []
    now = 0.0
    while not gate.over:
        pose = mover.pose(now)
        gate.see(Look(now, pose.yaw, pose.pitch, 0))
        if not prompts or prompts[-1][1] is not gate.guidance:
            prompts.append((now, gate.guidance))
        mover.observe(gate.guidance, now)
        now += 1 / 12
    victim = Holder(_person(source, seed), seed)
    recording = record(victim, Studio(seed=seed), prompts, now + 0.5, 12.0)
    if same:
        mine = replace(
            mine, steps=tuple(replace(s, turn=t.turn) for s, t in zip(mine.steps, theirs.steps, strict=True))
        )
    return Replay(recording, seed=seed), mine


def _turn(angle: float) -> Habits:
    return Habits(yaw=(angle, 0.5), pitch=(0.8 * angle, 0.5), insist=0.0)


SPECIES: dict[str, Callable[[str, int], Actor]] = {
    "person, 25° turns": lambda s, k: Holder(_person(s, k), k, _turn(25.0)),
    "person, 30° turns": lambda s, k: Holder(_person(s, k), k, _turn(30.0)),
    "person, 35° turns": lambda s, k: Holder(_person(s, k), k, _turn(35.0)),
    "person, as people turn": lambda s, k: Holder(_person(s, k), k),
    "person with glasses": lambda s, k: Holder(replace_glasses(_person(s, k)), k),
    "print, still": lambda s, k: _print(s, k, Paper.STILL, 0.0),
    "print, tilted 45°": lambda s, k: _print(s, k, Paper.TILTED, 45.0),
    "print, tilted 60°": lambda s, k: _print(s, k, Paper.TILTED, 60.0),
    "print, bent and turned 45°": lambda s, k: _print(s, k, Paper.BENT, 45.0),
    "print, bent and turned 60°": lambda s, k: _print(s, k, Paper.BENT, 60.0),
    "print, bent, holes for eyes": _eye_holes,
    "two persons change places": _swap,
    "injected portrait, noise added": lambda s, k: Injected(cast(s)[k % len(cast(s))], noise=True),
}


def replace_glasses(person: Person) -> Person:
    return Person(person.atlas, wears_glasses=True)


def _run(job: tuple[str, str, str, int, float]) -> tuple[str, str, tuple[float, ...]]:
    """One attempt: its species, its failure ("" is live), seconds and the scores of the parts."""
    species, source, policy_name, seed, gain = job
    policy = POLICIES[policy_name]
    challenge = None
    if species.startswith("screen"):
        actor, challenge = _replay(source, seed, policy, same="right" in species)
    else:
        actor = SPECIES[species](source, seed)
    result = attempt(pipeline(), actor, policy, seed, light=Light(gain=gain), challenge=challenge)
    live = result.evidence.liveness.verdict is LivenessVerdict.LIVE
    scores = {part.name: part.score for part in result.evidence.liveness.parts}
    return species, "" if live else result.evidence.failure, (result.seconds, scores["parallax"], scores["surround"])


def wilson(passed: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson's)."""
    if not runs:
        return 0.0, 1.0
    z, rate = 1.96, passed / runs
    middle = rate + z * z / (2 * runs)
    half = z * math.sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs))
    scale = 1 + z * z / runs
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@click.command()
@click.option("--runs", default=60, show_default=True, help="Rendered attempts for each species.")
@click.option(
    "--angle-runs", "angle_runs_", default=3000, show_default=True, help="Attempts without pixels for each species."
)
@click.option("--policy", default="standard", type=click.Choice(sorted(POLICIES)), show_default=True)
@click.option("--portraits", "source", default="", help="CSV (path,subject) of further frontal pictures.")
@click.option("--only", default="", help="Only the rendered species whose name holds this.")
@click.option("--gain", default=1.0, show_default=True, help="Brightness of the scene; 0.35 is a dim room.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--minutes", default=600.0, show_default=True, help="Stop after this time and report what was done.")
@click.option("--workers", default=2, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the table as JSON.")
def main(
    runs: int,
    angle_runs_: int,
    policy: str,
    source: str,
    only: str,
    gain: float,
    first: int,
    minutes: float,
    workers: int,
    out: Path | None,
) -> None:
    """Print the rate at which each presentation passes, with its 95 % interval."""
    rows: dict[str, list[str]] = {}
    measures: dict[str, list[tuple[float, ...]]] = {}
    if angle_runs_:
        for name, outcomes in angle_runs(POLICIES[policy], angle_runs_):
            rows[f"angles: {name}"] = outcomes
    names = [name for name in (*SPECIES, "screen, earlier attempt", "screen, right turns") if only in name]
    # One attempt of each species after another, so that a run that is cut short has as many of each.
    jobs = [(name, source, policy, seed, gain) for seed in range(first, first + runs) for name in names]
    if jobs:
        end = monotonic() + 60 * minutes
        pool = ProcessPoolExecutor(workers)
        for name, failure, measure in track(pool.map(_run, jobs), "attempts", len(jobs)):
            rows.setdefault(name, []).append(failure)
            measures.setdefault(name, []).append(measure)
            if monotonic() > end:
                break
        pool.shutdown(cancel_futures=True)
    table = Table("presentation", "attempts", "passed", "95 %", "seconds", "nose lead", "why not", title=policy)
    report = {}
    for name, outcomes in rows.items():
        passed = outcomes.count("")
        low, high = wilson(passed, len(outcomes))
        medians = [round(float(np.median(values)), 3) for values in zip(*measures.get(name, []), strict=True)]
        why = Counter(code for code in outcomes if code)
        report[name] = {
            "attempts": len(outcomes),
            "passed": passed,
            "interval": [round(low, 4), round(high, 4)],
            "medians": dict(zip(("seconds", "lead", "surround"), medians, strict=False)),
            "failures": dict(why),
        }
        table.add_row(
            name,
            str(len(outcomes)),
            f"{100 * passed / len(outcomes):.1f} %",
            f"{100 * low:.1f}–{100 * high:.1f}",
            *([f"{medians[0]:.1f}", f"{medians[1]:.2f}"] if medians else ["", ""]),
            ", ".join(f"{code.removeprefix('liveness.')} {count}" for code, count in why.most_common(3)),
        )
    Console(width=150).print(table)
    if out:
        out.write_text(json.dumps({"policy": policy, "gain": gain, "species": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
