"""A panel in space as a widget: turned by keys or the mouse, with a cursor that reads out values.

Where the terminal has pixels, the picture is coarse while it moves and as fine as they are when it rests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.timer import Timer
from textual.worker import get_current_worker

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.canvas.pixels.detail import MOVING_BYTES, PixelDetail, coarser, finest
from kvtui.canvas.pixels.picture import PixelPicture, has_room, picture
from kvtui.canvas.pixels.terminal import Graphics
from kvtui.figures.figure import Panel
from kvtui.plots import surface
from kvtui.plots.camera import STEP, Camera, CameraAxis
from kvtui.plots.cursor import Cursor, middle, move_cursor, pick, words
from kvtui.plots.style import Style
from kvtui.state import keys
from kvtui.widgets.key_bindings import bindings
from kvtui.widgets.pixel_canvas import AGAIN_SECONDS, PixelCanvas, written
from kvtui.widgets.textual_private import is_behind

DEGREES_PER_COLUMN, DEGREES_PER_ROW = 2.0, 4.0
SPIN_DEGREES_PER_SECOND, SPIN_STEP = 20.0, 0.5
LEAST_READING_HEIGHT = 4
REST_SECONDS = 0.25
LEAST_FPS_IN_PIXELS = 20
"""Pictures of pixels cost so little that a slow link shows this many."""


class SurfaceView(PixelCanvas, can_focus=True):
    """Shows a panel in space, and in its last row what the cursor points at; ``clock`` gives seconds."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(keys.SURFACE)

    def __init__(self, *, id: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(id=id)
        self.camera = Camera()
        self.cursor: Cursor | None = None
        self._clock = clock
        self._panel: Panel | None = None
        self._looks: Mapping[str, Style] | None = None
        self._drag: tuple[int, int, Camera] | None = None
        self._moved = False
        self._spin: tuple[float, Camera] | None = None
        self._timer: Timer | None = None
        self._coarse = 99

    @property
    def words(self) -> str:
        """What the cursor points at, with units; empty without one."""
        return "" if self._panel is None or self.cursor is None else words(self._panel, self.cursor)

    def show(self, panel: Panel, looks: Mapping[str, Style] | None = None) -> None:
        """Show ``panel`` from where the eye is; ``looks`` are the styles of its figure."""
        if panel is not self._panel:
            self._panel, self.cursor = panel, None
        self._looks = looks
        self.redraw()

    def redraw(self) -> None:
        """Draw everything as it is now; settings of the app may have changed."""
        self.wait_for(None)
        width, height = self.size
        if self._panel is None or not width or not height:
            return
        graphics, rows = self.graphics, height - int(self._reads)
        self.drawn_for = graphics
        if graphics is not None and not has_room(graphics, Rect(0, 0, width, rows)):
            graphics = None
        if graphics is not None and is_behind(self.app):
            self.wait_for(AGAIN_SECONDS, self.redraw)
            return
        cells = surface.render(
            self._panel,
            width,
            rows,
            self.camera,
            self.cursor,
            shaded=self._shaded,
            looks=self._looks,
            bare=graphics is not None,
        )
        shown = () if graphics is None else (self._moving(graphics, cells),)
        self.paint(_with_row(cells, self.words) if self._reads else cells, shown)
        if shown:
            self.wait_for(REST_SECONDS, self._rest)

    @property
    def _reads(self) -> bool:
        """Whether the last row says what the cursor points at."""
        return self.cursor is not None and self.size.height >= LEAST_READING_HEIGHT

    def _moving(self, graphics: Graphics, cells: Cells) -> PixelPicture:
        """The picture as fine as so few bytes allow that it can move; what was too much is drawn again, coarser."""
        details = coarser(graphics, cells.glyph.size)
        self._coarse = min(self._coarse, len(details) - 1)
        while True:
            found = self._picture(graphics, cells, details[self._coarse])
            if len(found.text) <= MOVING_BYTES or not self._coarse:
                break
            self._coarse -= 1
        if len(found.text) < MOVING_BYTES / 2:
            self._coarse += 1
        return found

    def _picture(self, graphics: Graphics, cells: Cells, detail: PixelDetail) -> PixelPicture:
        """What goes between what is written in ``cells``."""
        assert self._panel is not None
        size = cells.width, cells.height
        area, inks = surface.pixels(self._panel, *size, self.camera, detail, self.cursor, self._looks)
        return picture(graphics, area, inks, detail, self.paint_of_pixels, written(cells, area))

    def _rest(self) -> None:
        """Draw the picture as fine as the terminal can, in a thread, unless it moves on before."""
        graphics, shown = self.graphics, self.cells
        if graphics is None or shown is None or not self.pictures:
            return
        cells = _without_row(shown) if self._reads else shown

        def run() -> None:
            found = self._picture(graphics, cells, finest(graphics, cells.glyph.size))
            if not get_current_worker().is_cancelled:
                self.app.call_from_thread(self._sharpen, shown, found)

        self.run_worker(run, thread=True, exclusive=True, group="rest")

    def _sharpen(self, cells: Cells, found: PixelPicture) -> None:
        if self.cells is cells and self.pictures:
            self.paint(cells, (found,))

    def look_from(self, camera: Camera) -> None:
        """Put the eye at ``camera``."""
        if camera != self.camera:
            self.camera = camera
            self.redraw()

    def on_resize(self) -> None:
        """Fill the new size."""
        self.redraw()

    def action_turn(self, right: int, up: int) -> None:
        """Move the eye by steps."""
        self._stop()
        self.look_from(self.camera.turned(right * STEP, up * STEP))

    def action_zoom(self, steps: int) -> None:
        """Make the picture larger or smaller."""
        self._stop()
        self.look_from(self.camera.zoomed(steps))

    def action_view(self, axis: CameraAxis) -> None:
        """Look along an axis."""
        self._stop()
        self.look_from(self.camera.along(axis))

    def action_reset(self) -> None:
        """Look as at first."""
        self._stop()
        self.look_from(Camera())

    def action_spin(self) -> None:
        """Let the picture turn by itself, or stop it."""
        settings = getattr(self.app, "settings", None)
        fps = getattr(settings, "fps", 1)
        if self._spin is not None:
            self._stop()
        elif getattr(settings, "motion", "full") != "full" or not fps:
            self.app.notify("motion is off: the arrow keys turn", markup=False)
        else:
            self._spin = self._clock(), self.camera
            least = 1 if self.graphics is None else LEAST_FPS_IN_PIXELS
            self._timer = self.set_interval(1 / max(least, fps), self._tick)

    def action_point(self, right: int, up: int) -> None:
        """Move the cursor along the mesh; the first time it appears in the middle."""
        if self._panel is None:
            return
        if self.cursor is None:
            self.cursor = middle(self._panel)
        else:
            self.cursor = move_cursor(self._panel, self.cursor, right, up, self.camera)
        self.redraw()

    def action_no_point(self) -> None:
        """Take the cursor away."""
        self.cursor = None
        self.redraw()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Hold the picture."""
        self._stop()
        self.capture_mouse()
        self._drag, self._moved = (event.x, event.y, self.camera), False

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Turn the picture while it is held."""
        if self._drag is not None:
            x, y, camera = self._drag
            right, down = event.x - x, event.y - y
            self._moved = self._moved or (right, down) != (0, 0)
            self.look_from(camera.turned(-right * DEGREES_PER_COLUMN, down * DEGREES_PER_ROW))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Let the picture go; if it was not turned, point at the nearest value."""
        held, self._drag = self._drag is not None, None
        self.release_mouse()
        if held and not self._moved and self._panel is not None and self._cells is not None:
            width, height = self.size
            rows = height - int(self.cursor is not None and height >= LEAST_READING_HEIGHT)
            self.cursor = pick(self._panel, width, rows, self.camera, (event.x, event.y), shaded=self._shaded)
            self.redraw()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Larger."""
        event.stop()
        self.action_zoom(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Smaller."""
        event.stop()
        self.action_zoom(-1)

    @property
    def _shaded(self) -> bool:
        return getattr(self.app, "canvas_depth", "rgb") != "rgb" or getattr(self.app, "canvas_ascii", False)

    def _stop(self) -> None:
        self._spin = None
        if self._timer is not None:
            self._timer.stop()

    def _tick(self) -> None:
        if self._spin is not None and self.app.screen is self.screen and self.is_on_screen:
            since, camera = self._spin
            degrees = (self._clock() - since) * SPIN_DEGREES_PER_SECOND
            self.look_from(camera.turned(degrees // SPIN_STEP * SPIN_STEP, 0))


def _without_row(cells: Cells) -> Cells:
    """``cells`` without the last row."""
    rest = Cells(cells.width, cells.height - 1)
    rest.glyph, rest.ink, rest.under = cells.glyph[:-1], cells.ink[:-1], cells.under[:-1]
    return rest


def _with_row(cells: Cells, text: str) -> Cells:
    """``cells`` with one more row that says ``text``."""
    whole = Cells(cells.width, cells.height + 1)
    whole.glyph[:-1], whole.ink[:-1], whole.under[:-1] = cells.glyph, cells.ink, cells.under
    whole.put(0, cells.height, fit(text, cells.width), Ink.TEXT)
    return whole
