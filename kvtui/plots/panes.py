"""The box around the data: which of its panes are behind, their grid, and where labels of axes and planes find room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from kvtui.canvas.cells import SPACE, Cells, fit
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.figures.figure import Floats, floats
from kvtui.plots.camera import SHAPE, Projection, inset
from kvtui.plots.legend import clean
from kvtui.plots.raster import Mask
from kvtui.plots.ticks import AxisSpan, Tick, ticks

_SHORTEST_AXIS = 3.0
_ALONG = (0.5, 0.35, 0.65, 0.2, 0.8, 0.0, 1.0)


class Pane(NamedTuple):
    """A side of the box: where the coordinate number ``axis`` is ``end``, 0 or 1."""

    axis: int
    end: int

    @property
    def corners(self) -> Floats:
        """The corners (4, 3), around."""
        return plane(self.axis, float(self.end))


class Edge(NamedTuple):
    """A side of two panes: it runs from 0 to 1 along the coordinate number ``axis`` from the point ``start``."""

    axis: int
    start: tuple[int, int, int]

    @property
    def panes(self) -> tuple[Pane, Pane]:
        """The panes that meet here."""
        first, second = (other for other in range(3) if other != self.axis)
        return Pane(first, self.start[first]), Pane(second, self.start[second])

    def at(self, units: Floats) -> Floats:
        """The points (n, 3) at ``units`` of its length."""
        points = np.tile(np.array(self.start, dtype=np.float64), (len(units), 1))
        points[:, self.axis] = units
        return points


EDGES = tuple(
    Edge(axis, (a, b, c)) for axis in range(3) for a, b, c in product((0, 1), repeat=3) if (a, b, c)[axis] == 0
)


def plane(axis: int, at: float) -> Floats:
    """The corners (4, 3), around, of the section of the box where one coordinate is ``at``."""
    return np.insert(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), axis, at, axis=1)


def rear_panes(projection: Projection) -> tuple[Pane, ...]:
    """The panes whose inside is seen: three of them, more where the eye is between two."""
    eye = projection.axes[2] * projection.eye
    return tuple(
        Pane(axis, end) for axis in range(3) for end in (0, 1) if not eye[axis] * (2 * end - 1) > SHAPE[axis] / 2
    )


def grid(rear: Sequence[Pane], units: Sequence[Floats]) -> Floats:
    """Lines (n, 2, 3) across the panes ``rear`` at the ``units`` of the ticks of each axis."""
    found = []
    for pane in rear:
        for along, across in ((a, b) for a in range(3) for b in range(3) if len({a, b, pane.axis}) == 3):
            ends = np.full((units[along].size, 2, 3), float(pane.end))
            ends[:, :, along] = units[along][:, None]
            ends[:, :, across] = 0.0, 1.0
            found.append(ends)
    return np.concatenate(found)


def outline(rear: Sequence[Pane], inner: bool) -> Floats:
    """The edges (n, 2, 3) of the panes ``rear``, or only those between two of them."""
    least = 2 if inner else 1
    shown = [edge for edge in EDGES if len(set(edge.panes) & set(rear)) >= least]
    return np.array([edge.at(np.array([0.0, 1.0])) for edge in shown])


@lru_cache(maxsize=64)
def axis_ticks(span: AxisSpan, axis: int, area: Rect) -> tuple[Tick, ...]:
    """Ticks for a picture of the size of ``area``: the same from all sides, so that they stay while it is turned."""
    return ticks(span, max(2, min(7, area.height // 4 if axis == 2 else area.width // 15)))


def labelled_edges(projection: Projection, rear: Sequence[Pane]) -> dict[int, Edge]:
    """The edge that carries the ticks of each axis: on the outline, below for x and y and at the left for z.

    An axis that is seen end-on has none.
    """
    found = {}
    for axis in range(3):
        rims = [edge for edge in EDGES if edge.axis == axis and len(set(edge.panes) & set(rear)) == 1]
        placed = {edge: projection.place(edge.at(np.array([0.0, 0.5, 1.0])))[:, :2] for edge in rims}
        long = [edge for edge in rims if np.abs(placed[edge][2] - placed[edge][0]).max() >= _SHORTEST_AXIS]
        if long:
            found[axis] = min(long, key=lambda edge: _rank(axis, placed[edge][1]))
    return found


def _rank(axis: int, middle: Floats) -> tuple[float, float]:
    column, row = round(float(middle[0]), 3), round(float(middle[1]), 3)
    return (column, row) if axis == 2 else (-row, column)


class LabelWriter:
    """Writes labels into free cells of ``cells`` within ``area``; what is written there is no longer free."""

    def __init__(self, cells: Cells, area: Rect) -> None:
        self._cells, self._area = cells, area
        self._taken: Mask = (cells.glyph != SPACE) | (cells.under != Ink.NONE)

    def put(self, spots: Iterable[tuple[int, int]], text: str, ink: int) -> bool:
        """Write ``text`` at the first of the ``spots`` (column, row) where it has room; False if there is none."""
        for x, y in spots:
            if text and self._is_free(x, y, len(text)):
                self._cells.put(x, y, text, ink)
                self._taken[y, x : x + len(text)] = True
                return True
        return False

    def anywhere(self, text: str, ink: int) -> bool:
        """Write ``text`` near the lower edge, cut to the picture's width; False if it has no room."""
        area = self._area
        text = fit(text, min(len(text), area.width))
        rows = range(area.y + area.height - 1, area.y - 1, -1)
        return self.put(((x, y) for y in rows for x in (area.x, area.right - len(text))), text, ink)

    def _is_free(self, x: int, y: int, length: int) -> bool:
        area = self._area
        inside = area.y <= y < area.y + area.height and x >= area.x and x + length <= area.right
        return inside and not self._taken[y, max(0, x - 1) : x + length + 1].any()


def label_axis(
    labels: LabelWriter,
    projection: Projection,
    edge: Edge,
    span: AxisSpan,
    marks: Sequence[Tick],
    pixels: float,
    origin: Rect,
) -> bool:
    """Write the ticks ``marks`` and the title of an axis beside ``edge``; False if the title found no room.

    ``pixels`` is how many of them a cell is high, ``origin`` where the picture begins.
    """
    units = span.unit(floats([mark.value for mark in marks]))
    ends = _cells(projection, edge.at(np.array([0.0, 1.0])), pixels, origin)
    middle = _cells(projection, np.full((1, 3), 0.5), pixels, origin)[0]
    outward = _outward(ends, middle)
    for mark, at in zip(marks, _cells(projection, edge.at(units), pixels, origin), strict=True):
        labels.put(_spots(at, outward, mark.label, (1, 2, 0)), mark.label, Ink.TEXT)
    title = clean(span.axis.title)
    if abs(outward[0]) > abs(outward[1]):
        top = ends[ends[:, 1].argmin()]
        return not title or labels.put(_above(top, title, origin), title, Ink.DIM)
    spots = (
        spot
        for rows in (2, 3, 1, 4)
        for share in _ALONG
        for spot in _spots(ends[0] + share * (ends[1] - ends[0]), outward, title, (rows,))
    )
    return not title or labels.put(spots, title, Ink.DIM)


def label_plane(
    labels: LabelWriter, projection: Projection, corners: Floats, text: str, pixels: float, origin: Rect
) -> bool:
    """Write the name of the plane with ``corners`` beside it; False if it found no room."""
    placed = _cells(projection, corners, pixels, origin)
    by_column = placed[placed[:, 0].argsort()]
    spots = [
        (int(x) + away if right else int(x) + 1 - away - len(text), int(y) + down)
        for right, ends in ((True, by_column[::-1]), (False, by_column))
        for x, y in ends[:2]
        for down in (0, -1, 1)
        for away in (1, 2, 3)
    ]
    return labels.put(spots, text, Ink.WARN)


def _cells(projection: Projection, points: Floats, pixels: float, origin: Rect) -> Floats:
    """Where points of the box are, in cells."""
    return projection.place(inset(points))[:, :2] / (1.0, pixels) + (origin.x, origin.y)


def _outward(ends: Floats, middle: Floats) -> Floats:
    """The direction at a right angle to an edge, away from the middle of the box; a cell is twice as high as wide."""
    along = (ends[1] - ends[0]) * (1.0, 2.0)
    across = np.array([-along[1], along[0]]) / max(1e-9, float(np.hypot(*along)))
    away = ((ends[0] + ends[1]) / 2 - middle) * (1.0, 2.0)
    return across if across @ away >= 0 else -across


def _spots(at: Floats, outward: Floats, text: str, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where a label of the place ``at`` may begin: beside it where outward is sideways, else below or above it."""
    x, y = int(np.floor(at[0])), int(np.floor(at[1]))
    if abs(outward[0]) > 0.9:
        yield (x + 2 if outward[0] > 0 else x - 1 - len(text)), y
        return
    down = 1 if outward[1] > 0 else -1
    for row in rows:
        if abs(outward[0]) < 0.25:
            yield x - (len(text) - 1) // 2, y + down * row
        elif outward[0] > 0:
            yield x + 1, y + down * row
            yield x + 2, y + down * row
        else:
            yield x - len(text), y + down * row
            yield x - len(text) - 1, y + down * row


def _above(top: Floats, title: str, origin: Rect) -> Iterator[tuple[int, int]]:
    """Where the title of an upright axis may begin: over its upper end, as far left as there."""
    x, y = int(top[0]), int(top[1])
    for row in (y - 1, y - 2, origin.y):
        for left in (x - len(title) // 2, origin.x, x - len(title)):
            yield max(origin.x, left), row
