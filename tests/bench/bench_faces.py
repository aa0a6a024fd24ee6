"""From one frame of 640 x 480 to an embedding, on one core, with the memory of all models; and a peer beside it.

    python -m tests.bench.bench_faces
    python -m tests.bench.bench_faces --peer VENV/bin/python    # a Python that has `face_recognition` (dlib)

Prints one JSON line each. The peer's environment is its own: pip install dlib-bin face_recognition_models pillow click
"setuptools<81", then pip install --no-deps face_recognition.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.biometrics.pipeline import FacePipeline
    from agent.biometrics.types import Frame, Template

ROUNDS = 200
PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import face_recognition
picture = face_recognition.load_image_file(sys.argv[1])
times = []
for _ in range(15):
    start = time.perf_counter()
    found = face_recognition.face_encodings(picture, face_recognition.face_locations(picture))
    times.append(1000 * (time.perf_counter() - start))
    assert len(found) == 1
times.sort()
what = "face_recognition (dlib), locations and encoding"
print(json.dumps({"bench": "faces", "what": what, "p50_ms": round(times[7], 1), "best_ms": round(times[0], 1)}))
"""


def memory() -> dict[str, float]:
    """Megabytes of this process now: resident, and those that it alone has written."""
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()[1:]
    sizes = {name: int(size) * 1024 / 1e6 for name, size, _unit in (line.split() for line in lines)}
    return {"rss_mb": round(sizes["Rss:"], 1), "anonymous_mb": round(sizes["Anonymous:"], 1)}


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of one call: median, best, and the 95th of a hundred."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    times.sort()
    return {
        "p50_ms": round(times[rounds // 2], 2),
        "best_ms": round(times[0], 2),
        "p95_ms": round(times[int(0.95 * rounds)], 2),
    }


def whole(pipeline: "FacePipeline", frame: "Frame") -> "Template":
    """From a frame to its template."""
    return pipeline.embed(frame, pipeline.analyse(frame))


def say(what: str, **values: object) -> None:
    """One line for a machine, readable for a person."""
    sys.stdout.write(json.dumps({"bench": "faces", "what": what, **values}) + "\n")


def main() -> None:
    """Measure on one core."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", help="a Python that has face_recognition")
    peer = parser.parse_args().peer
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    began = time.perf_counter()
    import cv2
    import numpy as np

    from agent.biometrics.pipeline import FacePipeline
    from agent.biometrics.types import Frame, PixelFormat
    from tests.unit.faces_world import HOLDER_CHIP, HOLDER_LIVE, nv12_of, portrait_bytes, scene

    cv2.setNumThreads(1)
    say("imports", s=round(time.perf_counter() - began, 2))
    say("memory before a model is loaded", **memory())
    loading = time.perf_counter()
    pipeline = FacePipeline()
    load_s = time.perf_counter() - loading
    say("memory with the four models that stay", **memory())
    rgb = scene(HOLDER_LIVE)
    frames = {
        "BGR": Frame(np.ascontiguousarray(rgb[:, :, ::-1]), PixelFormat.BGR, 0.0, 0),
        "NV12": Frame(nv12_of(rgb), PixelFormat.NV12, 0.0, 0),
    }
    say("memory with a frame of each format", **memory())
    first = time.perf_counter()
    analysis = pipeline.analyse(frames["BGR"])
    pipeline.embed(frames["BGR"], analysis)
    took = load_s + time.perf_counter() - first
    say("load four models and see the first face", ms=round(1000 * took, 1))
    say("memory after the first face", **memory())
    pipeline.passive(frames["BGR"], analysis)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    say("memory after a passive look, whose network is dropped again", **memory(), peak_mb=round(peak, 1))
    for name, frame in frames.items():
        say(f"detect to embedding, {name} 640x480", **timed(partial(whole, pipeline, frame)))
    frame = frames["BGR"]
    say("analyse: detect, mesh, points, pose, quality", **timed(partial(pipeline.analyse, frame)))
    say("embed: align, one view", **timed(partial(pipeline.embed, frame, analysis)))
    say(
        "enrol a portrait: decode, find, four views", **timed(partial(pipeline.enroll, portrait_bytes(HOLDER_CHIP)), 50)
    )
    say("passive score, two crops, with loading the network", **timed(partial(pipeline.passive, frame, analysis), 10))
    if peer:
        # Here, so that the bench itself weighs nothing where memory is measured.
        import subprocess
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder, "frame.png")
            cv2.imwrite(str(picture), frame.pixels)
            answer = subprocess.run([peer, "-c", PEER, str(picture)], check=True, capture_output=True, text=True)
        sys.stdout.write(answer.stdout)


if __name__ == "__main__":
    main()
