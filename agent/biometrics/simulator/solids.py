"""Parametric solids of a person: head with its relief, ears, neck, shoulders, glasses. Millimetres.

Axes of the head: x to the right of a viewer who faces the person, y down, z out of the face; the origin lies between
the ears at the height of the eyes. Proportions are those of an average adult (NASA-STD-3000, volume I, 3.3.1; Farkas,
"Anthropometry of the Head and Face"). The depth is analytic: nothing here was learnt from the networks that judge it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

INTEROCULAR = 64.0
#: Where the five landmarks lie on this head: eyes, nose tip, mouth corners, viewer's left first.
LANDMARKS = np.array(
    [[-32.0, 0.0], [32.0, 0.0], [0.0, 40.0], [-25.0, 71.0], [25.0, 71.0]],
    np.float32,
)

# Height below the eyes → half width, depth in front of the ears, depth behind them.
_LOFT = np.array(
    [
        [-118.0, 4.0, 4.0, 12.0],
        [-114.0, 26.0, 30.0, 34.0],
        [-104.0, 45.0, 56.0, 60.0],
        [-88.0, 60.0, 74.0, 80.0],
        [-68.0, 70.0, 86.0, 92.0],
        [-45.0, 75.0, 93.0, 98.0],
        [-22.0, 75.0, 96.0, 98.0],
        [-6.0, 74.0, 93.0, 96.0],
        [10.0, 72.0, 91.0, 92.0],
        [30.0, 70.0, 92.0, 84.0],
        [50.0, 66.0, 94.0, 74.0],
        [66.0, 62.0, 95.0, 64.0],
        [80.0, 57.0, 93.0, 56.0],
        [94.0, 48.0, 91.0, 50.0],
        [106.0, 36.0, 87.0, 46.0],
        [114.0, 22.0, 76.0, 40.0],
        [119.0, 6.0, 50.0, 30.0],
        [120.5, 0.5, 20.0, 10.0],
    ],
)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Vertices (v, 3), outward normals (v, 3), triangles (t, 3) and texture coordinates (v, 2) in texels."""

    vertices: Floats
    normals: Floats
    triangles: NDArray[np.int32]
    texels: Floats


def normals(vertices: Floats, triangles: NDArray[np.int32]) -> Floats:
    """Unit vertex normals (v, 3), the mean of the faces around each vertex weighted by their area."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], faces)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(length, 1e-6), np.float32)


def grid(rows: int, columns: int, *, closed: bool = False) -> NDArray[np.int32]:
    """Triangles (t, 3) of a grid of vertices in row order; `closed` joins the last column to the first."""
    cells = np.indices((rows - 1, columns if closed else columns - 1)).reshape(2, -1)
    r, c = cells[0], cells[1]
    right = (c + 1) % columns
    a, b, d, e = r * columns + c, r * columns + right, (r + 1) * columns + c, (r + 1) * columns + right
    return np.concatenate([np.stack([a, b, d], 1), np.stack([b, e, d], 1)]).astype(np.int32)


def _bump(x: Floats, y: Floats, cx: float, cy: float, rx: float, ry: float) -> Floats:
    return np.asarray(np.exp(-(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)), np.float32)


def _relief(x: Floats, y: Floats) -> Floats:
    """Height in mm of the features over the smooth head at (x, y) of its front."""
    down = np.clip((y - 0.0) / 42.0, 0.0, 1.0)
    ridge = 24.0 * down**1.1 * np.exp(-((np.maximum(y - 42.0, 0.0) / 5.5) ** 2)) * (y > -4.0)
    width = 6.0 + 5.0 * down
    z = ridge * np.exp(-((x / width) ** 2))
    for side in (-1.0, 1.0):
        z = z + 7.0 * _bump(x, y, side * 13.0, 45.0, 6.0, 6.5)  # wing of the nose
        z = z - 11.0 * _bump(x, y, side * 31.0, 0.0, 19.0, 12.0)  # eye socket
        z = z + 4.0 * _bump(x, y, side * 31.0, 1.0, 11.0, 8.0)  # eyeball under its lids
        z = z + 5.0 * _bump(x, y, side * 30.0, -19.0, 22.0, 7.0)  # brow
        z = z + 5.0 * _bump(x, y, side * 44.0, 24.0, 17.0, 14.0)  # cheekbone
    z = z + 5.0 * _bump(x, y, 0.0, 63.0, 22.0, 6.0) + 5.0 * _bump(x, y, 0.0, 77.0, 19.0, 6.0)  # lips
    z = z - 4.0 * _bump(x, y, 0.0, 88.0, 20.0, 6.0) + 6.0 * _bump(x, y, 0.0, 103.0, 17.0, 11.0)  # fold and chin
    return np.asarray(z, np.float32)


def head(rows: int = 72, columns: int = 72) -> tuple[Floats, NDArray[np.int32]]:
    """The head as a closed loft: vertices (rows * columns, 3) and triangles; the front has most of the columns."""
    y = np.interp(np.linspace(0, 1, rows), np.linspace(0, 1, 5), [-118.0, -70.0, 0.0, 70.0, 120.5])
    # Twice as dense in front as behind: the back is seen only at the limb.
    t = np.linspace(-1.0, 1.0, columns, endpoint=False)
    angle = np.pi * np.sign(t) * (0.62 * np.abs(t) + 0.38 * np.abs(t) ** 3)
    half, front, back = (np.interp(y, _LOFT[:, 0], _LOFT[:, k])[:, None] for k in (1, 2, 3))
    sine, cosine = np.sin(angle)[None], np.cos(angle)[None]
    x = half * np.sign(sine) * np.abs(sine) ** 0.94
    z = np.where(cosine > 0, front, back) * np.sign(cosine) * np.abs(cosine) ** 0.94
    grid_y = np.broadcast_to(y[:, None], x.shape)
    z = z + np.where(cosine > 0, _relief(x.astype(np.float32), grid_y.astype(np.float32)), 0.0) * np.clip(
        cosine * 3, 0, 1
    )
    vertices = np.stack([x, grid_y, z], 2).reshape(-1, 3).astype(np.float32)
    return vertices, grid(rows, columns, closed=True)


def ellipsoid(
    centre: tuple[float, float, float], radii: tuple[float, float, float], rows: int = 10, columns: int = 16
) -> tuple[Floats, NDArray[np.int32]]:
    """An ellipsoid: vertices (rows * columns, 3) and triangles."""
    polar, around = np.linspace(0.0, np.pi, rows), np.linspace(0.0, 2 * np.pi, columns, endpoint=False)
    ring = np.sin(polar)[:, None]
    unit = np.stack(
        [ring * np.sin(around), np.broadcast_to(-np.cos(polar)[:, None], (rows, columns)), ring * np.cos(around)], 2
    )
    vertices = unit.reshape(-1, 3) * np.array(radii) + np.array(centre)
    return vertices.astype(np.float32), grid(rows, columns, closed=True)


def tube(
    top: float, bottom: float, radii: tuple[float, float], z: float, columns: int = 24
) -> tuple[Floats, NDArray[np.int32]]:
    """An upright tube that widens from its first radius to its second: the neck."""
    y = np.linspace(top, bottom, 6)
    radius = np.linspace(radii[0], radii[1], 6)[:, None]
    around = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None]
    x = radius * np.sin(around)
    vertices = np.stack([x, np.broadcast_to(y[:, None], x.shape), z + radius * np.cos(around)], 2)
    return vertices.reshape(-1, 3).astype(np.float32), grid(6, columns, closed=True)


def glasses(columns: int = 28, wire: float = 2.6) -> tuple[Floats, NDArray[np.int32]]:
    """Two rims and a bridge that stand clear of the face."""
    rims, faces = [], []
    around = np.linspace(0.0, 2 * np.pi, columns, endpoint=False)
    for side in (-1.0, 1.0):
        for radius in (1.0, 1.0 + wire / 20.0):
            x = side * 33.0 + 24.0 * radius * np.cos(around)
            y = 3.0 + 18.0 * radius * np.sin(around)
            rims.append(np.stack([x, y, 104.0 - 0.004 * x**2], 1))
        faces.append(grid(2, columns, closed=True) + (0 if side < 0 else 2 * columns))
    bridge = np.array([[-9.5, -2.0, 106.0], [9.5, -2.0, 106.0], [-9.5, 1.0, 106.0], [9.5, 1.0, 106.0]])
    rims.append(bridge)
    faces.append(np.array([[0, 1, 2], [1, 3, 2]], np.int32) + 4 * columns)
    return np.concatenate(rims).astype(np.float32), np.concatenate(faces).astype(np.int32)
