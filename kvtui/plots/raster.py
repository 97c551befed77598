"""Filled triangles and lines in pixels with a depth buffer, without a loop over them.

Corners are columns, rows and nearness as ``kvtui.plots.camera.Projection.place`` gives them: a larger nearness hides a
smaller one. A pixel belongs to a triangle when its centre does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kvtui.figures.figure import Floats

NONE = -1
ON_EDGE = -1e-9
"""Barycentric coordinates down to this one are inside, so that neighbours leave no crack between them."""

_TOUCHING = 1e-6

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Hits(NamedTuple):
    """Pixels that primitives cover, before any hides another.

    For each, its number in the picture (row by row), its nearness, the primitive's number, and the weights (n, k) of
    the primitive's corners.
    """

    pixel: Places
    near: Floats
    item: Places
    weights: Floats

    def where(self, chosen: Mask) -> Hits:
        """The ``chosen`` ones."""
        return Hits(self.pixel[chosen], self.near[chosen], self.item[chosen], self.weights[chosen])


class Image:
    """``height`` × ``width`` pixels: the nearest thing's nearness, ``owner``, ``value`` and ``light``.

    ``line`` marks pixels of lines. Where there is nothing, the owner is NONE and the nearness −∞.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.near: Floats = np.full(width * height, -np.inf)
        self.owner: Places = np.full(width * height, NONE, dtype=np.int64)
        self.value: Floats = np.zeros(width * height)
        self.light: Floats = np.zeros(width * height)
        self.line: Mask = np.zeros(width * height, dtype=bool)

    def draw(
        self, corners: Floats, owner: Places, values: Floats, light: Floats, *, inside: Floats | None = None
    ) -> None:
        """Draw triangles (n, 3, 3), or lines (n, 2, 3), with a value and a light at every corner.

        ``inside`` gives coordinates (n, k, m) of the corners; only what lies between 0 and 1 in all m is drawn.
        """
        is_line = corners.shape[1] == 2
        hits = (lines if is_line else triangles)(corners, self.width, self.height)
        if inside is not None:
            at = np.einsum("nk,nkm->nm", _upright(hits, corners), inside[hits.item])
            hits = hits.where(((at >= -_TOUCHING) & (at <= 1 + _TOUCHING)).all(axis=1))
        np.maximum.at(self.near, hits.pixel, hits.near)
        hits = hits.where(hits.near == self.near[hits.pixel])
        weights = _upright(hits, corners)
        self.owner[hits.pixel] = owner[hits.item]
        self.value[hits.pixel] = np.einsum("nk,nk->n", weights, values[hits.item])
        self.light[hits.pixel] = np.einsum("nk,nk->n", weights, light[hits.item])
        self.line[hits.pixel] = is_line


def triangles(corners: Floats, width: int, height: int) -> Hits:
    """The pixels of triangles (n, 3, 3); those without area or with NaN have none, and none lie outside."""
    (x0, x1, x2), (y0, y1, y2) = corners[..., 0].T, corners[..., 1].T
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    left, right = _pixels(x0, x1, x2, width)
    top, bottom = _pixels(y0, y1, y2, height)
    kept = np.flatnonzero(np.isfinite(area) & (area != 0) & (right >= left) & (bottom >= top))
    left, right, top, bottom, area = (array[kept] for array in (left, right, top, bottom, area))
    x0, x1, x2, y0, y1, y2 = (array[kept] for array in (x0, x1, x2, y0, y1, y2))
    columns = right - left + 1
    counts = columns * (bottom - top + 1)
    local = np.repeat(np.arange(kept.size), counts)
    down, across = np.divmod(_counted(counts), columns[local])
    column, row = across + left[local], down + top[local]
    u = column + 0.5 - x2[local]
    v = row + 0.5 - y2[local]
    first = ((y1 - y2) / area)[local] * u + ((x2 - x1) / area)[local] * v
    second = ((y2 - y0) / area)[local] * u + ((x0 - x2) / area)[local] * v
    third = 1.0 - first - second
    covered = np.flatnonzero((first >= ON_EDGE) & (second >= ON_EDGE) & (third >= ON_EDGE))
    item = kept[local[covered]]
    weights = np.stack((first[covered], second[covered], third[covered]), axis=1)
    near = np.einsum("nk,nk->n", weights, corners[item, :, 2])
    return Hits(row[covered] * width + column[covered], near, item, weights)


def lines(ends: Floats, width: int, height: int) -> Hits:
    """The pixels of straight lines (n, 2, 3), one for each step of the longer way; those with NaN have none."""
    kept = np.flatnonzero(np.isfinite(ends).all(axis=(1, 2)))
    begin, reach = ends[kept, 0], ends[kept, 1] - ends[kept, 0]
    steps = np.ceil(np.abs(reach[:, :2]).max(axis=1, initial=0.0)).astype(np.int64) + 1
    local = np.repeat(np.arange(kept.size), steps)
    share = _counted(steps) / np.maximum(steps - 1, 1)[local]
    column, row, near = (begin[local] + share[:, None] * reach[local]).T
    shown = np.flatnonzero((column >= 0) & (column < width) & (row >= 0) & (row < height))
    pixel = np.floor(row[shown]).astype(np.int64) * width + np.floor(column[shown]).astype(np.int64)
    weights = np.stack((1 - share[shown], share[shown]), axis=1)
    return Hits(pixel, near[shown], kept[local[shown]], weights)


def polygon(corners: Floats, width: int, height: int) -> tuple[Mask, Floats]:
    """Which pixels a flat convex polygon (n, 3) covers, and its nearness there; none where it is seen edge-on."""
    around = np.roll(corners, -1, axis=0) - corners
    turns = around[:, 0] * np.roll(around, -1, axis=0)[:, 1] - around[:, 1] * np.roll(around, -1, axis=0)[:, 0]
    if not np.isfinite(turns).all() or np.abs(turns).max() < 1e-6:
        return np.zeros((height, width), dtype=bool), np.full((height, width), -np.inf)
    side = 1.0 if turns.sum() > 0 else -1.0
    column, row = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    mask = np.ones((height, width), dtype=bool)
    for (x, y, _), (dx, dy, _) in zip(corners, around, strict=True):
        mask &= side * (dx * (row - y) - dy * (column - x)) >= ON_EDGE
    corner = int(np.abs(turns).argmax())
    a, b, c = (corners[(corner + k) % len(corners)] for k in range(3))
    slope = np.linalg.solve(np.array([b[:2] - a[:2], c[:2] - a[:2]]), np.array([b[2] - a[2], c[2] - a[2]]))
    return mask, a[2] + slope[0] * (column - a[0]) + slope[1] * (row - a[1])


def crossings(image: Image, levels: Floats) -> Mask:
    """Pixels where the value passes one of ``levels`` (sorted) on the way to the pixel at the right or below."""
    shape = image.height, image.width
    band, owner = np.searchsorted(levels, image.value).reshape(shape), image.owner.reshape(shape)
    found = np.zeros(shape, dtype=bool)
    found[:, :-1] |= (band[:, :-1] != band[:, 1:]) & (owner[:, :-1] == owner[:, 1:])
    found[:-1] |= (band[:-1] != band[1:]) & (owner[:-1] == owner[1:])
    found &= owner != NONE
    return found


def _pixels(a: Floats, b: Floats, c: Floats, length: int) -> tuple[Places, Places]:
    """First and last pixel whose centre lies between the least and the largest of three; none where one is NaN."""
    least, most = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    first = np.ceil(np.nan_to_num(np.clip(least, 0.5, length + 0.5), nan=length + 0.5) - 0.5)
    last = np.floor(np.nan_to_num(np.clip(most, -0.5, length - 0.5), nan=-0.5) - 0.5)
    return first.astype(np.int64), last.astype(np.int64)


def _counted(lengths: Places) -> Places:
    """0, 1, 2 … for each of ``lengths``, one after another."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _upright(hits: Hits, corners: Floats) -> Floats:
    """The weights of the corners in space, where those of the hits are weights on the picture."""
    found: Floats = hits.weights * corners[hits.item, :, 2] / hits.near[:, None]
    return found
