"""What the screens of all modes share: the line of modes, a least size, the line of keys, and whom they follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.events import Resize

from kvtui.canvas.cells import Span
from kvtui.canvas.widget import Canvas
from kvtui.state.host import Host, host_of
from kvtui.state.session import ScenarioChange, Session
from kvtui.widgets.key_line import KeyLine
from kvtui.widgets.mode_bar import ModeBar
from kvtui.widgets.panels import PanelColumn, TextLine
from kvtui.widgets.textual_private import ShownScreen

if TYPE_CHECKING:
    from kvtui.screens.windows.export import Form

LEAST_COLUMNS, LEAST_ROWS = 60, 18


class ModeScreen(ShownScreen):
    """A screen that a number switches to, and that shows the scenario of ``session``.

    A mode says its ``MODE``, yields what stands between the line of modes and the line of keys in ``body``, and draws
    it in ``redraw``. That is called after every change of size, scenario or theme; a mode with something else to do
    then has ``resized`` or ``scenario_changed`` of its own. Below 60 × 18 cells one line says what size is needed.
    """

    MODE: ClassVar[str]

    def __init__(self, session: Session) -> None:
        super().__init__(id=f"{self.key_table}-mode")
        self.session = session
        self._unsubscribe: Callable[[], None] | None = None
        self._outgrown = False

    def compose(self) -> ComposeResult:
        """The line of modes, the body, and the line of keys."""
        yield ModeBar(self.MODE)
        yield TextLine(id="too-small")
        yield from self.body()
        yield KeyLine()

    def body(self) -> ComposeResult:
        """What the mode shows."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw everything as it is now. Called on screens of any size, also before there is anything to draw."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """The command line that gives what is on screen: the scenario's, where a mode has none of its own."""
        from kvtui.engine.scenario.values import command_line

        return f"kvtui {command_line(self.session.scenario)}"

    def export_forms(self) -> tuple[Form, ...]:
        """The kinds of file that what is on screen can become, besides its picture."""
        return ()

    @property
    def key_table(self) -> str:
        """What ``TABLES`` of the keys calls it: as its mode, unless it stands in another's place."""
        return self.MODE

    @property
    def host(self) -> Host:
        """The app."""
        return host_of(self.app)

    @property
    def too_small(self) -> bool:
        """Whether there is no room to draw in."""
        return self.has_class("-too-small")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing can be done with a screen whose parts are not there yet."""
        return self.is_mounted

    def on_mount(self) -> None:
        """Follow the session and the theme."""
        self._unsubscribe = self.session.subscribe(self.scenario_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self.redraw))

    def on_unmount(self) -> None:
        """Let go of the session."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    def on_resize(self, event: Resize) -> None:
        """Draw in the new size, or say what size is needed."""
        width, height = event.size
        small = width < LEAST_COLUMNS or height < LEAST_ROWS
        self.set_class(small, "-too-small")
        if small:
            words = f"kvtui needs {LEAST_COLUMNS}x{LEAST_ROWS}, this is {width}x{height}"
            self.call_after_refresh(self.query_one("#too-small", TextLine).show, (Span(words),))
        self.resized()

    def on_screen_suspend(self) -> None:
        """Draw pictures of pixels in cells while a window lies over them."""
        self.host.reconsider_pictures()

    def on_screen_resume(self) -> None:
        """Draw them in pixels again."""
        self.host.reconsider_pictures()

    def on_canvas_outgrown(self, message: Canvas.Outgrown) -> None:
        """Draw again, once for all of them, where parts got a size after the screen had been drawn in its own.

        A class that the new width sets shows or hides a row, say, and the board above it is then one row lower.
        """
        if message.canvas.is_outgrown and not self._outgrown:
            self._outgrown = True
            self.call_after_refresh(self._grow)

    def _grow(self) -> None:
        self._outgrown = False
        self.redraw()

    def on_panel_column_clicked(self, message: PanelColumn.Clicked) -> None:
        """Do what the clicked row says."""
        self.run_worker(self.run_action(message.action), exclusive=False)

    def resized(self) -> None:
        """The size changed."""
        self.call_after_refresh(self.redraw)

    def scenario_changed(self, change: ScenarioChange) -> None:
        """The session has another scenario."""
        self.redraw()
