"""Presentation attacks (ISO/IEC 30107-3) for the simulated camera: paper, screens, injected streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.simulator import solids
from agent.biometrics.simulator.actors import Actor
from agent.biometrics.simulator.camera import lit
from agent.biometrics.simulator.motion import Habits, Mover
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.scene import Light, Pose, Studio
from agent.biometrics.simulator.solids import Mesh
from agent.biometrics.simulator.texture import Portrait
from agent.biometrics.types import Guidance, Image

Floats = NDArray[np.float32]

#: The face on a print is as large as a living one.
_INTEROCULAR = solids.INTEROCULAR


class Paper(StrEnum):
    """What is done with the sheet."""

    STILL = "still"
    TILTED = "tilted"
    BENT = "bent"


def sheet(picture: tuple[int, int], width: float, *, bend: float = 0.0, rows: int = 24, columns: int = 32) -> Mesh:
    """A sheet `width` mm wide that shows a picture of (height, width) texels, bent round an upright cylinder.

    `bend` is the angle in degrees between the sheet's left and right edges; the picture is on the outside.
    """
    height = width * picture[0] / picture[1]
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, columns), np.linspace(-0.5, 0.5, rows))
    if abs(bend) < 1e-3:
        x, z = u * width, np.zeros_like(u)
    else:
        radius = width / np.radians(bend)
        angle = u * np.radians(bend)
        x, z = radius * np.sin(angle), radius * (np.cos(angle) - 1.0)
    points = np.stack([x, v * height, z], 2).reshape(-1, 3).astype(np.float32)
    texels = np.stack([(u + 0.5) * (picture[1] - 1), (v + 0.5) * (picture[0] - 1)], 2).reshape(-1, 2).astype(np.float32)
    faces = solids.grid(rows, columns)
    return Mesh(points, solids.normals(points, faces), faces, texels)


def _eye_holes(mesh: Mesh, portrait: Portrait) -> Mesh:
    """The sheet without the triangles over the eyes."""
    reach = 0.26 * float(np.linalg.norm(portrait.points[1] - portrait.points[0]))
    centres = mesh.texels[mesh.triangles].mean(1)
    distance = np.linalg.norm(centres[:, None] - portrait.points[None, :2], axis=2).min(1)
    return replace(mesh, triangles=mesh.triangles[distance > reach])


class Print:
    """A printed portrait that somebody tilts or bends as the screen asks; with `behind`, through holes for the eyes."""

    def __init__(
        self,
        portrait: Portrait,
        handling: Paper = Paper.TILTED,
        *,
        angle: float = 60.0,
        behind: Person | None = None,
        seed: int = 0,
    ) -> None:
        self._portrait, self._handling, self._angle, self._behind = portrait, handling, angle, behind
        spread = 0.0 if handling is Paper.STILL else 3.0
        self._mover = Mover(
            np.random.default_rng(seed),
            Habits(yaw=(angle, spread), pitch=(angle, spread), insist=0.1, level=0.0, sway=2.5, distance=480.0),
        )
        eyes = float(np.linalg.norm(portrait.points[1] - portrait.points[0]))
        self._width = portrait.image.shape[1] * _INTEROCULAR / eyes

    def observe(self, guidance: Guidance, now: float) -> None:
        """The attacker reads the screen too."""
        if self._handling is not Paper.STILL:
            self._mover.observe(guidance, now)

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """The sheet before the room (and before the eyes of the one who holds it)."""
        room = studio.empty(light)
        pose = self._mover.pose(now)
        bend = 0.0
        if self._handling is Paper.BENT:
            # Bent about the upright axis and turned with it: the outline narrows as a turning head's does.
            bend = abs(pose.yaw) * 1.6
        if self._behind is not None:
            self._behind.draw(studio, room, replace(pose, yaw=0.0, pitch=0.0, distance=pose.distance + 110.0), light)
        mesh = sheet(self._portrait.image.shape[:2], self._width, bend=bend, rows=40, columns=40)
        if self._behind is not None:
            mesh = _eye_holes(mesh, self._portrait)
        # The eyes of the picture come to where a person's would be.
        centre = (self._portrait.points[:2].mean(0) / np.array(self._portrait.image.shape[1::-1]) - 0.5) * np.array(
            [self._width, self._width * self._portrait.image.shape[0] / self._portrait.image.shape[1]]
        )
        studio.draw(room, mesh, self._portrait.image, replace(pose, y=pose.y - centre[1], x=pose.x - centre[0]), light)
        return studio.expose(room, light)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Recording:
    """Pictures (h, w, 3) RGB of an earlier attempt and the seconds at which each was taken, from 0."""

    pictures: Sequence[Image]
    times: Sequence[float]

    def at(self, time: float) -> Image:
        """The picture shown at `time`; it begins again after its end."""
        index = int(np.searchsorted(self.times, time % max(self.times[-1], 1e-3), side="right")) - 1
        return self.pictures[max(index, 0)]


class Film(Protocol):
    """What a screen plays."""

    def at(self, time: float) -> Image:
        """The picture (h, w, 3) RGB at `time`, seconds from 0."""
        ...


class LitFilm:
    """Somebody whom a screen lights meanwhile: in the order of another attempt, late, or, steered live, right."""

    def __init__(self, victim: Actor, studio: Studio, colour: Callable[[float], str], glow: float = 0.25) -> None:
        """`colour` says how the victim was lit at a time of the film, "#rrggbb" or "" for the usual page."""
        self._victim, self._studio, self._colour = victim, studio, colour
        self._light = Light(glow=glow)

    def at(self, time: float) -> Image:
        """The picture at `time`; times never run backwards."""
        return self._victim.picture(self._studio, lit(self._light, self._colour(time)), time)


class Replay:
    """A screen that plays a film of the holder. It shines by itself and hardly takes the terminal's light."""

    def __init__(self, recording: Film, *, delay: float = 0.0, border: float = 12.0, seed: int = 0) -> None:
        self._recording, self._delay, self._border = recording, delay, border
        self._mover = Mover(
            np.random.default_rng(seed), Habits(yaw=(0.0, 0.0), pitch=(0.0, 0.0), level=0.0, tremor=0.4, distance=300.0)
        )
        self._begin: float | None = None

    def observe(self, guidance: Guidance, now: float) -> None:
        """The recording does not listen."""

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """The screen in the room."""
        if self._begin is None:
            self._begin = now + self._delay
        shown = self._recording.at(max(0.0, now - self._begin))
        room = studio.empty(light)
        pose = self._mover.pose(now)
        height, width = shown.shape[:2]
        side = 300.0
        bezel = sheet((height, width), side + 2 * self._border, rows=2, columns=2)
        studio.draw(room, bezel, np.full((height, width, 3), 14, np.uint8), pose, light)
        front = sheet((height, width), side, rows=12, columns=16)
        studio.draw(room, front, shown, replace(pose, distance=pose.distance - 0.5), light, emits=0.97)
        return studio.expose(room, light)


class Injected:
    """A portrait fed in the camera's place: no room, no light, no lens; with or without noise added to it."""

    def __init__(self, portrait: Portrait, *, noise: bool = False) -> None:
        self._portrait, self._noise = portrait, noise

    def observe(self, guidance: Guidance, now: float) -> None:
        """Nobody looks at the screen."""

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        """The portrait, scaled into the frame."""
        height, width = self._portrait.image.shape[:2]
        scale = min(studio.width / width, studio.height / height)
        small = cv2.resize(
            self._portrait.image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA
        )
        frame = np.zeros((studio.height, studio.width, 3), np.uint8)
        top, left = (studio.height - small.shape[0]) // 2, (studio.width - small.shape[1]) // 2
        frame[top : top + small.shape[0], left : left + small.shape[1]] = small
        return studio.expose(frame, light) if self._noise else frame


def record(
    actor: Actor, studio: Studio, prompts: Sequence[tuple[float, Guidance]], length: float, rate: float = 15.0
) -> Recording:
    """What a camera records of an actor who follows timed prompts: the raw material of a replay."""
    light = Light()
    pictures, times = [], []
    waiting = list(prompts)
    for index in range(int(length * rate)):
        now = index / rate
        while waiting and waiting[0][0] <= now:
            actor.observe(waiting.pop(0)[1], now)
        pictures.append(actor.picture(studio, light, now))
        times.append(now)
    return Recording(pictures, times)


def still(person: Person, studio: Studio, light: Light | None = None) -> Image:
    """A photograph of a person who looks ahead, as an attacker would print it."""
    shown = light or Light()
    room = studio.empty(shown)
    person.draw(studio, room, Pose(distance=620.0), shown)
    return studio.expose(room, shown)
