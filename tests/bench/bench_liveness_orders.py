"""Times and orders of the turns: how often each kind of presentation passes the turn gate, by angles alone.

    python -m tests.bench.bench_liveness_orders --policy high --runs 3000

Thousands of attempts against the state machine, no pixels: what a recording gets through by chance, and what a person
takes. `--turns`, `--dwell` and `--hold` try another policy. What this proves and what it does not: docs/liveness.md.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from agent.biometrics.liveness.challenge import TURNS, Challenge, draw
from agent.biometrics.liveness.parallax import LEAD, sufficient
from agent.biometrics.liveness.policy import POLICIES, LivenessPolicy
from agent.biometrics.liveness.turns import Look, TurnGate
from agent.biometrics.simulator.attempt import seeded
from agent.biometrics.simulator.motion import Habits, Mover
from agent.biometrics.types import Guidance
from tests.bench.liveness_rates import Outcome, show, write

#: Yaw and pitch at each frame.
Trace = list[tuple[float, float]]
RATE = 15.0
#: The share of the asked angle from which on tracked points show the depth of a head (bench_liveness_turns).
DEEP = 0.8
PEOPLE = {
    "person": Habits(),
    "person, 30° and 24° turns": Habits(yaw=(30.0, 1.0), pitch=(24.0, 1.0), insist=0.0),
    "person, slow to react": Habits(reaction=(1.6, 0.5), turning=(1.1, 0.2)),
    "person, mistakes 1 prompt in 10": Habits(confusion=0.1),
}


def see(gate: TurnGate, now: float, yaw: float, pitch: float) -> None:
    """Show the gate a head, deep where tracked points would show it."""
    look = Look(now, yaw, pitch, 0)
    deep = gate.guidance in TURNS and gate.angle(gate.guidance, look) >= DEEP
    gate.see(replace(look, suffices=sufficient(gate.guidance, LEAD)) if deep else look)


def follow(policy: LivenessPolicy, challenge: Challenge, mover: Mover) -> tuple[Outcome, Trace]:
    """A person with `mover`'s habits who is led through `challenge`, and the angles that they showed."""
    gate, trace, now = TurnGate(challenge, policy, 0.0), [], 0.0
    while not gate.over:
        pose = mover.pose(now)
        trace.append((pose.yaw, pose.pitch))
        see(gate, now, pose.yaw, pose.pitch)
        mover.observe(gate.guidance, now)
        now += 1 / RATE
    return Outcome(gate.failure, seconds=now), trace


def play(policy: LivenessPolicy, challenge: Challenge, trace: Trace) -> Outcome:
    """A recording that is played again and again until the gate decides."""
    gate, index = TurnGate(challenge, policy, 0.0), 0
    while not gate.over:
        see(gate, index / RATE, *trace[index % len(trace)])
        index += 1
    return Outcome(gate.failure, seconds=index / RATE)


def enumerating() -> Trace:
    """A video that shows every turn in order, with pauses in between."""
    mover, trace = Mover(np.random.default_rng(7), Habits()), []
    for index in range(int(4 * 4.0 * RATE)):
        now = index / RATE
        mover.observe(TURNS[int(now / 4.0)] if now % 4.0 < 2.0 else Guidance.LOOK_HERE, now)
        pose = mover.pose(now)
        trace.append((pose.yaw, pose.pitch))
    return trace


def slanted() -> Trace:
    """A video that turns to the upper left and the lower right, with pauses in between: each is half of two turns."""
    trace, rng = [], np.random.default_rng(7)
    for index in range(int(2 * 3.0 * RATE)):
        into = index / RATE % 3.0
        out = min(1.0, into / 0.3, max(0.0, 1.2 - into) / 0.3) * (1 if index < 3.0 * RATE else -1)
        yaw, pitch = rng.normal((32.0 * out, 27.0 * out), 1.5)
        trace.append((float(yaw), float(pitch)))
    return trace


def attempts(policy: LivenessPolicy, seed: int, loop: Trace, slants: Trace) -> Iterator[tuple[str, Outcome]]:
    """One attempt of each kind. A recording is of another challenge than the one that it is played against."""
    earlier, now = draw(policy, rng=seeded(seed)), draw(policy, rng=seeded(10**6 + seed))
    recorded: Trace = []
    for name, habits in PEOPLE.items():
        outcome, trace = follow(policy, earlier, Mover(np.random.default_rng(seed), habits))
        recorded = recorded or trace
        yield name, outcome
    yield "recording of one earlier attempt", play(policy, now, recorded)
    _, slow = follow(policy, earlier, Mover(np.random.default_rng(seed), Habits(reaction=(1.3, 0.2))))
    yield "recording of one earlier attempt, slow victim", play(policy, now, slow)
    right = tuple(replace(step, turn=old.turn) for step, old in zip(now.steps, earlier.steps, strict=True))
    yield "recording with the right turns, other times", play(policy, replace(now, steps=right), recorded)
    yield "recording of every turn in a loop", play(policy, now, loop[seed % 60 :])
    begin = seed % len(slants)
    yield "recording of slanted turns in a loop", play(policy, now, slants[begin:] + slants[:begin])


@click.command()
@click.option("--runs", default=3000, show_default=True, help="Attempts of each kind.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--policy", default="standard", type=click.Choice(sorted(POLICIES)), show_default=True)
@click.option("--turns", type=int, help="Another number of turns.")
@click.option("--dwell", type=(float, float), help="Other bounds of the look ahead, seconds.")
@click.option("--hold", type=(float, float), help="Other bounds of the hold, seconds.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the rates as JSON.")
def main(
    runs: int,
    first: int,
    policy: str,
    turns: int | None,
    dwell: tuple[float, float] | None,
    hold: tuple[float, float] | None,
    out: Path | None,
) -> None:
    """Print the rate at which each presentation passes, with its 95 % interval."""
    chosen = POLICIES[policy]
    tried = replace(chosen, turns=turns or chosen.turns, dwell=dwell or chosen.dwell, hold=hold or chosen.hold)
    rows: dict[str, list[Outcome]] = {}
    loop, slants = enumerating(), slanted()
    for seed in track(range(first, first + runs), "attempts"):
        for name, outcome in attempts(tried, seed, loop, slants):
            rows.setdefault(name, []).append(replace(outcome, subject=seed))
    show(policy, rows)
    write(out, rows, policy=policy, turns=tried.turns, dwell=tried.dwell, hold=tried.hold, first=first)


if __name__ == "__main__":
    main()
