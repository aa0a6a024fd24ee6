"""The screen as light, in simulation: who answers to its colours, by ambient light and distance.

    python -m tests.bench.bench_liveness_light --runs 12 --out light.json

The threshold is chosen on one half of the persons and reported on the other. The screen is one of ten inches that gives
white at 300 cd/m²: 34 lux on a face half a metre away, on top of the light of the room. Exposure and white balance are
fixed, as they are not in every camera. What this proves and what it does not: docs/liveness.md.
"""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from agent.biometrics.liveness.challenge import draw
from agent.biometrics.liveness.light import LightShow
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.simulator.actors import Actor, Holder
from agent.biometrics.simulator.attacks import Injected, LitFilm, Paper, Print, Replay
from agent.biometrics.simulator.attempt import seeded
from agent.biometrics.simulator.camera import lit
from agent.biometrics.simulator.motion import Habits
from agent.biometrics.simulator.scene import Light, Studio
from agent.biometrics.types import Frame, PixelFormat
from tests.bench.bench_liveness import Job, pipeline
from tests.bench.liveness_rates import wilson

RATE, POLICY = 15.0, POLICIES["high"]
#: Lux of the screen's white on a face at half a metre, and lux of the room: a dim bar to a seat at the window.
SCREEN, ROOMS = 34.0, (50, 300, 1000, 3000)
USUAL_ROOM, DISTANCES, USUAL_DISTANCE = 300, (350, 700), 520
#: Attacks bring their own light: two rooms tell enough of them.
ATTACKED = (50, 1000)
PERSON, PAPER, RIGHT = "person", "print", "screen, right colours"
FALSE = ("screen, its own light", "screen, wrong order", "screen, 0.6 s late", "screen, 1 s late", "injected portrait")
#: How late a film follows the colours, seconds.
LATE = {RIGHT: 0.1, "screen, 0.6 s late": 0.6, "screen, 1 s late": 1.0}
#: The share of false answers that the threshold may let through on the half that it is chosen on.
ALLOWED = 0.01


@dataclass(frozen=True, slots=True)
class Trial:
    """One show before one presentation."""

    species: str
    room: int
    distance: int
    job: Job


def _film(trial: Trial, colour: Callable[[float], str]) -> Actor:
    victim = Holder(trial.job.person(), trial.job.seed)
    return Replay(LitFilm(victim, Studio(seed=trial.job.seed + 1), colour), seed=trial.job.seed)


def actor_of(trial: Trial, show: LightShow) -> Actor:
    """Who stands there. A film begins with the show."""
    seed = trial.job.seed
    match trial.species:
        case "person":
            return Holder(trial.job.person(), seed, Habits(distance=float(trial.distance)))
        case "print":
            return Print(trial.job.portrait(), Paper.STILL, seed=seed)
        case "injected portrait":
            return Injected(trial.job.portrait(), noise=True)
        case "screen, its own light":
            return _film(trial, lambda _: "")
        case "screen, wrong order":
            other = LightShow(draw(POLICY, rng=seeded(10**6 + seed)).colours, POLICY.slot)
            other.begin(0.0)
            return _film(trial, other.colour)
    return _film(trial, lambda now: show.colour(now - LATE[trial.species]))


def run(trial: Trial) -> tuple[Trial, float]:
    """The correlation that one show ends with; 0 where no face was seen for long enough."""
    rng = random.Random(trial.job.seed)  # noqa: S311  # a simulation that must repeat itself
    show = LightShow(draw(POLICY, rng=seeded(trial.job.seed)).colours, POLICY.slot)
    show.begin(0.0)
    actor = actor_of(trial, show)
    # A camera turns its gain up in the dark, and the noise with it.
    noise = 2.0 * max(1.0, (300.0 / trial.room) ** 0.5)
    studio = Studio(seed=trial.job.seed, noise=noise)
    room = Light(glow=SCREEN / trial.room)
    # Browser, display and exposure.
    late, number, face = rng.uniform(0.05, 0.2), 0, None
    while not show.over(number / RATE):
        now = number / RATE
        pixels = actor.picture(studio, lit(room, show.colour(now - late)), now)
        frame = Frame(pixels, PixelFormat.RGB, now, number)
        if number % 3 == 0:
            # Nobody moves much, and drawing is slow enough.
            face = pipeline().analyse(frame).face
        if face is not None:
            show.see(frame, face)
        number += 1
    return trial, show.part().score


def trials(runs: int, source: str, first: int) -> Iterator[Trial]:
    """Persons in every room and at every distance, the others in two rooms; one seed after another."""
    for seed in range(first, first + runs):
        job = Job("", source, (0, 1), POLICY.name, seed, 1.0)
        yield from (Trial(PERSON, room, USUAL_DISTANCE, job) for room in ROOMS)
        yield from (Trial(PERSON, USUAL_ROOM, distance, job) for distance in DISTANCES)
        for species in (PAPER, RIGHT, *FALSE):
            yield from (Trial(species, room, USUAL_DISTANCE, job) for room in ATTACKED)


def choose(scores: list[tuple[Trial, float]]) -> float:
    """The smallest threshold that lets no species of false answers through more often than is allowed."""
    worst = 0.0
    for species in FALSE:
        values = [score for trial, score in scores if trial.species == species]
        worst = max(worst, float(np.quantile(values, 1 - ALLOWED, method="higher")))
    return round(worst + 0.01, 2)


@click.command()
@click.option("--runs", default=12, show_default=True, help="Persons; every second one chooses the threshold.")
@click.option("--portraits", "source", default="", help="CSV (path,subject) of frontal pictures.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--minutes", default=600.0, show_default=True, help="Stop after this time and report what was done.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the scores as JSON.")
def main(runs: int, source: str, first: int, minutes: float, out: Path | None) -> None:
    """Print how often each presentation answers to the colours."""
    scores: list[tuple[Trial, float]] = []
    end = monotonic() + 60 * minutes
    with ProcessPoolExecutor(1) as pool:
        for done in pool.map(run, trials(runs, source, first)):
            scores.append(done)
            if monotonic() > end:
                pool.shutdown(cancel_futures=True)
                break
    chosen = [(trial, score) for trial, score in scores if trial.job.seed % 2 == 0]
    told = [(trial, score) for trial, score in scores if trial.job.seed % 2]
    threshold = choose(chosen)
    table = Table("presentation", "room, lux", "distance, mm", "n", "answers", "95 %", "scores: least, median, most")
    rows = []
    for species, room, distance in sorted({(t.species, t.room, t.distance) for t, _ in told}):
        values = np.array([s for t, s in told if (t.species, t.room, t.distance) == (species, room, distance)])
        passed = int((values >= threshold).sum())
        low, high = wilson(passed, len(values))
        shown = " ".join(f"{value:.2f}" for value in np.quantile(values, [0, 0.5, 1]))
        share = f"{100 * passed / len(values):.0f} %"
        table.add_row(
            species, str(room), str(distance), str(len(values)), share, f"{100 * low:.0f}-{100 * high:.0f} %", shown
        )
        place = {"species": species, "room": room, "distance": distance}
        rows.append({**place, "n": len(values), "answers": passed, "scores": shown})
    console = Console(width=130)
    console.print(f"threshold {threshold} from {len(chosen)} shows; reported on {len(told)} others")
    console.print(table)
    if out:
        out.write_text(json.dumps({"threshold": threshold, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
