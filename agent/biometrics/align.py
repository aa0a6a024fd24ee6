"""The standard position of a face: a similarity that brings five points onto the places that a network learnt.

Least squares after Umeyama (1991). Only the region that the square reaches is read from the frame.
"""

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.image import Matrix, Picture, warp
from agent.biometrics.manifest import Crop
from agent.biometrics.types import Image

#: Right eye, left eye, nose, right and left corner of the mouth (the person's) on ArcFace's square of side 1.
_ARCFACE = (
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112
)
#: dlib's squares are a little higher and wider round the same face: its eyes lie here, on a square of side 1.
_DLIB_EYES, _DLIB_APART = np.array([0.49333, 0.31400]), 0.35033
_EYES, _APART = _ARCFACE[:2].mean(axis=0), _ARCFACE[1, 0] - _ARCFACE[0, 0]
TEMPLATES = {
    Crop.ARCFACE: _ARCFACE,
    Crop.DLIB: (_ARCFACE - _EYES) * (_DLIB_APART / _APART) + _DLIB_EYES,
}


def similarity(points: NDArray[np.float32], target: NDArray[np.float64]) -> Matrix:
    """The 2 x 3 similarity that maps `points` (n, 2) nearest to `target` (n, 2) in least squares."""
    mean, target_mean = points.mean(axis=0), target.mean(axis=0)
    one, other = (points - mean).astype(np.float64), target - target_mean
    # As complex numbers a similarity is one multiplication: no reflection can come out.
    a, b = one[:, 0] + 1j * one[:, 1], other[:, 0] + 1j * other[:, 1]
    factor = np.vdot(a, b) / max(float(np.vdot(a, a).real), 1e-9)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, target_mean - turn @ mean])


def align(picture: Picture, points: NDArray[np.float32], size: int = 112, crop: Crop = Crop.ARCFACE) -> Image:
    """The face with these five points, upright, as an RGB square of `size` pixels; black beyond the picture."""
    matrix = similarity(points, TEMPLATES[crop] * size)
    return warp(picture, matrix, size, border=0)
