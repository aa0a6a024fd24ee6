"""Known answers of the shipped models on the shipped pictures: `python -m agent.health.golden` notes them anew.

To be run when a model, the alignment or the pictures change, never to make a failing device pass.
"""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.decode import decode_portrait
from agent.biometrics.image import Picture
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Frame, PixelFormat

FILE = "golden.json"
#: Two pictures of one person and one of another (their source is in the NOTICE beside them).
PORTRAITS = ("holder-chip", "holder-live", "other")


@dataclass(frozen=True, slots=True)
class Golden:
    """What was noted, each with the digest of the model that said it."""

    embed_model: str
    embedding: tuple[float, ...]
    passive_model: str
    passive: tuple[float, float]

    def embedding_of(self, model: str) -> NDArray[np.float32] | None:
        """The template of the first portrait, unit length; None for another model."""
        return np.array(self.embedding, np.float32) if model == self.embed_model else None

    def passive_of(self, model: str) -> tuple[float, float] | None:
        """The scores of the living face and of the print; None for another model."""
        return self.passive if model == self.passive_model else None


def read() -> Golden:
    """The shipped answers."""
    table = json.loads(resources.files(__package__).joinpath(FILE).read_text("utf-8"))
    return Golden(
        embed_model=table["embed"]["model"],
        embedding=tuple(table["embed"]["template"]),
        passive_model=table["passive"]["model"],
        passive=(table["passive"]["living"], table["passive"]["print"]),
    )


def portrait(name: str) -> bytes:
    """A shipped picture, encoded."""
    return resources.files("firmware_bridge.simulator").joinpath("portraits", f"{name}.jpg").read_bytes()


def passive_scores(pipeline: FacePipeline) -> tuple[float, float]:
    """The passive network's scores of a portrait and of the same portrait as halftone dots on paper."""
    living = np.asarray(decode_portrait(portrait(PORTRAITS[1])), np.uint8)
    return _score(pipeline, living), _score(pipeline, halftone(living))


def halftone(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A coarse print: ordered dots of 4 x 4 pixels, ink and paper only."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
    height, width = pixels.shape[:2]
    dots = np.tile(bayer, (height // 4 + 1, width // 4 + 1))[:height, :width, None]
    inked = np.where(pixels > dots, 225, 45).astype(np.uint8)
    # Seen through a lens, dots run into each other: half ink, half picture.
    return ((inked.astype(np.uint16) + pixels) // 2).astype(np.uint8)


def _score(pipeline: FacePipeline, pixels: NDArray[np.uint8]) -> float:
    analysis = pipeline.analyse_still(Picture(pixels))
    return pipeline.passive(Frame(pixels, PixelFormat.RGB, 0.0, 1), analysis)


def note() -> str:
    """The answers of the shipped bundle on this machine, as JSON."""
    bundle = ModelBundle.shipped()
    pipeline = FacePipeline(bundle)
    template = pipeline.enroll(portrait(PORTRAITS[0]))
    living, printed = passive_scores(pipeline)
    table = {
        "embed": {"model": template.model, "template": [round(float(value), 6) for value in template.vector]},
        "passive": {
            "model": bundle.entry(Role.PASSIVE).sha256,
            "living": round(living, 4),
            "print": round(printed, 4),
        },
    }
    return json.dumps(table) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name(FILE).write_text(note(), "utf-8")
