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

Vector = NDArray[np.float32]


class EmbeddingNetwork:
    """One network that turns squares of a face into a vector."""

    def __init__(self, bundle: ModelBundle, role: Role) -> None:
        entry = bundle.entry(role)
        self._network = bundle.network(role)
        self._contract, self._crop = entry.input, entry.crop

    def __call__(self, picture: Picture, face: Face, views: Sequence[View]) -> Vector:
        """The sum of the views of `face`, of unit length."""
        squares = (self._square(picture, face, view) for view in views)
        return _unit(np.sum([self._run(square) for square in squares], axis=0))

    def _square(self, picture: Picture, face: Face, view: View) -> Image:
        by_mesh = view in {View.MESH, View.MESH_MIRRORED}
        points = five_of_mesh(face.mesh) if by_mesh else face.points
        square = align(picture, points, self._contract.size, self._crop)
        return square[:, ::-1] if view in {View.POINTS_MIRRORED, View.MESH_MIRRORED} else square

    def _run(self, square: Image) -> Vector:
        (output,) = self._network(tensor_of(square, self._contract))
        return _unit(output.ravel())


class Embedder:
    """The embedding network of a bundle, the second one if it has one, and the views that the manifest asks for."""

    def __init__(self, bundle: ModelBundle) -> None:
        entry, second = bundle.entry(Role.EMBED), bundle.manifest.models.get(Role.SECOND)
        self.live_views = entry.live_views
        self.still_views = entry.still_views
        #: Names the models in each template: vectors of different models cannot be compared.
        self.model = bundle.templates
        self._first = EmbeddingNetwork(bundle, Role.EMBED)
        self._second = None if second is None else EmbeddingNetwork(bundle, Role.SECOND)
        self._weight = 0.0 if second is None or second.weight is None else second.weight

    def __call__(self, picture: Picture, face: Face, views: Sequence[View]) -> Template:
        """The template of `face`, of unit length."""
        one = self._first(picture, face, views)
        if self._second is None:
            return Template(one, self.model)
        other = self._second(picture, face, views)
        # The scalar product of two such vectors is the weighted mean of the two networks' cosines.
        both = np.concatenate([np.sqrt(1 - self._weight) * one, np.sqrt(self._weight) * other])
        return Template(_unit(both), self.model, len(one))


def fuse(templates: Sequence[Template], weights: Sequence[float] | None = None) -> Template:
    """One template of several pictures of one person: their weighted mean, of unit length.

    Raises:
        FaceError: `face.templates_differ`, they come from different models; `face.none`, there are none.
    """
    if not templates:
        raise FaceError("face.none", "no template to fuse")
    if len({template.model for template in templates}) > 1:
        raise FaceError("face.templates_differ", "templates of different models cannot be fused")
    mean = np.average([template.vector for template in templates], axis=0, weights=weights)
    return Template(_unit(mean), templates[0].model, templates[0].leading)


def _unit(vector: NDArray[np.floating]) -> Vector:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
