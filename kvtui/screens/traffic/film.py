"""Mode 5, Traffic: a trace that is replayed, step by step, under one policy or under two beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.worker import get_current_worker

from kvtui.canvas.cells import Span, fit
from kvtui.canvas.palette import Ink
from kvtui.engine.replay.filmed import FilmedReplay, ReplayFilm
from kvtui.screens import bindings
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.screens.traffic import film_picture as picture
from kvtui.screens.traffic.film_state import FilmState
from kvtui.state.session import ScenarioChange, Session
from kvtui.widgets.blocks import BlocksView
from kvtui.widgets.panels import PanelColumn, TextLine

FRAMES_PER_SECOND = 8
BESIDE = 110
"""Columns from which on two boards stand beside each other; below, ``tab`` shows the other one."""
TURN = 64


class FilmScreen(ScenarioActions):
    """The board of every side, its requests over time, and the life of what is chosen.

    The replays of ``film`` are made in a thread, and what there is of them can be looked at meanwhile. ``clock`` gives
    seconds and is stubbed by tests.
    """

    MODE = "traffic"
    CSS_PATH = Path(__file__).with_name("film.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.FILM

    def __init__(self, session: Session, film: ReplayFilm, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(session)
        self.film, self.clock = film, clock
        self.state = FilmState()
        self.whole = False
        self._ticked = 0.0

    @property
    def key_table(self) -> str:
        """It stands in the place of the Traffic screen."""
        return "film"

    @property
    def command(self) -> str:
        """The command line that shows the same."""
        return self.film.command

    def body(self) -> ComposeResult:
        """What is replayed and the instant, the boards, and below them the requests and what is chosen."""
        yield TextLine(id="instant")
        with Horizontal(id="boards"):
            for number in range(len(self.film.sides)):
                with Vertical(id=f"side-{number}"):
                    yield TextLine(id=f"numbers-{number}")
                    yield BlocksView(id=f"board-{number}")
        with Horizontal(id="below"):
            yield BlocksView(id="timeline")
            yield PanelColumn(id="life")

    def on_mount(self) -> None:
        """Begin to replay and to play."""
        self._ticked = self.clock()
        self.run_worker(self._replay, thread=True, exclusive=True, group="replay")
        self._timer = self.set_interval(1 / FRAMES_PER_SECOND, self.tick)

    def on_screen_suspend(self) -> None:
        """Nothing is drawn behind another screen; the replay goes on."""
        self._timer.pause()

    def on_screen_resume(self) -> None:
        """Go on."""
        self._ticked = self.clock()
        self._timer.resume()
        self.call_after_refresh(self.redraw)

    def scenario_changed(self, change: ScenarioChange) -> None:
        """What is replayed does not follow the scenario."""

    def _replay(self) -> None:
        """Make the steps of all sides in turn, until there are no more or the app ends."""
        worker = get_current_worker()
        going = list(self.film.sides)
        while going and not worker.is_cancelled:
            going = [side for side in going if all(next(side.steps, None) is not None for _ in range(TURN))]
        if not worker.is_cancelled:
            self.app.call_from_thread(self._made)

    def _made(self) -> None:
        self.whole = True
        self.redraw()

    @property
    def side(self) -> FilmedReplay:
        """The policy whose requests are shown."""
        return self.film.sides[self.state.side]

    @property
    def last(self) -> float:
        """The last instant that all sides have; of whole replays the last of any."""
        ends = [side.history.step(side.history.steps - 1).start for side in self.film.sides if side.history.steps]
        if len(ends) < len(self.film.sides):
            return 0.0
        return max(ends) if self.whole else min(ends)

    def tick(self) -> None:
        """Go on in time, and draw what is new."""
        now, before = self.clock(), self._ticked
        self._ticked = now
        if self.state.playing:
            self.state = self.state.advanced(now - before, self.last, whole=self.whole)
        if self.state.playing or not self.whole:
            self.redraw()

    def redraw(self) -> None:
        """Draw everything at the instant."""
        if not self.is_mounted or not self.is_attached:
            return
        state = self.state
        self._draw_heading()
        beside = self.size.width >= BESIDE
        for number, side in enumerate(self.film.sides):
            whole = self.query_one(f"#side-{number}", Vertical)
            whole.display = beside or number == state.side
            if whole.display and side.history.steps:
                chosen = "▶ " if len(self.film.sides) > 1 and number == state.side else ""
                self.query_one(f"#numbers-{number}", TextLine).show(picture.numbers_row(side.history, state))
                board = self.query_one(f"#board-{number}", BlocksView)
                each = board.each(side.history.blocks)
                board.show(f"{chosen}{side.name}", picture.board_picture(side.history, state, each))
        lines, life = self.query_one("#timeline", BlocksView), self.query_one("#life", PanelColumn)
        rows = picture.timeline(self.side.history, state, max(1, lines.size.width - 4), max(1, lines.size.height - 2))
        lines.show(f"requests, {self.side.name}", None, rows)
        life.show(picture.sections(self.side.history, state, life.inner_width, life.size.height))

    def _draw_heading(self) -> None:
        line, history = self.query_one("#instant", TextLine), self.side.history
        how = f"playing ×{self.state.speed:g}" if self.state.playing else "stopped"
        moment = f"  step {history.at(self.state.at) + 1:,} of {history.steps:,}  {self.state.at:,.3f} s  {how} "
        if not self.whole:
            shares = [len(side.history.requests) / max(1, side.requests) for side in self.film.sides]
            moment += f" replaying {min(shares):.0%} "
        name = f" {self.film.trace}  {self.film.server}"
        if self.film.replicas > 1:
            name += f"  replica {self.film.replica + 1} of {self.film.replicas}"
        room = max(0, line.size.width - len(moment))
        line.show((Span(fit(name, room), Ink.BRIGHT), Span(moment, Ink.ACCENT)))

    def _change(self, state: FilmState) -> None:
        self.state = state
        self.redraw()

    def action_hold(self) -> None:
        """Play, or stop."""
        self._change(self.state.held(self.last if self.whole else float("inf")))

    def action_step(self, by: int) -> None:
        """So many steps later, of the side that is chosen."""
        self._go(self.side.history.at(self.state.at) + by)

    def action_first(self) -> None:
        """The first step."""
        self._go(0)

    def action_last(self) -> None:
        """The last instant."""
        self._change(self.state.moved(self.last, self.last))

    def action_event(self, what: Literal["preemption", "eviction"]) -> None:
        """The next step in which a request is put out, or cached content is lost."""
        history = self.side.history
        now = history.at(self.state.at)
        found = history.next_preemption(now) if what == "preemption" else history.next_eviction(now)
        if found is None:
            self.host.tell(f"no {what} after this step" + ("" if self.whole else " so far"))
        else:
            self._go(found)

    def _go(self, number: int) -> None:
        history = self.side.history
        if history.steps:
            number = max(0, min(history.steps - 1, number))
            before = history.step(max(0, number - 1)).start
            self._change(self.state.moved(history.step(number).start, before))

    def action_request(self, by: int) -> None:
        """The next request that is not done, or the one before."""
        history = self.side.history
        if history.steps:
            self._change(self.state.chosen(by, picture.alive(history, history.at(self.state.at))))

    def action_block(self, by: int) -> None:
        """The next block of the chosen request, or the one before."""
        history, request = self.side.history, self.state.request
        if request is None or request > len(history.requests):
            self.host.tell("choose a request first, with j and k")
            return
        table = history.page_table(request, history.at(self.state.at))[0]
        self._change(self.state.on_block(by, len(table)))

    def action_choose_none(self) -> None:
        """No block, then no request; then back to the screen that this one lies over."""
        if self.state.request is None and len(self.app.screen_stack) > 1:
            self.dismiss()
        else:
            self._change(self.state.let_go())

    def action_side(self) -> None:
        """The other policy."""
        self._change(self.state.other_side(len(self.film.sides)))

    def action_replica(self) -> None:
        """The next replica of the server, from its first step on."""
        if self.film.replicas == 1:
            self.host.tell("the server has one replica")
            return
        self.film = self.film.of((self.film.replica + 1) % self.film.replicas)
        self.whole = False
        self.run_worker(self._replay, thread=True, exclusive=True, group="replay")
        self._change(FilmState(side=self.state.side, speed=self.state.speed, span=self.state.span))

    def action_speed(self, by: int) -> None:
        """Faster or slower."""
        self._change(self.state.faster(by))

    def action_zoom_time(self, by: int) -> None:
        """A longer or a shorter stretch of time."""
        self._change(self.state.zoomed(by))
