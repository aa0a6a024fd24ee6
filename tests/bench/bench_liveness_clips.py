"""What the turn gate and the evidence read in real clips: for each clip its angles, and whether a turn was held.

    python tests/bench/bench_liveness_clips.py ../shared/data/pad.csv --out clips.json

Columns `path,label,subject,clip`: a path is an image (the rows of one clip are its frames in order) or a video. Nobody
is asked for anything in such clips, so a living person who does not turn is no error; a print that reads as a turn is.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.biometrics.liveness.parallax import PointTrack, grey_of
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.liveness.turns import DIRECTIONS
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Frame, Guidance, PixelFormat

#: Frames a second that are looked at in a video.
RATE = 15.0


def clips_of(table: Path) -> dict[tuple[str, str, str], list[str]]:
    """The paths of each clip, by its name, label and subject."""
    clips: dict[tuple[str, str, str], list[str]] = {}
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            clips.setdefault((row["clip"], row["label"], row["subject"]), []).append(row["path"])
    return clips


def frames(table: Path, paths: list[str]) -> Iterator[Frame]:
    """The frames of one clip."""
    number = 0
    for path in paths:
        file = table.parent / path
        if file.suffix.lower() not in {".mp4", ".avi", ".mov", ".mkv"}:
            pixels = cv2.imread(str(file))
            if pixels is not None:
                yield Frame(np.asarray(pixels, np.uint8), PixelFormat.BGR, number / RATE, number)
                number += 1
            continue
        video = cv2.VideoCapture(str(file))
        skip = max(1, round(video.get(cv2.CAP_PROP_FPS) / RATE))
        index = 0
        while video.grab():
            if index % skip == 0:
                _, pixels = video.retrieve()
                yield Frame(np.asarray(pixels, np.uint8), PixelFormat.BGR, number / RATE, number)
                number += 1
            index += 1


def longest(holds: np.ndarray) -> int:
    """The longest run of true values."""
    best = run = 0
    for hold in holds:
        run = run + 1 if hold else 0
        best = max(best, run)
    return best


def read(pipeline: FacePipeline, clip: Iterator[Frame]) -> dict[str, object]:
    """The angles of a clip, its longest turn in each direction, cosines to its first frame, the lead of the nose."""
    policy = POLICIES["standard"]
    shown = list(clip)
    seen = [pipeline.analyse(frame) for frame in shown]
    faces = [analysis.face for analysis in seen]
    yaw = np.array([face.pose.yaw if face else np.nan for face in faces])
    pitch = np.array([face.pose.pitch if face else np.nan for face in faces])
    if np.isnan(yaw).all():
        return {"frames": len(shown), "faces": 0}
    pitch = pitch - np.nanmedian(pitch)
    share = {
        Guidance.TURN_LEFT: yaw / policy.yaw,
        Guidance.TURN_RIGHT: -yaw / policy.yaw,
        Guidance.LOOK_UP: pitch / policy.pitch,
        Guidance.LOOK_DOWN: -pitch / policy.pitch,
    }
    ahead = [k for k in range(len(shown)) if abs(yaw[k]) < 12 and abs(pitch[k]) < 11]
    cosines = [pipeline.embed(shown[k], seen[k]).vector for k in ahead[::3]]
    alike = [float(vector @ cosines[0]) for vector in cosines[1:]]
    leads = {}
    for turn, values in share.items():
        start = next((k for k in range(len(shown)) if values[k] >= 1.0), None)
        before = [k for k in ahead if start is not None and k < start]
        if start is None or not before:
            continue
        first = faces[before[-1]]
        if first is None:
            continue
        points = PointTrack(grey_of(shown[before[-1]]), first)
        for k in range(before[-1] + 1, start + 1):
            points.follow(grey_of(shown[k]))
        leads[turn.value] = round(points.shape(DIRECTIONS[turn]).lead, 3)
    return {
        "frames": len(shown),
        "faces": sum(face is not None for face in faces),
        "yaw": [round(float(np.nanmin(yaw)), 1), round(float(np.nanmax(yaw)), 1)],
        "pitch": [round(float(np.nanmin(pitch)), 1), round(float(np.nanmax(pitch)), 1)],
        "held": {turn.value: longest(values >= 1.0) for turn, values in share.items()},
        "ahead": round(min(alike), 3) if alike else None,
        "leads": leads,
    }


@click.command()
@click.argument("samples", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows as JSON.")
def main(samples: Path, out: Path | None) -> None:
    """Print what each clip of SAMPLES shows."""
    clips = clips_of(samples)
    pipeline, needed = FacePipeline(), POLICIES["standard"].hold_frames
    table = Table("clip", "label", "frames", "faces", "yaw", "pitch", "held L R U D", "turns", "least like", "lead")
    rows: list[dict[str, object]] = []
    passed: dict[str, list[int]] = {}
    for (clip, label, subject), paths in track(clips.items(), "clips"):
        result = read(pipeline, frames(samples, paths))
        rows.append({"clip": clip, "label": label, "subject": subject, **result})
        held = result.get("held")
        turns = [turn for turn, length in held.items() if length >= needed] if isinstance(held, dict) else []
        count = passed.setdefault(label, [0, 0])
        count[0] += bool(turns)
        count[1] += 1
        table.add_row(
            clip,
            label,
            str(result["frames"]),
            str(result["faces"]),
            str(result.get("yaw", "")),
            str(result.get("pitch", "")),
            " ".join(str(length) for length in held.values()) if isinstance(held, dict) else "",
            " ".join(turns),
            str(result.get("ahead", "")),
            str(result.get("leads", "")),
        )
    console = Console(width=170)
    console.print(table)
    for label, (turned, shown) in passed.items():
        console.print(f"{label}: {turned} of {shown} clips hold a turn for {needed} frames")
    if out:
        out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
