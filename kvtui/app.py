"""The terminal application: modes, themes, keys, life and death; what is on screen is the screens' business."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import Screen
from textual.signal import Signal
from textual.theme import Theme

from kvtui import settings as preferences
from kvtui import themes
from kvtui.canvas.palette import Depth, Look
from kvtui.engine.errors import InputError
from kvtui.keys import APP as APP_KEYS
from kvtui.keys import keys_of
from kvtui.screens import bindings
from kvtui.session import Change, Session
from kvtui.settings import Settings

INTERRUPTED, TERMINATED, HUNG_UP = 130, 143, 129
SIGNALS = {"SIGINT": INTERRUPTED, "SIGTERM": TERMINATED, "SIGHUP": HUNG_UP}
START_MODE = "memory"


def _commands() -> type[Provider]:
    from kvtui.screens.commands import Commands

    return Commands


class KvtuiApp(App[None]):
    """Shows and changes the scenario of ``session``.

    ``canvas_look``, ``canvas_depth`` and ``canvas_ascii`` say how pictures are coloured. ``settings`` are those in
    force; ``settings_changed`` publishes them when one changes. Screens take changes of the scenario from ``session``.
    """

    TITLE = "kvtui"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    DEFAULT_MODE = START_MODE
    COMMANDS: ClassVar = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = bindings.APP
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012

    def __init__(
        self, session: Session, settings: Settings | None = None, *, play: bool = False, speed: float | None = None
    ) -> None:
        self.no_hues = bool(os.environ.get("NO_COLOR"))
        super().__init__(ansi_color=self.no_hues or None)
        self.session = session
        self.settings = settings or Settings()
        self.settings_changed: Signal[Settings] = Signal(self, "settings-changed")
        self._play, self._speed = play, speed
        for theme in themes.OWN:
            self.register_theme(theme)
        self.theme = self.settings.theme
        self.set_class(self.settings.ascii, "-ascii")
        if self.settings.ascii:
            from kvtui.widgets.ascii_filter import AsciiFilter

            self._filters.append(AsciiFilter())
        self.add_mode("memory", self.memory_screen)
        self.add_mode("papers", self.papers_screen)

    @property
    def canvas_look(self) -> Look:
        """Light under a light theme; on dark ones a wafer-scale device has colours of its own."""
        if not self.current_theme.dark:
            return "light"
        return "wafer" if self.session.scenario.device.family == "wafer" else "dark"

    @property
    def canvas_depth(self) -> Depth:
        """How many colours pictures have: as the setting ``palette`` says, or as the terminal can."""
        palette = self.settings.palette
        if self.no_hues or palette == "mono":
            return "none"
        if palette == "ansi" or (palette == "auto" and self.console.color_system == "standard"):
            return "ansi"
        return "rgb"

    @property
    def canvas_ascii(self) -> bool:
        """Whether pictures keep to ASCII."""
        return self.settings.ascii

    def on_mount(self) -> None:
        """Take the keymap, notes and themes, and leave the terminal clean when the process is asked to end."""
        self.set_keymap(self.settings.keymap)
        palette_key = next(key for key in APP_KEYS if key.id == "palette")
        self.COMMAND_PALETTE_BINDING = keys_of(palette_key, self.settings.keymap)[0]  # type: ignore[misc]
        self.animation_level = "full" if self.settings.motion == "full" and self.animation_level != "none" else "none"
        self.session.subscribe(self._scenario_changed)
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        loop = asyncio.get_running_loop()
        for name, code in SIGNALS.items():
            if hasattr(signal, name):
                with suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.add_signal_handler(getattr(signal, name), self._end, code)

    def tell(self, message: str) -> None:
        """Say something in passing. Nothing in ``message`` is markup."""
        self.notify(message, markup=False)

    def tell_error(self, error: Exception) -> None:
        """Say what went wrong. Nothing in the message is markup."""
        self.notify(str(error), severity="error", markup=False)

    def change_settings(self, **fields: object) -> None:
        """Put ``fields`` into the settings for this run, and tell those who follow them."""
        self.settings = replace(self.settings, **fields)  # type: ignore[arg-type]
        self.settings_changed.publish(self.settings)

    def action_mode(self, mode: str) -> None:
        """Show another screen of the app."""
        self.switch_mode(mode)

    def action_help(self) -> None:
        """List every key."""
        from kvtui.screens.help import HelpScreen

        self.push_screen(HelpScreen())

    def action_export(self) -> None:
        """Offer to save the picture on screen, or a report."""
        from kvtui.screens.export import ExportScreen

        self.push_screen(ExportScreen(self.session.scenario, self.export_screenshot(title="kvtui")))

    def action_copy(self) -> None:
        """Put the command line that gives this scenario on the clipboard, and show it for terminals that refuse."""
        from kvtui.engine.options import command_line

        command = f"kvtui {command_line(self.session.scenario)}"
        self.copy_to_clipboard(command)
        self.notify(command, title="copied", timeout=12, markup=False)

    def action_theme(self) -> None:
        """Change between the app's dark and its light theme."""
        self.theme = (themes.LIGHT if self.current_theme.dark else themes.DARK).name

    def action_open(self, address: str) -> None:
        """Open a paper's page."""
        self.open_url(address)

    def memory_screen(self) -> Screen[None]:
        """The screen of mode 1."""
        from kvtui.screens.memory import MemoryScreen

        return MemoryScreen(self.session, self.settings, play=self._play, speed=self._speed)

    def papers_screen(self) -> Screen[None]:
        """The screen of mode 5."""
        from kvtui.screens.papers import PapersScreen

        return PapersScreen(self.session)

    def _scenario_changed(self, change: Change) -> None:
        for note in change.notes:
            self.tell(note)

    def _theme_changed(self, theme: Theme) -> None:
        """Remember a theme that was chosen while the app ran."""
        if theme.name == self.settings.theme:
            return
        self.change_settings(theme=theme.name)
        try:
            preferences.save("theme", theme.name)
        except (OSError, InputError) as error:
            self.notify(f"theme not remembered: {error}", severity="warning", markup=False)

    def _end(self, code: int) -> None:
        self.exit(return_code=code)
