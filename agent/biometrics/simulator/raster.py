"""A software rasteriser in numpy: triangles to per-pixel attributes, the nearest surface winning.

Triangles are drawn far to near and expanded to exactly their pixels, row by row, so that the cost is that of the
covered area. Attributes are interpolated linearly on the screen, which is exact enough for triangles of a few pixels.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def _repeat_index(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For counts (n,): the owner of each of the sum(counts) items, and the item's place within its owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - first[owner]


def rasterise(
    points: Floats,
    depth: Floats,
    triangles: NDArray[np.int32],
    attributes: Floats,
    shape: tuple[int, int],
    *,
    two_sided: bool = False,
) -> tuple[Floats, NDArray[np.int64]]:
    """Draw triangles (t, 3) over screen points (v, 2) with depth (v,) away from the viewer.

    Returns the attributes (n, k) of the n covered pixels and their flat indices into an image of `shape` (h, w); each
    pixel appears once. One-sided triangles are those that run clockwise on the screen (y down).
    """
    height, width = shape
    corner = points[triangles]
    ax, ay = corner[:, 0, 0], corner[:, 0, 1]
    bx, by = corner[:, 1, 0] - ax, corner[:, 1, 1] - ay
    cx, cy = corner[:, 2, 0] - ax, corner[:, 2, 1] - ay
    area = bx * cy - by * cx
    keep = np.abs(area) > 1e-6 if two_sided else area > 1e-6
    keep &= (corner[:, :, 1].max(1) >= 0) & (corner[:, :, 1].min(1) < height)
    keep &= (corner[:, :, 0].max(1) >= 0) & (corner[:, :, 0].min(1) < width)
    order = np.flatnonzero(keep)
    order = order[np.argsort(-depth[triangles[order]].sum(1), kind="stable")]
    corner, area = corner[order], area[order]

    # The gradient of each attribute over the screen, for each triangle.
    values = attributes[triangles[order]]
    db, dc = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    scale = 1.0 / area[:, None]
    gx = (db * cy[order, None] - dc * by[order, None]) * scale
    gy = (dc * bx[order, None] - db * cx[order, None]) * scale
    origin = values[:, 0] - gx * corner[:, 0, :1] - gy * corner[:, 0, 1:]

    # Rows of each triangle, then the pixels between its edges on each row (pixel centres at integers).
    top = np.clip(np.ceil(corner[:, :, 1].min(1)), 0, height).astype(np.int64)
    bottom = np.clip(np.floor(corner[:, :, 1].max(1)), -1, height - 1).astype(np.int64)
    owner, step = _repeat_index(np.maximum(bottom - top + 1, 0))
    y = (top[owner] + step).astype(np.float32)
    low = np.full(len(y), np.inf, np.float32)
    high = np.full(len(y), -np.inf, np.float32)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        p, q = corner[owner, i], corner[owner, j]
        run = q[:, 1] - p[:, 1]
        t = (y - p[:, 1]) / np.where(np.abs(run) < 1e-9, 1.0, run)
        crosses = (np.abs(run) >= 1e-9) & (t >= -1e-6) & (t <= 1 + 1e-6)
        x = p[:, 0] + t * (q[:, 0] - p[:, 0])
        low = np.where(crosses, np.minimum(low, x), low)
        high = np.where(crosses, np.maximum(high, x), high)
    left = np.clip(np.ceil(low - 1e-4), 0, width)
    right = np.clip(np.floor(high + 1e-4), -1, width - 1)
    counts = np.maximum(right - left + 1, 0).astype(np.int64)
    row, place = _repeat_index(counts)
    px = left[row].astype(np.int64) + place
    py = y[row].astype(np.int64)
    flat = py * width + px

    # The last (nearest) triangle to write a pixel owns it.
    last = np.full(height * width, -1, np.int64)
    last[flat] = np.arange(len(flat))
    covered = np.flatnonzero(last >= 0)
    winner = last[covered]
    triangle = owner[row[winner]]
    fx, fy = px[winner].astype(np.float32)[:, None], py[winner].astype(np.float32)[:, None]
    return origin[triangle] + gx[triangle] * fx + gy[triangle] * fy, covered
