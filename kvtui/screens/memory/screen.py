"""Mode 1, Memory: the film of a KV cache that fills a device, and everything that can be asked of it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.timer import Timer

from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.memory import panels
from kvtui.canvas.memory.panels.text import first_fit
from kvtui.canvas.memory.view import MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.errors import InputError
from kvtui.engine.picture.film import faster, slower
from kvtui.engine.planning.cluster import MAX_SHOWN, Cluster, link_of
from kvtui.engine.saying.film import end_words
from kvtui.screens import bindings
from kvtui.screens.memory.announcing import Announcer
from kvtui.screens.memory.columns import Columns
from kvtui.screens.memory.film import LUDICROUS_SPEED, Film
from kvtui.screens.memory.picture import Picture, Viewing
from kvtui.screens.memory.sections import topic_of
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import ScenarioChange, Session
from kvtui.state.settings import Settings
from kvtui.widgets.board import BoardView
from kvtui.widgets.panels import FilmBar, PanelColumn, TextLine
from kvtui.widgets.textual_private import is_behind

SETTLE_SECONDS, ANNOUNCEMENTS_PER_SECOND = 0.2, 4
NARROW_COLUMNS = 100


class MemoryScreen(ScenarioActions):
    """The board between two columns of panels; ``clock`` gives seconds and is stubbed by tests."""

    MODE = "memory"
    BINDINGS: ClassVar[list[BindingType]] = bindings.MEMORY
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW_COLUMNS, "-normal"), (160, "-wide")]  # noqa: RUF012

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        play: bool = False,
        speed: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(session)
        self.settings, self.clock = settings, clock
        self.picture = Picture(session)
        self.film = Film(session.scenario, clock, settings.motion, speed)
        self._play_at_start = play
        self._timer: Timer | None = None
        self._announcer = Announcer(clock)
        self._announcing: Timer | None = None
        self._selected: int | None = None
        self._hovered: int | None = None
        self._drawer = self._debug = self._drawn = self._shown = self._avoided = False
        self._together = True
        self._columns: Columns | None = None

    def body(self) -> ComposeResult:
        """Title, columns and board, the film's bar, and one line of words."""
        yield TextLine(id="title")
        with Horizontal(id="body"):
            yield PanelColumn(id="left")
            modules = self.session.scenario.device.memory.modules
            yield BoardView(modules, self.picture.ram_share, self.picture.over_share, id="board")
            yield PanelColumn(id="right")
        yield TextLine(id="legend")
        yield FilmBar(id="film")
        yield TextLine(id="status")

    def on_mount(self) -> None:
        """Follow the settings; start the film if that was asked for."""
        self.host.settings_changed.subscribe(self, self._settings_changed)
        self._timer = self.set_interval(1 / max(1, self.settings.fps), self.tick, pause=True)
        self._announcing = self.set_interval(1 / ANNOUNCEMENTS_PER_SECOND, self._announce, pause=True)
        if self._play_at_start:
            self.action_toggle_play()

    def _settle(self) -> None:
        """After the first picture: what takes longer to look up, and what the plan has outgrown."""
        if self._columns is not None:
            self._columns.settled = True
        self._announce()
        self.redraw()

    def shown(self) -> None:
        """After the first picture, look up what takes longer."""
        super().shown()
        if self._drawn and not self._shown:
            self._shown = True
            self.set_timer(SETTLE_SECONDS, self._settle)

    def resized(self) -> None:
        """Draw; the first picture at once."""
        if self._drawn:
            self.call_after_refresh(self.redraw)
        else:
            self.redraw()

    def on_screen_suspend(self) -> None:
        """Nothing moves behind another screen."""
        self._hold(True)

    def on_screen_resume(self) -> None:
        """Go on where it stopped."""
        self._hold(False)
        if self._drawn:
            self.call_after_refresh(self.redraw)
        if self._shown:
            self._announce()

    def on_app_blur(self) -> None:
        """Nothing moves in a terminal that nobody looks at."""
        self._hold(True)

    def on_app_focus(self) -> None:
        """Go on where it stopped."""
        self._hold(False)

    def set_tokens(self, tokens: int) -> None:
        """Go to the position of ``tokens``."""
        self.film.scrub(tokens)
        self._run()

    def set_speed(self, speed: float) -> None:
        """Play at ``speed`` times the normal rate."""
        if speed >= LUDICROUS_SPEED > self.film.speed:
            self.host.tell("ludicrous speed: the stacks have gone plaid")
        self.film.set_speed(speed)
        self._run()

    def redraw(self) -> None:
        """Draw everything as it is now."""
        self._draw(whole=True)

    def action_toggle_play(self) -> None:
        """Play or pause."""
        if self.film.toggle():
            self._run()
        else:
            self.host.tell("motion is off: the arrow keys step")

    def action_step(self, steps: int) -> None:
        """Pause, and go some steps on or back."""
        self.film.step(steps)
        self._run()

    def action_scrub_home(self) -> None:
        """To the empty cache."""
        self.set_tokens(0)

    def action_scrub_end(self) -> None:
        """To the full context, and stay there."""
        self.film.to_end()
        self._run()

    def action_restart(self) -> None:
        """Play again from the start."""
        self.film.restart()
        self._run()

    def action_faster(self) -> None:
        """The next speed."""
        self.set_speed(faster(self.film.speed))

    def action_slower(self) -> None:
        """The speed before."""
        self.set_speed(slower(self.film.speed))

    def action_toggle_debug(self) -> None:
        """Show or hide how the picture is drawn."""
        self._debug = not self._debug
        self.redraw()

    def action_toggle_avoided(self) -> None:
        """Show or hide what FlashAttention avoids, as an outline in the free banks."""
        self._avoided = not self._avoided
        if self._avoided and not self.session.scenario.flash_attention:
            self.host.tell("FlashAttention is off: nothing is avoided")
        self.redraw()

    def action_toggle_cluster(self) -> None:
        """Show all devices, or the fullest one."""
        if self.picture.cluster is None:
            self.host.tell(self._no_cluster)
            return
        self._together = not self._together
        self._selected = self._hovered = None
        self.redraw()

    def action_toggle_link(self) -> None:
        """Join the devices by PCIe instead of their fast link, or by that again."""
        device, fast = self.session.scenario.device, not self.picture.fast_link
        try:
            if self.picture.cluster is None:
                self.host.tell(self._no_cluster)
            elif device.link_gbs is None:
                self.host.tell(f"no link but PCIe is known for the {device.name}")
            else:
                link_of(device, fast)
                self._show(fast)
        except InputError as error:
            self.host.tell(str(error))

    def action_toggle_drawer(self) -> None:
        """Show or hide the scenario's panel."""
        self._drawer = not self._drawer
        self.set_class(self._drawer, "-drawer")
        self.call_after_refresh(self.redraw)

    def action_select(self, by: int) -> None:
        """Select the bank ``by`` banks on, or the device where many are shown."""
        found = self._cluster
        places = len(self.picture.banks.codes) if found is None else self.session.plan.devices
        start = -1 if by > 0 else 0
        self._selected = ((start if self._selected is None else self._selected) + by) % places
        self.redraw()

    def action_select_none(self) -> None:
        """Select nothing."""
        self._selected = None
        self.redraw()

    def action_explain(self, about: str | None = None) -> None:
        """Explain the number called ``about``, or else what the selected bank holds, or else all from the first."""
        super().action_explain(about or self._topic())

    def on_film_bar_scrubbed(self, message: FilmBar.Scrubbed) -> None:
        """Go where the user pointed."""
        self.film.scrub_to(message.fraction)
        self._run()

    def on_board_view_hovered(self, message: BoardView.Hovered) -> None:
        """Say what the bank or device under the mouse holds."""
        if message.place != self._hovered:
            self._hovered = message.place
            self._draw_status()

    def on_board_view_selected(self, message: BoardView.Selected) -> None:
        """Keep saying what was clicked holds."""
        self._selected = message.place
        self.redraw()

    def on_board_view_pressed(self) -> None:
        """Play or pause."""
        self.action_toggle_play()

    def on_board_view_link_clicked(self) -> None:
        """Change the link."""
        self.action_toggle_link()

    def on_key(self, event: Key) -> None:
        """Any key ends what is said of a plan that is too large, and does what it does."""
        self._announcer.hush(self.app)

    def _run(self) -> None:
        """Let the timer run exactly while the film does, and show where it stands."""
        self._hold(self.app.screen is not self)
        self.redraw()

    def _hold(self, still: bool) -> None:
        if self._timer is None:
            return
        if self.film.playing and not still:
            self._timer.resume()
        else:
            self._timer.pause()
            self.film.hold()

    def scenario_changed(self, change: ScenarioChange) -> None:
        """Let the film follow, say what it has outgrown, and draw."""
        scenario = change.after
        self.film.follow(change)
        self.query_one(BoardView).modules = scenario.device.memory.modules
        self._announcer.hush(self.app)
        self._announcer.renew()
        self._announce()
        self._show(self.picture.fast_link or scenario.device is not change.before.device)

    def _show(self, fast_link: bool) -> None:
        """The session's scenario, its devices joined by the fast link or by PCIe."""
        self.picture = Picture(self.session, fast_link)
        board = self.query_one(BoardView)
        board.ram, board.over = self.picture.ram_share, self.picture.over_share
        self._selected = self._hovered = None
        self._run()

    def _settings_changed(self, settings: Settings) -> None:
        self.settings = settings
        self.film.set_motion(settings.motion)
        self._run()

    def _announce(self) -> None:
        """Say what the plan has outgrown, on this screen alone; again and again while that has to wait for its turn."""
        if self not in self.app.screen_stack:
            return
        waits = self._announcer.announce(self.app, self.session.plan)
        if self._announcing is not None:
            if waits:
                self._announcing.resume()
            else:
                self._announcing.pause()

    def tick(self) -> None:
        """Let the film move on to the clock's time; left out while the terminal is still behind."""
        if is_behind(self.app) or not self.film.tick():
            return
        if self.film.over:
            self._run()
        else:
            self._draw()

    def _draw(self, whole: bool = False) -> None:
        """Draw the board; now and then, or with ``whole``, the map of banks and the panels too."""
        if not self.is_mounted or self.too_small:
            return
        board = self.query_one(BoardView)
        if not board.size.width or not board.size.height:
            return
        self._drawn = True
        if self.film.due(whole):
            self.picture.move(self.film.tokens, board.board, self._avoided)
            self._draw_lines()
            self._draw_panels(whole or not self.film.playing)
            if self.film.playing:
                self._mark()
        found, film = self._cluster, self.film
        look = Viewing(film.watched, film.motion == "full", self._plain, film.ludicrous)
        if found is None:
            board.show(self.picture.scene(look, self._selected))
        else:
            board.show_cluster(self.picture.cluster_scene(look, found, *board.size, self._selected))

    @property
    def _cluster(self) -> Cluster | None:
        """All devices, where they are shown."""
        return self.picture.cluster if self._together else None

    @property
    def _no_cluster(self) -> str:
        """Why there is no picture of all devices."""
        alone = self.session.plan.devices == 1
        return "one device alone has no links" if alone else f"a picture has room for {MAX_SHOWN} devices"

    @property
    def _plain(self) -> bool:
        return self.host.canvas_depth == "none" or self.host.canvas_ascii

    def _draw_lines(self) -> None:
        view = self._view()
        title, film = self.query_one("#title", TextLine), self.query_one("#film", FilmBar)
        title.show(panels.title_bar(view, title.size.width))
        legend = self.query_one("#legend", TextLine)
        if legend.size.width:
            legend.show(panels.legend_line(view.counts, legend.size.width, self._plain))
        film.show(self.film.fraction)
        self._draw_status()

    def _draw_status(self) -> None:
        status = self.query_one("#status", TextLine)
        width = status.size.width
        status.show(self._status_row(width))

    def _status_row(self, width: int) -> InkRow:
        if self._debug and self.size.width < NARROW_COLUMNS:
            return (Span(fit(" · ".join(self._debug_words()), width), Ink.WARN),)
        place = self._selected if self._hovered is None else self._hovered
        if place is None and self.film.over:
            return (
                Span(fit(first_fit(end_words(self.session.plan, self.session.capacity), width), width), Ink.ACCENT),
            )
        if place is None and self.size.width < NARROW_COLUMNS:
            settled = self._columns is not None and self._columns.settled
            users = panels.users_words(self.session.scenario, self.session.most_users) if settled else ""
            return panels.one_line_info(self._view(), width, users)
        found = self._cluster
        if found is None:
            words = self.picture.words(place)
        elif place is not None and place < self.session.plan.devices:
            words = self.picture.device_words(found, place)
        else:
            words = self.picture.cluster_words(found, *self.query_one(BoardView).size)
        return (Span(fit(words, width), Ink.DIM if place is None else Ink.TEXT),)

    def _debug_words(self) -> tuple[str, ...]:
        board = self.query_one(BoardView)
        rate = self.settings.fps if self.film.playing else 0
        return (
            f"fps {rate}",
            f"{board.dirty_rows} of {board.size.height} rows drawn, {board.dirty_bytes:,} bytes",
            f"{board.board.banks:,} banks",
            f"{self.picture.allocation.parts.total:,} B used",
        )

    def _draw_panels(self, whole: bool) -> None:
        """Draw the panels; those that are the same all the film long are made anew for a ``whole`` picture only."""
        if self._columns is None:
            left, right = self.query_one("#left", PanelColumn), self.query_one("#right", PanelColumn)
            self._columns = Columns(self.host, self.session, left, right)
        debug = self._debug_words() if self._debug else ()
        watched, plain = self.film.watched, self._plain
        self._columns.draw(self._view(), self.picture, watched, whole=whole, plain=plain, debug=debug)

    def _view(self) -> MemoryView:
        return self.picture.view(self.film.playing, self.film.speed)

    def _mark(self) -> None:
        """Say how full the fullest device has just become."""
        parts = self.picture.allocation.parts
        used = (parts.total - parts.pool_free) / max(1, self.session.plan.budget_per_device)
        self._announcer.mark(self.app, used)

    def _topic(self) -> str | None:
        """The explanation of what the selected bank holds."""
        if self._selected is None or self._cluster is not None or self._selected >= len(self.picture.banks.codes):
            return None
        return topic_of(int(self.picture.banks.codes[self._selected]))
