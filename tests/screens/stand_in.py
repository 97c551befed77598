"""The app with a bare screen in place of the Memory screen, for tests of everything around it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from kvtui.app.app import KvtuiApp
from kvtui.screens import bindings
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import Session


class StandIn(ScenarioActions):
    """The bindings and scenario actions of the Memory screen, and a film that only remembers what was asked."""

    MODE = "memory"
    BINDINGS: ClassVar[list[BindingType]] = bindings.MEMORY

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.asked: list[object] = []

    def body(self) -> ComposeResult:
        yield Static("a stand-in")

    def redraw(self) -> None:
        pass

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
        return StandIn(self.session)
