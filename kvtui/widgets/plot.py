"""A figure on screen: worked out and drawn in a thread, shown when it is ready, and only if it is still wanted."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message
from textual.worker import get_current_worker

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.palette import Ink
from kvtui.canvas.widget import Canvas
from kvtui.figures.figure import Figure
from kvtui.output.lines import wrap

LEAST_WIDTH, LEAST_HEIGHT = 24, 8


class PlotView(Canvas):
    """Draws what ``show`` was given last, anew for another size.

    ``hidden_panels`` counts the figure's panels that are not in the picture for want of room.
    """

    class Drawn(Message):
        """A picture has just been shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build: Callable[[], Figure] | None = None
        self._panel: int | None = None
        self.hidden_panels = 0

    def show(self, build: Callable[[], Figure], panel: int | None = None) -> None:
        """Show the figure that ``build`` gives in a thread; of its panels ``panel``, where they cannot stand together.

        A picture that is on its way is given up.
        """
        self._build, self._panel = build, panel
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self._build = None
        self.paint(Cells(*self.size))

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        build = self._build
        if build is None or width < LEAST_WIDTH or height < LEAST_HEIGHT:
            return
        plain = self._plain
        panel = self._panel

        def draw() -> None:
            figure = build()
            cells, hidden = drawn(figure, width, height, panel, plain)
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._take, cells, hidden)

        self.run_worker(draw, thread=True, exclusive=True, group="plot")

    def _take(self, cells: Cells, hidden: int) -> None:
        self.hidden_panels = hidden
        if self.is_attached and cells.glyph.shape == (self.size.height, self.size.width):
            self.paint(cells)
            self.post_message(self.Drawn())

    @property
    def _plain(self) -> bool:
        """Whether values are to be shown by characters."""
        app = self.app
        return getattr(app, "canvas_depth", "rgb") == "none" or getattr(app, "canvas_ascii", False)


def drawn(figure: Figure, width: int, height: int, panel: int | None, plain: bool) -> tuple[Cells, int]:
    """``figure`` in cells: all panels if they have room beside each other, else ``panel`` (from 0, around).

    Also how many panels are not there.
    """
    from kvtui.plots.draw import draw

    if not figure.panels:
        return words_of(figure, width, height), 0
    picture = draw(figure, width, height, painter="plotext", shaded=plain)
    hidden = len(figure.panels) - len(picture.shown)
    if hidden and panel:
        chosen = panel % len(figure.panels)
        picture = draw(figure, width, height, painter="plotext", shaded=plain, panel=chosen)
    return picture.cells, hidden


def words_of(figure: Figure, width: int, height: int) -> Cells:
    """A figure without panels: its title and why."""
    cells = Cells(width, height)
    cells.put(0, 0, fit(figure.title, width), Ink.BRIGHT)
    lines = [line for note in figure.notes for line in wrap(note, width, 0)]
    for y, line in enumerate(lines, 2):
        cells.put(0, y, line, Ink.DIM)
    return cells
