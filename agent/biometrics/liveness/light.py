"""The screen as a light source: a random sequence of colours, looked for in the face and not in the room behind it.

A face half a metre from the screen takes its colours within a frame or two; a screen that plays a recording shines by
itself, and an injected stream knows nothing of the colours. Logged as evidence: its error rates on people are unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.liveness.challenge import Colour
from agent.biometrics.types import Face, Frame, LivenessPart, LivenessVerdict, PixelFormat

Floats = NDArray[np.float64]

#: Correlation of the face's colours with the screen's from which on the light is taken for seen.
SEEN = 0.6
#: Delays (s) between the page's order and the picture that are tried: browser, display and exposure. With a slot more a
#: film that follows the colours late would do.
_DELAYS = np.arange(0.0, 0.3, 0.033)
#: How far beside the face the room begins, in widths of the face: past ears and hair.
_BESIDE = 0.3
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class _Sample:
    time: float
    face: Floats
    room: Floats


@dataclass(slots=True)
class LightShow:
    """Shows the colours of a challenge and watches the face meanwhile."""

    colours: Sequence[Colour]
    slot: float
    required: bool = False
    _start: float | None = None
    _samples: list[_Sample] = field(default_factory=list)

    def colour(self, now: float) -> str:
        """What the whole screen is to show at `now`, "#rrggbb"; "" when there is nothing to show."""
        if self._start is None or self.over(now):
            return ""
        red, green, blue = self.colours[int((now - self._start) / self.slot)]
        return f"#{red:02x}{green:02x}{blue:02x}"

    def over(self, now: float) -> bool:
        """Whether all colours have been shown."""
        return not self.colours or (self._start is not None and now - self._start >= self.slot * len(self.colours))

    def begin(self, now: float) -> None:
        """Start the show, unless it has started."""
        if self._start is None:
            self._start = now

    def see(self, frame: Frame, face: Face) -> None:
        """The next frame that shows a face."""
        pixels, order = _sparse(frame)
        scale = pixels.shape[1] / _width(frame)
        left, top, right, bottom = face.box * scale
        width, height = right - left, bottom - top
        skin = _mean(pixels, left + 0.2 * width, top + 0.25 * height, right - 0.2 * width, bottom - 0.15 * height)
        aside = [
            _mean(pixels, 0, 0, left - _BESIDE * width, pixels.shape[0]),
            _mean(pixels, right + _BESIDE * width, 0, pixels.shape[1], pixels.shape[0]),
        ]
        room = [colour for colour in aside if colour is not None]
        if skin is not None and room:
            self._samples.append(_Sample(frame.timestamp, skin[order], np.mean(room, axis=0)[order]))

    def part(self) -> LivenessPart:
        """The evidence: the best correlation over the delays, and what it took."""
        correlation, delay, depth = self._response()
        seen = correlation >= SEEN
        return LivenessPart(
            "light",
            LivenessVerdict.LIVE if seen else LivenessVerdict.INDETERMINATE,
            round(correlation, 3),
            SEEN,
            self.required,
            f"{len(self._samples)} frames, delay {1000 * delay:.0f} ms, modulation {100 * depth:.1f} %",
        )

    def _response(self) -> tuple[float, float, float]:
        """The best correlation of face less room with the screen, its delay, and the modulation of the face."""
        if self._start is None or len(self._samples) < _FEWEST:
            return 0.0, 0.0, 0.0
        times = np.array([sample.time for sample in self._samples])
        face = np.log(np.array([sample.face for sample in self._samples]) + 1.0)
        room = np.log(np.array([sample.room for sample in self._samples]) + 1.0)
        # Slow change (exposure, a cloud, breathing towards the camera) is no answer to the screen.
        trend = np.column_stack([np.ones_like(times), times - times[0]])
        seen = face - room
        seen = seen - trend @ np.linalg.lstsq(trend, seen, rcond=None)[0]
        best = (0.0, 0.0, 0.0)
        for delay in _DELAYS:
            shown = np.array([self._shown(time - float(delay)) for time in times])
            shown = shown - trend @ np.linalg.lstsq(trend, shown, rcond=None)[0]
            power = float(np.sqrt((shown**2).sum() * (seen**2).sum()))
            product = float((shown * seen).sum())
            correlation = product / power if power > 0 else 0.0
            if correlation > best[0]:
                best = (correlation, float(delay), product / float((shown**2).sum()))
        return best

    def _shown(self, time: float) -> Floats:
        """The screen's light at `time`, 0 to 1 a channel; before the show the page's own grey."""
        index = int((time - (self._start or 0.0)) / self.slot)
        if time < (self._start or 0.0):
            return np.full(3, 0.6)
        return np.array(self.colours[min(index, len(self.colours) - 1)]) / 255


def _sparse(frame: Frame) -> tuple[NDArray[np.uint8], list[int]]:
    """Every fourth pixel as three channels, and which of them are red, green and blue."""
    if frame.format is PixelFormat.NV12:
        rows = frame.pixels.shape[0] * 2 // 3
        luma = cv2.resize(frame.pixels[:rows], None, fx=0.25, fy=0.25, interpolation=cv2.INTER_NEAREST)
        chroma = frame.pixels[rows:].reshape(rows // 2, -1, 2)[::2, ::2][: luma.shape[0], : luma.shape[1]]
        ycc = np.dstack([luma[: chroma.shape[0], : chroma.shape[1]], chroma[..., ::-1]])
        return np.asarray(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB), np.uint8), [0, 1, 2]
    return frame.pixels[::4, ::4], [0, 1, 2] if frame.format is PixelFormat.RGB else [2, 1, 0]


def _width(frame: Frame) -> int:
    return int(frame.pixels.shape[1])


def _mean(pixels: NDArray[np.uint8], left: float, top: float, right: float, bottom: float) -> Floats | None:
    """The mean colour of a rectangle, None where there is none."""
    x0, y0 = max(0, int(left)), max(0, int(top))
    x1, y1 = min(pixels.shape[1], int(right)), min(pixels.shape[0], int(bottom))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    return np.asarray(pixels[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0))
