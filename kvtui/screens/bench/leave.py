"""Asking before the app is left while a benchmark is going on."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from kvtui.engine.basis.untrusted import plain
from kvtui.screens import bindings
from kvtui.screens.windows.window import Window
from kvtui.state.host import Benchmark


class LeaveScreen(Window):
    """Says how far ``run`` is, and leaves the app only when that is confirmed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings.closing("quit"),
        Binding("enter", "leave", "leave", show=False),
    ]

    def __init__(self, run: Benchmark) -> None:
        super().__init__()
        self._run = run

    def compose(self) -> ComposeResult:
        """What is lost, and what is not."""
        now = self._run.now
        folder = plain(str(self._run.folder or "results"), limit=200)
        with Vertical(classes="box") as box:
            box.border_title = "a benchmark is going on"
            box.border_subtitle = f"enter leave   {self.legend(('stay', 'window-close'))}"
            yield Static(
                Content.assemble(
                    (f"{now.done} of {now.total} cases are measured, and kept.", "bold"),
                    "\nThe case under way is lost. Later, r goes on with this run, or on a command line\n",
                    (f"kvtui bench --resume {folder}", "$accent"),
                ),
                markup=False,
            )

    def action_move(self, rows: int) -> None:
        """There is nothing to move in."""

    def action_leave(self) -> None:
        """End the benchmark and the app."""
        self.app.exit()
