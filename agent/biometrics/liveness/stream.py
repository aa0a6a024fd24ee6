"""The camera is the camera: frames that repeat, run backwards or carry no noise come from something else."""

import zlib
from dataclasses import dataclass, field

import numpy as np

from agent.biometrics.types import Frame, LivenessPart, LivenessVerdict

#: Share of frames that may repeat an earlier one (a driver that delivers one picture twice).
_REPEATS = 0.05
#: The longest time between two frames that still lets a turn be followed, and the shortest that a camera manages.
_SLOWEST, _FASTEST = 0.25, 0.004
#: Mean absolute difference of grey values between two pictures of any sensor, even of a wall in the sun.
_QUIET = 0.10
_FEWEST = 8


@dataclass(slots=True)
class StreamWatch:
    """Looks at every frame, sparsely: a hash of some pixels, a difference of others, the clock."""

    required: bool
    frames: int = 0
    _repeats: int = 0
    _disorder: int = 0
    _seen: set[int] = field(default_factory=set)
    _sample: np.ndarray | None = None
    _noise: list[float] = field(default_factory=list)
    _gaps: list[float] = field(default_factory=list)
    _last: Frame | None = None

    def see(self, frame: Frame) -> None:
        """The next frame."""
        sparse = np.ascontiguousarray(frame.pixels[5::11, 3::7])
        digest = zlib.crc32(sparse.tobytes())
        self._repeats += digest in self._seen
        self._seen.add(digest)
        sample = sparse.astype(np.int16)
        if self._sample is not None and self._sample.shape == sample.shape:
            self._noise.append(float(np.median(np.abs(sample - self._sample).mean(axis=0))))
        self._sample = sample
        if self._last is not None:
            self._gaps.append(frame.timestamp - self._last.timestamp)
            self._disorder += frame.timestamp <= self._last.timestamp or frame.sequence <= self._last.sequence
        self._last = frame
        self.frames += 1

    @property
    def frozen(self) -> bool:
        """Whether the stream repeats itself or its clock does not run."""
        if self.frames < _FEWEST:
            return False
        return self._disorder > 1 or self._repeats > max(1.0, _REPEATS * self.frames) or self._still

    @property
    def _still(self) -> bool:
        return len(self._noise) >= _FEWEST and float(np.median(self._noise)) < _QUIET

    def part(self) -> LivenessPart:
        """The evidence; the score is the share of frames that are new and in order."""
        good = 1.0 - (self._repeats + self._disorder) / max(self.frames, 1)
        gap = float(np.median(self._gaps)) if self._gaps else 0.0
        if self.frozen:
            verdict = LivenessVerdict.ATTACK
        elif self.frames >= _FEWEST and _FASTEST <= gap <= _SLOWEST:
            verdict = LivenessVerdict.LIVE
        else:
            verdict = LivenessVerdict.INDETERMINATE
        noise = float(np.median(self._noise)) if self._noise else 0.0
        detail = f"{self.frames} frames, median gap {1000 * gap:.0f} ms, noise {noise:.2f}"
        return LivenessPart("camera", verdict, round(max(good, 0.0), 3), 1.0 - _REPEATS, self.required, detail)
