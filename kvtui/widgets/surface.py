"""A panel in space as a widget: turned by keys or the mouse, with a cursor that reads out values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.timer import Timer

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.palette import Ink
from kvtui.canvas.widget import Canvas
from kvtui.figures.figure import Panel
from kvtui.plots import surface
from kvtui.plots.camera import STEP, Camera, CameraAxis
from kvtui.plots.cursor import Cursor, middle, move_cursor, pick, words
from kvtui.plots.style import Style
from kvtui.state import keys
from kvtui.widgets.key_bindings import bindings

DEGREES_PER_COLUMN, DEGREES_PER_ROW = 2.0, 4.0
SPIN_DEGREES_PER_SECOND = 20.0
LEAST_READING_HEIGHT = 4


class SurfaceView(Canvas, can_focus=True):
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
        width, height = self.size
        if self._panel is None or not width or not height:
            return
        reading = self.cursor is not None and height >= LEAST_READING_HEIGHT
        cells = surface.render(
            self._panel,
            width,
            height - int(reading),
            self.camera,
            self.cursor,
            shaded=self._shaded,
            looks=self._looks,
        )
        self.paint(_with_row(cells, self.words) if reading else cells)

    def look_from(self, camera: Camera) -> None:
        """Put the eye at ``camera``."""
        if camera != self.camera:
            self.camera = camera
            self.redraw()

    def on_resize(self) -> None:
        """Fill the new size."""
        self.redraw()

    def on_mount(self) -> None:
        """Prepare the clock that turns the picture."""
        settings = getattr(self.app, "settings", None)
        self._timer = self.set_interval(1 / max(1, getattr(settings, "fps", 1)), self._tick, pause=True)

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
        if self._spin is not None:
            self._stop()
        elif getattr(settings, "motion", "full") != "full" or not getattr(settings, "fps", 1):
            self.app.notify("motion is off: the arrow keys turn", markup=False)
        elif self._timer is not None:
            self._spin = self._clock(), self.camera
            self._timer.resume()

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
            self._timer.pause()

    def _tick(self) -> None:
        if self._spin is not None and self.app.screen is self.screen and self.is_on_screen:
            since, camera = self._spin
            self.look_from(camera.turned((self._clock() - since) * SPIN_DEGREES_PER_SECOND // 1, 0))


def _with_row(cells: Cells, text: str) -> Cells:
    """``cells`` with one more row that says ``text``."""
    whole = Cells(cells.width, cells.height + 1)
    whole.glyph[:-1], whole.ink[:-1], whole.under[:-1] = cells.glyph, cells.ink, cells.under
    whole.put(0, cells.height, fit(text, cells.width), Ink.TEXT)
    return whole
