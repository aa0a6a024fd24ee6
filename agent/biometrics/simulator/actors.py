"""Who stands before the simulated camera: a person, or somebody who changes places with another."""

from typing import Protocol

import numpy as np

from agent.biometrics.simulator.motion import Habits, Mover
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.scene import Light, Studio
from agent.biometrics.types import Guidance, Image


class Actor(Protocol):
    """Whatever a camera can look at. It sees the screen, and draws itself into the studio."""

    def observe(self, guidance: Guidance, now: float) -> None:
        """The screen shows `guidance` at `now` (seconds of the camera's clock)."""
        ...

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """What the camera sees at `now`, (h, w, 3) RGB. Times never run backwards."""
        ...


class Nobody:
    """An empty room."""

    def observe(self, guidance: Guidance, now: float) -> None:
        """Nobody is there to see it."""

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """The room."""
        return studio.expose(studio.empty(light), light)


class Holder:
    """A person who does what the screen asks."""

    def __init__(self, person: Person, seed: int = 0, habits: Habits | None = None) -> None:
        self._person = person
        self._mover = Mover(np.random.default_rng(seed), habits or Habits())

    def observe(self, guidance: Guidance, now: float) -> None:
        """Reacts a little later."""
        self._mover.observe(guidance, now)

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """The person in the room."""
        room = studio.empty(light)
        self._person.draw(studio, room, self._mover.pose(now), light)
        return studio.expose(room, light)


class Swap:
    """Two persons who change places when the screen first asks for a turn, and back when it no longer does.

    The face that looks ahead is the holder's, the one that turns is the accomplice's: the classic use of a portrait
    with a living helper. Both move as one, so that nothing but the face changes.
    """

    def __init__(self, ahead: Person, turning: Person, seed: int = 0, habits: Habits | None = None) -> None:
        self._ahead, self._turning = ahead, turning
        self._mover = Mover(np.random.default_rng(seed), habits or Habits())
        self._asked = False

    def observe(self, guidance: Guidance, now: float) -> None:
        """Changes places at once."""
        self._asked = guidance in (Guidance.TURN_LEFT, Guidance.TURN_RIGHT, Guidance.LOOK_UP, Guidance.LOOK_DOWN)
        self._mover.observe(guidance, now)

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """Whoever is there now."""
        room = studio.empty(light)
        pose = self._mover.pose(now)
        person = self._turning if self._asked else self._ahead
        person.draw(studio, room, pose, light)
        return studio.expose(room, light)
