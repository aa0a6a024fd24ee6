"""From an aligned face to a template: a unit vector that is near the vectors of the same person's other pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.errors import FaceError
from agent.biometrics.image import tensor_of
from agent.biometrics.manifest import Role
from agent.biometrics.types import Image, Template


class Embedder:
    """The embedding network; adds the mirror image's embedding where the manifest says that it pays."""

    def __init__(self, bundle: ModelBundle) -> None:
        entry = bundle.entry(Role.EMBED)
        self._network = bundle.network(Role.EMBED)
        self._contract = entry.input
        self._mirror = entry.mirror
        self.size = entry.input.size
        #: Names the model in each template: vectors of different models cannot be compared.
        self.model = entry.sha256

    def __call__(self, square: Image) -> Template:
        """The template of an aligned RGB square."""
        vector = self._run(square)
        if self._mirror:
            vector = vector + self._run(square[:, ::-1])
        return Template(vector / np.linalg.norm(vector), self.model)

    def _run(self, square: Image) -> NDArray[np.float32]:
        (output,) = self._network(tensor_of(square, self._contract))
        vector = output.ravel()
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def fuse(templates: Sequence[Template], weights: Sequence[float] | None = None) -> Template:
    """One template of several pictures of one person: their weighted mean, of unit length.

    Raises:
        FaceError: `face.templates_differ`, they come from different models; `face.none`, there are none.
    """
    if not templates:
        raise FaceError("face.none", "no template to fuse")
    if len({template.model for template in templates}) > 1:
        raise FaceError("face.templates_differ", "templates of different models cannot be fused")
    mean = np.average([template.vector for template in templates], axis=0, weights=weights).astype(np.float32)
    return Template(mean / np.linalg.norm(mean), templates[0].model)
