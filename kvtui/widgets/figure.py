"""A figure on screen that can be read out, enlarged and moved: worked out and drawn in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.worker import get_current_worker

from kvtui.canvas.cells import Cells
from kvtui.canvas.palette import Ink
from kvtui.canvas.widget import Canvas
from kvtui.figures.figure import Figure, Panel
from kvtui.state import keys
from kvtui.widgets.key_bindings import bindings
from kvtui.widgets.plot import LEAST_HEIGHT, LEAST_WIDTH, words_of

if TYPE_CHECKING:
    from kvtui.plots.draw import DrawnFigure
    from kvtui.plots.readout import Reading
    from kvtui.plots.surroundings import Frame

CROSS = "┼"
ZOOM, PAN = 0.7, 0.15


class Part(NamedTuple):
    """A part of a panel: from ``low`` to ``high`` of its x and y axes, in their units."""

    x: tuple[float, float]
    y: tuple[float, float]


class FigureView(Canvas, can_focus=True):
    """Shows the plane panels of a figure, a cursor among them, and enlarged parts; the question stands elsewhere.

    ``shown`` is the figure that is in the picture, and ``hidden_panels`` how many of its panels have no room.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(keys.FIGURE)

    class Changed(Message):
        """A picture was shown, or the cursor moved: ``readings`` are the values at the cursor."""

        def __init__(self, readings: tuple[Reading, ...]) -> None:
            super().__init__()
            self.readings = readings

    class Failed(Message):
        """The figure could not be worked out."""

        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

    class Built(Message):
        """The figure has been worked out; it is drawn next, unless it is a panel in space."""

        def __init__(self, figure: Figure) -> None:
            super().__init__()
            self.figure = figure

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.shown: Figure | None = None
        self.panel: int | None = None
        self.hidden_panels = 0
        self.cursor: tuple[int, int] | None = None
        self._picture: DrawnFigure | None = None
        self._drawn: Figure | None = None
        self._parts: dict[int, Part] = {}

    def work_out(self, build: Callable[[], Figure]) -> None:
        """Show the figure that ``build`` gives in a thread; one that is on its way is given up."""

        def run() -> None:
            try:
                figure = build()
            except Exception as error:  # noqa: BLE001  said in the figure's place, whatever it is
                if not get_current_worker().is_cancelled:
                    self.app.call_from_thread(self.post_message, self.Failed(error))
                return
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._take, figure)

        self.run_worker(run, thread=True, exclusive=True, group="build")

    def _take(self, figure: Figure) -> None:
        if self.shown is None or figure.id != self.shown.id:
            self.panel, self.cursor, self._parts = None, None, {}
        self.shown = figure
        self.post_message(self.Built(figure))
        self.draw()

    def draw(self) -> None:
        """Draw what is shown as it is now, in a thread."""
        width, height = self.size
        if self.shown is None or width < LEAST_WIDTH or height < LEAST_HEIGHT:
            return
        if not self.shown.panels:
            self._picture = None
            self.paint(words_of(self.shown, width, height))
            return
        figure = replace(self._parted(self.shown), question="")
        panel, plain = self.panel, self.plain

        def run() -> None:
            from kvtui.plots.draw import draw

            picture = draw(figure, width, height, shaded=plain, panel=panel)
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._show, picture, figure)

        self.run_worker(run, thread=True, exclusive=True, group="draw")

    def next_panel(self) -> None:
        """Show the next panel alone, and after the last all that have room."""
        count = len(self.shown.panels) if self.shown else 0
        if count < 2:
            return
        self.panel = 0 if self.panel is None else self.panel + 1
        if self.panel == count:
            self.panel = None
        self.cursor = None
        self.draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.cursor = None
        self.draw()

    def action_point(self, columns: int, rows: int) -> None:
        """Move the cursor; the first time it appears in the middle of the first panel."""
        frames = self._picture.frames if self._picture else ()
        if not frames:
            return
        if self.cursor is None:
            plot = frames[0].plot
            self._point(plot.x + plot.width // 2, plot.y + plot.height // 2)
            return
        x, y = self.cursor[0] + columns, self.cursor[1] + rows
        if self._frame_at(x, y) is None:
            ahead = [f for f in frames if columns * (f.plot.x - x) > 0 or rows * (f.plot.y - y) > 0]
            if not ahead:
                return
            plot = min(ahead, key=lambda f: abs(f.plot.x - x) + abs(f.plot.y - y)).plot
            x = min(max(x, plot.x), plot.x + plot.width - 1)
            y = min(max(y, plot.y), plot.y + plot.height - 1)
        self._point(x, y)

    def action_no_point(self) -> None:
        """Take the cursor away."""
        self.cursor = None
        self._paint_picture()

    def action_zoom(self, steps: int) -> None:
        """Enlarge the panel under the cursor around it, or make it smaller."""
        frame = self._focused
        if frame is None:
            return
        factor = ZOOM**steps
        u, v = (0.5, 0.5) if self.cursor is None else _unit(frame, *self.cursor)
        self._show_part(frame, (u - u * factor, u + (1 - u) * factor), (v - v * factor, v + (1 - v) * factor))

    def action_pan(self, right: int, up: int) -> None:
        """Move the part that is shown."""
        frame = self._focused
        if frame is not None:
            self._show_part(frame, (right * PAN, 1 + right * PAN), (up * PAN, 1 + up * PAN))

    def action_reset(self) -> None:
        """Show everything again."""
        self._parts = {}
        self.draw()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Read out what the mouse is over."""
        if self._frame_at(event.x, event.y) is not None:
            self._point(event.x, event.y)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Larger."""
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Smaller."""
        event.stop()
        self.action_zoom(-1)

    @property
    def plain(self) -> bool:
        """Whether values are to be shown by characters."""
        return getattr(self.app, "canvas_depth", "rgb") == "none" or getattr(self.app, "canvas_ascii", False)

    @property
    def _focused(self) -> Frame | None:
        """The panel under the cursor, or the first one."""
        frames = self._picture.frames if self._picture else ()
        return (self._frame_at(*self.cursor) if self.cursor else None) or (frames[0] if frames else None)

    def _frame_at(self, x: int, y: int) -> Frame | None:
        frames = self._picture.frames if self._picture else ()
        return next((frame for frame in frames if frame.plot.holds(x, y)), None)

    def _point(self, x: int, y: int) -> None:
        if self.cursor != (x, y):
            self.cursor = x, y
            self._paint_picture()

    def _show(self, picture: DrawnFigure, figure: Figure) -> None:
        if not self.is_attached or picture.cells.glyph.shape != (self.size.height, self.size.width):
            return
        self._picture, self._drawn = picture, figure
        self.hidden_panels = len(figure.panels) - len(picture.shown)
        if self.cursor is not None and self._frame_at(*self.cursor) is None:
            self.cursor = None
        self._paint_picture()

    def _paint_picture(self) -> None:
        if self._picture is None:
            return
        cells = self._picture.cells
        readings: tuple[Reading, ...] = ()
        if self.cursor is not None and (frame := self._frame_at(*self.cursor)) is not None:
            from kvtui.plots.readout import read_out

            cells = Cells(cells.width, cells.height)
            drawn = self._picture.cells
            cells.glyph[:], cells.ink[:], cells.under[:] = drawn.glyph, drawn.ink, drawn.under
            cells.put(*self.cursor, CROSS, Ink.BRIGHT)
            readings = read_out(frame, *self.cursor)
        self.paint(cells)
        self.post_message(self.Changed(readings))

    def _show_part(self, frame: Frame, across: tuple[float, float], upward: tuple[float, float]) -> None:
        assert self._picture is not None
        assert self._drawn is not None
        elsewhere = [panel for panel, _ in self._picture.spaces]
        planes = [n for n in self._picture.shown if self._drawn.panels[n] not in elsewhere]
        number = planes[self._picture.frames.index(frame)]
        horizontal = frame.place.horizontal
        lower, left = (frame.place.y, frame.place.x) if horizontal else (frame.place.x, frame.place.y)
        found = tuple(lower.value(u) for u in across), tuple(left.value(v) for v in upward)
        x, y = found[::-1] if horizontal else found
        self._parts[number] = Part((x[0], x[1]), (y[0], y[1]))
        self.draw()

    def _parted(self, figure: Figure) -> Figure:
        panels = [_within(panel, self._parts.get(number)) for number, panel in enumerate(figure.panels)]
        return replace(figure, panels=tuple(panels))


def _within(panel: Panel, part: Part | None) -> Panel:
    """The part of ``panel`` that ``part`` shows; categories have no parts."""
    if part is None or panel.spatial:
        return panel
    x = panel.x if panel.categories else replace(panel.x, low=part.x[0], high=part.x[1])
    return replace(panel, x=x, y=replace(panel.y, low=part.y[0], high=part.y[1]))


def _unit(frame: Frame, x: int, y: int) -> tuple[float, float]:
    plot = frame.plot
    return (x - plot.x + 0.5) / plot.width, 1 - (y - plot.y + 0.5) / plot.height
