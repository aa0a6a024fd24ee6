"""Advisory evidence from single pictures: does this look like skin before a camera, or like paper or a screen?

No passive score has a threshold that holds from one camera to the next (docs/biometrics.md has the numbers), so nothing
here ever passes or refuses a person alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.image import Picture, square_to, tensor_of, warp
from agent.biometrics.manifest import Role

#: Two looks at the face, as multiples of the longer side of its box: chosen by leaving one person out (decision 0204).
CROPS = (0.8, 1.2)
#: A score from which the evidence speaks of an attack where the camera was not calibrated: one living frame in twenty
#: of the development clips lies above it.
ATTACK_FROM = 0.988


class PassiveNetwork:
    """The deep tree network (Liu et al., 2019): eight leaves, each with a score and a share of the picture."""

    def __init__(self, bundle: ModelBundle) -> None:
        self._network = bundle.network(Role.PASSIVE)
        self._contract = bundle.entry(Role.PASSIVE).input

    def __call__(self, picture: Picture, box: NDArray[np.float32]) -> float:
        """The mean score over the crops, 0 (living) to 1 (attack)."""
        return float(np.mean([self.crop_score(picture, box, crop) for crop in CROPS]))

    def crop_score(self, picture: Picture, box: NDArray[np.float32], crop: float) -> float:
        """The score of one crop of `crop` times the box, 0 (living) to 1 (attack)."""
        centre = (box[:2] + box[2:]) / 2
        side = max(float((box[2:] - box[:2]).max()) * crop, 1.0)
        matrix = square_to((float(centre[0]), float(centre[1])), side, self._contract.size)
        scores, share = self._network(tensor_of(warp(picture, matrix, self._contract.size), self._contract))
        return float(np.clip(np.abs(scores * share).sum(), 0.0, 1.0))


def clip_score(scores: Sequence[float]) -> float | None:
    """The score of a clip from those of its frames; None without any."""
    return float(np.median(scores)) if scores else None
