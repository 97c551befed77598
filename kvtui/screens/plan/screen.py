"""Mode 3, Plan: what fits where at which cost, how many users against which context, and what would change that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from kvtui.canvas.cells import Span, fit
from kvtui.canvas.palette import Ink
from kvtui.engine.advice.levers import Lever, levers
from kvtui.engine.basis.errors import InputError
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Idle
from kvtui.screens import bindings
from kvtui.screens.plan.levers import LeverList
from kvtui.screens.plan.sheet import Sheet
from kvtui.screens.plan.side import PlanSide
from kvtui.screens.plan.table import PlanTable
from kvtui.screens.plan.text import status_words, title_row
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import ScenarioChange, Session
from kvtui.widgets.matrix import MatrixView, no_grid
from kvtui.widgets.panels import TextLine

if TYPE_CHECKING:
    from kvtui.screens.windows.export import Form

SHOW_SECONDS, BREATH_SECONDS, GIVE_WAY_SECONDS = 0.15, 0.001, 0.12
TOPICS = {
    "used_share": "total",
    "max_context_tokens": "max_context",
    "max_sequences": "max_sequences",
    "best_context_tokens": "max_context",
    "tokens_per_second": "decode",
    "usd_per_million_tokens": "cost",
    "joules_per_token": "energy",
}
AROUND_ROWS = 4
TABLE_ACTIONS = {
    *("move", "own", "switch", "metric", "view", "order", "filter", "unfilter"),
    *("take", "mark", "compare", "explain", "lever", "order_also", "fitting"),
}


class PlanScreen(ScenarioActions):
    """The table at the left; at the right the cell under the cursor, the frontier, and the levers.

    Tables are worked out in a thread, what is in sight first, and only while the screen is shown. ``table`` is None
    until the catalogues are read, and where they cannot be.
    """

    MODE = "plan"
    AUTO_FOCUS = ""
    CSS_PATH = Path(__file__).with_name("plan.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.PLAN

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.table: PlanTable | None = None
        self.levers = LeverList()
        self._moved_at = 0.0
        self._stale = True
        self._drawer = False

    def body(self) -> ComposeResult:
        """Title, table and side, and a line of words that a filter is typed into."""
        yield TextLine(id="title")
        with Horizontal(id="body"):
            yield MatrixView(id="matrix")
            yield PlanSide(id="side")
        yield TextLine(id="status")
        yield Input(id="wanted", placeholder="qwen moe <40b, code apache / mac >=64gb")

    def on_mount(self) -> None:
        """Without a filter at first."""
        self.query_one("#wanted", Input).display = False

    def resized(self) -> None:
        """Share the height out anew, and draw."""
        self._share_out()
        self.call_after_refresh(self.redraw)

    def on_screen_suspend(self) -> None:
        """Work out nothing behind another screen."""
        for worker in self.workers:
            if worker.group == "plan":
                worker.cancel()

    def on_screen_resume(self) -> None:
        """Go on, with the scenario of now."""
        self.call_after_refresh(self._catch_up)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing can be done with the table before it is there."""
        if action in TABLE_ACTIONS and self.table is None:
            return None
        return super().check_action(action, parameters)

    def scenario_changed(self, change: ScenarioChange) -> None:
        """Begin anew; a hidden screen does when it is shown."""
        self._stale = True
        if self.is_current and self.table is not None:
            self._begin()

    def redraw(self) -> None:
        """Draw everything as it is now."""
        if self.table is not None and not self.too_small:
            self._draw_title(self.table)
            self._draw_table()
            self._draw_levers()

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor of the table, or of the levers."""
        self._moved_at = time.monotonic()
        if self.levers.at is not None:
            self.levers.move(rows)
            self._draw_levers()
        elif self.table is not None:
            self.table.move(rows, columns)
            self._draw_table()
            self.work()

    def action_own(self) -> None:
        """To the scenario's own cell, or to the first lever."""
        if self.levers.at is not None:
            self.levers.use(0)
            self._draw_levers()
        elif self.table is not None:
            self.table.to_own()
            self._draw_table()

    def action_switch(self) -> None:
        """Let the cursor keys move in the levers, or in the table again."""
        if not self.levers.found:
            self.host.tell("no levers yet")
            return
        self._use_levers(0 if self.levers.at is None else None)
        if self.levers.at is not None and not self._side.display:
            self.action_toggle_drawer()

    def action_toggle_drawer(self) -> None:
        """Show the side in place of the table where it is narrow; elsewhere hide the side, or show it again."""
        self._drawer = not self._drawer
        self.set_class(self._drawer, "-drawer")
        if not self._drawer:
            self._use_levers(None)
        self.call_after_refresh(self.redraw)

    def action_metric(self, by: int) -> None:
        """Show the next figure, or the one before; the levers are ranked by it."""
        if self.table is not None:
            self.table.next_metric(by)
            self.levers.rank(self.table.metric)
            self.work()
            self._draw_table()
            self._draw_levers()

    def action_view(self) -> None:
        """Show the next table: models, KV formats, weight formats."""
        if self.table is not None:
            try:
                self.table.next_subject()
            except InputError as error:
                self.host.tell_error(error)
            else:
                self.work()
                self.redraw()

    def action_order(self) -> None:
        """Sort the rows by the column under the cursor, then from the other end, then not at all."""
        if self.table is not None:
            self.table.sort()
            self.work()
            self._draw_table()

    def action_order_also(self) -> None:
        """Sort what is alike so far by the column under the cursor too."""
        if self.table is not None:
            self.table.sort_also()
            self.work()
            self._draw_table()

    def action_fitting(self) -> None:
        """Show only what fits in the column under the cursor, or everything again."""
        if self.table is not None:
            self.table.only_fitting()
            self.work()
            self._draw_table()

    def action_filter(self) -> None:
        """Type what rows and columns are to be named."""
        if self.table is not None:
            field = self.query_one("#wanted", Input)
            field.value = self.table.wanted
            field.display = True
            self.query_one("#status").display = False
            field.focus()

    def action_unfilter(self) -> None:
        """Show everything again, and move in the table."""
        self._use_levers(None)
        self.query_one("#wanted", Input).value = ""
        if self.table is not None:
            self.table.filter("")
        self._end_filter()
        self.redraw()

    def action_take(self) -> None:
        """Put the lever, or the cell under the cursor, into the scenario."""
        if self.levers.selected is not None:
            self._apply(self.levers.selected)
        elif self.table is not None:
            if self.table.selected.scenario is None:
                self.host.tell(self.table.selected.answer.reason)
            else:
                fields = self.table.sheet.table.fields(*self.table.cursor)
                self._attempt(lambda session: session.change(**fields))

    def action_mark(self) -> None:
        """Mark the cell under the cursor for comparison, or take its mark away."""
        if self.table is not None:
            reason = self.table.mark()
            if reason:
                self.host.tell(reason)
            self._draw_table()

    def action_compare(self) -> None:
        """Show what is marked side by side; a single one beside the scenario."""
        marked = () if self.table is None else self.table.to_compare()
        if len(marked) < 2:
            self.host.tell("mark cells to compare, or go to another one")
            return
        from kvtui.screens.plan.compare import CompareScreen

        self.host.open(CompareScreen(marked))

    def action_explain(self, about: str | None = None) -> None:
        """Explain the figure of the cell under the cursor."""
        from kvtui.screens.windows.explain import ExplainScreen

        if self.table is None:
            return
        detail = self.table.selected
        if detail.scenario is None:
            self.host.tell(detail.answer.reason)
            return
        try:
            shown = Session(detail.scenario)
            _ = shown.plan
        except InputError as error:
            self.host.tell_error(error)
        else:
            self.host.open(ExplainScreen(shown, about or TOPICS[self.table.metric.key]))

    def action_hardware(self) -> None:
        """Type the memory and bandwidth of a device that no catalogue has."""

        def ask() -> None:
            from kvtui.screens.plan.hardware import hardware_prompt, this_machine

            beside = this_machine()
            self._from_thread(lambda: self.host.open(hardware_prompt(self.session, beside)))

        self.run_worker(ask, thread=True, exclusive=True, group="hardware")

    def action_lever(self, at: int) -> None:
        """Go to a lever; the one under the cursor is applied."""
        if self.levers.at == at and self.levers.selected is not None:
            self._apply(self.levers.selected)
        else:
            self._use_levers(at)

    @property
    def command(self) -> str:
        """The command line of the cell under the cursor."""
        from kvtui.engine.scenario.values import command_line

        chosen = None if self.table is None else self.table.selected.scenario
        return f"kvtui {command_line(chosen or self.session.scenario)}"

    def export_forms(self) -> tuple[Form, ...]:
        """The table as files."""
        from kvtui.screens.plan.export import forms

        if self.table is None:
            return ()
        return forms(self.table.sheet, *self.table.shown(), self.table.metric, self.table.title)

    @on(Input.Changed, "#wanted")
    def filter_typed(self, event: Input.Changed) -> None:
        """Show what is named."""
        if self.table is not None:
            self.table.filter(event.value)
            self._draw_table()

    @on(Input.Submitted, "#wanted")
    def filter_taken(self) -> None:
        """Keep the filter, and go back to the table."""
        self._end_filter()

    def on_matrix_view_pointed(self, message: MatrixView.Pointed) -> None:
        """Go to what was clicked; a click on the cursor takes the cell, one on a column's head sorts by it."""
        self._use_levers(None)
        if self.table is not None:
            same = self.table.point(message.row, message.column)
            if message.row is None and message.column is not None:
                self.table.sort()
            elif same and message.column is not None:
                self.action_take()
            self._draw_table()

    def on_matrix_view_scrolled(self, message: MatrixView.Scrolled) -> None:
        """Move the cursor with the wheel."""
        self._use_levers(None)
        self.action_move(message.rows, message.columns)

    def _use_levers(self, at: int | None) -> None:
        """Let the cursor be on a lever, or with None in the table."""
        before = self.levers.at
        self.levers.use(at)
        if (before is None) != (self.levers.at is None):
            self._share_out()
            self.call_after_refresh(self._draw_levers)
        else:
            self._draw_levers()

    def _share_out(self) -> None:
        width, height = self.size
        self._side.share_out(width, height - AROUND_ROWS, self.levers.at is not None)

    def _catch_up(self) -> None:
        """After the screen was away: begin anew if the scenario changed, else go on with what is left."""
        if not self.is_current:
            return
        if self.table is None:
            self.run_worker(self._load, thread=True, exclusive=True, group="plan")
        elif self._stale:
            self._begin()
        else:
            self.work()
            self.redraw()

    def _load(self) -> None:
        """In a thread: read the catalogues, which takes a moment the first time, then begin."""
        with suppress(InputError):
            PlanTable(self.session.scenario)
        self._from_thread(self._begin)

    def _begin(self) -> None:
        """Take the scenario of now."""
        scenario, before = self.session.scenario, self.table
        try:
            if before is None:
                self.table = PlanTable(scenario)
            else:
                before.follow(scenario)
        except InputError as error:
            self.table = None
            self.query_one(MatrixView).show(no_grid(str(error)))
            self.host.tell_error(error)
        else:
            self._stale = False
            if self.levers.of != scenario:
                self.levers.clear()
                self._side.show_frontier(scenario)
            self.work()
            self.redraw()
        if (before is None) != (self.table is None):
            self.refresh_bindings()

    def work(self) -> None:
        """Work out in a thread what is not known yet."""
        if self.table is not None:
            run = partial(self._run, self.table, self.table.sheet, self.session.scenario)
            self.run_worker(run, thread=True, exclusive=True, group="plan")

    def _run(self, table: PlanTable, sheet: Sheet, scenario: Scenario) -> None:
        """In a thread: the cells in sight, the levers, then what is near; nothing while the cursor is being moved."""
        worker = get_current_worker()
        self._fill(table, sheet, worker, rest=False)
        if self.levers.of != scenario:
            found: list[Lever | Idle] = []
            for lever in levers(scenario):
                found.append(lever)
                self._give_way(worker)
                if worker.is_cancelled:
                    return
            self._from_thread(partial(self.take_levers, scenario, found))
        self._fill(table, sheet, worker, rest=True)

    def _fill(self, table: PlanTable, sheet: Sheet, worker: Worker[object], rest: bool) -> None:
        shown = time.monotonic()
        while not worker.is_cancelled and (work := table.next_work(sheet, rest)) is not None:
            work()
            if time.monotonic() - shown >= SHOW_SECONDS:
                self._from_thread(partial(self._answers_changed, sheet))
                shown = time.monotonic()
            self._give_way(worker)
        self._from_thread(partial(self._answers_changed, sheet))

    def _give_way(self, worker: Worker[object]) -> None:
        """In a thread: let the screen go first, above all while a key is held."""
        time.sleep(BREATH_SECONDS)
        while time.monotonic() - self._moved_at < GIVE_WAY_SECONDS and not worker.is_cancelled:
            time.sleep(BREATH_SECONDS)

    def _from_thread(self, action: Callable[[], None]) -> None:
        """Let the app do ``action`` if the screen is still there by then, and is not just being taken down."""

        def act() -> None:
            if self.is_attached:
                with suppress(NoMatches):
                    action()

        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(act)

    def take_levers(self, scenario: Scenario, found: Sequence[Lever | Idle]) -> None:
        """Show the levers of ``scenario``, if it is still the one on screen."""
        if self.table is not None and scenario == self.session.scenario:
            self.levers.take(scenario, found, self.table.metric)
            self._draw_levers()

    def _answers_changed(self, sheet: Sheet) -> None:
        if self.table is not None and self.table.sheet is sheet and self.is_current:
            self._draw_table()

    def _apply(self, lever: Lever | Idle) -> None:
        if isinstance(lever, Idle):
            self.host.tell(f"{lever.name}: {lever.reason}")
        else:
            self._attempt(lambda session: session.change(**lever.fields))

    def _end_filter(self) -> None:
        field = self.query_one("#wanted", Input)
        field.display = False
        self.query_one("#status").display = True
        self.set_focus(None)
        self.call_after_refresh(self.redraw)

    def _draw_title(self, table: PlanTable) -> None:
        title = self.query_one("#title", TextLine)
        scenario = self.session.scenario
        title.show(title_row(scenario, table.answer(scenario), title.size.width))

    def _draw_table(self) -> None:
        """The table, and with it the cell under the cursor."""
        table = self.table
        if table is None or self.too_small:
            return
        view = self.query_one(MatrixView)
        table.keep_in_table()
        view.show(table.grid())
        before = table.in_sight
        table.saw(view.sight.rows, view.sight.columns)
        if table.in_sight != before:
            self.work()
        status, detail = self.query_one("#status", TextLine), table.selected
        if not all(table.shown()):
            self._side.show_nothing()
            status.show(())
            return
        self._side.show_cell(detail, table.marks)
        words = status_words(detail, table.metric, self.session.scenario.context)
        status.show((Span(fit(f" {words}", status.size.width), Ink.DIM),))

    def _draw_levers(self) -> None:
        self._side.show_levers(self.levers.found, self.levers.at, self.levers.of != self.session.scenario)

    @property
    def _side(self) -> PlanSide:
        return self.query_one(PlanSide)
