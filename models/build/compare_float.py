"""How far quantization moves each model's outputs: cosine with the float model on faces, worst and mean.

    python models/build/compare_float.py FLOAT_FOLDER

Runs in the project's environment. FLOAT_FOLDER is build/models/float, as build.py leaves it. The faces are the shipped
portraits in 60 positions, sizes and brightnesses each; what every network gets is what the pipeline gives it.
"""

# ruff: noqa: SLF001  # it listens between the pipeline and its networks

import sys
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics import passive
from agent.biometrics.bundle import ModelBundle
from agent.biometrics.image import Picture
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.runtime import Network

PORTRAITS = Path(__file__).resolve().parents[2] / "firmware_bridge" / "simulator" / "portraits"


class Recorder:
    """Stands where a network was and keeps what it is given."""

    def __init__(self, network: Network) -> None:
        self.network, self.inputs = network, []

    def __call__(self, values):
        self.inputs.append(values)
        return self.network(values)


def views() -> list[Picture]:
    rng = np.random.default_rng(7)
    found = []
    for file in sorted(PORTRAITS.glob("*.jpg")):
        pixels = cv2.imread(str(file))
        for _ in range(60):
            size = rng.uniform(0.4, 1.2)
            turn = cv2.getRotationMatrix2D((240, 240), rng.uniform(-15, 15), size)
            turn[:, 2] += rng.uniform(-20, 20, 2)
            moved = cv2.warpAffine(pixels, turn, (480, 640), borderMode=cv2.BORDER_REFLECT)
            light = moved.astype(np.float32) * rng.uniform(0.5, 1.3) + rng.normal(0, 4, moved.shape)
            found.append(Picture(light.clip(0, 255).astype(np.uint8), bgr=True))
    return found


def main() -> None:
    bundle = ModelBundle.shipped()
    pipeline = FacePipeline(bundle, None)
    judge = passive.PassiveNetwork(bundle)
    holders = {
        Role.DETECT: pipeline._detect,
        Role.MESH: pipeline._mesh,
        Role.POINTS: pipeline._five,
        Role.EMBED: pipeline._embed._first,
        Role.PASSIVE: judge,
    }
    recorders = {}
    for role, holder in holders.items():
        recorders[role] = holder._network = Recorder(holder._network)
    for number, picture in enumerate(views()):
        analysis = pipeline.analyse_picture(picture)
        if analysis.face is None:
            continue
        pipeline.embed_still(picture, analysis)
        if number % 6 == 0:
            judge(picture, analysis.face.box)
    for role, recorder in recorders.items():
        entry = bundle.entry(role)
        floating = Network(
            (Path(sys.argv[1]) / entry.file).read_bytes(), entry.input.tensor, [o.tensor for o in entry.outputs]
        )
        cosines = []
        for values in recorder.inputs:
            one = np.concatenate([y.ravel() for y in recorder.network(values)])
            other = np.concatenate([y.ravel() for y in floating(values)])
            cosines.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
        print(f"{role:<8} {len(cosines):4} inputs  mean {np.mean(cosines):.6f}  worst {np.min(cosines):.6f}")


if __name__ == "__main__":
    main()
