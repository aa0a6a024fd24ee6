"""A whole person of solids: the head with ears moves; neck and shoulders stay, as a person's do."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.simulator import solids, texture
from agent.biometrics.simulator.scene import Light, Pose, Studio
from agent.biometrics.simulator.solids import Mesh
from agent.biometrics.simulator.texture import Atlas, Portrait
from agent.biometrics.types import Image

Floats = NDArray[np.float32]

#: The head turns about the top of the spine, below and behind the point between the ears.
PIVOT = np.array([0.0, 70.0, -25.0])


def _mesh(parts: list[tuple[Floats, NDArray[np.int32], Floats]]) -> Mesh:
    vertices, triangles, texels, first = [], [], [], 0
    for points, faces, coordinates in parts:
        vertices.append(points)
        triangles.append(faces + first)
        texels.append(coordinates)
        first += len(points)
    points, faces = np.concatenate(vertices), np.concatenate(triangles).astype(np.int32)
    return Mesh(points, solids.normals(points, faces), faces, np.concatenate(texels))


def _head_mesh() -> Mesh:
    points, faces = solids.head()
    parts = [(points, faces, texture.face_texels(points))]
    for side in (-1.0, 1.0):
        ear, ear_faces = solids.ellipsoid((side * 77.0, 16.0, -8.0), (7.0, 30.0, 17.0))
        parts.append((ear, ear_faces, texture.patch_texels(ear, 0)))
    return _mesh(parts)


def _bust_mesh() -> Mesh:
    neck, neck_faces = solids.tube(70.0, 210.0, (52.0, 62.0), -22.0)
    body, body_faces = solids.ellipsoid((0.0, 300.0, -40.0), (235.0, 150.0, 95.0), 18, 28)
    return _mesh(
        [
            (neck, neck_faces, texture.patch_texels(neck, 0)),
            (body, body_faces, texture.patch_texels(body, 1)),
        ]
    )


def _glasses_mesh() -> Mesh:
    points, faces = solids.glasses()
    return _mesh([(points, faces, texture.patch_texels(points, 2))])


HEAD, BUST, GLASSES = _head_mesh(), _bust_mesh(), _glasses_mesh()


@dataclass(slots=True)
class Person:
    """A person with the face of a portrait."""

    atlas: Atlas
    wears_glasses: bool = False

    @classmethod
    def of(cls, portrait: Portrait, seed: int = 0, *, wears_glasses: bool = False) -> "Person":
        """The person of a portrait; `seed` chooses the clothes."""
        return cls(texture.lay_out(portrait, seed), wears_glasses)

    def draw(self, studio: Studio, picture: Image, pose: Pose, light: Light) -> None:
        """Draw the person over the picture, in place."""
        still = replace(pose, yaw=0.12 * pose.yaw, pitch=0.0, roll=0.0)
        studio.draw(picture, BUST, self.atlas.opened, still, light)
        moved = PIVOT - pose.rotation() @ PIVOT
        turned = replace(pose, x=pose.x + moved[0], y=pose.y + moved[1], distance=pose.distance - moved[2])
        studio.draw(picture, HEAD, self.atlas.blink(pose.blink), turned, light)
        if self.wears_glasses:
            studio.draw(picture, GLASSES, self.atlas.opened, turned, light, sided=False)
