"""Strips: one small curve under another over the same stretch of time, each with its name and its figure of now."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from kvtui.canvas.braille import BLANK, curve
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
    known = ~np.isnan(values)
    left = x + name + 1
    if known.any():
        top = strip.top or float(np.max(values[known])) or 1.0
        dots = curve(room, height, np.where(known, values / top, 0.0))
        there = known.reshape(room, 2).any(axis=1)
        dots = np.where(np.tile(there, (height, 1)), dots, 0)
        area = np.s_[y : y + height, left : left + room]
        cells.glyph[area] = np.where(dots > BLANK, dots, ord(" "))
        cells.ink[area] = strip.ink
    if cursor is not None:
        at = left + min(room - 1, max(0, int(cursor * room)))
        for row in range(height):
            if cells.glyph[y + row, at] == ord(" "):
                cells.put(at, y + row, "│", Ink.FRAME)


def sampled(values: Sequence[float], columns: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """``values`` in ``columns`` columns: the largest of those that fall into one, the last known for those between.

    Example: 1, 5, 2, 3 in two columns are 5, 3; 1, 2 in four are 1, 1, 2, 2.
    """
    found = np.full(columns, np.nan)
    given = np.asarray(values, dtype=np.float64)
    if not len(given):
        return found
    places = np.arange(columns) * len(given) // columns
    ends = np.maximum(places + 1, (np.arange(columns) + 1) * len(given) // columns)
    for column, (start, end) in enumerate(zip(places, ends, strict=True)):
        piece = given[start:end]
        piece = piece[np.isfinite(piece)]
        if len(piece):
            found[column] = piece.max()
    return found


def nan(value: float | None) -> float:
    """``value`` for a strip: NaN where there is none."""
    return float("nan") if value is None or not isfinite(value) else float(value)
