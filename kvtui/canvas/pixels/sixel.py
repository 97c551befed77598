"""Sixel, the graphics of DEC's VT340: bands of six rows, a colour of a band at a time, runs of columns counted.

https://vt100.net/docs/vt3xx-gp/chapter14.html. What is written over a picture erases it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kvtui.canvas.pixels.raster import Raster

BAND = 6
_SHORTEST_RUN = 4
_FIRST = 63


def place(picture: Raster) -> str:
    """``picture`` from the cursor on, a pixel of it on a pixel of the terminal."""
    percents = np.rint(picture.colors.astype(np.float64) * 100 / 255).astype(np.int64).tolist()
    table = "".join(f"#{number};2;{red};{green};{blue}" for number, (red, green, blue) in enumerate(percents))
    return f'\x1bP0;1;0q"1;1;{picture.width};{picture.height}{table}{_bands(picture)}\x1b\\'


def _bands(picture: Raster) -> str:
    """Each band as its colours' columns, ``$`` between two colours and ``-`` after each band."""
    width, count = picture.width, len(picture.colors)
    bands = -(-picture.height // BAND)
    columns = np.arange(width)
    masks = np.zeros((bands, count, width), dtype=np.uint8)
    for row in range(BAND):
        pixels = picture.pixels[row::BAND]
        masks[np.arange(len(pixels))[:, None], pixels, columns[None, :]] |= np.uint8(1 << row)
    of_band, color = np.nonzero(masks.any(axis=2))
    lines = masks[of_band, color]
    starts = np.ones(lines.shape, dtype=bool)
    starts[:, 1:] = lines[:, 1:] != lines[:, :-1]
    places = np.flatnonzero(starts)
    lengths = np.diff(np.append(places, lines.size)).tolist()
    values = lines.ravel()[places].tolist()
    first = np.searchsorted(places, np.arange(len(lines) + 1) * width).tolist()
    written: list[list[str]] = [[] for _ in range(bands)]
    for line, (begin, end) in enumerate(pairwise(first)):
        last = end if values[end - 1] else end - 1
        runs = "".join(_run(values[k], lengths[k]) for k in range(begin, last))
        written[of_band[line]].append(f"#{color[line]}{runs}")
    return "-".join("$".join(parts) for parts in written)


def _run(mask: int, length: int) -> str:
    letter = chr(_FIRST + mask)
    return letter * length if length < _SHORTEST_RUN else f"!{length}{letter}"
