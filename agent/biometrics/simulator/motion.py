"""How a person moves: reacts late to a prompt, turns smoothly, never holds quite still, blinks."""

from dataclasses import dataclass, field

import numpy as np

from agent.biometrics.liveness.turns import OPPOSITE
from agent.biometrics.simulator.scene import Pose
from agent.biometrics.types import Guidance


@dataclass(frozen=True, slots=True)
class Habits:
    """A person's way of moving: degrees, seconds, millimetres; pairs are mean and spread."""

    yaw: tuple[float, float] = (38.0, 4.0)
    pitch: tuple[float, float] = (30.0, 3.0)
    reaction: tuple[float, float] = (0.45, 0.12)
    turning: tuple[float, float] = (0.55, 0.10)
    tremor: float = 0.5
    sway: float = 1.5
    blinks: float = 3.5
    distance: float = 520.0
    #: How far up the head points when it looks at the terminal: the camera stands over the screen.
    level: float = 4.0
    #: How much further a head turns, as a share, when the prompt is still there after a while.
    insist: float = 0.25
    #: The share of prompts that are taken for their opposite.
    confusion: float = 0.0


_AIMS = {
    Guidance.TURN_LEFT: (1.0, 0.0),
    Guidance.TURN_RIGHT: (-1.0, 0.0),
    Guidance.LOOK_UP: (0.0, 1.0),
    Guidance.LOOK_DOWN: (0.0, -1.0),
}


@dataclass(slots=True)
class Mover:
    """The pose of a person who does what the screen says."""

    rng: np.random.Generator
    habits: Habits = field(default_factory=Habits)
    _shown: Guidance = Guidance.LOOK_HERE
    _from: tuple[float, float] = (0.0, 0.0)
    _to: tuple[float, float] = (0.0, 0.0)
    _start: float = 0.0
    _length: float = 0.5
    _waiting: tuple[float, Guidance] | None = None
    _nearer: float = 0.0
    _drift: np.ndarray = field(default_factory=lambda: np.zeros(6))
    _blink: float = 1.0
    _now: float = 0.0

    def observe(self, guidance: Guidance, now: float) -> None:
        """The screen shows `guidance` at `now`."""
        if guidance is self._shown:
            return
        self._shown = guidance
        seen = guidance
        if guidance in OPPOSITE and self.rng.random() < self.habits.confusion:
            seen = OPPOSITE[guidance]
        self._waiting = (now + max(0.15, self.rng.normal(*self.habits.reaction)), seen)

    def pose(self, now: float) -> Pose:
        """Where the head is at `now`; times never run backwards."""
        if self._waiting is not None and now >= self._waiting[0]:
            self._set_off(self._waiting[1], now)
            self._waiting = None
        elif self._waiting is None and self._shown in _AIMS and now > self._start + self._length + 1.2:
            self._go(now, (self._to[0] * (1 + self.habits.insist), self._to[1] * (1 + self.habits.insist)), 0.4)
        elapsed, self._now = max(0.0, now - self._now), now
        keep = np.exp(-elapsed / 0.7)
        self._drift = self._drift * keep + self.rng.normal(0, 1, 6) * np.sqrt(1 - keep * keep)
        tremor, sway = self._drift[:3] * self.habits.tremor, self._drift[3:] * self.habits.sway
        yaw, pitch = self._between(now)
        return Pose(
            yaw=yaw + tremor[0],
            pitch=self.habits.level + pitch + tremor[1],
            roll=tremor[2],
            x=sway[0],
            y=sway[1] - 10.0,
            distance=self.habits.distance + sway[2] - self._nearer,
            blink=self._lids(now),
        )

    def _between(self, now: float) -> tuple[float, float]:
        """The least jerky way from one aim to the next."""
        t = min(1.0, max(0.0, (now - self._start) / self._length))
        share = t**3 * (10 - 15 * t + 6 * t * t)
        return (
            self._from[0] + share * (self._to[0] - self._from[0]),
            self._from[1] + share * (self._to[1] - self._from[1]),
        )

    def _set_off(self, guidance: Guidance, now: float) -> None:
        across, up = _AIMS.get(guidance, (0.0, 0.0))
        aim = (across * self.rng.normal(*self.habits.yaw), up * self.rng.normal(*self.habits.pitch))
        self._go(now, aim, max(0.25, self.rng.normal(*self.habits.turning)))
        if guidance is Guidance.COME_CLOSER:
            self._nearer += 60.0
        elif guidance is Guidance.MOVE_BACK:
            self._nearer -= 60.0

    def _go(self, now: float, aim: tuple[float, float], length: float) -> None:
        self._from = self._between(now)
        self._to, self._start, self._length = aim, now, length

    def _lids(self, now: float) -> float:
        if now > self._blink + 0.16:
            self._blink = now + 0.3 + self.rng.exponential(self.habits.blinks)
        return float(np.clip(1.0 - abs(now - self._blink - 0.08) / 0.08, 0.0, 1.0))
