"""The surfaces and clouds of a panel as points in the unit box, with what is drawn between them.

Everything here is the same from all sides, so it is made once for a panel and kept: a panel's arrays must not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from kvtui.figures.figure import Axis, AxisName, Cloud, Floats, Panel, Surface
from kvtui.plots.camera import SHAPE
from kvtui.plots.raster import Mask, Places
from kvtui.plots.ticks import AxisSpan, span

MOST = 64
"""Rows and columns of a mesh at most; larger surfaces are drawn through this many of their own points."""

MOST_CUBES = 400
"""Points that become cubes at most; those of larger clouds are single pixels."""

CUBE_EDGES = 0.012, 0.05
"""Edges of the smallest and the largest cube, in units of the box."""

_REACH = -1.0, 2.0
"""Where points far beyond the box are put, so that none comes behind the eye."""

_LIGHT = np.array([-0.42, -0.35, 0.84])
_DARK, _BRIGHT = 0.25, 1.0
_FACE_LIGHTS = (0.45, 0.62, 0.95)

MeshKind = Literal["surface", "cloud"]


class Space(NamedTuple):
    """The axes of a panel and its marks in the box."""

    axes: tuple[AxisSpan, AxisSpan, AxisSpan]
    meshes: tuple[Mesh, ...]

    def axis(self, name: AxisName) -> AxisSpan:
        """The axis called ``name``."""
        return self.axes["xyz".index(name)]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A mark as points in the box.

    ``mark`` is its number in the panel; ``rows`` and ``columns`` say which of the mark's values the points (rows,
    columns, 3) stand for; a cloud has one row. A point that cannot be drawn is NaN. ``light`` is between 0 and 1.
    ``faces`` (n, 3) and ``edges`` (m, 2) are numbers of points, row by row. An edge runs ``across`` a row or along a
    column, ``line`` says which one, and at the ``rim`` there is no face on one of its sides.
    Some points are ``beyond`` the box. ``cubes`` are the edge lengths of a cloud's cubes.
    """

    mark: int
    kind: MeshKind
    rows: Places
    columns: Places
    points: Floats
    light: Floats
    faces: Places
    edges: Places
    across: Mask
    line: Places
    rim: Mask
    beyond: bool = False
    cubes: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def flat(self) -> Floats:
        """The points (n, 3)."""
        return self.points.reshape(-1, 3)


@lru_cache(maxsize=16)
def space(panel: Panel) -> Space:
    """The marks of ``panel`` that stand in space; its axes show all of them and the reference planes near them."""
    marks = [mark for mark in panel.marks if isinstance(mark, Surface | Cloud)]
    x, y, z = (
        span(axis, [getattr(mark, name) for mark in marks], rules=[rule for rule in panel.rules if rule.axis == name])
        for name, axis in (("x", panel.x), ("y", panel.y), ("z", panel.z or Axis("")))
    )
    meshes = [
        _sheet(number, mark, (x, y, z)) if isinstance(mark, Surface) else _cloud(number, mark, (x, y, z))
        for number, mark in enumerate(panel.marks)
        if isinstance(mark, Surface | Cloud) and mark.z.size
    ]
    return Space((x, y, z), tuple(meshes))


def cubes(points: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """The triangles (12 · n, 3, 3) of cubes around ``points`` (n, 3), and their light."""
    half = edges[:, None, None, None] / SHAPE / 2
    return (
        (points[:, None, None, :] + _CUBE * half).reshape(-1, 3, 3),
        np.tile(np.repeat(_FACE_LIGHTS, 4), len(points)),
    )


def _sheet(number: int, mark: Surface, axes: Sequence[AxisSpan]) -> Mesh:
    rows, columns = _reduced(mark.y.size), _reduced(mark.x.size)
    x, y, z = axes[0].unit(mark.x[columns]), axes[1].unit(mark.y[rows]), axes[2].unit(mark.z[np.ix_(rows, columns)])
    points = np.clip(np.stack((*np.meshgrid(x, y), z), axis=-1), *_REACH)
    points[~np.isfinite(points).all(axis=-1)] = np.nan
    ids = np.arange(z.size).reshape(z.shape)
    known = np.isfinite(points[..., 0])
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    a, b, c, d = ids[:-1, :-1][whole], ids[:-1, 1:][whole], ids[1:, 1:][whole], ids[1:, :-1][whole]
    faces = np.concatenate((np.stack((a, b, c), axis=1), np.stack((a, c, d), axis=1)))
    beside = np.pad(whole, 1).astype(np.int64)
    across = _edges(ids[:, :-1], ids[:, 1:], known[:, :-1] & known[:, 1:], beside[:-1, 1:-1] + beside[1:, 1:-1], 0)
    along = _edges(ids[:-1], ids[1:], known[:-1] & known[1:], beside[1:-1, :-1] + beside[1:-1, 1:], 1)
    joined = np.zeros(z.size, dtype=bool)
    joined[np.concatenate((across.ends, along.ends)).ravel()] = True
    alone = np.flatnonzero(known.ravel() & ~joined)
    return Mesh(
        mark=number,
        kind="surface",
        rows=rows,
        columns=columns,
        points=points,
        light=_shining(x, y, z),
        faces=faces,
        edges=np.concatenate((across.ends, along.ends, np.stack((alone, alone), axis=1))),
        across=np.repeat([True, False, False], (len(across.ends), len(along.ends), alone.size)),
        line=np.concatenate((across.line, along.line, np.zeros_like(alone))),
        rim=np.concatenate((across.rim, along.rim, np.ones(alone.size, dtype=bool))),
        beyond=bool(((points < 0) | (points > 1)).any()),
    )


class _Edges(NamedTuple):
    ends: Places
    line: Places
    rim: Mask


def _edges(first: Places, second: Places, known: Mask, faces: Places, axis: int) -> _Edges:
    """The edges from ``first`` to ``second`` that are ``known``; those with fewer than two ``faces`` are the rim."""
    return _Edges(np.stack((first[known], second[known]), axis=1), np.nonzero(known)[axis], faces[known] < 2)


def _cloud(number: int, mark: Cloud, axes: Sequence[AxisSpan]) -> Mesh:
    points = np.stack([axis.unit(values) for axis, values in zip(axes, (mark.x, mark.y, mark.z), strict=True)], axis=-1)
    outside = ((points < 0) | (points > 1)).any(axis=1)
    points[outside | ~np.isfinite(points).all(axis=1)] = np.nan
    known = np.flatnonzero(np.isfinite(points[:, 0]))
    return Mesh(
        mark=number,
        kind="cloud",
        rows=np.zeros(1, dtype=np.int64),
        columns=np.arange(len(points)),
        points=points[None],
        light=np.full((1, len(points)), _FACE_LIGHTS[-1]),
        faces=np.empty((0, 3), dtype=np.int64),
        edges=np.stack((known, known), axis=1),
        across=np.zeros(known.size, dtype=bool),
        line=np.zeros(known.size, dtype=np.int64),
        rim=np.ones(known.size, dtype=bool),
        cubes=_cube_edges(mark) if known.size <= MOST_CUBES else np.empty(0),
    )


def _cube_edges(mark: Cloud) -> Floats:
    """Edges whose squares are as the sizes; a size that is no positive number counts as none."""
    least, most = CUBE_EDGES
    if mark.sizes is None:
        return np.full(mark.x.shape, (least + most) / 2)
    sizes = np.where(np.isfinite(mark.sizes) & (mark.sizes > 0), mark.sizes, 0.0)
    largest = sizes.max(initial=0.0)
    return np.maximum(least, most * np.sqrt(sizes / largest)) if largest > 0 else np.full(sizes.shape, least)


def _reduced(count: int) -> Places:
    """At most MOST of ``count`` places, evenly spread, both ends among them."""
    return np.unique(np.rint(np.linspace(0, max(0, count - 1), min(count, MOST))).astype(np.int64))


def _shining(x: Floats, y: Floats, z: Floats) -> Floats:
    """How brightly each point is lit: more where the surface faces the light, on either of its sides."""
    right, back = _slope(z.T, x).T * SHAPE[2] / SHAPE[0], _slope(z, y) * SHAPE[2] / SHAPE[1]
    normal = np.stack((-right, -back, np.ones_like(z)), axis=-1)
    with np.errstate(all="ignore"):
        facing = np.abs(normal @ _LIGHT) / np.sqrt((normal**2).sum(axis=-1)) / np.sqrt((_LIGHT**2).sum())
    found: Floats = _DARK + (_BRIGHT - _DARK) * np.nan_to_num(facing)
    return found


def _slope(z: Floats, at: Floats) -> Floats:
    """Change of ``z`` per change of ``at`` along the rows: the mean of both sides, or of the one there is, or 0."""
    with np.errstate(all="ignore"):
        steps = np.diff(z, axis=0) / np.diff(at)[:, None]
    steps = np.where(np.isfinite(steps), steps, np.nan)
    gap = np.full((1, z.shape[1]), np.nan)
    sides = np.stack((np.concatenate((gap, steps)), np.concatenate((steps, gap))))
    mean: Floats = np.nan_to_num(sides).sum(axis=0) / np.maximum(np.isfinite(sides).sum(axis=0), 1)
    return mean


def _cube_triangles() -> Floats:
    """A cube from −1 to 1: four triangles each for the faces across x, y and z."""
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    found = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            face = np.insert(square, axis, side, axis=1)
            found += [face[[0, 1, 2]], face[[0, 2, 3]]]
    return np.array(found)


_CUBE = _cube_triangles()
