"""The head's pose from the mesh: the axes through its symmetric points, no canonical head needed.

The mesh's depth is in the units of its picture, so the horizontal axis (from points of the person's right to their
mirror images on the left) gives yaw and roll, and the vertical axis (forehead to chin) gives pitch.
"""

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Pose

#: Points on the person's right and their mirror images: eye corners, temples, jaw, cheeks, mouth corners, nostrils.
RIGHT = np.array([33, 133, 127, 234, 93, 132, 58, 172, 61, 50, 205, 98, 70, 105])
LEFT = np.array([263, 362, 356, 454, 323, 361, 288, 397, 291, 280, 425, 327, 300, 334])
#: Down the middle: hair line and brow against lips and chin.
UPPER = np.array([10, 151, 9])
LOWER = np.array([152, 175, 199])


def pose_of(mesh: NDArray[np.float32]) -> Pose:
    """Yaw, pitch and roll in degrees from mesh points (468, 3)."""
    across = (mesh[LEFT] - mesh[RIGHT]).mean(axis=0)
    across = across / np.linalg.norm(across)
    down = (mesh[LOWER] - mesh[UPPER]).mean(axis=0)
    down = down - across * float(down @ across)
    yaw = np.arctan2(across[2], np.hypot(across[0], across[1]))
    roll = np.arctan2(across[1], across[0])
    pitch = np.arctan2(-down[2], np.hypot(down[0], down[1]))
    return Pose(float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll)))
