"""A raster in the words of a terminal's protocol, ready to be sent to it."""

from __future__ import annotations

import os
from itertools import count
from typing import NamedTuple

from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Look
from kvtui.canvas.pixels import iterm, kitty, sixel
from kvtui.canvas.pixels.detail import PixelDetail
from kvtui.canvas.pixels.raster import CellMask, PixelInks, Raster, enlarged, png, raster, with_holes
from kvtui.canvas.pixels.terminal import Graphics

_NUMBERS = count(os.getpid() % 2**20 * 2**10 + 1)


class PixelPicture(NamedTuple):
    """What fills the cells ``rect`` of a widget: the ``text`` that draws it from the cursor on, and its own number.

    ``removal`` takes it away; without one, what is written over it does.
    """

    rect: Rect
    text: str
    number: int
    removal: str = ""


class PixelPaint(NamedTuple):
    """What inks look like: the ``look`` of the palette, and the ``ground`` (``#rrggbb``) where there is no ink."""

    look: Look
    ground: str


def has_room(graphics: Graphics, rect: Rect) -> bool:
    """Whether the terminal takes a picture that fills ``rect``."""
    if graphics.protocol != "sixel" or graphics.largest is None:
        return rect.width > 0 and rect.height > 0
    (across, down), (most_across, most_down) = graphics.cell, graphics.largest
    return 0 < rect.width * across <= most_across and 0 < rect.height * down <= most_down


def picture(
    graphics: Graphics, rect: Rect, inks: PixelInks, detail: PixelDetail, paint: PixelPaint, written: CellMask
) -> PixelPicture:
    """``inks`` over the cells ``rect``, drawn with as many pixels to a cell as ``detail`` says.

    ``written`` are those of the cells that have text: a picture that would lie over it has holes there, and where one
    would erase it, it is for the sender to write it again.
    """
    found = raster(inks, paint.look, paint.ground, detail.colors)
    if graphics.protocol == "kitty" and written.any():
        found = with_holes(found, written)
    (across, down), pixel = graphics.cell, (detail.across, detail.down)
    return sent(graphics, rect, found, (across / pixel[0], down / pixel[1]))


def sent(graphics: Graphics, rect: Rect, found: Raster, pixel: tuple[float, float] = (1.0, 1.0)) -> PixelPicture:
    """``found`` over the cells ``rect``; each of its pixels is as wide and high in the terminal's as ``pixel`` says."""
    number, (across, down) = next(_NUMBERS), graphics.cell
    match graphics.protocol:
        case "kitty":
            text = kitty.place(png(found), number, rect.width, rect.height)
            return PixelPicture(rect, text, number, kitty.delete(number))
        case "iterm2":
            text = iterm.place(png(found), rect.width, rect.height)
        case _:
            text = sixel.place(enlarged(found, rect.width * across, rect.height * down, pixel))
    return PixelPicture(rect, text, number)
