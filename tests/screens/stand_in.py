"""The app with a bare screen in place of the Memory screen, for tests of everything around it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static

from kvtui.app.app import KvtuiApp
from kvtui.screens import bindings
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.widgets.mode_bar import ModeBar


class StandIn(ScenarioActions, Screen[None]):
    """The bindings and scenario actions of the Memory screen, and a film that only remembers what was asked."""

    BINDINGS: ClassVar[list[BindingType]] = bindings.MEMORY

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def compose(self) -> ComposeResult:
        yield ModeBar("memory", "a stand-in")
        yield Static("board")
        yield Footer()

    def set_tokens(self, tokens: int) -> None:
        self.asked.append(("tokens", tokens))

    def set_speed(self, speed: float) -> None:
        self.asked.append(("speed", speed))

    def action_toggle_play(self) -> None:
        self.asked.append("play")

    def action_step(self, by: int) -> None:
        self.asked.append(by)


class ShellApp(KvtuiApp):
    """The app under test."""

    def memory_screen(self) -> Screen[None]:
        return StandIn()
