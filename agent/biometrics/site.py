"""What was calibrated at one site: thresholds from the site's own people and its own camera, with their evidence.

A site manifest names the models that it was measured with; with any other models it is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.biometrics.bundle import ModelBundle, parse_toml
from agent.biometrics.errors import ModelError
from agent.biometrics.liveness.advice import BORDERS, PASSIVE, TEXTURE
from agent.biometrics.manifest import Role, Section, Sha256, Threshold

LARGEST = 1 << 20
#: `ModelBundle.templates`.
Templates = Annotated[str, Field(pattern=r"^[0-9a-f]{64}(\+[0-9a-f]{64}@0\.[0-9]{1,6})?$")]


class SiteEmbedding(Section):
    """Thresholds for one embedding model, or for two together."""

    model: Templates
    thresholds: tuple[Threshold, ...] = Field(min_length=1)


class SiteCamera(Section):
    """The advisory scores at which this camera's frames raise the demand."""

    model: Sha256
    passive_threshold: float = Field(ge=0, le=1)
    borders_threshold: float | None = Field(default=None, ge=0)
    #: None where nobody stood still for long enough.
    texture_threshold: float | None = Field(default=None, ge=0, le=1)
    bpcer: float = Field(gt=0, lt=1)
    frames: int = Field(ge=1)
    evidence: str


class SiteManifest(Section):
    """`site.toml`."""

    format: int = Field(default=1, ge=1, le=1)
    embed: SiteEmbedding | None = None
    camera: SiteCamera | None = None

    @classmethod
    def load(cls, path: Path, trusted_keys: Sequence[bytes] | None = None) -> "SiteManifest":
        """Read a site manifest; with `trusted_keys` (PEM) its `.sig` beside it must be of one of them.

        Raises:
            ModelError: `model.manifest`, absent or malformed; `model.signature`.
        """
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST)
        except OSError as error:
            raise ModelError("model.manifest", f"{path}: {error.strerror}") from error
        if trusted_keys is not None:
            from agent.biometrics.signature import check_signature

            check_signature(content, path.with_name(path.name + ".sig"), trusted_keys)
        return parse_toml(cls, content, path.name)

    def advice_limits(self, bundle: ModelBundle) -> dict[str, float]:
        """The scores from which this camera's frames raise the demand, by name of the advice; those calibrated.

        Raises:
            ModelError: `model.manifest`, the camera was calibrated with another model.
        """
        if self.camera is None:
            return {}
        if self.camera.model != bundle.entry(Role.PASSIVE).sha256:
            raise ModelError("model.manifest", "the site's camera was calibrated with another passive model")
        limits = {
            PASSIVE: self.camera.passive_threshold,
            BORDERS: self.camera.borders_threshold,
            TEXTURE: self.camera.texture_threshold,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def thresholds(self, bundle: ModelBundle) -> tuple[Threshold, ...]:
        """The thresholds to compare with: the site's, or the bundle's where the site calibrated none.

        Raises:
            ModelError: `model.manifest`, the site was calibrated with another model.
        """
        if self.embed is None:
            return bundle.entry(Role.EMBED).thresholds
        if self.embed.model != bundle.templates:
            raise ModelError("model.manifest", "the site's thresholds were calibrated with another embedding model")
        return self.embed.thresholds
