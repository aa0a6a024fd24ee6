"""Aligned faces to calibrate static quantization with, made of the shipped portraits.

    python models/build/calibration.py build/models/calibration.npy

Runs in the project's environment. Three people, 200 squares each: shifted, turned, scaled, mirrored, lit, blurred,
noisy, grey, compressed, partly black as at the edge of a frame. Ranges of activations need variety of pictures more
than of people.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics.align import align
from agent.biometrics.image import Picture
from agent.biometrics.pipeline import FacePipeline

PORTRAITS = Path(__file__).resolve().parents[2] / "firmware_bridge" / "simulator" / "portraits"
EACH = 200


def vary(square, rng):
    """One square as another camera in another light would give it."""
    turn = cv2.getRotationMatrix2D((56, 56), rng.uniform(-25, 25), rng.uniform(0.8, 1.25))
    border = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REPLICATE
    values = cv2.warpAffine(square, turn, (112, 112), borderMode=border).astype(np.float32)
    if rng.random() < 0.5:
        values = values[:, ::-1]
    values = (values - values.mean()) * rng.uniform(0.4, 1.8) + values.mean()
    values = values * rng.uniform(0.3, 1.5) * rng.uniform(0.85, 1.15, 3) + rng.uniform(-25, 25)
    if rng.random() < 0.35:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.5, 2.5))
    values = np.clip(values + rng.normal(0, rng.uniform(0, 8), values.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        values = cv2.imdecode(cv2.imencode(".jpg", values, quality)[1], cv2.IMREAD_COLOR)
    if rng.random() < 0.15:
        values = np.repeat(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis], 3, axis=2)
    if rng.random() < 0.2:
        values = values.copy()
        values[112 - int(rng.integers(0, 40)) :] = 0
    return values


def main() -> None:
    rng = np.random.default_rng(1)
    pipeline = FacePipeline(target_fmr=None)
    squares = []
    for file in sorted(PORTRAITS.glob("*.jpg")):
        picture = Picture(cv2.imread(str(file)), bgr=True)
        face = pipeline.analyse_still(picture).face
        for _ in range(EACH):
            shift = rng.normal(0, 0.08 * face.inter_ocular, 2) + rng.normal(0, 0.03 * face.inter_ocular, (5, 2))
            squares.append(vary(align(picture, (face.points + shift).astype(np.float32)), rng))
    np.save(sys.argv[1], np.array(squares))
    print(f"{len(squares)} squares in {sys.argv[1]}")


if __name__ == "__main__":
    main()
