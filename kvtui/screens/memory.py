"""Mode 1, Memory: the film of a KV cache that fills a device, and everything that can be asked of it there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen
from textual.signal import Signal
from textual.timer import Timer
from textual.widgets import Footer

from kvtui.canvas import panels
from kvtui.canvas.cells import Row, Span, fit
from kvtui.canvas.palette import Ink
from kvtui.canvas.view import MemoryView
from kvtui.engine.alerts import OPEN_SECONDS, Alerts, level, popup
from kvtui.engine.film import Playback, faster, slower
from kvtui.engine.notices import Notice
from kvtui.screens import bindings
from kvtui.screens.memory_sections import control_sections, numbers_sections, reading_sections
from kvtui.screens.picture import APOCALYPSE_TOKENS, Look, Picture
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.session import Change, Session
from kvtui.settings import Settings
from kvtui.widgets.board import BoardView
from kvtui.widgets.mode_bar import ModeBar
from kvtui.widgets.panels import FilmBar, Line, PanelColumn

DEFAULT_SPEED = 50.0
START_FRACTION = 0.01
LEAST_COLUMNS, LEAST_ROWS = 60, 18
PHASES_PER_SECOND, MAPS_PER_SECOND, PANELS_PER_SECOND = 10, 5, 2
SETTLE_SECONDS = 0.2
REDUCED_STEPS = 16
LUDICROUS_SPEED = 100.0
NARROW_COLUMNS = 100
APOCALYPSE_WORDS = "memory apocalypse: a hundred million tokens in one sequence"


class MemoryScreen(ScenarioActions, Screen[None]):
    """The board between two columns of panels; ``clock`` gives seconds and is stubbed by tests."""

    BINDINGS: ClassVar[list[BindingType]] = bindings.MEMORY

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        play: bool = False,
        speed: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(id="memory")
        self.session, self.settings, self.clock = session, settings, clock
        self.picture = Picture(session)
        context, flash = session.scenario.context, session.scenario.flash_attention
        self.playback = Playback(context, speed or DEFAULT_SPEED, slowed=flash)
        self.playback = self.playback.scrubbed(clock(), int(context * START_FRACTION))
        self._play_at_start = play
        self._timer: Timer | None = None
        self._alerts = Alerts()
        self._selected: int | None = None
        self._hovered: int | None = None
        self._map_drawn = self._panels_drawn = self._watched = 0.0
        self._last_tick: float | None = None
        self._drawer = self._debug = self._settled = False
        self._together = True

    def compose(self) -> ComposeResult:
        """Title, columns and board, the film's bar, one line of words, and the keys."""
        yield ModeBar("memory")
        yield Line(id="too-small")
        yield Line(id="title")
        with Horizontal(id="body"):
            yield PanelColumn(id="left")
            yield BoardView(self.session.scenario.device.memory.modules, id="board")
            yield PanelColumn(id="right")
        yield FilmBar(id="film")
        yield Line(id="status")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Follow the session and the settings; start the film if that was asked for."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self.redraw))
        self._unsubscribe = self.session.subscribe(self._scenario_changed)
        changed: Signal[Settings] | None = getattr(self.app, "settings_changed", None)
        if changed is not None:
            changed.subscribe(self, self._settings_changed)
        self._timer = self.set_interval(1 / max(1, self.settings.fps), self._tick, pause=True)
        if self._play_at_start:
            self.action_toggle_play()
        self.set_timer(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        """After the first picture: what takes longer to look up, and the pop-up."""
        self._settled = True
        self._announce()
        self.redraw()

    def on_unmount(self) -> None:
        """Let go of the session."""
        self._unsubscribe()

    def on_resize(self, event: Resize) -> None:
        """Choose the panels for the new size and draw all of them."""
        small = event.size.width < LEAST_COLUMNS or event.size.height < LEAST_ROWS
        self.set_class(small, "-too-small")
        if small:
            self.query_one("#too-small", Line).show(
                (Span(f"kvtui needs {LEAST_COLUMNS}x{LEAST_ROWS}, this is {event.size.width}x{event.size.height}"),)
            )
        self.call_after_refresh(self.redraw)

    def on_screen_suspend(self) -> None:
        """Nothing moves behind another screen."""
        self._hold(True)

    def on_screen_resume(self) -> None:
        """Go on where it stopped."""
        self._hold(False)
        self.call_after_refresh(self.redraw)

    def on_app_blur(self) -> None:
        """Nothing moves in a terminal that nobody looks at."""
        self._hold(True)

    def on_app_focus(self) -> None:
        """Go on where it stopped."""
        self._hold(False)

    def set_tokens(self, tokens: int) -> None:
        """Go to the position of ``tokens``."""
        self._put(self.playback.scrubbed(self.clock(), tokens))

    def set_speed(self, speed: float) -> None:
        """Play at ``speed`` times the normal rate."""
        if speed >= LUDICROUS_SPEED > self.playback.speed:
            self.app.notify("ludicrous speed: the stacks have gone plaid", markup=False)
        self._put(self.playback.with_speed(self.clock(), speed))

    def redraw(self) -> None:
        """Draw everything as it is now."""
        self._draw(whole=True)

    def action_toggle_play(self) -> None:
        """Play or pause."""
        if self.settings.motion == "none" and not self.playback.playing:
            self.app.notify("motion is off: the arrow keys step", markup=False)
            return
        self.playback = self.playback.toggled(self.clock())
        self._run()

    def action_step(self, steps: int) -> None:
        """Pause, and go some steps on or back."""
        self._put(self.playback.stepped(self.clock(), steps))

    def action_scrub_home(self) -> None:
        """To the empty cache."""
        self._put(self.playback.scrubbed(self.clock(), 0))

    def action_scrub_end(self) -> None:
        """To the full context, and stay there."""
        self._put(self.playback.scrubbed(self.clock(), self.playback.limit, playing=False))

    def action_restart(self) -> None:
        """Play again from the start."""
        restarted = self.playback.restarted(self.clock())
        plays = restarted.playing or self.settings.motion == "none"
        self._put(restarted if plays else restarted.toggled(self.clock()))

    def action_faster(self) -> None:
        """The next speed."""
        self.set_speed(faster(self.playback.speed))

    def action_slower(self) -> None:
        """The speed before."""
        self.set_speed(slower(self.playback.speed))

    def action_toggle_debug(self) -> None:
        """Show or hide how the picture is drawn."""
        self._debug = not self._debug
        self._draw_status()

    def action_toggle_cluster(self) -> None:
        """Show all devices, or the fullest one."""
        self._together = not self._together
        self.redraw()

    def action_toggle_drawer(self) -> None:
        """Show or hide the scenario's panel where there is no room for it beside the board."""
        self._drawer = not self._drawer
        self.set_class(self._drawer, "-drawer")
        self.call_after_refresh(self.redraw)

    def action_select_bank(self, by: int) -> None:
        """Select the next bank, or one ``by`` banks away."""
        banks = self.query_one(BoardView).board.banks
        self._selected = 0 if self._selected is None else (self._selected + by) % banks
        self.redraw()

    def action_pick_devices(self) -> None:
        """The next larger number of devices, as a click on the panel asks for it."""
        self.action_next_devices()

    def on_panel_column_clicked(self, message: PanelColumn.Clicked) -> None:
        """Do what the clicked row says."""
        self.run_worker(self.run_action(message.action), exclusive=False)

    def on_film_bar_scrubbed(self, message: FilmBar.Scrubbed) -> None:
        """Go where the user pointed."""
        self._put(self.playback.scrubbed(self.clock(), message.fraction * self.playback.limit))

    def on_board_view_hovered(self, message: BoardView.Hovered) -> None:
        """Say what the bank under the mouse holds."""
        if message.bank != self._hovered:
            self._hovered = message.bank
            self._draw_status()

    def on_board_view_selected(self, message: BoardView.Selected) -> None:
        """Keep saying what a clicked bank holds."""
        self._selected = message.bank
        self.redraw()

    def _put(self, playback: Playback) -> None:
        self.playback = playback
        self._run()

    def _run(self) -> None:
        """Let the timer run exactly while the film does, and show where it stands."""
        self._hold(self.app.screen is not self)
        self.redraw()

    def _hold(self, still: bool) -> None:
        if self._timer is None:
            return
        if self.playback.playing and not still:
            self._timer.resume()
        else:
            self._timer.pause()
            self._last_tick = None

    def _scenario_changed(self, change: Change) -> None:
        scenario, now = change.after, self.clock()
        playback = self.playback.with_slowed(now, scenario.flash_attention)
        if scenario.context != playback.limit:
            playback = playback.with_limit(now, scenario.context)
        if scenario.model is not change.before.model:
            playback = playback.scrubbed(now, 0)
        self.playback = playback
        self.picture = Picture(self.session)
        self._selected = self._hovered = None
        board = self.query_one(BoardView)
        board.modules = scenario.device.memory.modules
        self._alerts = self._alerts.renewed()
        self._announce()
        self._run()

    def _settings_changed(self, settings: Settings) -> None:
        self.settings = settings
        if settings.motion == "none" and self.playback.playing:
            self.playback = self.playback.toggled(self.clock())
        self._run()

    def _announce(self) -> None:
        """Open the pop-up when the plan has outgrown a device, a node or a room."""
        plan, now = self.session.plan, self.clock()
        shown_before = self._alerts.last_shown_at
        self._alerts = self._alerts.observed(level(plan), now)
        notice = popup(plan)
        if notice is not None and self._alerts.last_shown_at != shown_before:
            self._notify(notice, title="too big for one device")

    def _notify(self, notice: Notice, title: str = "") -> None:
        severity: Literal["error", "warning"] = "error" if notice.severity == "critical" else "warning"
        self.app.notify(notice.text, title=title, severity=severity, timeout=OPEN_SECONDS, markup=False)

    def _tick(self) -> None:
        if self._behind():
            return
        now, phase = self.clock(), int(self._watched * PHASES_PER_SECOND)
        if self._last_tick is not None:
            self._watched += min(0.25, now - self._last_tick)
        self._last_tick = now
        if int(self._watched * PHASES_PER_SECOND) != phase:
            self._draw()

    def _behind(self) -> bool:
        """Whether the terminal still has to be sent an earlier frame; then this one is left out."""
        writer = getattr(getattr(self.app, "_driver", None), "_writer_thread", None)
        queue = getattr(writer, "_queue", None)
        return queue is not None and queue.qsize() > 1

    def _draw(self, whole: bool = False) -> None:
        """Draw the board; now and then, or with ``whole``, the map of banks and the panels too."""
        if not self.is_mounted or self.has_class("-too-small"):
            return
        now = self.clock()
        board = self.query_one(BoardView)
        if not board.size.width or not board.size.height:
            return
        if whole or now - self._map_drawn >= 1 / MAPS_PER_SECOND:
            self._map_drawn = now
            self.picture.move(self._position(now), board.board.banks)
            self._draw_lines(now)
        if whole or now - self._panels_drawn >= 1 / PANELS_PER_SECOND:
            self._panels_drawn = now
            self._draw_panels()
            for notice in self._marks():
                if not self._alerts.shows_popup(now):
                    self._notify(notice)
        found = self.picture.cluster if self._together else None
        if found is None:
            board.show(self.picture.scene(self._look(now), self._selected))
        else:
            board.show_cluster(self.picture.cluster_scene(self._look(now), found, *board.size))

    def _position(self, now: float) -> int:
        tokens = self.playback.tokens(now)
        if self.settings.motion == "full" or not self.playback.playing:
            return tokens
        return tokens * REDUCED_STEPS // self.playback.limit * self.playback.limit // REDUCED_STEPS

    def _look(self, now: float) -> Look:
        watched = self._watched
        return Look(
            now=watched,
            moving=self.settings.motion == "full",
            plain=self._plain,
            ludicrous=self.playback.speed >= LUDICROUS_SPEED,
        )

    @property
    def _plain(self) -> bool:
        app = self.app
        return getattr(app, "canvas_depth", "rgb") == "none" or getattr(app, "canvas_ascii", False)

    def _draw_lines(self, now: float) -> None:
        view = self._view()
        title, film = self.query_one("#title", Line), self.query_one("#film", FilmBar)
        title.show(panels.title_bar(view, title.size.width))
        film.show(self.playback.fraction(now))
        self._draw_status()

    def _draw_status(self) -> None:
        status = self.query_one("#status", Line)
        width = status.size.width
        status.show(self._status_row(width))

    def _status_row(self, width: int) -> Row:
        if self._debug:
            return (Span(fit(self._debug_words(), width), Ink.WARN),)
        bank = self._selected if self._hovered is None else self._hovered
        if bank is None and self.size.width < NARROW_COLUMNS:
            return panels.one_line_info(self._view(), width)
        if bank is None and self.session.scenario.context >= APOCALYPSE_TOKENS:
            return (Span(fit(APOCALYPSE_WORDS, width), Ink.BAD),)
        found = self.picture.cluster if self._together else None
        words = self.picture.words(bank)
        if found is not None:
            words = self.picture.cluster_words(found, *self.query_one(BoardView).size)
        return (Span(fit(words, width), Ink.DIM if bank is None else Ink.TEXT),)

    def _debug_words(self) -> str:
        board = self.query_one(BoardView)
        rate = self.settings.fps if self.playback.playing else 0
        return (
            f"fps {rate} · {board.dirty_rows} of {board.size.height} rows drawn, {board.dirty_bytes:,} bytes · "
            f"{board.board.banks:,} banks · {self.picture.allocation.parts.total:,} B used"
        )

    def _draw_panels(self) -> None:
        view = self._view()
        left, right = self.query_one("#left", PanelColumn), self.query_one("#right", PanelColumn)
        if left.inner_width and left.size.height:
            reading = reading_sections(self.picture, self._watched, left.inner_width) if self._settled else ()
            left.show(numbers_sections(view, left.inner_width, left.size.height) + reading)
        if right.inner_width and right.size.height:
            right.show(control_sections(view, right.inner_width, self._plain))

    def _view(self) -> MemoryView:
        return self.picture.view(self.playback.playing, self.playback.speed)

    def _marks(self) -> Sequence[Notice]:
        """The marks of 80 and 100 percent that the film has just passed."""
        used = self.picture.allocation.parts.total / max(1, self.session.plan.budget_per_device)
        self._alerts, passed = self._alerts.marked(used)
        return passed
