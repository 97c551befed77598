"""Strips: one small curve under another over the same stretch of time, each with its name and its figure of now."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from typing import NamedTuple

from kvtui.canvas.braille import curve
from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.palette import Ink

NAME, FIGURE = 10, 8
LEAST_CURVE = 8


class Strip(NamedTuple):
    """One curve: ``values`` over time, the oldest first, NaN where nothing is known; ``now`` is its figure in words.

    The curve reaches from 0 to ``top``, or to its own largest value where that is None.
    """

    name: str
    values: Sequence[float]
    now: str
    ink: int
    top: float | None = None
    most: str = ""


def paint_strips(strips: Sequence[Strip], width: int, height: int, columns: int, cursor: float | None) -> Cells:
    """``strips`` in ``columns`` side by side; ``cursor`` is where the moment that is looked at lies, 0 to 1."""
    cells = Cells(width, height)
    if not strips or columns < 1:
        return cells
    rows = -(-len(strips) // columns)
    each, room = (width + 2) // columns - 2, max(1, height // rows)
    for number, strip in enumerate(strips):
        x, y = number // rows * (each + 2), number % rows * room
        if y + room <= height:
            _paint(cells, strip, x, y, each, room, cursor)
    return cells


def _paint(cells: Cells, strip: Strip, x: int, y: int, width: int, height: int, cursor: float | None) -> None:
    name, figure = min(NAME, width // 3), min(FIGURE, width // 3)
    cells.put(x, y, fit(strip.name, name), Ink.DIM)
    if height > 1 and strip.most:
        cells.put(x, y + 1, fit(f" ≤ {strip.most}", name), Ink.FAINT)
    cells.put(x + width - figure, y, fit(strip.now, figure).rstrip().rjust(figure), strip.ink)
    room = width - name - figure - 2
    if room < LEAST_CURVE:
        return
    values = sampled(strip.values, 2 * room)
    left = x + name + 1
    if not all(map(isnan, values)):
        top = strip.top or max(value for value in values if not isnan(value)) or 1.0
        for row in range(y, y + height):
            cells.put(left, row, " " * room, strip.ink)
        for (column, row), glyph in curve(height, [0.0 if isnan(value) else value / top for value in values]).items():
            if not all(map(isnan, values[2 * column : 2 * column + 2])):
                cells.glyphs[cells.place(left + column, y + row)] = glyph
    if cursor is not None:
        at = left + min(room - 1, max(0, int(cursor * room)))
        for row in range(height):
            if cells.glyphs[cells.place(at, y + row)] == ord(" "):
                cells.put(at, y + row, "│", Ink.FRAME)


def sampled(values: Sequence[float], columns: int) -> list[float]:
    """``values`` in ``columns`` columns: the largest of those that fall into one, the last known for those between.

    Example: 1, 5, 2, 3 in two columns are 5, 3; 1, 2 in four are 1, 1, 2, 2.
    """
    many, found = len(values), []
    for column in range(columns):
        start, end = column * many // columns, (column + 1) * many // columns
        piece = values[start : max(start + 1, end)]
        found.append(max(filter(isfinite, piece), default=float("nan")))
    return found


def nan(value: float | None) -> float:
    """``value`` for a strip: NaN where there is none."""
    return float("nan") if value is None or not isfinite(value) else float(value)
