"""The terminal application: modes, themes, keys, life and death; what is on screen is the screens' business."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.console import RenderableType
from textual.binding import BindingType
from textual.command import Provider
from textual.content import Content
from textual.driver import Driver
from textual.errors import NoWidget
from textual.events import AppBlur, AppFocus, Event, InputEvent, MouseEvent, Paste
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen, Screen
from textual.signal import Signal
from textual.theme import Theme
from textual.timer import Timer

from kvtui.app.start import begun
from kvtui.canvas.palette import Depth, Look
from kvtui.engine.basis.errors import InputError
from kvtui.screens import bindings
from kvtui.screens.mode import ModeScreen
from kvtui.state import settings as preferences
from kvtui.state import themes
from kvtui.state.host import Benchmark, Host, Said
from kvtui.state.keys import APP as APP_KEYS
from kvtui.state.keys import keys_of
from kvtui.state.session import ScenarioChange, Session
from kvtui.state.settings import Settings
from kvtui.widgets.message_line import MessageLine
from kvtui.widgets.pixel_app import PixelApp
from kvtui.widgets.textual_private import add_filter, begin_with_theme, knows_styles, loop_of

if TYPE_CHECKING:
    from kvtui.attach.source import TrafficSource
    from kvtui.engine.replay.filmed import ReplayFilm
    from kvtui.engine.scenario.values import Values

START_MODE = "memory"
KEEP_SECONDS = 2.0
BEGUN_SECONDS = 0.5
FROM_TERMINAL = (InputEvent, Paste, AppFocus, AppBlur)


def _commands() -> type[Provider]:
    from kvtui.screens.windows.palette import Commands

    return Commands


def _watched(text: str) -> TrafficSource:
    from kvtui.attach.opening import source_of

    return source_of([text] if text else [])


class WatchStart(NamedTuple):
    """What the app begins to watch: a ``source`` of snapshots, the options ``given`` of the plan beside it.

    ``opens`` makes a source of what a person names, nothing being this machine; ``speed`` is that of a recording.
    """

    source: TrafficSource | None
    given: Values
    opens: Callable[[str], TrafficSource]
    speed: float = 1.0


class KvtuiApp(PixelApp):
    """Shows and changes the scenario of ``session``.

    ``canvas_look``, ``canvas_depth`` and ``canvas_ascii`` say how pictures are coloured. ``settings`` are those in
    force; ``settings_changed`` publishes them when one changes. Screens take changes of the scenario from ``session``.
    ``note`` is said at the start. ``benchmark`` is the one that was begun last. With ``traffic`` it opens on what is
    watched, with ``film`` on a replay.
    """

    TITLE = "kvtui"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    DEFAULT_MODE = START_MODE
    COMMANDS: ClassVar = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = bindings.APP
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        session: Session,
        settings: Settings | None = None,
        *,
        play: bool = False,
        speed: float | None = None,
        note: str = "",
        traffic: WatchStart | None = None,
        film: ReplayFilm | None = None,
    ) -> None:
        self.no_hues = bool(os.environ.get("NO_COLOR"))
        if traffic is not None or film is not None:
            self.DEFAULT_MODE = "traffic"  # type: ignore[misc]
        super().__init__(ansi_color=self.no_hues or None)
        self.session = session
        self.settings = settings or Settings()
        self.settings_changed: Signal[Settings] = Signal(self, "settings-changed")
        self.benchmark: Benchmark | None = None
        self._play, self._speed, self._note = play, speed, note
        self._said: Said | None = None
        self._said_of = session.scenario
        self._said_until: Timer | None = None
        self._traffic = traffic or WatchStart(None, {}, _watched)
        self._film = film
        self._kept: Mapping[str, str | bool] = {}
        self._asked_to_end: int | None = None
        self._is_ready = False
        self._keeping: Timer | None = None
        for theme in themes.OWN:
            self.register_theme(theme)
        begin_with_theme(self, self.settings.theme)
        self.set_class(self.settings.ascii, "-ascii")
        if self.settings.ascii:
            from kvtui.widgets.ascii_filter import AsciiFilter

            add_filter(self, AsciiFilter())
        screens = {
            "memory": self.memory_screen,
            "explore": self.explore_screen,
            "plan": self.plan_screen,
            "bench": self.bench_screen,
            "traffic": self.traffic_screen,
            "papers": self.papers_screen,
        }
        for mode, make in screens.items():
            self.add_mode(mode, partial(self._begun, make))

    def get_driver_class(self) -> type[Driver]:
        """Textual's driver for this terminal, made steady where it is that of POSIX."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from kvtui.widgets.textual_driver import SteadyDriver

        return SteadyDriver

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

    @property
    def pixels(self) -> str:
        """What the setting ``pixels`` says, where pictures have all colours; ``off`` where they have few or none."""
        return self.settings.pixels if self.canvas_depth == "rgb" and not self.canvas_ascii else "off"

    async def on_event(self, event: Event) -> None:
        """Hear nothing from the terminal while there is no screen: keys typed after the one that quits, for example."""
        hears = self.screen_stack and self._asked_to_end is None and not self._is_late(event)
        if hears or not isinstance(event, FROM_TERMINAL):
            await super().on_event(event)

    def _is_late(self, event: Event) -> bool:
        """Whether the mouse is over a widget that was taken away and is still to be seen; Textual fails there."""
        if not isinstance(event, MouseEvent) or event.is_forwarded:
            return False
        try:
            widget, _ = self.get_widget_at(int(event.x), int(event.y))
        except NoWidget:
            return False
        return widget.parent is None

    def on_mount(self) -> None:
        """Take the keymap, notes and themes."""
        self.set_keymap(self.settings.keymap)
        palette_key = next(key for key in APP_KEYS if key.id == "palette")
        self.COMMAND_PALETTE_BINDING = keys_of(palette_key, self.settings.keymap)[0]  # type: ignore[misc]
        self.animation_level = "full" if self.settings.motion == "full" and self.animation_level != "none" else "none"
        self.session.subscribe(self._scenario_changed)
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        if self._note:
            self.notify(self._note, severity="warning", markup=False)

    def on_ready(self) -> None:
        """End now, if that was asked for before there was a screen; else do soon what the first picture did without."""
        self._is_ready = True
        if self._asked_to_end is not None:
            self.exit(return_code=self._asked_to_end)
        else:
            self.set_timer(BEGUN_SECONDS, begun)

    def on_unmount(self) -> None:
        """Remember the scenario for the next start, and leave no benchmark behind."""
        self._keep()
        if self.benchmark is not None:
            self.benchmark.end()

    async def action_quit(self) -> None:
        """Quit; while a benchmark is going on, after asking."""
        if self.benchmark is None or self.benchmark.now.over:
            self.exit()
            return
        from kvtui.screens.bench.leave import LeaveScreen

        self.open(LeaveScreen(self.benchmark))

    def open(self, window: ModalScreen[None]) -> None:
        """Show a window over the screen.

        Nothing happens where one of its kind is there already, or another that is not set up yet: what asks for it
        then are keys that came in one burst, before the first window could take them.
        """
        top = self.screen
        if isinstance(top, ModalScreen) and (type(top) is type(window) or not top.is_mounted):
            return
        self.push_screen(window)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Say something in passing, at the bottom of the screen, where it covers nothing; what was said before goes.

        It is over after its time, on another screen, and with another scenario.
        """
        text = Content.from_markup(message).plain if markup else message
        self.clear_notifications()
        self._said, self._said_of = Said(text, severity, title, timeout or 0.0), self.session.scenario
        self._said_until = self.set_timer(self._said.shown_for, self.clear_notifications)
        if self.screen_stack and self.screen.is_attached:
            lines = self.screen.query(MessageLine)
            if not lines:
                self.screen.mount(MessageLine())
            elif lines.first().is_mounted:
                lines.first().say(self._said)

    def clear_notifications(self) -> None:
        """Say nothing any more, on any screen."""
        self._said = None
        if self._said_until is not None:
            self._said_until.stop()
        for screen in {one for stack in self._screen_stacks.values() for one in stack}:
            for line in screen.query(MessageLine):
                line.hush()

    @property
    def said(self) -> Said | None:
        """What was said last."""
        return self._said

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
        self.reconsider_pictures()

    @property
    def key_table(self) -> str:
        """What ``TABLES`` of the keys calls the screen below all windows."""
        below = next((one for one in reversed(self.screen_stack) if isinstance(one, ModeScreen)), None)
        return self.current_mode if below is None else below.key_table

    def action_mode(self, mode: str) -> None:
        """Show another screen of the app, unless a window lies over this one; what was said of this one is over."""
        if not isinstance(self.screen, ModalScreen):
            if mode != self.current_mode:
                self.clear_notifications()
            self.switch_mode(mode)

    def action_help(self) -> None:
        """List every key."""
        from kvtui.screens.windows.help import HelpScreen

        self.open(HelpScreen())

    def action_command_palette(self) -> None:
        """Open the command palette."""
        from kvtui.screens.windows.palette import Palette

        self.open(Palette())

    def action_export(self) -> None:
        """Offer to save the picture on screen, what the mode has to save besides, or a report."""
        from kvtui.screens.windows.export import ExportScreen

        forms = self.screen.export_forms() if isinstance(self.screen, ModeScreen) else ()
        self.open(ExportScreen(self.session.scenario, self.export_screenshot(title="kvtui"), forms))

    def action_copy(self) -> None:
        """Put the command line that gives what is on screen on the clipboard, and show it for terminals that refuse."""
        if isinstance(self.screen, ModeScreen):
            command = self.screen.command
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
        from kvtui.screens.memory.screen import MemoryScreen

        return MemoryScreen(self.session, self.settings, play=self._play, speed=self._speed)

    def explore_screen(self) -> Screen[None]:
        """The screen of mode 2."""
        from kvtui.screens.explore.screen import ExploreScreen

        return ExploreScreen(self.session)

    def bench_screen(self) -> Screen[None]:
        """The screen of mode 4."""
        from kvtui.screens.bench.screen import BenchScreen

        return BenchScreen(self.session)

    def plan_screen(self) -> Screen[None]:
        """The screen of mode 3."""
        from kvtui.screens.plan.screen import PlanScreen

        return PlanScreen(self.session)

    def traffic_screen(self) -> Screen[None]:
        """The screen of mode 5."""
        if self._film is not None:
            from kvtui.screens.traffic.film import FilmScreen

            return FilmScreen(self.session, self._film)
        from kvtui.screens.traffic.screen import TrafficScreen

        source, given, opens, speed = self._traffic
        self._traffic = self._traffic._replace(source=None)
        return TrafficScreen(self.session, source, given, opens, speed=speed)

    def papers_screen(self) -> Screen[None]:
        """The screen of mode 6."""
        from kvtui.screens.papers.screen import PapersScreen

        return PapersScreen(self.session)

    def _begun(self, make: Callable[[], Screen[None]]) -> Screen[None]:
        """A new screen with the classes of its size, and said to know the style sheets of now.

        Textual would come to both after a first layout, and then style and lay out everything again.
        """
        screen = make()
        across = screen.HORIZONTAL_BREAKPOINTS or self.HORIZONTAL_BREAKPOINTS
        tables = (across, self.size.width), (self.VERTICAL_BREAKPOINTS, self.size.height)
        for table, cells in tables:
            screen.add_class([name for least, name in table if cells >= least][-1], update=False)
        knows_styles(screen, self)
        return screen

    def _scenario_changed(self, change: ScenarioChange) -> None:
        if self._said_of is not self.session.scenario:
            self.clear_notifications()
        if change.notes:
            self.tell("; ".join(change.notes))
        if self._keeping is not None:
            self._keeping.stop()
        self._keeping = self.set_timer(KEEP_SECONDS, self._keep)

    def _keep(self) -> None:
        """Put the scenario into the user's state folder, if that is wanted and it is not there."""
        from kvtui.state import remembered

        if not self.settings.remember:
            return
        options = remembered.options_of(self.session.scenario, follows_device=self.session.follows_device)
        if options == self._kept:
            return
        self._kept = options
        try:
            remembered.write(options)
        except (OSError, ValueError) as error:
            if self.is_running:
                self.notify(f"scenario not remembered: {error}", severity="warning", markup=False)

    def _theme_changed(self, theme: Theme) -> None:
        """Remember a theme that was chosen while the app ran."""
        if theme.name == self.settings.theme:
            return
        self.change_settings(theme=theme.name)
        try:
            preferences.save("theme", theme.name)
        except (OSError, InputError) as error:
            self.notify(f"theme not remembered: {error}", severity="warning", markup=False)

    def ask_to_end(self, code: int) -> None:
        """End with an exit code: from any thread, and from a signal's handler.

        What the terminal still has to say is not heard any more.
        """
        self._asked_to_end = code
        loop = loop_of(self)
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.exit, None, code)

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """End the app; one that is still being set up, where Textual would fail, when it has been."""
        if self._is_ready:
            super().exit(result, return_code, message)
        elif self._asked_to_end is None:
            self._asked_to_end = return_code


if TYPE_CHECKING:
    _host: type[Host] = KvtuiApp  # mypy sees here that the app is what its screens take it for
