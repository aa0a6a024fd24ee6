"""A camera whose frames are rendered: what the demonstration and the tests stand before."""

import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, sleep

from agent.biometrics.simulator.actors import Actor
from agent.biometrics.simulator.scene import PAGE, Light, Studio
from agent.biometrics.types import Frame, Guidance, PixelFormat


class SimulatedCamera:
    """A frame source. Frames come at `rate` a second, in real time or, with `virtual`, as fast as they are drawn."""

    def __init__(
        self,
        actor: Actor,
        *,
        rate: float = 15.0,
        studio: Studio | None = None,
        light: Light | None = None,
        virtual: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._actor, self._rate, self._virtual, self._clock = actor, rate, virtual, clock
        self._studio, self._light = studio or Studio(), light or Light()
        self._lock = threading.Lock()
        self._sequence = 0
        self._start = clock()
        self._now = self._start

    @property
    def now(self) -> float:
        """The camera's clock: that of its newest frame."""
        return self._now

    def observe(self, guidance: Guidance, light: str = "") -> None:
        """The screen shows `guidance`, and the colour `light` ("#rrggbb") over all of it unless that is ""."""
        with self._lock:
            now = self._now if self._virtual else self._clock()
            self._actor.observe(guidance, now)
            self._light = lit(self._light, light)

    def stage(self, actor: Actor) -> None:
        """Somebody else steps before the camera."""
        with self._lock:
            self._actor = actor

    def read(self, timeout: float) -> Frame:
        """The next frame, RGB."""
        with self._lock:
            self._sequence += 1
            if self._virtual:
                self._now = self._start + self._sequence / self._rate
            else:
                # A camera does not queue: frames that nobody fetched are gone.
                due = max(self._now + 1.0 / self._rate, self._clock())
                sleep(max(0.0, due - self._clock()))
                self._now = due
            pixels = self._actor.picture(self._studio, self._light, self._now)
            return Frame(pixels, PixelFormat.RGB, self._now, self._sequence)

    def close(self) -> None:
        """Nothing to give back."""


def lit(light: Light, colour: str) -> Light:
    """The light with the screen in `colour`, "#rrggbb"; "" is the usual page."""
    if not colour:
        return replace(light, screen=PAGE)
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return replace(light, screen=(red, green, blue))
