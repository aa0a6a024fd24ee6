"""From solids and poses to a picture: a pinhole camera, light, a room behind, and the noise of a sensor."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.simulator import raster
from agent.biometrics.simulator.solids import Mesh
from agent.biometrics.types import Image

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a body is: degrees and millimetres.

    Yaw is positive when a person turns to their own left, pitch when they look up, roll when the head leans to their
    own left shoulder. The position is that of the body's origin before the camera: x to the right of the picture, y
    down, `distance` away.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    distance: float = 560.0
    blink: float = 0.0

    def rotation(self) -> NDArray[np.float64]:
        """The rotation (3, 3) of the body's axes."""
        a, b, c = np.radians([self.yaw, self.pitch, self.roll])
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        lean = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        return np.asarray(turn @ nod @ lean)


#: The light that the kiosk's usual page gives.
PAGE = (0.6, 0.6, 0.6)


@dataclass(frozen=True, slots=True)
class Light:
    """The light on the scene: a gain on everything, a lamp from one side, and the terminal's screen.

    `screen` is the colour (RGB, 0 to 1) that the kiosk shows; `glow` how strongly it falls on a face half a metre away.
    """

    gain: float = 1.0
    lamp: tuple[float, float, float] = (-0.4, -0.6, 0.7)
    contrast: float = 0.3
    screen: tuple[float, float, float] = PAGE
    glow: float = 0.12

    def shade(self, facing: Floats) -> Floats:
        """What the lamp leaves of a surface's colour (n,), for unit normals (n, 3) turned to the camera."""
        lamp = np.array(self.lamp) / np.linalg.norm(self.lamp)
        lit = np.clip(facing @ lamp, 0.0, 1.0) / max(lamp[2], 0.3)
        return np.asarray(1.0 - self.contrast + self.contrast * lit, np.float32)


@dataclass(slots=True)
class Studio:
    """A camera in a room: draws bodies over a background and adds the noise of its sensor. Not for several threads."""

    width: int = 640
    height: int = 480
    focal: float = 600.0
    noise: float = 2.0
    seed: int = 0
    _room: Image = field(init=False, repr=False)
    _grain: NDArray[np.int16] = field(init=False, repr=False)
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._room = _room(self._rng, self.width, self.height)
        grain = self._rng.normal(0.0, 1.0, (self.height + 128, self.width + 128, 3)) * 64
        self._grain = grain.astype(np.int16)

    def empty(self, light: Light) -> Image:
        """The room without anybody, (h, w, 3) RGB, before noise. The screen hardly reaches the wall."""
        tint = light.gain * (1.0 + 0.08 * light.glow * (np.array(light.screen) - 0.6))
        return np.asarray(cv2.transform(self._room, np.diag(tint)), np.uint8)

    def draw(
        self,
        picture: Image,
        mesh: Mesh,
        texture: Image,
        pose: Pose,
        light: Light,
        *,
        emits: float = 0.0,
        sided: bool = True,
    ) -> None:
        """Draw a body over the picture, in place. `emits` is the share of its colour that shines by itself."""
        rotation = pose.rotation()
        vertices = mesh.vertices @ rotation.T
        facing = mesh.normals @ rotation.T
        distance = pose.distance - vertices[:, 2]
        scale = self.focal / distance
        points = np.empty((len(vertices), 2), np.float32)
        points[:, 0] = self.width / 2 + (vertices[:, 0] + pose.x) * scale
        points[:, 1] = self.height / 2 + (vertices[:, 1] + pose.y) * scale
        toward = np.abs(facing) if not sided else facing
        shade = light.shade(np.asarray(toward, np.float32))
        # The screen stands below the camera and falls off with the square of the distance.
        screen = np.clip(toward[:, 2] * 0.95 + toward[:, 1] * 0.3, 0.0, 1.0) * (500.0 / distance) ** 2 * light.glow
        attributes = np.column_stack([mesh.texels, shade, screen]).astype(np.float32)
        values, pixels = raster.rasterise(
            points, distance.astype(np.float32), mesh.triangles, attributes, picture.shape[:2], two_sided=not sided
        )
        if not len(pixels):
            return
        colour = _sample(texture, values[:, :2])
        glow = values[:, 3:4] * (np.array(light.screen, np.float32) - 0.3)
        lit = light.gain * ((1.0 - emits) * (values[:, 2:3] + glow) + emits * (1.0 + 0.15 * glow))
        picture.reshape(-1, 3)[pixels] = np.clip(colour * lit, 0, 255)

    def expose(self, picture: Image, light: Light) -> Image:
        """What the sensor makes of the picture: a soft lens, noise that grows as the light goes."""
        soft = cv2.GaussianBlur(picture, (3, 3), 0.7)
        dx, dy = self._rng.integers(0, 128, 2)
        grain = self._grain[dy : dy + self.height, dx : dx + self.width]
        level = self.noise / max(light.gain, 0.1) ** 0.5 / 64
        return np.asarray(cv2.addWeighted(soft, 1.0, grain, level, 0.0, dtype=cv2.CV_8U), np.uint8)


def _sample(texture: Image, texels: Floats) -> Floats:
    """Bilinear colours (n, 3) at texels (n, 2)."""
    # remap takes maps of at most 32767 on a side.
    rows = -(-len(texels) // 1024)
    table = np.zeros((2, rows * 1024), np.float32)
    table[:, : len(texels)] = texels.T
    across, down = table.reshape(2, rows, 1024)
    colours = cv2.remap(texture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours.reshape(-1, 3)[: len(texels)], np.float32)


def _room(rng: np.random.Generator, width: int, height: int) -> Image:
    """A wall in uneven light with shelves and pictures: something for a tracker to hold on to."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    wall = rng.uniform(120, 190, 3) * (1.0 + 0.12 * x[..., None] * rng.uniform(-1, 1) - 0.10 * y[..., None])
    room = np.clip(wall, 0, 255).astype(np.uint8)
    for _ in range(14):
        x0, y0 = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        w, h = int(rng.uniform(20, 120)), int(rng.uniform(15, 90))
        colour = rng.uniform(40, 220, 3).tolist()
        cv2.rectangle(room, (x0, y0), (x0 + w, y0 + h), colour, -1)
        cv2.rectangle(room, (x0, y0), (x0 + w, y0 + h), [c * 0.5 for c in colour], 2)
    speckle = cv2.GaussianBlur(rng.normal(0, 14, (height, width, 1)).astype(np.float32), (0, 0), 1.6)[..., None]
    return np.asarray(np.clip(cv2.GaussianBlur(room, (0, 0), 1.5) + speckle, 0, 255), np.uint8)
