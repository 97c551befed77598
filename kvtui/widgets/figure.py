"""A figure on screen: worked out and drawn in threads, shown while it is still wanted, and read out where one likes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.worker import get_current_worker

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.errors import InputError
from kvtui.figures.figure import Figure, Panel
from kvtui.output.lines import wrap
from kvtui.state import keys
from kvtui.widgets.key_bindings import bindings
from kvtui.widgets.pixel_canvas import AGAIN_SECONDS, PixelCanvas, written
from kvtui.widgets.textual_private import is_behind

if TYPE_CHECKING:
    from kvtui.canvas.pixels.picture import PixelPaint, PixelPicture
    from kvtui.canvas.pixels.terminal import Graphics
    from kvtui.plots.draw import DrawnFigure
    from kvtui.plots.readout import Reading
    from kvtui.plots.surroundings import Frame

    InPixels = Callable[[DrawnFigure, Cells], tuple[PixelPicture, ...] | None]

LEAST_WIDTH, LEAST_HEIGHT = 24, 8
CROSS = "┼"
ZOOM, PAN = 0.7, 0.15


class Extent(NamedTuple):
    """What is shown of a panel: from a low to a high value of its ``x`` and ``y`` axes, in their units."""

    x: tuple[float, float]
    y: tuple[float, float]


class FigureView(PixelCanvas, can_focus=True):
    """Shows the plane panels of a figure: all that have room beside each other, or one alone; heat maps in pixels.

    A view that is ``readable`` takes the focus: it has a cursor that reads out values, and enlarges parts; its screen
    says the figure's question. Any other says the question itself, and is only looked at.

    ``shown`` is the figure that is in the picture, ``panel`` the one that stands alone (None: all that have room), and
    ``hidden_panels`` how many are not in the picture.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(keys.FIGURE)

    class Changed(Message):
        """A picture was shown, or the cursor moved: ``readings`` are the values at the cursor."""

        def __init__(self, readings: tuple[Reading, ...]) -> None:
            super().__init__()
            self.readings = readings

    class Failed(Message):
        """The figure could not be worked out."""

        def __init__(self, error: InputError) -> None:
            super().__init__()
            self.error = error

    class Built(Message):
        """The figure has been worked out; it is drawn next, unless it is a panel in space."""

        def __init__(self, figure: Figure) -> None:
            super().__init__()
            self.figure = figure

    def __init__(self, *, id: str, readable: bool = False) -> None:
        super().__init__(id=id)
        self.can_focus = self._readable = readable
        self.shown: Figure | None = None
        self.panel: int | None = None
        self.hidden_panels = 0
        self.cursor: tuple[int, int] | None = None
        self._picture: DrawnFigure | None = None
        self._drawn: Figure | None = None
        self._parts: dict[int, Extent] = {}
        self._building: Callable[[], Figure] | None = None
        self._drawing: Figure | None = None
        self._tiles: tuple[PixelPicture, ...] = ()
        self._in_pixels: InPixels | None = None

    def work_out(self, build: Callable[[], Figure]) -> None:
        """Show the figure that ``build`` gives in a thread; one that is on its way is given up."""

        def run() -> None:
            found: Figure | InputError
            try:
                found = build()
            except InputError as error:
                found = error
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._take, build, found)

        self._building = build
        self.run_worker(run, thread=True, exclusive=True, group="build")

    def show(self, figure: Figure) -> None:
        """Show ``figure``; another one than before is shown whole."""
        self._building = None
        if self.shown is None or figure.id != self.shown.id:
            self.panel, self.cursor, self._parts = None, None, {}
        self.shown = figure
        self.post_message(self.Built(figure))
        self.draw()

    def clear(self) -> None:
        """Show nothing."""
        self.shown = self._picture = self._building = self._drawing = None
        self.paint(Cells(*self.size))

    def draw(self) -> None:
        """Draw what is shown as it is now, in a thread."""
        width, height = self.size
        if self.shown is None or width < LEAST_WIDTH or height < LEAST_HEIGHT:
            return
        if not self.shown.panels:
            self._picture, self._drawing, self.hidden_panels = None, None, 0
            self.paint(_words_of(self.shown, width, height))
            self.post_message(self.Changed(()))
            return
        self._drawing = figure = self._parted(self.shown)
        panel, plain = self.panel, self._plain
        self.drawn_for, paint = self.graphics, self.paint_of_pixels
        in_pixels = None if self.drawn_for is None else partial(_tiles_of, self.drawn_for, paint)

        def run() -> None:
            from kvtui.plots.draw import draw

            picture = draw(figure, width, height, shaded=plain, panel=panel, bare=in_pixels is not None)
            tiles = () if in_pixels is None else in_pixels(picture, picture.cells)
            if tiles is None:
                picture, tiles = draw(figure, width, height, panel=panel), ()
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._show, picture, figure, tiles, in_pixels)

        self.run_worker(run, thread=True, exclusive=True, group="draw")

    def redraw(self) -> None:
        """Draw it as it is now."""
        self.draw()

    def next_panel(self) -> None:
        """Show the next panel alone, and after the last all that have room."""
        figure = self.shown
        if figure is None or len(figure.panels) < 2:
            return
        first_alone = bool(self.hidden_panels) or figure.panels[0].spatial
        following = int(first_alone) if self.panel is None else self.panel + 1
        self.panel = following if following < len(figure.panels) else None
        self.cursor = None
        self.draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.cursor = None
        self.draw()

    def action_point(self, columns: int, rows: int) -> None:
        """Move the cursor; the first time it appears in the middle of the first panel."""
        frames = self._frames
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
        u, v = (0.5, 0.5) if self.cursor is None else frame.unit(*self.cursor)
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
        if self._readable and self._frame_at(event.x, event.y) is not None:
            self._point(event.x, event.y)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Larger."""
        if self._readable:
            event.stop()
            self.action_zoom(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Smaller."""
        if self._readable:
            event.stop()
            self.action_zoom(-1)

    @property
    def _plain(self) -> bool:
        """Whether values are to be shown by characters."""
        return getattr(self.app, "canvas_depth", "rgb") == "none" or getattr(self.app, "canvas_ascii", False)

    @property
    def _frames(self) -> tuple[Frame, ...]:
        return self._picture.frames if self._picture else ()

    @property
    def _focused(self) -> Frame | None:
        """The panel under the cursor, or the first one."""
        return (self._frame_at(*self.cursor) if self.cursor else None) or next(iter(self._frames), None)

    def _frame_at(self, x: int, y: int) -> Frame | None:
        return next((frame for frame in self._frames if frame.plot.holds(x, y)), None)

    def _point(self, x: int, y: int) -> None:
        if self.cursor != (x, y):
            self.cursor = x, y
            self._paint_picture()

    def _take(self, build: Callable[[], Figure], found: Figure | InputError) -> None:
        """What became of ``build``, unless something else was asked for meanwhile."""
        if self._building is not build:
            return
        if isinstance(found, InputError):
            self.post_message(self.Failed(found))
        else:
            self.show(found)

    def _show(
        self, picture: DrawnFigure, figure: Figure, tiles: tuple[PixelPicture, ...], in_pixels: InPixels | None
    ) -> None:
        if self._drawing is not figure or picture.cells.glyph.shape != (self.size.height, self.size.width):
            return
        self._picture, self._drawn, self._tiles, self._in_pixels = picture, figure, tiles, in_pixels
        self.hidden_panels = len(figure.panels) - len(picture.shown)
        if self.cursor is not None and self._frame_at(*self.cursor) is None:
            self.cursor = None
        self._paint_picture()

    def _paint_picture(self) -> None:
        self.wait_for(None)
        if self._picture is None:
            return
        if self._tiles and is_behind(self.app):
            self.wait_for(AGAIN_SECONDS, self._paint_picture)
            return
        cells, tiles = self._picture.cells, self._tiles
        readings: tuple[Reading, ...] = ()
        if self.cursor is not None and (frame := self._frame_at(*self.cursor)) is not None:
            from kvtui.plots.readout import read_out

            cells = deepcopy(cells)
            cells.put(*self.cursor, CROSS, Ink.BRIGHT)
            readings = read_out(frame, *self.cursor)
            if self._in_pixels is not None and any(tile.removal for tile in tiles):
                tiles = self._in_pixels(self._picture, cells) or ()
        self.paint(cells, tiles)
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
        self._parts[number] = Extent((x[0], x[1]), (y[0], y[1]))
        self.draw()

    def _parted(self, figure: Figure) -> Figure:
        """``figure`` as it is drawn: the parts that are shown of its panels, and the question if it stands here."""
        panels = tuple(_within(panel, self._parts.get(number)) for number, panel in enumerate(figure.panels))
        return replace(figure, question="" if self._readable else figure.question, panels=panels)


def _tiles_of(
    graphics: Graphics, paint: PixelPaint, picture: DrawnFigure, cells: Cells
) -> tuple[PixelPicture, ...] | None:
    """The heat maps of ``picture`` in pixels, between what is written in ``cells``; None if one is too large."""
    from kvtui.canvas.pixels.detail import finest
    from kvtui.canvas.pixels.picture import has_room
    from kvtui.canvas.pixels.picture import picture as in_pixels
    from kvtui.plots.draw import tiles

    found = []
    for frame in picture.frames:
        detail = finest(graphics, frame.plot.width * frame.plot.height)
        inks = tiles(frame, detail.across, detail.down)
        if inks is not None:
            if not has_room(graphics, frame.plot):
                return None
            found.append(in_pixels(graphics, frame.plot, inks, detail, paint, written(cells, frame.plot)))
    return tuple(found)


def _within(panel: Panel, extent: Extent | None) -> Panel:
    """``panel`` with axes of no more than ``extent``; categories stay whole."""
    if extent is None or panel.spatial:
        return panel
    x = panel.x if panel.categories else replace(panel.x, low=extent.x[0], high=extent.x[1])
    return replace(panel, x=x, y=replace(panel.y, low=extent.y[0], high=extent.y[1]))


def _words_of(figure: Figure, width: int, height: int) -> Cells:
    """A figure without panels: its title and why."""
    cells = Cells(width, height)
    cells.put(0, 0, fit(figure.title, width), Ink.BRIGHT)
    lines = [line for note in figure.notes for line in wrap(note, width, 0)]
    for y, line in enumerate(lines, 2):
        cells.put(0, y, line, Ink.DIM)
    return cells
