"""Is it still the same presentation? A face that jumps, swells or vanishes between two frames starts a new track."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The farthest that a face goes in a second, in widths of its box, and the most that its box grows or shrinks.
_SPEED, _GROWTH = 6.0, 2.2
#: What detection alone moves and scales a box by, from frame to frame.
_JITTER, _SWELL = 0.22, 1.22


@dataclass(slots=True)
class FaceTrack:
    """Numbers the presentations: `follow` gives the number of the track that a box belongs to."""

    number: int = 0
    _box: NDArray[np.float32] | None = None
    _time: float = 0.0

    def follow(self, box: NDArray[np.float32], time: float) -> int:
        """The track of `box` (left, top, right, bottom) seen at `time`."""
        last, self._box = self._box, box
        elapsed = max(0.0, time - self._time)
        self._time = time
        if last is not None and not _continues(last, box, elapsed):
            self.number += 1
        return self.number


def _continues(last: NDArray[np.float32], box: NDArray[np.float32], elapsed: float) -> bool:
    sides = (float(last[2] - last[0]), float(box[2] - box[0]))
    if min(sides) <= 0:
        return False
    way = float(np.linalg.norm((box[:2] + box[2:] - last[:2] - last[2:]) / 2)) / max(sides)
    growth = max(sides) / min(sides)
    return way <= _JITTER + _SPEED * elapsed and growth <= _SWELL * (1.0 + (_GROWTH - 1.0) * elapsed)
