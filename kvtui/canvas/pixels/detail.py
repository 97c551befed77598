"""How finely a picture is drawn: as the terminal can while it rests, and with few enough bytes while it moves."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from kvtui.canvas.pixels.sixel import BAND
from kvtui.canvas.pixels.terminal import Graphics

MOST_PIXELS = 1_200_000
MOVING_PIXELS = 120_000
MOVING_BYTES = 10_000
"""What a picture that moves may cost: twenty of them, and what is written beside them, in a second of 250 KB."""

_SIXEL_COLORS = (5, 6, 8, 10, 12, 16, 24, 32, 64)
_SIXEL_ACROSS = 2.0


class PixelDetail(NamedTuple):
    """Pixels ``across`` and ``down`` a cell, a pixel's ``height`` over its width, and how many ``colors`` at most.

    Without ``lines`` there is no grid behind the data.
    """

    across: float
    down: float
    height: float
    colors: int
    lines: bool = True


def finest(graphics: Graphics, cells: int) -> PixelDetail:
    """A pixel for each of the terminal's, or as many as MOST_PIXELS allow for a picture of so many ``cells``."""
    across, down = graphics.cell
    share = sqrt(min(1.0, MOST_PIXELS / max(1, cells * across * down)))
    return _even(graphics, max(1, int(across * share)))


def coarser(graphics: Graphics, cells: int) -> tuple[PixelDetail, ...]:
    """What there is for pictures that move, the coarsest first.

    A picture of PNG has fewer pixels, and the terminal enlarges it. One of sixel has pixels as high as a band, and
    fewer colours: bands with two rows of pixels in them, and every colour of a band, cost bytes of their own.
    """
    across, down = graphics.cell
    if graphics.protocol == "sixel":
        height = BAND / (across / _SIXEL_ACROSS)
        colors = sorted({min(many, graphics.colors) for many in _SIXEL_COLORS})
        return tuple(PixelDetail(_SIXEL_ACROSS, down / BAND, height, many, lines=False) for many in colors)
    every = [_even(graphics, number) for number in range(1, across + 1)]
    return tuple(one for one in every if one == every[0] or cells * one.across * one.down <= MOVING_PIXELS)


def _even(graphics: Graphics, number: int) -> PixelDetail:
    """``number`` pixels across a cell, and down as many as make them most nearly square."""
    across, down = graphics.cell
    rows = max(1, round(number * down / across))
    return PixelDetail(number, rows, (down / rows) / (across / number), graphics.colors)
