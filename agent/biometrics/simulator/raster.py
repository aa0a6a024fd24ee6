"""A software rasteriser in numpy: triangles to per-pixel attributes, the nearest surface winning.

Triangles are drawn far to near and expanded to exactly their pixels, row by row, so that the cost is that of the
covered area. Attributes are interpolated linearly on the screen, which is exact enough for triangles of a few pixels.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

#: Edges that rise by less than this (px) cross no row.
_LEVEL = 1e-6


def rasterise(
    points: Floats,
    depth: Floats,
    triangles: Integers,
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
    x, y = points[:, 0][triangles], points[:, 1][triangles]
    bx, by = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
    cx, cy = x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
    area = bx * cy - by * cx
    order = np.flatnonzero(np.abs(area) > 1e-6 if two_sided else area > 1e-6)
    order = order[np.argsort(-depth[triangles[order]].sum(1), kind="stable")]
    x, y = x[order], y[order]

    owner, rows, left, right = _spans(x, y, height, width)
    counts = np.maximum(right - left + 1, 0)
    first = (np.cumsum(counts) - counts).astype(np.int32)
    flat = np.arange(counts.sum(), dtype=np.int32) + np.repeat(rows * width + left - first, counts)
    # The last (nearest) triangle to write a pixel owns it.
    last = np.full(height * width, -1, np.int32)
    last[flat] = np.repeat(owner, counts)
    covered = np.flatnonzero(last >= 0)
    triangle = last[covered]

    # The gradient of each attribute over the screen, for each triangle.
    values = attributes[triangles[order]]
    db, dc = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    scale = 1.0 / area[order, None]
    gx = (db * cy[order, None] - dc * by[order, None]) * scale
    gy = (dc * bx[order, None] - db * cx[order, None]) * scale
    origin = values[:, 0] - gx * x[:, :1] - gy * y[:, :1]
    row, column = np.divmod(covered.astype(np.int32), np.int32(width))
    drawn = np.asarray(gx[triangle] * column.astype(np.float32)[:, None], np.float32)
    drawn += gy[triangle] * row.astype(np.float32)[:, None]
    drawn += origin[triangle]
    return drawn, covered


def _spans(x: Floats, y: Floats, height: int, width: int) -> tuple[Integers, Integers, Integers, Integers]:
    """The rows of triangles with corners x, y (t, 3): each one's triangle, its row, its first and last pixel.

    Pixel centres lie at integers. A row runs between the edge from the top corner to the lowest and one of the two
    others; it is empty where its last pixel is before its first.
    """
    rank = np.argsort(y, axis=1)
    x, y = np.take_along_axis(x, rank, 1), np.take_along_axis(y, rank, 1)
    run, rise = x[:, [2, 1, 2]] - x[:, [0, 0, 1]], y[:, [2, 1, 2]] - y[:, [0, 0, 1]]
    slopes = np.where(rise > _LEVEL, run / np.maximum(rise, _LEVEL), 0.0)
    top = np.clip(np.ceil(y[:, 0]), 0, height).astype(np.int32)
    bottom = np.clip(np.floor(y[:, 2]), -1, height - 1).astype(np.int32)
    rows = np.maximum(bottom - top + 1, 0)
    owner = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    row = np.arange(len(owner), dtype=np.int32) - np.repeat((np.cumsum(rows) - rows - top).astype(np.int32), rows)
    # One gather for all that a row needs of its triangle.
    x0, y0, x1, y1, whole, upper, lower = np.column_stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1], slopes])[owner].T
    at = row.astype(np.float32)
    long = x0 + whole * (at - y0)
    short = np.where(at >= y1, x1 + lower * (at - y1), x0 + upper * (at - y0))
    left = np.clip(np.ceil(np.minimum(long, short) - 1e-4), 0, width).astype(np.int32)
    right = np.clip(np.floor(np.maximum(long, short) + 1e-4), -1, width - 1).astype(np.int32)
    return owner, row, left, right
