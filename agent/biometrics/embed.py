"""From an aligned face to a template: a unit vector that is near the vectors of the same person's other pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.align import align
from agent.biometrics.bundle import ModelBundle
from agent.biometrics.errors import FaceError
from agent.biometrics.image import Picture, tensor_of
from agent.biometrics.landmarks import five_of_mesh
from agent.biometrics.manifest import Role, View
from agent.biometrics.types import Face, Image, Template


class Embedder:
    """The embedding network and the views of a face that the manifest asks for."""

    def __init__(self, bundle: ModelBundle) -> None:
        entry = bundle.entry(Role.EMBED)
        self._network = bundle.network(Role.EMBED)
        self._contract = entry.input
        self.live_views = entry.live_views
        self.still_views = entry.still_views
        #: Names the model in each template: vectors of different models cannot be compared.
        self.model = entry.sha256

    def __call__(self, picture: Picture, face: Face, views: Sequence[View]) -> Template:
        """The template of `face`: the sum of its views, of unit length."""
        squares = [self._square(picture, face, view) for view in views]
        total = np.sum([self._run(square) for square in squares], axis=0)
        return Template(np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32), self.model)

    def _square(self, picture: Picture, face: Face, view: View) -> Image:
        by_mesh = view in {View.MESH, View.MESH_MIRRORED}
        square = align(picture, five_of_mesh(face.mesh) if by_mesh else face.points, self._contract.size)
        return square[:, ::-1] if view in {View.POINTS_MIRRORED, View.MESH_MIRRORED} else square

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
