"""A canvas that leaves parts of its picture to the terminal's own pixels, where it has some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.control import Control
from textual.errors import NoWidget
from textual.geometry import Region
from textual.timer import Timer

from kvtui.canvas.cells import SPACE, Cells
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.canvas.pixels.picture import PixelPaint, PixelPicture
from kvtui.canvas.pixels.raster import CellMask
from kvtui.canvas.pixels.terminal import Graphics
from kvtui.canvas.widget import Canvas
from kvtui.widgets.pixel_app import PixelApp

AGAIN_SECONDS = 0.02
"""After what time a picture is tried again while the terminal still has to be sent the one before."""


class PixelCanvas(Canvas):
    """Shows cells, and ``pictures`` in place of some of them; who draws it asks for ``graphics`` first.

    Where a window lies over its screen there are no graphics: a window must not have a picture before it, and what is
    seen around the window is drawn in cells. ``drawn_for`` are the graphics that it was drawn for last.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.pictures: tuple[PixelPicture, ...] = ()
        self.drawn_for: Graphics | None = None
        self._waiting: Timer | None = None

    def redraw(self) -> None:
        """Draw everything as it is now: settings, or what lies over it, may have changed."""
        raise NotImplementedError

    def reconsider(self) -> None:
        """Draw everything anew if it would be drawn in another way now."""
        if self.is_attached and self.graphics != self.drawn_for:
            self.redraw()

    def wait_for(self, seconds: float | None, then: Callable[[], None] | None = None) -> None:
        """Do something later, in place of what was to be done then; nothing without ``seconds``."""
        if self._waiting is not None:
            self._waiting.stop()
        self._waiting = None if seconds is None else self.set_timer(seconds, then)

    def on_unmount(self) -> None:
        """Be asked no more."""
        if isinstance(self.app, PixelApp):
            self.app.forget(self)

    @property
    def graphics(self) -> Graphics | None:
        """How the terminal draws pictures; None where everything is to be drawn in cells.

        On a screen that is not to be seen it stays as it was.
        """
        app = self.app
        if not isinstance(app, PixelApp) or not self.is_attached:
            return None
        if app.screen is self.screen:
            return app.graphics_for(self)
        return None if self.screen in app.screen_stack else self.drawn_for

    @property
    def paint_of_pixels(self) -> PixelPaint:
        """What inks look like here."""
        return PixelPaint(getattr(self.app, "canvas_look", "dark"), f"#{bytes(self.background_colors[1].rgb).hex()}")

    def paint(self, cells: Cells, pictures: Sequence[PixelPicture] = ()) -> None:
        """Show ``cells`` and over them ``pictures``, which their cells leave room for."""
        before, self.pictures = self.pictures, tuple(pictures)
        super().paint(cells)
        if before and not pictures:
            self.refresh()
        elif pictures != before:
            self.refresh(Region(pictures[0].rect.x, pictures[0].rect.y, 1, 1))

    def paint_again(self, cells: Cells) -> None:
        """Show them with their pictures."""
        self.paint(cells, self.pictures)

    def places(self) -> Iterator[tuple[PixelPicture, Region]]:
        """The pictures that are to be seen now, and where on the screen; a widget that is cut off shows none."""
        if not self.pictures or not self.is_attached or self.app.screen is not self.screen:
            return
        try:
            geometry = self.screen.find_widget(self)
        except NoWidget:
            return
        whole = self.content_region
        if geometry.visible_region.contains_region(whole):
            for picture in self.pictures:
                x, y, width, height = picture.rect
                region = Region(whole.x + x, whole.y + y, width, height)
                if whole.contains_region(region):
                    yield picture, region

    def written_on(self, picture: PixelPicture, region: Region) -> str:
        """What is written in cells on a picture, which it erases where the terminal draws it: escape sequences."""
        if self.cells is None:
            return ""
        rect, text = picture.rect, written(self.cells, picture.rect)
        found = []
        for row in np.flatnonzero(text.any(axis=1)).tolist():
            edges = np.flatnonzero(np.diff(np.concatenate(([0], text[row].astype(np.int8), [0])))).tolist()
            for begin, end in zip(edges[::2], edges[1::2], strict=True):
                strip = self._strips[rect.y + row].crop(rect.x + begin, rect.x + end)
                found.append(Control.move_to(region.x + begin, region.y + row).segment.text)
                found.append(strip.render(self.app.console))
        return "".join(found)


def written(cells: Cells, rect: Rect) -> CellMask:
    """Which of the cells ``rect`` have something in them."""
    rows = slice(rect.y, rect.y + rect.height), slice(rect.x, rect.right)
    found: CellMask = (cells.glyph[rows] != SPACE) | (cells.under[rows] != Ink.NONE)
    return found
