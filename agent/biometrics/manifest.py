"""The manifest of a model bundle: what each file is, where it comes from, what it expects and how good it is.

`models/manifest.toml` is the shipped one. Unknown keys are refused, so that a misspelt threshold is never a default.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.biometrics.runtime import TensorContract

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
#: A bare file name: a manifest never reaches outside its folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.tflite$")]


class Role(StrEnum):
    """What a network does in the pipeline."""

    DETECT = "detect"
    POINTS = "points"
    MESH = "mesh"
    EMBED = "embed"
    #: Another embedding beside the first (a choice: the shipped bundle has none).
    SECOND = "second"
    PASSIVE = "passive"


class View(StrEnum):
    """One look at a face: aligned by the five points or by the mesh, as it is or mirrored. Views are added up."""

    POINTS = "points"
    POINTS_MIRRORED = "points-mirrored"
    MESH = "mesh"
    MESH_MIRRORED = "mesh-mirrored"


class Crop(StrEnum):
    """How an embedding network wants a face cut out: each was trained on squares of its own kind."""

    ARCFACE = "arcface"
    DLIB = "dlib"


class Section(BaseModel):
    """A table of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputContract(Section):
    """The picture that a network wants: value = (pixel - `offset`) / `scale`."""

    name: str = "image"
    shape: tuple[int, int, int, int]
    colour: str = Field(default="RGB", pattern="^(RGB|BGR)$")
    offset: float = 127.5
    scale: float = Field(default=127.5, gt=0)
    #: Rows and columns are swapped (networks that came from column-major tools).
    transposed: bool = False

    @property
    def size(self) -> int:
        """Height and width in pixels: every input here is square."""
        return self.shape[1]

    @property
    def tensor(self) -> TensorContract:
        """Name and shape for the interpreter."""
        return TensorContract(self.name, self.shape)

    @model_validator(mode="after")
    def _square_rgb(self) -> "InputContract":
        batch, height, width, channels = self.shape
        if batch != 1 or channels != 3 or height != width or not 16 <= height <= 1024:
            raise ValueError(f"input {self.shape}: (1, n, n, 3) with 16 <= n <= 1024 is needed")
        return self


class OutputContract(Section):
    """One output by name and shape, in the file's order."""

    name: str
    shape: tuple[int, ...]

    @property
    def tensor(self) -> TensorContract:
        """Name and shape for the interpreter."""
        return TensorContract(self.name, self.shape)


class Threshold(Section):
    """A cosine at or above which two templates are taken for one person, and what that rests on."""

    target_fmr: float = Field(gt=0, lt=1)
    cosine: float = Field(ge=-1, le=1)
    impostor_pairs: int = Field(ge=0)
    evidence: str


class Origin(Section):
    """The package that the weights came from."""

    package: str
    sha256: Sha256
    path: str


class ModelEntry(Section):
    """One network of the bundle."""

    file: FileName
    sha256: Sha256
    input: InputContract
    outputs: tuple[OutputContract, ...] = Field(min_length=1)
    licence: str
    source: Origin | None = None
    quantization: str
    #: The worst cosine between this file's outputs and the float model's, on faces; absent if it is the original.
    cosine_to_float: float | None = Field(default=None, ge=-1, le=1)
    #: Views of a frame of the camera, of which many come, and of a picture that comes once (embedding only).
    live_views: tuple[View, ...] = (View.POINTS,)
    still_views: tuple[View, ...] = (View.POINTS, View.POINTS_MIRRORED)
    crop: Crop = Crop.ARCFACE
    #: The second network's share of the similarity.
    weight: float | None = Field(default=None, ge=0.01, le=0.99)
    thresholds: tuple[Threshold, ...] = ()


class Manifest(Section):
    """A bundle: one model for each role."""

    format: int = Field(ge=1, le=1)
    name: str
    models: dict[Role, ModelEntry]

    @model_validator(mode="after")
    def _weight_of_the_second(self) -> "Manifest":
        for role, entry in self.models.items():
            if (role is Role.SECOND) != (entry.weight is not None):
                raise ValueError(f"models.{role}: weight belongs to the second embedding, which needs one")
        return self
