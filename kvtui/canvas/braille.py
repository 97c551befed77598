"""Curves in braille: two dots across and four down in every cell."""

from __future__ import annotations

import numpy as np

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)
BLANK = 0x2800

Dots = np.ndarray[tuple[int, int], np.dtype[np.uint32]]
Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


def curve(width: int, height: int, y: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Dots:
    """Code points of a curve in ``height`` × ``width`` cells; 0 where it does not pass.

    ``y`` has one value per dot column (two per cell) from 0 at the bottom to 1 at the top; neighbours are joined by a
    vertical run, so the curve has no gaps. Values outside are clipped.
    """
    rows = np.rint((1 - np.clip(y, 0, 1)) * (4 * height - 1)).astype(np.int64)
    before = np.concatenate((rows[:1], rows[:-1]))
    low, high = np.minimum(rows, before), np.maximum(rows, before)
    low = np.where(high > low, low + 1, low) if len(rows) > 1 else low
    lengths = high - low + 1
    columns = np.repeat(np.arange(len(rows)), lengths)
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    dots = np.repeat(low, lengths) + offsets
    return from_dots(width, height, columns, dots)


def from_dots(width: int, height: int, columns: Indices, rows: Indices) -> Dots:
    """Code points of single dots in ``height`` × ``width`` cells; 0 where there is none.

    ``columns`` count dots from the left (two per cell), ``rows`` from the top (four per cell); all lie inside.
    """
    cells = np.zeros((height, width), dtype=np.uint32)
    np.bitwise_or.at(cells, (rows // 4, columns // 2), _DOTS[rows % 4, columns % 2])
    return np.where(cells > 0, cells + BLANK, 0).astype(np.uint32)
