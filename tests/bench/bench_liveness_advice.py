"""Borders and frozen texture on real clips: how well they rank, and what a limit from other people lets through.

    python -m tests.bench.bench_liveness_advice ../shared/data/pad.csv --out advice.json

Columns `path,label,subject,clip`, as for bench_liveness_clips. A clip is read as a session reads it: some looks ahead,
apart in time. Each person in turn is left out: the limit is the largest score of the other living clips, and the clips
of the one left out are held against it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.biometrics.liveness.advice import BORDERS, TEXTURE, Advice
from agent.biometrics.liveness.borders import borders_of
from agent.biometrics.liveness.parallax import grey_of
from agent.biometrics.liveness.turns import FRONTAL_YAW
from agent.biometrics.pipeline import FacePipeline
from tests.bench.bench_liveness_clips import clips_of, frames
from tests.bench.liveness_rates import wilson

#: Looks of a clip, and the frames between two of them.
LOOKS, EVERY = 8, 5
LIVE = "live"
Clip = tuple[str, str, str, dict[str, float]]


def read(pipeline: FacePipeline, table: Path, paths: list[str], spent: dict[str, list[float]]) -> dict[str, float]:
    """The scores of one clip."""
    advice = Advice({})
    looks = 0
    for number, frame in enumerate(frames(table, paths)):
        if number % EVERY or looks == LOOKS:
            continue
        face = pipeline.analyse(frame).face
        if face is None or abs(face.pose.yaw) > FRONTAL_YAW:
            continue
        grey, before = grey_of(frame), perf_counter()
        advice.look(grey, face)
        spent["both"].append(perf_counter() - before)
        before = perf_counter()
        borders_of(grey, face.box)
        spent[BORDERS].append(perf_counter() - before)
        looks += 1
    return advice.scores


def area(live: Sequence[float], attack: Sequence[float]) -> float:
    """The chance that an attack scores above a living person (AUC)."""
    difference = np.subtract.outer(np.array(attack), np.array(live))
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def left_out(clips: Sequence[Clip], name: str) -> dict[str, list[int]]:
    """For each label: clips of a person left out that were called attacks by the others' limit, and all of them."""
    counts: dict[str, list[int]] = {}
    for person in sorted({subject for _, _, subject, _ in clips}):
        others = [s[name] for _, label, subject, s in clips if label == LIVE and subject != person and name in s]
        limit = max(others)
        for _, label, subject, scores in clips:
            if subject == person and name in scores:
                count = counts.setdefault(label, [0, 0])
                count[0] += scores[name] > limit
                count[1] += 1
    return counts


@click.command()
@click.argument("samples", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the scores as JSON.")
def main(samples: Path, out: Path | None) -> None:
    """Print what borders and texture say of the clips of SAMPLES."""
    listed = clips_of(samples)
    pipeline, spent = FacePipeline(), {BORDERS: list[float](), "both": list[float]()}
    clips: list[Clip] = [(*key, read(pipeline, samples, paths, spent)) for key, paths in track(listed.items(), "clips")]
    console = Console(width=150)
    table = Table("advice", "label", "AUC", "scores", "above the limit of the others", "95 %")
    for name in (BORDERS, TEXTURE):
        counts = left_out(clips, name)
        live = [scores[name] for _, label, _, scores in clips if label == LIVE and name in scores]
        for label, (above, total) in counts.items():
            scores = sorted(s[name] for _, of, _, s in clips if of == label and name in s)
            low, high = wilson(above, total)
            rank = "" if label == LIVE else f"{area(live, scores):.2f}"
            shown = " ".join(f"{score:.2f}" for score in scores)
            table.add_row(name, label, rank, shown, f"{above} of {total}", f"{100 * low:.0f}-{100 * high:.0f} %")
    console.print(table)
    for name, seconds in spent.items():
        least, median = 1000 * np.quantile(seconds, [0.1, 0.5])
        console.print(f"{name}: {least:.1f} ms a look (a tenth is faster), median {median:.1f} ms")
    if out:
        rows = [{"clip": clip, "label": label, "subject": subject, **s} for clip, label, subject, s in clips]
        out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
