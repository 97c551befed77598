"""The plan on one slide, as it is saved, to look at."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from kvtui.engine.scenario.scenario import Scenario
from kvtui.screens.windows.window import Window
from kvtui.widgets.slide import SlideView


class SlideScreen(Window):
    """The slide of a scenario in the terminal's pixels."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self._scenario = scenario

    def compose(self) -> ComposeResult:
        """The slide in a frame."""
        from kvtui.plots.card import WIDTH, card

        look = self.host.canvas_look
        with Vertical(classes="box") as box:
            box.border_title = "slide"
            box.border_subtitle = self.legend(("close", "window-close"))
            yield SlideView(lambda: card(self._scenario, look), WIDTH)

    def action_move(self, rows: int) -> None:
        """There is nothing to move in."""
