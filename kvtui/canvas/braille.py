"""Curves in braille: two dots across and four down in every cell."""

from __future__ import annotations

from collections.abc import Sequence

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""What each dot of a cell, by its row and column there, adds to the code point BLANK."""


def curve(height: int, y: Sequence[float]) -> dict[tuple[int, int], int]:
    """The cells (column, row) that a curve passes in ``height`` rows, with their code points.

    ``y`` has one value per dot column (two per cell) from 0 at the bottom to 1 at the top; neighbours are joined by a
    vertical run, so the curve has no gaps. Values outside are clipped.
    """
    cells: dict[tuple[int, int], int] = {}
    before = None
    for x, value in enumerate(y):
        row = round((1 - min(1.0, max(0.0, value))) * (4 * height - 1))
        low, high = (row, row) if before is None else sorted((row, before))
        for dot in range(low + (high > low), high + 1):
            cell = x // 2, dot // 4
            cells[cell] = cells.get(cell, BLANK) | DOTS[dot % 4][x % 2]
        before = row
    return cells
