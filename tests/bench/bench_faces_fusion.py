"""What fusing frames is worth: error rates of one picture of the camera's kind, and of three and five, against a still.

    python -m tests.bench.bench_faces_fusion --images face_images.csv --samples pad.csv

`--images` (`path,subject`): the still is one picture of a person (four views), the probe is fused of k *other* pictures
of that person, one view each: what k independent looks would give. `--samples` (as for `evaluate-pad`): the still is a
frame of one clip, the probe k frames of another clip: what k looks of one presentation give. At the shipped thresholds,
on the people of the check half (every other one by name) and on all of them. One JSON line each.
"""

import argparse
import json
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.decode import decode_file
from agent.biometrics.embed import fuse
from agent.biometrics.image import Picture
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Frame, PixelFormat, Template
from agent.evaluation.samples import read_pictures, read_presentations

LOOKS = (1, 3, 5)
DRAWS = 60
Shot = tuple[Template, Template]
Cosines = NDArray[np.float32]


def shot(pipeline: FacePipeline, path: Path) -> Shot | None:
    """The template of a picture as the camera's frame and as a still; None without a face."""
    pixels = decode_file(path)
    picture = Picture(pixels)
    analysis = pipeline.analyse_still(picture)
    if analysis.face is None:
        return None
    return pipeline.embed(Frame(pixels, PixelFormat.RGB, 0.0, 0), analysis), pipeline.embed_still(picture, analysis)


def shots_of(pipeline: FacePipeline, paths: list[Path]) -> list[Shot]:
    """The shots of all pictures that show a face."""
    return [made for path in paths if (made := shot(pipeline, path)) is not None]


def rows(looks: list[Template]) -> Cosines:
    """Templates as rows of a matrix."""
    return np.stack([look.vector for look in looks])


def of_pictures(people: dict[str, list[Shot]], k: int) -> tuple[Cosines, Cosines]:
    """Genuine and impostor cosines where the probe's pictures are others than the still."""
    stills = {name: rows([still for _, still in shots]) for name, shots in people.items()}
    genuine, impostor = [], []
    for name, shots in people.items():
        others = np.concatenate([matrix for other, matrix in stills.items() if other != name])
        for reference in range(len(shots)):
            left = [live for i, (live, _) in enumerate(shots) if i != reference]
            probes = rows([fuse(chosen) for chosen in combinations(left, k)])
            genuine.append(probes @ stills[name][reference])
            if reference == 0:
                impostor.append((probes[:5] @ others.T).ravel())
    return np.concatenate(genuine), np.concatenate(impostor)


def of_clips(clips: dict[tuple[str, str], list[Shot]], k: int) -> tuple[Cosines, Cosines]:
    """The same where the probe's frames are of one clip and the still is of another."""
    rng = np.random.default_rng(0)
    genuine: list[Cosines] = []
    impostor: list[Cosines] = []
    for key, shots in clips.items():
        draws = [rng.choice(len(shots), k, replace=False) for _ in range(DRAWS)]
        probes = rows([fuse([shots[i][0] for i in draw]) for draw in draws])
        for other, stills in clips.items():
            if other != key:
                cosines = (probes @ rows([still for _, still in stills]).T).ravel()
                (genuine if other[0] == key[0] else impostor).append(cosines)
    return np.concatenate(genuine), np.concatenate(impostor)


def say(pipeline: FacePipeline, what: str, looks: int, cosines: tuple[Cosines, Cosines]) -> None:
    """One line: FNMR and FMR at each shipped threshold."""
    genuine, impostor = cosines
    at = {
        f"{t.target_fmr:g}": {"fnmr": float((genuine < t.cosine).mean()), "fmr": float((impostor >= t.cosine).mean())}
        for t in pipeline.bundle.entry(Role.EMBED).thresholds
    }
    line = {"bench": "fusion", "what": what, "looks": looks, "genuine": len(genuine), "impostor": len(impostor)}
    sys.stdout.write(json.dumps(line | {"at": at}) + "\n")


def main() -> None:
    """Measure what is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path)
    parser.add_argument("--samples", type=Path)
    arguments = parser.parse_args()
    pipeline = FacePipeline(target_fmr=None)
    if arguments.images:
        paths = defaultdict(list)
        for picture in read_pictures(arguments.images):
            paths[picture.subject].append(picture.path)
        people = {name: shots_of(pipeline, paths[name]) for name in sorted(paths)}
        check = {name: people[name] for name in sorted(people)[1::2]}
        for what, group in (("pictures, check half", check), ("pictures, all", people)):
            for k in LOOKS:
                say(pipeline, what, k, of_pictures(group, k))
    if arguments.samples:
        files: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for sample in read_presentations(arguments.samples):
            if sample.live and sample.path.suffix == ".jpg":
                files[sample.subject, sample.clip].append(sample.path)
        clips = {key: shots_of(pipeline, paths) for key, paths in files.items()}
        for k in LOOKS:
            say(pipeline, "frames of a clip against another clip", k, of_clips(clips, k))


if __name__ == "__main__":
    main()
