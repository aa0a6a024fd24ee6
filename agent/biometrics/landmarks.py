"""Points of a face: five by the last network of MTCNN (Zhang et al., 2016), 468 by a mesh (Kartynnik et al., 2019)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.detect import Detection
from agent.biometrics.image import Picture, square_to, tensor_of, warp
from agent.biometrics.manifest import Role

Floats = NDArray[np.float32]

#: The box is narrower than what the mesh network was trained on.
MESH_SIDE = 1.5
#: Pairs of mesh points whose middle is an eye, the nose or a corner of the mouth.
_FIVE = np.array([(33, 133), (362, 263), (1, 1), (61, 61), (291, 291)])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mesh:
    """`points` (468, 3) in pixels of the frame, depth growing away from the camera; `presence` 0 to 1."""

    presence: float
    points: Floats


class MeshFinder:
    """Fits the mesh to a face, upright by the line between the eyes."""

    def __init__(self, bundle: ModelBundle) -> None:
        self._network = bundle.network(Role.MESH)
        self._contract = bundle.entry(Role.MESH).input

    def __call__(self, picture: Picture, face: Detection) -> Mesh:
        """The mesh of one detected face."""
        size = self._contract.size
        right_eye, left_eye = face.keypoints[0], face.keypoints[1]
        roll = float(np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))
        centre = (face.box[:2] + face.box[2:]) / 2
        side = max(float((face.box[2:] - face.box[:2]).max()) * MESH_SIDE, 1.0)
        matrix = square_to((float(centre[0]), float(centre[1])), side, size, roll)
        flat, logit = self._network(tensor_of(warp(picture, matrix, size), self._contract))
        inside = flat.reshape(468, 3)
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
        flat_points = inside[:, :2] @ back[:2, :2].T + back[:2, 2]
        points = np.column_stack([flat_points, inside[:, 2] * (side / size)]).astype(np.float32)
        return Mesh(float(1.0 / (1.0 + np.exp(-logit.ravel()[0]))), points)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FivePoints:
    """`points` (5, 2): right eye, left eye, nose, right and left corner of the mouth (the person's); `score` 0 to 1."""

    score: float
    points: Floats


class FivePointFinder:
    """Five points from one look at the square that the mesh fills.

    The square is what decides how good the points are: from the mesh one look is better than two from the detector's
    box (decision 0201).
    """

    def __init__(self, bundle: ModelBundle) -> None:
        self._network = bundle.network(Role.POINTS)
        self._contract = bundle.entry(Role.POINTS).input

    def __call__(self, picture: Picture, mesh: Mesh) -> FivePoints:
        """Five points of the face that `mesh` was fitted to."""
        low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
        centre = (low + high) / 2
        side = max(float((high - low).max()), 1.0)
        matrix = square_to((float(centre[0]), float(centre[1])), side, self._contract.size)
        square = warp(picture, matrix, self._contract.size)
        probability, _, flat = self._network(tensor_of(square, self._contract))
        points = centre - side / 2 + flat[0].reshape(2, 5).T * side
        return FivePoints(float(probability[0, 1]), points.astype(np.float32))


def five_of_mesh(mesh: Floats) -> Floats:
    """The same five places read off mesh points (468, 3): (5, 2)."""
    return np.asarray((mesh[_FIVE[:, 0], :2] + mesh[_FIVE[:, 1], :2]) / 2, np.float32)
