"""Mode 4, Bench: choose what is measured, watch it run, and read, sort, draw and compare what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import DataTable, OptionList
from textual.worker import get_current_worker

from kvtui import __version__
from kvtui.bench import store
from kvtui.bench.bandwidth import not_of, offered
from kvtui.bench.runner import INSTALL
from kvtui.canvas.cells import Span, fit
from kvtui.canvas.palette import Ink
from kvtui.cases.groups import NAMES
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.places import confined
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Figure
from kvtui.screens import bindings
from kvtui.screens.bench import state as states
from kvtui.screens.bench.choice import Choice
from kvtui.screens.bench.figures import worth_showing
from kvtui.screens.bench.groups import GroupList
from kvtui.screens.bench.panels import (
    ended,
    finding_rows,
    first_card,
    log_rows,
    log_section,
    rounded,
    sections,
    title,
)
from kvtui.screens.bench.results import ResultTable
from kvtui.screens.bench.run import LiveRun
from kvtui.screens.bench.runs import RunPicker
from kvtui.screens.bench.state import VIEWS, BenchState, Live, Opened, Predicted, View
from kvtui.screens.bench.table import table_of
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import ScenarioChange, Session
from kvtui.widgets.figure import FigureView
from kvtui.widgets.key_name import first_key
from kvtui.widgets.panels import PanelColumn, Section, TextLine, choose

LOOKS_PER_SECOND = 4
FIGURE_SECONDS = 0.5
SHORT_ROWS = 34
CARD_FRAME = 4


class BenchScreen(ScenarioActions):
    """Groups and progress at the left; the table of results and a figure at the right.

    ``state`` is all that is shown; ``show`` takes another. Runs are kept in the folder ``out``; ``worker`` starts
    another worker than this interpreter's.
    """

    MODE = "bench"
    CSS_PATH = Path(__file__).with_name("bench.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.BENCH

    def __init__(self, session: Session, *, out: Path | None = None, worker: Sequence[str] | None = None) -> None:
        super().__init__(session)
        self.state = BenchState()
        self._out, self._worker = out or Path(store.OUT), worker
        self._benchmark: LiveRun | None = None
        self._looking: Timer | None = None
        self._figures: Mapping[str, Figure] = {}
        self._figures_of: store.StoredRun | None = None
        self._figures_at = 0.0
        self._drawing_up: store.StoredRun | None = None

    def body(self) -> ComposeResult:
        """The title, groups and words at the left, table and figure at the right."""
        yield TextLine(id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield GroupList(id="groups")
                yield PanelColumn(id="panels")
            with Vertical(id="right"):
                yield PanelColumn(id="intro")
                yield ResultTable(id="results")
                yield TextLine(id="detail")
                yield TextLine(id="caption")
                yield FigureView(id="plot")
                yield PanelColumn(id="log")

    def on_mount(self) -> None:
        """Show the newest run there is."""
        self._looking = self.set_interval(1 / LOOKS_PER_SECOND, self._look, pause=True)
        self.query_one(GroupList).show(self.state.choice)
        self.query_one(ResultTable).focus()
        self.run_worker(self._find_runs, thread=True, exclusive=True, group="runs")

    def on_screen_resume(self) -> None:
        """Show what came meanwhile."""
        self.call_after_refresh(self.redraw)
        self.call_after_refresh(self.query_one(FigureView).draw)

    @property
    def command(self) -> str:
        """The command line that gives what is shown."""
        return self.state.command

    @property
    def view(self) -> View:
        """What there is room for of the view that was asked for."""
        return "table" if self.state.view == "both" and self._short else self.state.view

    def show(self, state: BenchState) -> None:
        """Show ``state``, now and when its widgets have the sizes that it gives them."""
        self.state = state
        self.redraw()
        self.call_after_refresh(self.redraw)

    def redraw(self) -> None:
        """Draw everything as it is now."""
        if not self.is_mounted or self.too_small:
            return
        for name in VIEWS:
            self.set_class(name == self.view, f"-view-{name}")
        self._draw_title()
        self._draw_card()
        self._draw_table()
        self._draw_words()
        self._draw_figure()

    def scenario_changed(self, change: ScenarioChange) -> None:
        """The machine's panel says what the scenario's device could do."""
        self._draw_words()

    def begin(self, writer: Callable[[], store.Writer]) -> None:
        """Begin the run that ``writer`` opens, and show it."""
        self._benchmark = LiveRun(writer, self._worker)
        self.host.benchmark = self._benchmark
        self.show(states.begun(self.state, self._benchmark.now))
        self._benchmark.start()
        assert self._looking is not None
        self._looking.resume()

    def action_run_benchmark(self) -> None:
        """Start what is chosen, or go on with the unfinished run that is shown."""
        if self.state.going:
            self.host.tell("a benchmark is going on: p pauses it, c cancels it")
            return
        if confined() is not None:
            self.host.tell("a visitor's app measures nothing: kvtui bench does, on a machine of one's own")
            return
        if find_spec("jax") is None:
            self.app.notify(f"bench: {INSTALL}", severity="error", markup=False)
            return
        choice, out, unfinished = self.state.choice, self._out, self.state.unfinished
        if unfinished is not None:
            self.begin(partial(store.Writer.again, unfinished))
        elif not choice.sweep.jobs:
            self.host.tell("no group is chosen: enter chooses the one under the cursor, a all of them")
        else:
            self.begin(partial(store.Writer.begin, out, choice.sweep, {"kvtui": __version__, **choice.about()}))

    def action_pause_benchmark(self) -> None:
        """Pause when the case under way has ended, or go on."""
        run = self._benchmark
        if run is None or not self.state.going:
            self.host.tell("no benchmark is going on")
        elif run.now.pausing or run.now.state == "paused":
            run.resume()
        else:
            run.pause()
        self._look()

    def action_cancel_benchmark(self) -> None:
        """End the benchmark; what was measured stays."""
        if self._benchmark is None or not self.state.going:
            self.host.tell("no benchmark is going on")
        else:
            self._benchmark.cancel()

    def action_next_size(self) -> None:
        """The next size of benchmark."""
        self._choose(self.state.choice.next_size())

    def action_all_groups(self) -> None:
        """Choose all groups, or none if they are."""
        choice = self.state.choice
        self._choose(replace(choice, groups=() if choice.groups == NAMES else NAMES, decode=False))

    def action_decode_benchmark(self) -> None:
        """The decode benchmark in place of the sweep, or the sweep again."""
        self._choose(replace(self.state.choice, decode=not self.state.choice.decode))

    def action_open_run(self) -> None:
        """Ask which run to show."""
        run = self.state.run
        current = None if run is None else run.folder
        self.host.open(RunPicker("show which run", self._out, current, self._taking(states.opened)))

    def action_filter(self) -> None:
        """Search for a run."""
        self.action_open_run()

    def action_compare_runs(self) -> None:
        """Ask which run to compare the one shown with."""
        run = self.state.run
        if run is None:
            self.host.tell("open a run first, then another to compare it with")
            return
        asked = f"compare {plain(run.folder.name)} with"
        self.host.open(RunPicker(asked, self._out, None, self._taking(states.compared)))

    def action_back(self) -> None:
        """From a comparison to the run, from another run to the one that is going on."""
        self.show(states.back(self.state))

    def action_figure(self, by: int) -> None:
        """Leaf through the figures; where none is shown, show the one that was left."""
        if self.view in ("table", "log"):
            self.show(replace(self.state, view="figure"))
        else:
            self.show(replace(self.state, figure=states.next_figure(tuple(self._figures), self.state.figure, by)))

    def action_next_panel(self) -> None:
        """The next panel of a figure alone, and after the last all that have room."""
        self.query_one(FigureView).next_panel()

    def action_next_view(self) -> None:
        """Table and figure, one of them, or the log."""
        self.show(replace(self.state, view=states.next_view(self.view, self._short)))

    def action_sort(self) -> None:
        """Sort by the next column, and in the end by none."""
        keys = [column.key for column in self.query_one(ResultTable).columns_shown if column.title.strip()]
        self.show(replace(self.state, order=self.state.order.following(keys)))

    def action_descending(self) -> None:
        """Turn the order round."""
        self.show(replace(self.state, order=self.state.order.turned()))

    def action_toggle_groups(self) -> None:
        """Show or hide the left side."""
        self.toggle_class("-groups")
        if self.query_one("#left").display:
            self.query_one(GroupList).focus()
        else:
            self.query_one(ResultTable).focus()
        self.call_after_refresh(self.redraw)

    def action_bandwidth(self) -> None:
        """Let plans decode with the measured bandwidth, or with the published one again."""
        scenario, run = self.session.scenario, self.state.run
        rate = None if run is None else offered(run)
        try:
            if scenario.bandwidth_gbs is not None:
                self.session.change(bandwidth_gbs=None)
                self.host.tell(f"{scenario.device.name}: published bandwidth and priors again")
            elif rate is None or run is None:
                self.host.tell("nothing measured yet that a plan could use")
            elif other := not_of(run, scenario.device):
                self.host.tell(other)
            else:
                self.session.change(bandwidth_gbs=rounded(rate))
                key = self._key("bench-bandwidth")
                self.host.tell(f"plans decode with {rounded(rate):g} GB/s ({plain(rate.source)}); {key} undoes it")
        except InputError as error:
            self.host.tell_error(error)

    @on(OptionList.OptionSelected, "#groups")
    def choose_group(self, event: OptionList.OptionSelected) -> None:
        """Choose a group, or not."""
        name = str(event.option.id)
        if name == GroupList.DECODE:
            self.action_decode_benchmark()
        else:
            self._choose(self.state.choice.toggled(name))

    @on(ResultTable.Described)
    def describe(self, event: ResultTable.Described) -> None:
        """Say everything about the row under the cursor."""
        detail = self.query_one("#detail", TextLine)
        line = event.line
        ink = Ink.DIM if line is None else Ink.BAD if line.bad else Ink.TEXT
        detail.show((Span(fit("" if line is None else line.about, detail.size.width), ink),))

    @on(DataTable.HeaderSelected, "#results")
    def sort_by(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the column that was clicked; a second click turns the order."""
        self.show(replace(self.state, order=self.state.order.by(str(event.column_key.value))))

    @on(FigureView.Changed)
    def caption(self) -> None:
        """Say which of how many figures this is."""
        line, names = self.query_one("#caption", TextLine), tuple(self._figures)
        width = line.size.width
        if not names or not width:
            line.show(())
            return
        keys = f"{self._key('figure-previous')} {self._key('figure-next')} other figures"
        if self.query_one(FigureView).hidden_panels:
            keys += f"  {self._key('figure-panel')} next panel"
        words = f"figure {states.place(names, self.state.figure) + 1} of {len(names)}"
        line.show((Span("─" * 2, Ink.FRAME), Span(f" {words} ", Ink.DIM), Span(fit(f" {keys} ", width), Ink.FAINT)))

    @property
    def _short(self) -> bool:
        return self.size.height < SHORT_ROWS

    def _key(self, action: str) -> str:
        return first_key(self.host, action)

    def _choose(self, choice: Choice) -> None:
        """Take another choice, and show what it would measure unless something is going on."""
        self.query_one(GroupList).show(choice)
        self.show(states.chosen(self.state, choice))

    def _taking(self, after: Callable[[BenchState, store.StoredRun], BenchState]) -> Callable[[Path], None]:
        """What the picker does with the path of a run. Raises InputError."""
        return lambda path: self.show(after(self.state, _read(path)))

    def _find_runs(self) -> None:
        """In a thread: which runs there are, and the newest of them."""
        runs = store.runs_in(self._out)
        newest: store.StoredRun | None = None
        for folder, _ in runs:
            try:
                newest = _read(folder)
                break
            except InputError:
                continue
        self.app.call_from_thread(self._take_runs, runs, newest)

    def _take_runs(self, runs: Sequence[states.Run], newest: store.StoredRun | None) -> None:
        self.show(states.found(self.state, runs, newest))

    def _look(self) -> None:
        """See how far the run is, and draw what is new."""
        if self._benchmark is None:
            return
        now, before = self._benchmark.now, self.state.begun
        if now is before:
            self._draw_figure()
            return
        shown = self.state.shown
        self.state = states.looked(self.state, now)
        if now.over:
            self._end()
        if self.app.screen is not self and self.app.screen_stack[0] is not self:
            return
        if type(self.state.shown) is not type(shown):
            self.show(self.state)
        else:
            self._draw_title()
            self._draw_words()
            if isinstance(shown, Live):
                self._draw_table()
                self._draw_figure()

    def _end(self) -> None:
        """The run is over: say so, wherever the user is."""
        now = self.state.begun
        assert now is not None
        assert self._looking is not None
        self._looking.pause()
        self.state = replace(self.state, runs=store.runs_in(self._out))
        if now.state == "failed":
            self.app.notify(now.message, title="benchmark failed", severity="error", markup=False)
        else:
            self.host.tell(ended(now))

    def _draw_title(self) -> None:
        line = self.query_one("#title", TextLine)
        line.show((Span(fit(f" {title(self.state, self._key('bench-run'))}", line.size.width), Ink.BRIGHT),))

    def _draw_card(self) -> None:
        """What a run would do, or what the one that is shown found."""
        card, shown = self.query_one("#intro", PanelColumn), self.state.shown
        width, rows = max(20, self.query_one("#right").size.width - CARD_FRAME), []
        name, most = "what was found", max(3, self.size.height // (4 if self.view == "both" else 2) - CARD_FRAME)
        match shown:
            case Predicted() if self.state.begun is None:
                name, rows = "before the first run", first_card(self.state, self._key, width)
            case Opened(run):
                rows = finding_rows(run, width, most)
        self.set_class(bool(rows), "-intro")
        self.set_class(isinstance(shown, Predicted), "-predicted")
        card.styles.height = min(len(rows), most) + 2 if rows else 0
        if rows:
            self.call_after_refresh(card.show, [Section(name, rows[:most])])

    def _draw_table(self) -> None:
        table = self.query_one(ResultTable)
        if table.display:
            case = self.state.shown.now.case if isinstance(self.state.shown, Live) else None
            table.fill(table_of(self.state), self.state.order, case)

    def _draw_words(self) -> None:
        column, log = self.query_one("#panels", PanelColumn), self.query_one("#log", PanelColumn)
        lines = () if self.state.begun is None else self.state.begun.lines
        if log.display and log.size.height > 2:
            rows = log_rows(lines or ("nothing was run yet",), log.inner_width, log.size.height - 2)
            log.show((Section("log", rows),))
        width, height = column.inner_width, column.size.height
        if not column.display or width < 10:
            return
        missing = INSTALL if find_spec("jax") is None else ""
        found = choose(sections(self.state, self.session.scenario, width, self._key, missing), height)
        rest = height - sum(section.height for section in found)
        newest = log_section(lines, width, rest)
        column.show([*found, newest] if newest is not None else found)

    def _draw_figure(self) -> None:
        """Draw the figure that is asked for; while a run goes on, figures are drawn up anew only now and then."""
        plot, run = self.query_one(FigureView), self.state.run
        if not plot.display or not plot.size.width:
            return
        if run is None:
            self._figures, self._figures_of = {}, None
            plot.clear()
            self.caption()
            return
        if self._figures_of is not None and self._figures_of.folder != run.folder:
            self._figures, self._figures_of = {}, None
        if self._figures:
            figure = list(self._figures.values())[states.place(tuple(self._figures), self.state.figure)]
            if figure is not plot.shown:
                plot.show(figure)
        soon = self.state.going and time.monotonic() - self._figures_at < FIGURE_SECONDS
        if run is not self._figures_of and self._drawing_up is None and not soon:
            self._drawing_up = run
            self.run_worker(partial(self._draw_up, run), thread=True, group="figures")

    def _draw_up(self, run: store.StoredRun) -> None:
        """In a thread: the figures of ``run``."""
        figures = worth_showing(run)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._take_figures, run, figures)

    def _take_figures(self, run: store.StoredRun, figures: Mapping[str, Figure]) -> None:
        self._drawing_up, self._figures_at = None, time.monotonic()
        if self.state.run is not None and self.state.run.folder == run.folder:
            self._figures, self._figures_of = figures, run
        self._draw_figure()


def _read(path: Path) -> store.StoredRun:
    """The run at ``path``. Raises InputError."""
    try:
        return store.read(path)
    except OSError as error:
        raise InputError(f"{plain(str(path))}: cannot be read: {plain(error.strerror or str(error))}") from None
