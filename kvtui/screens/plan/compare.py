"""Scenarios side by side in a window, from the same document as ``kvtui compare``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static
from textual.worker import get_current_worker

from kvtui.engine.basis.errors import InputError
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import command_line
from kvtui.output.lines import StyledLine
from kvtui.report.compare import names, rows
from kvtui.report.compare_text import lines
from kvtui.report.compared import ComparedValue
from kvtui.report.document import document
from kvtui.screens import bindings
from kvtui.screens.windows.window import Window
from kvtui.state.keys import key_of

STYLES = {
    "heading": "bold $primary",
    "strong": "bold",
    "dim": "$foreground-muted",
    "ok": "$success",
    "bad": "$error",
}
MARGINS = 6

Rows = Sequence[tuple[str, list[ComparedValue]]]


class CompareScreen(Window):
    """``scenarios`` in columns, each difference against the first in percent; y copies the command line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings.closing("compare", "quit"),
        *bindings.SCROLLING,
        Binding(key_of("copy").keys, "copy", "copy", show=False, id="copy"),
    ]

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        super().__init__()
        self._scenarios = scenarios
        self._names: Sequence[str] = ()
        self._rows: Rows = ()
        self._text = Static("working it out", markup=False)

    def compose(self) -> ComposeResult:
        """The comparison, to scroll through."""
        with Vertical(classes="box") as box:
            box.border_title = f"{len(self._scenarios)} scenarios side by side"
            keys = (("scroll", "list-up", "list-down"), ("copy", "copy"), ("close", "window-close"))
            box.border_subtitle = self.legend(*keys)
            with VerticalScroll():
                yield self._text

    def on_mount(self) -> None:
        """Plan in a thread."""
        self.run_worker(self._plan, thread=True, exclusive=True)

    def on_resize(self, event: Resize) -> None:
        """Use the new width."""
        self._show()

    def action_copy(self) -> None:
        """Put the command line that compares the same on the clipboard."""
        self.app.copy_to_clipboard(self.command)
        self.app.notify(self.command, title="copied", timeout=12, markup=False)

    @property
    def command(self) -> str:
        """The command line that prints this comparison."""
        return f"kvtui compare {' -- '.join(map(command_line, self._scenarios))}"

    def _plan(self) -> None:
        worker = get_current_worker()
        try:
            documents = [document(scenario) for scenario in self._scenarios]
        except InputError as error:
            self.app.call_from_thread(self._text.update, Content(str(error)))
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(partial(self._take, names(documents), rows(documents)))

    def _take(self, names: Sequence[str], found: Rows) -> None:
        self._names, self._rows = names, found
        self._show()

    def _show(self) -> None:
        if self._rows:
            width = self.query_one(".box").size.width - MARGINS
            self._text.update(Content("\n").join(map(_line, lines(self._names, self._rows, width))))


def _line(line: StyledLine) -> Content:
    return Content.assemble(*((text, STYLES.get(style, "")) for text, style in line))
