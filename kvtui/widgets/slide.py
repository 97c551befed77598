"""A drawing of 16 : 9 in the terminal's own pixels, as large as there is room."""

from __future__ import annotations

from collections.abc import Callable

from textual.worker import get_current_worker

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.canvas.pixels.picture import PixelPicture, sent
from kvtui.canvas.pixels.raster import raster_of_colors
from kvtui.canvas.pixels.terminal import Graphics
from kvtui.engine.basis.errors import InputError
from kvtui.output.lines import wrap
from kvtui.plots.installed import NotInstalled
from kvtui.plots.png import colors_of, png
from kvtui.widgets.pixel_canvas import PixelCanvas

SHAPE = 16, 9
WITHOUT_PIXELS = "this terminal draws no pixels that kvtui knows of: x saves the slide, as card.svg or card.png"


class SlideView(PixelCanvas):
    """Shows the SVG that ``draw`` gives, ``width`` of its own units wide; or why there is nothing to show."""

    def __init__(self, draw: Callable[[], str], width: int) -> None:
        super().__init__()
        self._draw, self._width = draw, width

    def redraw(self) -> None:
        """Draw it for the size and the terminal of now, in a thread."""
        self.drawn_for = graphics = self.graphics
        if not all(self.size):
            return
        if graphics is None:
            self._say(WITHOUT_PIXELS)
            return
        self._say("drawing")
        rect = room(graphics, self.size.width, self.size.height)

        def run() -> None:
            found: PixelPicture | str
            try:
                file = png(self._draw(), rect.width * graphics.cell[0] / self._width)
                found = sent(graphics, rect, raster_of_colors(colors_of(file), graphics.colors))
            except (InputError, NotInstalled) as error:
                found = str(error)
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._show, found)

        self.run_worker(run, thread=True, exclusive=True, group="slide")

    def on_resize(self) -> None:
        """Fill the new size."""
        self.redraw()

    def _show(self, found: PixelPicture | str) -> None:
        if isinstance(found, str):
            self._say(found)
        else:
            self.paint(Cells(*self.size), (found,))

    def _say(self, text: str) -> None:
        cells = Cells(*self.size)
        for y, line in enumerate(wrap(text, max(1, cells.width - 4))):
            cells.put(2, 1 + y, fit(line, cells.width - 4), Ink.DIM)
        self.paint(cells)


def room(graphics: Graphics, width: int, height: int) -> Rect:
    """The cells in the middle of ``width`` × ``height`` that a drawing fills, no more than the terminal takes."""
    across, down = graphics.cell
    most = graphics.largest if graphics.protocol == "sixel" and graphics.largest else (10**6, 10**6)
    pixels = min(width * across, most[0], min(height * down, most[1]) * SHAPE[0] / SHAPE[1])
    columns, rows = max(1, int(pixels / across)), max(1, int(pixels * SHAPE[1] / SHAPE[0] / down))
    return Rect((width - columns) // 2, (height - rows) // 2, columns, rows)
