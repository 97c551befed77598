"""Mode 3, Plan: what fits where at which cost, how many users against which context, and what would change that."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from kvtui.canvas.cells import Span, fit
from kvtui.canvas.memory.panels.text import clean
from kvtui.canvas.palette import Ink
from kvtui.engine.advice.levers import MEASURES, Lever, Measure, levers, ranked
from kvtui.engine.advice.matrix import METRICS, VIEWS, Answer, MatrixPlace, MatrixSubject, answer, table
from kvtui.engine.basis.errors import InputError
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Idle
from kvtui.screens import bindings
from kvtui.screens.plan.sheet import Sheet, Sorting
from kvtui.screens.plan.side import MOST_MARKS, PlanSide
from kvtui.screens.plan.text import (
    Detail,
    cell_text,
    cell_width,
    metric_title,
    status_words,
    title_row,
)
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import Change, Session
from kvtui.widgets.key_line import KeyLine
from kvtui.widgets.matrix import Grid, MatrixView
from kvtui.widgets.mode_bar import ModeBar
from kvtui.widgets.panels import Line, PanelColumn

if TYPE_CHECKING:
    from kvtui.app.app import KvtuiApp
    from kvtui.screens.windows.export import Form

LEAST_COLUMNS, LEAST_ROWS = 60, 18
SHOW_SECONDS, BREATH_SECONDS, GIVE_WAY_SECONDS = 0.15, 0.001, 0.12
TOPICS = {
    "used_share": "total",
    "max_context_tokens": "max_context",
    "max_sequences": "max_sequences",
    "tokens_per_second": "decode",
    "usd_per_million_tokens": "cost",
    "joules_per_token": "energy",
}
AROUND_ROWS = 4
ORDERS = {"best first": "↓", "worst first": "↑"}
TABLE_ACTIONS = {
    *("move", "own", "switch", "metric", "view", "order", "filter", "unfilter"),
    *("take", "mark", "compare", "explain", "lever"),
}
Levers = list[Lever | Idle]


class PlanScreen(ScenarioActions, Screen[None]):
    """The table at the left; at the right the cell under the cursor, the frontier, and the levers.

    Tables are worked out in a thread, what is in sight first, and only while the screen is shown.
    """

    AUTO_FOCUS = ""
    CSS_PATH = Path(__file__).with_name("plan.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.PLAN

    def __init__(self, session: Session) -> None:
        super().__init__(id="plan")
        self.session = session
        self._sheets: dict[MatrixSubject, Sheet] = {}
        self._view: MatrixSubject = "models"
        self._metric = METRICS[2]
        self._sorting: Sorting | None = None
        self._wanted = ""
        self._cursor: MatrixPlace = 0, 0
        self._own: MatrixPlace = 0, 0
        self._levers: Levers = []
        self._levers_of: Scenario | None = None
        self._lever_at: int | None = None
        self._marks: list[Scenario] = []
        self._visible: tuple[tuple[int, ...], tuple[int, ...]] = (), ()
        self._known: dict[Scenario, Answer] = {}
        self._moved_at = 0.0
        self._stale = True
        self._drawer = False

    def compose(self) -> ComposeResult:
        """Title, table and side, a line of words that a filter is typed into, and the keys."""
        yield ModeBar("plan")
        yield Line(id="too-small")
        yield Line(id="title")
        with Horizontal(id="body"):
            yield MatrixView(id="matrix")
            yield PlanSide(id="side")
        yield Line(id="status")
        yield Input(id="wanted", placeholder="rows / columns, such as: qwen3 moe, gemma / h100, b200")
        yield KeyLine()

    def on_mount(self) -> None:
        """Follow the session and the theme."""
        self._unsubscribe = self.session.subscribe(self._scenario_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self.redraw))
        self.call_later(self.query_one(KeyLine).fill)
        self.query_one("#wanted", Input).display = False

    def on_unmount(self) -> None:
        """Let go of the session."""
        self._unsubscribe()

    def on_resize(self, event: Resize) -> None:
        """Share the height out anew, and draw."""
        width, height = event.size
        small = width < LEAST_COLUMNS or height < LEAST_ROWS
        self.set_class(small, "-too-small")
        words = f"kvtui needs {LEAST_COLUMNS}x{LEAST_ROWS}, this is {width}x{height}"
        self.call_after_refresh(self.query_one("#too-small", Line).show, (Span(words),))
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
        return None if action in TABLE_ACTIONS and not self._sheets else True

    def redraw(self) -> None:
        """Draw everything as it is now."""
        if not self._sheets or self.has_class("-too-small"):
            return
        self._draw_title()
        self._draw_table()
        self._draw_levers()

    @property
    def sheet(self) -> Sheet:
        """The table that is shown, with the answers known so far."""
        return self._sheets[self._view]

    @property
    def selected(self) -> Detail:
        """The cell under the cursor; it is worked out at once if it is not known."""
        row, column = self._cursor
        found = self.sheet.table
        names = found.rows[row], found.columns[column]
        model, device = names if self._view == "models" else (found.scenario.model.name, names[0])
        try:
            scenario: Scenario | None = found.at(row, column)
        except InputError as error:
            return Detail(clean(model), clean(device), None, Answer(reason=str(error)))
        assert scenario is not None
        known = self.sheet.answers.get(self._cursor) or self._answer(scenario)
        return Detail(clean(model), clean(device), scenario, known)

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor of the table, or of the levers."""
        self._moved_at = time.monotonic()
        if self._lever_at is not None:
            self._lever_at = max(0, min(self._lever_at + rows, len(self._levers) - 1))
            self._draw_levers()
            return
        shown_rows, shown_columns = self._shown()
        if not shown_rows or not shown_columns:
            return
        row, column = self._places(shown_rows, shown_columns)
        row = max(0, min(row + rows, len(shown_rows) - 1))
        column = max(0, min(column + columns, len(shown_columns) - 1))
        self._cursor = shown_rows[row], shown_columns[column]
        self._draw_table()

    def action_own(self) -> None:
        """To the scenario's own cell, or to the first lever."""
        if self._lever_at is not None:
            self._lever_at = 0
            self._draw_levers()
            return
        self._cursor = self._own
        self._draw_table()

    def action_switch(self) -> None:
        """Let the cursor keys move in the levers, or in the table again."""
        if self._lever_at is None and not self._levers:
            self._app.tell("no levers yet")
            return
        self._use_levers(0 if self._lever_at is None else None)
        if self._lever_at is not None and not self._side.display:
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
        self._metric = METRICS[(METRICS.index(self._metric) + by) % len(METRICS)]
        self._levers = self._in_order(self._levers)
        self._draw_table()
        self._draw_levers()

    def action_view(self) -> None:
        """Show the next table: models, KV formats, weight formats."""
        names = list(VIEWS)
        self._view = names[(names.index(self._view) + 1) % len(names)]
        self._sorting, self._wanted = None, ""
        self._begin()

    def action_order(self) -> None:
        """Sort the rows by the column under the cursor, then from the other end, then not at all."""
        column, before = self._cursor[1], self._sorting
        if before is None or before.column != column:
            self._sorting = Sorting(column)
        else:
            self._sorting = Sorting(column, "worst first") if before.order == "best first" else None
        rows, _ = self._shown()
        if rows and self._sorting is not None:
            self._cursor = rows[0], column
        self._draw_table()

    def action_filter(self) -> None:
        """Type what rows and columns are to be named."""
        field = self.query_one("#wanted", Input)
        field.value = self._wanted
        field.display = True
        self.query_one("#status").display = False
        field.focus()

    def action_unfilter(self) -> None:
        """Show everything again, and move in the table."""
        self._use_levers(None)
        self.query_one("#wanted", Input).value = ""
        self._wanted = ""
        self._end_filter()
        self.redraw()

    def action_take(self) -> None:
        """Put the lever, or the cell under the cursor, into the scenario."""
        if self._lever_at is not None:
            self._apply(self._levers[self._lever_at])
            return
        row, column = self._cursor
        if self.selected.scenario is None:
            self._app.tell(self.selected.answer.reason)
            return
        fields = self.sheet.table.fields(row, column)
        self._attempt(lambda session: session.change(**fields))

    def action_mark(self) -> None:
        """Mark the cell under the cursor for comparison, or take its mark away."""
        scenario = self.selected.scenario
        if scenario is None:
            self._app.tell(self.selected.answer.reason)
        elif scenario in self._marks:
            self._marks.remove(scenario)
        elif len(self._marks) == MOST_MARKS:
            self._app.tell(f"{MOST_MARKS} are marked already: take one away first")
        else:
            self._marks.append(scenario)
        self._draw_table()

    def action_compare(self) -> None:
        """Show what is marked side by side; a single one beside the scenario."""
        marked = list(self._marks)
        if len(marked) < 2:
            own = self.session.scenario
            others = marked or [scenario for scenario in (self.selected.scenario,) if scenario is not None]
            marked = [own, *(scenario for scenario in others if scenario != own)]
        if len(marked) < 2:
            self._app.tell("mark cells to compare, or go to another one")
            return
        from kvtui.screens.plan.compare import CompareScreen

        self._app.push_screen(CompareScreen(tuple(marked)))

    def action_explain(self, about: str | None = None) -> None:
        """Explain the figure of the cell under the cursor."""
        from kvtui.screens.windows.explain import ExplainScreen

        scenario = self.selected.scenario
        if scenario is None:
            self._app.tell(self.selected.answer.reason)
            return
        try:
            shown = Session(scenario)
            _ = shown.plan
        except InputError as error:
            self._app.tell_error(error)
        else:
            self._app.push_screen(ExplainScreen(shown, about or TOPICS[self._metric.key]))

    def action_pick_engine(self) -> None:
        """Choose an engine and its release."""
        from kvtui.screens.plan.pickers import EnginePicker

        self._app.push_screen(EnginePicker(self.session))

    def action_set_option(self) -> None:
        """Type any option with its value."""
        from kvtui.screens.plan.pickers import option_prompt

        self._app.push_screen(option_prompt(self.session))

    def action_lever(self, at: int) -> None:
        """Go to a lever; the one under the cursor is applied."""
        if self._lever_at == at:
            self._apply(self._levers[at])
        else:
            self._use_levers(at)

    @property
    def command(self) -> str:
        """The command line of the cell under the cursor."""
        from kvtui.engine.scenario.values import command_line

        chosen = self.selected.scenario if self._sheets else None
        return f"kvtui {command_line(chosen or self.session.scenario)}"

    def export_forms(self) -> tuple[Form, ...]:
        """The table as files."""
        from kvtui.screens.plan.export import forms

        if not self._sheets:
            return ()
        rows, columns = self._shown()
        return forms(self.sheet, rows, columns, self._metric, metric_title(self._metric, self.session.scenario))

    @on(Input.Changed, "#wanted")
    def filter_typed(self, event: Input.Changed) -> None:
        """Show what is named."""
        self._wanted = event.value
        rows, columns = self._shown()
        row, column = self._cursor
        if rows and columns:
            self._cursor = row if row in rows else rows[0], column if column in columns else columns[0]
        self._draw_table()

    @on(Input.Submitted, "#wanted")
    def filter_taken(self) -> None:
        """Keep the filter, and go back to the table."""
        self._end_filter()

    def on_matrix_view_pointed(self, message: MatrixView.Pointed) -> None:
        """Go to what was clicked; a click on the cursor takes the cell, one on a column's head sorts by it."""
        rows, columns = self._shown()
        row, column = self._cursor
        self._use_levers(None)
        if message.row is not None and message.column is not None:
            before, self._cursor = self._cursor, (rows[message.row], columns[message.column])
            if before == self._cursor:
                self.action_take()
        elif message.column is not None:
            self._cursor = row, columns[message.column]
            self.action_order()
        elif message.row is not None:
            self._cursor = rows[message.row], column
        self.redraw()

    def on_matrix_view_scrolled(self, message: MatrixView.Scrolled) -> None:
        """Move with the wheel."""
        self._use_levers(None)
        self.action_move(message.rows, message.columns)

    def on_panel_column_clicked(self, message: PanelColumn.Clicked) -> None:
        """Do what the clicked row says."""
        self.run_worker(self.run_action(message.action), exclusive=False)

    def _use_levers(self, at: int | None) -> None:
        """Let the cursor be on a lever, or with None in the table."""
        before, self._lever_at = self._lever_at, at
        if (before is None) != (at is None):
            self._share_out()
            self.call_after_refresh(self._draw_levers)
        else:
            self._draw_levers()

    def _share_out(self) -> None:
        width, height = self.size
        self._side.share_out(width, height - AROUND_ROWS, self._lever_at is not None)

    def _scenario_changed(self, change: Change) -> None:
        self._stale = True
        if self.is_current and self._sheets:
            self._begin()

    def _catch_up(self) -> None:
        """After the screen was away: begin anew if the scenario changed, else go on with what is left."""
        if not self.is_current:
            return
        if not self._sheets:
            self.run_worker(self._load, thread=True, exclusive=True, group="plan")
        elif self._stale:
            self._begin()
        else:
            self._work()
            self.redraw()

    def _load(self) -> None:
        """In a thread: read the catalogues, which takes a moment the first time, then begin."""
        with suppress(InputError):
            table(self.session.scenario, self._view)
        self._from_thread(self._begin)

    def _begin(self) -> None:
        """The tables of the scenario of now; those whose cells are the same keep what is known."""
        scenario, first = self.session.scenario, not self._sheets
        if self._stale:
            self._sheets = {view: sheet for view, sheet in self._sheets.items() if sheet.table.same_cells(scenario)}
            self._known.clear()
            self._stale = False
        try:
            if self._view not in self._sheets:
                self._sheets[self._view] = Sheet(table(scenario, self._view))
                self._own = -1, -1
        except InputError as error:
            self._app.tell_error(error)
            return
        own = self.sheet.table.place(scenario) or (0, 0)
        if own != self._own:
            self._own = self._cursor = own
        if self._levers_of != scenario:
            self._levers, self._lever_at = [], None
            self._side.show_frontier(scenario)
        self._work()
        self.redraw()
        if first:
            self.refresh_bindings()

    def _work(self) -> None:
        sheet, scenario = self.sheet, self.session.scenario
        self.run_worker(partial(self._run, sheet, scenario), thread=True, exclusive=True, group="plan")

    def _run(self, sheet: Sheet, scenario: Scenario) -> None:
        """In a thread: the levers, then the table piece by piece; nothing while the cursor is being moved."""
        worker = get_current_worker()
        if self._levers_of != scenario:
            found: Levers = []
            for lever in levers(scenario):
                found.append(lever)
                self._give_way(worker)
                if worker.is_cancelled:
                    return
            self._from_thread(partial(self._take_levers, scenario, found))
        shown = time.monotonic()
        while not worker.is_cancelled and (piece := sheet.take(*self._in_sight())) is not None:
            sheet.work_out(piece)
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

    def _in_sight(self) -> tuple[tuple[int, ...], tuple[int, ...], int | None]:
        rows, columns = self._visible
        return rows, columns, None if self._sorting is None else self._sorting.column

    def _from_thread(self, action: Callable[[], None]) -> None:
        """Let the app do ``action`` if the screen is still there by then, and is not just being taken down."""

        def act() -> None:
            if self.is_attached:
                with suppress(NoMatches):
                    action()

        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(act)

    def _take_levers(self, scenario: Scenario, found: Levers) -> None:
        if scenario == self.session.scenario:
            self._levers_of, self._levers = scenario, self._in_order(found)
            self._draw_levers()

    def _answers_changed(self, sheet: Sheet) -> None:
        if self._sheets.get(self._view) is sheet and self.is_current:
            self._draw_table()

    def _in_order(self, found: Levers) -> Levers:
        """The levers ranked by the figure that is shown, and behind them those that gain nothing."""
        by: Measure = next((measure for measure in MEASURES if measure == self._metric.key), "max_sequences")
        return [*ranked(found, by), *(lever for lever in found if isinstance(lever, Idle))]

    def _apply(self, lever: Lever | Idle) -> None:
        if isinstance(lever, Idle):
            self._app.tell(f"{lever.name}: {lever.reason}")
        else:
            self._attempt(lambda session: session.change(**lever.fields))

    def _answer(self, scenario: Scenario) -> Answer:
        if scenario not in self._known:
            self._known[scenario] = answer(scenario)
        return self._known[scenario]

    def _end_filter(self) -> None:
        field = self.query_one("#wanted", Input)
        field.display = False
        self.query_one("#status").display = True
        self.set_focus(None)
        self.call_after_refresh(self.redraw)

    def _shown(self) -> tuple[list[int], list[int]]:
        """The rows and columns of the table that are shown, in their order."""
        sheet = self.sheet
        return sheet.rows(self._wanted, self._metric, self._sorting), sheet.columns(self._wanted)

    def _places(self, rows: list[int], columns: list[int]) -> MatrixPlace:
        """Where the cursor stands among what is shown."""
        row, column = self._cursor
        return rows.index(row) if row in rows else 0, columns.index(column) if column in columns else 0

    def _draw_title(self) -> None:
        title = self.query_one("#title", Line)
        scenario = self.session.scenario
        title.show(title_row(scenario, self._answer(scenario), title.size.width))

    def _draw_table(self) -> None:
        """The table, and with it the cell under the cursor."""
        if not self._sheets or self.has_class("-too-small"):
            return
        sheet, found = self.sheet, self.sheet.table
        rows, columns = self._shown()
        cursor = self._places(rows, columns)
        own = self._own
        grid = Grid(
            rows=[clean(found.rows[row]) for row in rows],
            columns=[clean(found.columns[column]) for column in columns],
            cell=lambda row, column: cell_text(self._metric, sheet.answers.get((rows[row], columns[column]))),
            width=cell_width(self._metric),
            cursor=cursor,
            own=(rows.index(own[0]), columns.index(own[1])) if own[0] in rows and own[1] in columns else None,
            marks=self._marked_places(rows, columns),
            sorted_by=self._sorted_by(columns),
            corner="model" if self._view == "models" else "device",
            title=f"{metric_title(self._metric, self.session.scenario)} · {VIEWS[self._view]}",
            foot=self._foot(rows, columns),
        )
        view = self.query_one("#matrix", MatrixView)
        view.show(grid)
        self._visible = (
            tuple(rows[row] for row in view.sight.rows),
            tuple(columns[column] for column in view.sight.columns),
        )
        self._draw_cell()

    def _draw_cell(self) -> None:
        detail = self.selected
        self._side.show_cell(detail, self._marks)
        status = self.query_one("#status", Line)
        words = status_words(detail, self._metric)
        status.show((Span(fit(f" {words}", status.size.width), Ink.DIM),))

    def _draw_levers(self) -> None:
        self._side.show_levers(self._levers, self._lever_at, self._levers_of != self.session.scenario)

    def _marked_places(self, rows: list[int], columns: list[int]) -> dict[MatrixPlace, str]:
        found: dict[MatrixPlace, str] = {}
        for number, scenario in enumerate(self._marks, 1):
            place = self.sheet.table.place(scenario)
            if place is not None and place[0] in rows and place[1] in columns:
                found[rows.index(place[0]), columns.index(place[1])] = str(number)
        return found

    def _sorted_by(self, columns: list[int]) -> tuple[int, str] | None:
        if self._sorting is None or self._sorting.column not in columns:
            return None
        return columns.index(self._sorting.column), ORDERS[self._sorting.order]

    def _foot(self, rows: list[int], columns: list[int]) -> str:
        """How much is shown and known, and what the filter is."""
        sheet, found = self.sheet, self.sheet.table
        words = [f"{len(rows)} of {len(found.rows)} rows", f"{len(columns)} of {len(found.columns)} columns"]
        if len(sheet.answers) < sheet.cells:
            words.append(f"{len(sheet.answers):,} of {sheet.cells:,} known")
        if self._wanted.strip():
            words.append(f"only {clean(self._wanted)}")
        return " · ".join(words)

    @property
    def _side(self) -> PlanSide:
        return self.query_one(PlanSide)

    @property
    def _app(self) -> KvtuiApp:
        return cast("KvtuiApp", self.app)
