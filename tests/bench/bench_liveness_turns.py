"""One turn, read twice: the mesh's angle and the lead of the nose, for drawn heads and for paper.

python tests/bench/bench_liveness_turns.py --portraits ../shared/data/face_images.csv
"""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.biometrics.liveness.parallax import PointTrack, grey_of, sufficient
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.liveness.turns import DIRECTIONS
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator import portraits, solids
from agent.biometrics.simulator.attacks import sheet
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.scene import Light, Pose, Studio
from agent.biometrics.simulator.texture import Portrait
from agent.biometrics.types import Frame, Guidance, Image, PixelFormat

LIGHT, FRAMES = Light(), 8
POLICY = POLICIES["standard"]
LEFT, RIGHT, UP, DOWN = DIRECTIONS
Scene = Callable[[float], Image]


def posed(turn: Guidance, degrees: float) -> Pose:
    right, down = DIRECTIONS[turn]
    return Pose(yaw=right * degrees, pitch=-down * degrees, y=-10.0, distance=520.0)


def head(person: Person, studio: Studio, turn: Guidance, degrees: float) -> Scene:
    def scene(share: float) -> Image:
        room = studio.empty(LIGHT)
        person.draw(studio, room, posed(turn, degrees * share), LIGHT)
        return studio.expose(room, LIGHT)

    return scene


def paper(portrait: Portrait, studio: Studio, turn: Guidance, degrees: float, bend: float) -> Scene:
    height, width = portrait.image.shape[:2]
    side = width * solids.INTEROCULAR / float(np.linalg.norm(portrait.points[1] - portrait.points[0]))
    x, y = (portrait.points[:2].mean(0) / [width, height] - 0.5) * [side, side * height / width]

    def scene(share: float) -> Image:
        room = studio.empty(LIGHT)
        pose = posed(turn, degrees * share)
        placed = replace(
            pose, x=-x * np.cos(np.radians(pose.yaw)), y=-y * np.cos(np.radians(pose.pitch)), distance=480.0
        )
        studio.draw(room, sheet((height, width), side, bend=bend * share), portrait.image, placed, LIGHT)
        return studio.expose(room, LIGHT)

    return scene


def read(pipeline: FacePipeline, scene: Scene, turn: Guidance) -> tuple[float, float] | None:
    """The share of the asked angle that the mesh reads at the end, and the lead of the nose; None without a face."""
    frames = [Frame(scene(k / FRAMES), PixelFormat.RGB, k / 12, k) for k in range(FRAMES + 1)]
    first, last = (pipeline.analyse(frame).face for frame in (frames[0], frames[-1]))
    if first is None or last is None:
        return None
    points = PointTrack(grey_of(frames[0]), first)
    for frame in frames[1:]:
        points.follow(grey_of(frame))
    right, down = DIRECTIONS[turn]
    aside = right * last.pose.yaw / POLICY.yaw
    upright = -down * (last.pose.pitch - first.pose.pitch) / POLICY.pitch
    return aside + upright, points.shape((right, down)).lead


def cast(source: Path | None, pipeline: FacePipeline, every: int) -> list[Portrait]:
    found = [portraits.shipped(name) for name in (portraits.CHIP, portraits.LIVE, portraits.OTHER)]
    if source is not None:
        with source.open(newline="") as lines:
            first = {row["subject"]: row["path"] for row in reversed(list(csv.DictReader(lines)))}
        found += [portraits.read_portrait(source.parent / path, pipeline) for path in sorted(first.values())[::every]]
    return found


@click.command()
@click.option("--portraits", "source", type=click.Path(exists=True, path_type=Path), help="CSV (path,subject).")
@click.option("--every", default=3, show_default=True, help="Take every n-th subject.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write all readings as JSON.")
def main(source: Path | None, every: int, out: Path | None) -> None:
    """Print how often one turn counts."""
    pipeline = FacePipeline()
    rows: dict[str, list[tuple[float, float] | None]] = {}
    asked: dict[str, Guidance] = {}
    for seed, portrait in enumerate(track(cast(source, pipeline, every), "persons")):
        person, studio = Person.of(portrait, seed), Studio(seed=seed)
        side = LEFT if seed % 2 else RIGHT
        scenes = {
            **{f"head, {angle}° aside": (head(person, studio, side, angle), side) for angle in (20, 25, 30, 35)},
            **{f"head, {angle}° up": (head(person, studio, UP, angle), UP) for angle in (20, 25)},
            **{f"head, {angle}° down": (head(person, studio, DOWN, angle), DOWN) for angle in (20, 25)},
            **{
                f"paper bent by {bend}°, turned {angle}°": (paper(portrait, studio, side, angle, bend), side)
                for bend in (0, 60, 100, 140, 180)
                for angle in (45, 60)
            },
            "paper, tipped 50° up": (paper(portrait, studio, UP, 50, 0), UP),
            "paper, tipped 50° down": (paper(portrait, studio, DOWN, 50, 0), DOWN),
        }
        for name, (scene, turn) in scenes.items():
            rows.setdefault(name, []).append(read(pipeline, scene, turn))
            asked[name] = turn
    table = Table(
        "turn", "n", "mesh: share, median", "lead: least, 5 %, median, 95 %, most", "counts", "by the mesh alone"
    )
    for name, readings in rows.items():
        seen = np.array([reading for reading in readings if reading is not None])
        share, lead = seen.T
        counts = share >= np.array([sufficient(asked[name], each) for each in lead])
        table.add_row(
            name,
            str(len(readings)),
            f"{np.median(share):.2f}",
            " ".join(f"{value:.3f}" for value in np.nanpercentile(lead, [0, 5, 50, 95, 100])),
            f"{100 * counts.sum() / len(readings):.1f} %",
            f"{100 * (share >= 1.0).sum() / len(readings):.1f} %",
        )
    Console(width=130).print(table)
    if out:
        out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
