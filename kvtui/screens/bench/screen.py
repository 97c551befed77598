"""Mode 4, Bench: choose what is measured, watch it run, and read, sort, draw and compare what came of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import DataTable, OptionList, Static

from kvtui import __version__
from kvtui.bench import store
from kvtui.bench.compare import Comparison, compare
from kvtui.bench.rate import offered
from kvtui.bench.runner import INSTALL
from kvtui.canvas.cells import Span, fit
from kvtui.canvas.memory.panels.text import wrapped
from kvtui.canvas.palette import Ink
from kvtui.cases.groups import NAMES
from kvtui.cases.table import ColumnValues, is_number
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Figure
from kvtui.screens import bindings
from kvtui.screens.bench.choice import Choice, seconds_per_case
from kvtui.screens.bench.figures import worth_showing
from kvtui.screens.bench.groups import GroupList
from kvtui.screens.bench.panels import (
    INTRO,
    choice_section,
    log_rows,
    log_section,
    machine_name,
    machine_section,
    progress_section,
    rounded,
)
from kvtui.screens.bench.results import ResultTable
from kvtui.screens.bench.run import LiveRun, Snapshot, waiting
from kvtui.screens.bench.runs import RunPicker, stored_runs
from kvtui.screens.bench.table import Table, comparison, results
from kvtui.state.host import Host, host_of
from kvtui.state.session import Change, Session
from kvtui.state.settings import Settings
from kvtui.widgets.key_line import KeyLine
from kvtui.widgets.key_name import first_key
from kvtui.widgets.mode_bar import ModeBar
from kvtui.widgets.panels import Line, PanelColumn, Section, choose
from kvtui.widgets.plot import PlotView

LOOKS_PER_SECOND = 4
FIGURE_SECONDS = 0.5
LEAST_COLUMNS, LEAST_ROWS = 60, 18
SHORT_ROWS = 34
Source = Literal["predicted", "stored", "live"]
View = Literal["both", "table", "figure", "log"]
VIEWS: tuple[View, ...] = ("both", "table", "figure", "log")


class BenchScreen(Screen[None]):
    """Groups and progress at the left; the table of results and a figure at the right.

    Runs are kept in the folder ``out``; ``command`` starts another worker than this interpreter's.
    """

    CSS_PATH = Path(__file__).with_name("bench.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.BENCH

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        out: Path | None = None,
        worker: Sequence[str] | None = None,
    ) -> None:
        super().__init__(id="bench")
        self.session, self.settings = session, settings
        self.choice = Choice()
        self.view: View = "both"
        self._out, self._worker = out or Path(store.OUT), worker
        self._source: Source = "predicted"
        self._stored: store.Stored | None = None
        self._live: LiveRun | None = None
        self._other: store.Stored | None = None
        self._comparison: Comparison | None = None
        self._runs: tuple[tuple[Path, ColumnValues], ...] = ()
        self._seen: Snapshot | None = None
        self._figure, self._panel = "", 0
        self._figure_names: tuple[str, ...] = ()
        self._figure_drawn = 0.0
        self._figure_old = False
        self._sort: str | None = None
        self._descending = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """The title, groups and words at the left, table and figure at the right, and the keys."""
        yield ModeBar("bench")
        yield Line(id="too-small")
        yield Line(id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield GroupList(id="groups")
                yield PanelColumn(id="panels")
            with Vertical(id="right"):
                yield Static(Content("\n").join(map(Content, INTRO)), id="intro", markup=False)
                yield ResultTable(id="results")
                yield Line(id="detail")
                yield Line(id="caption")
                yield PlotView(id="plot")
                yield PanelColumn(id="log")
        yield KeyLine()

    async def on_mount(self) -> None:
        """Follow the session, and show the newest run there is."""
        self._unsubscribe = self.session.subscribe(self._scenario_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self.redraw))
        self._timer = self.set_interval(1 / LOOKS_PER_SECOND, self._look, pause=True)
        await self.query_one(KeyLine).fill()
        self.query_one(GroupList).show(self.choice)
        self.query_one(ResultTable).focus()
        self.run_worker(self._find_runs, thread=True, exclusive=True, group="runs")

    def on_unmount(self) -> None:
        """Let go of the session."""
        self._unsubscribe()

    def on_resize(self, event: Resize) -> None:
        """Choose what there is room for."""
        small = event.size.width < LEAST_COLUMNS or event.size.height < LEAST_ROWS
        self.set_class(small, "-too-small")
        if small:
            words = f"kvtui needs {LEAST_COLUMNS}x{LEAST_ROWS}, this is {event.size.width}x{event.size.height}"
            self.query_one("#too-small", Line).show((Span(words),))
        self.call_after_refresh(self.redraw)

    def on_screen_resume(self) -> None:
        """Show what came meanwhile."""
        self.call_after_refresh(self.redraw)

    @property
    def command(self) -> str:
        """The command line that gives what is shown."""
        if self._comparison is not None and self._stored is not None and self._other is not None:
            return f"kvtui bench --compare {_quoted(self._stored.folder)} {_quoted(self._other.folder)}"
        if self._source == "stored" and self._stored is not None:
            return f"kvtui bench --plot-only --out {_quoted(self._stored.folder)}"
        return self.choice.words

    @property
    def shown(self) -> store.Stored | None:
        """The run whose results are shown; None while they are only predicted."""
        if self._source == "live" and self._live is not None:
            return self._live.stored()
        return self._stored if self._source == "stored" else None

    def redraw(self) -> None:
        """Draw everything as it is now."""
        if not self.is_mounted or self.has_class("-too-small"):
            return
        for name in VIEWS:
            self.set_class(name == self._view, f"-view-{name}")
        self.set_class(self._live is None and self._comparison is None, "-intro")
        self._draw_title()
        self._draw_table()
        self._draw_words()
        self._draw_figure()

    def action_run_benchmark(self) -> None:
        """Start what is chosen, or go on with the unfinished run that is shown."""
        if self._going is not None:
            self._tell("a benchmark is going on: p pauses it, c cancels it")
            return
        if find_spec("jax") is None:
            self.app.notify(f"bench: {INSTALL}", severity="error", markup=False)
            return
        run = self._stored if self._source == "stored" else None
        if run is not None and run.about and run.about.get("finished") is None:
            folder = run.folder
            self._start(lambda: store.Writer.again(folder))
        elif not self.choice.sweep.jobs:
            self._tell("no group is chosen: enter chooses the one under the cursor, a all of them")
        else:
            choice, out = self.choice, self._out
            about = {"kvtui": __version__, **choice.about()}
            self._start(lambda: store.Writer.begin(out, choice.sweep, about))

    def action_pause_benchmark(self) -> None:
        """Pause when the case under way has ended, or go on."""
        run = self._going
        if run is None:
            self._tell("no benchmark is going on")
        elif run.now.pausing or run.now.state == "paused":
            run.resume()
        else:
            run.pause()
        self._look()

    def action_cancel_benchmark(self) -> None:
        """End the benchmark; what was measured stays."""
        if self._going is None:
            self._tell("no benchmark is going on")
        else:
            self._going.cancel()

    def action_next_size(self) -> None:
        """The next size of benchmark."""
        self._choose(self.choice.next_size())

    def action_all_groups(self) -> None:
        """Choose all groups, or none if they are."""
        self._choose(replace(self.choice, groups=() if self.choice.groups == NAMES else NAMES, decode=False))

    def action_decode_benchmark(self) -> None:
        """The decode benchmark in place of the sweep, or the sweep again."""
        self._choose(replace(self.choice, decode=not self.choice.decode))

    def action_open_run(self) -> None:
        """Ask which run to show."""
        current = self.shown
        self.host.open(RunPicker("show which run", self._out, None if current is None else current.folder, self._open))

    def action_compare_runs(self) -> None:
        """Ask which run to compare the one shown with."""
        run = self.shown
        if run is None:
            self._tell("open a run first, then another to compare it with")
            return
        self.host.open(RunPicker(f"compare {plain(run.folder.name)} with", self._out, None, self._compare))

    def action_back(self) -> None:
        """From a comparison to the run, from another run to the one that is going on."""
        if self._comparison is not None:
            self._comparison = None
        elif self._live is not None:
            self._source = "live"
        elif self._stored is not None:
            self._source = "stored"
        self._renew()

    def action_figure(self, by: int) -> None:
        """Leaf through the figures; where none is shown, show the one that was left."""
        if self._view in ("table", "log"):
            self.view = "figure"
        elif names := self._figure_names:
            self._figure, self._panel = names[(self._figure_at + by) % len(names)], 0
        self.redraw()
        self.call_after_refresh(self.redraw)

    def action_next_panel(self) -> None:
        """The next panel of a figure whose panels have no room beside each other."""
        self._panel += 1
        self._draw_figure()

    def action_next_view(self) -> None:
        """Table and figure, one of them, or the log."""
        views = [view for view in VIEWS if view != "both" or not self._short]
        self.view = views[(views.index(self._view) + 1) % len(views)]
        self.call_after_refresh(self.redraw)
        self.redraw()

    def action_sort(self) -> None:
        """Sort by the next column, and in the end by none."""
        keys = [None, *(column.key for column in self.query_one(ResultTable).columns_shown if column.title.strip())]
        self._sort = keys[(keys.index(self._sort) + 1) % len(keys)] if self._sort in keys else None
        self._descending = False
        self._draw_table()

    def action_descending(self) -> None:
        """Turn the order round."""
        self._descending = not self._descending
        self._draw_table()

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
        scenario, run = self.session.scenario, self.shown
        rate = None if run is None else offered(run)
        try:
            if scenario.bandwidth_gbs is not None:
                self.session.change(bandwidth_gbs=None)
                self._tell(f"{scenario.device.name}: published bandwidth and priors again")
            elif rate is None:
                self._tell("nothing measured yet that a plan could use")
            else:
                self.session.change(bandwidth_gbs=rounded(rate))
                self._tell(f"plans decode with {rounded(rate):g} GB/s ({plain(rate.source)}); b undoes it")
        except InputError as error:
            self.host.tell_error(error)

    @on(OptionList.OptionSelected, "#groups")
    def choose_group(self, event: OptionList.OptionSelected) -> None:
        """Choose a group, or not."""
        name = str(event.option.id)
        if name == GroupList.DECODE:
            self.action_decode_benchmark()
        else:
            self._choose(self.choice.toggled(name))

    @on(ResultTable.Described)
    def describe(self, event: ResultTable.Described) -> None:
        """Say everything about the row under the cursor."""
        detail = self.query_one("#detail", Line)
        line = event.line
        ink = Ink.DIM if line is None else Ink.BAD if line.bad else Ink.TEXT
        detail.show((Span(fit("" if line is None else line.about, detail.size.width), ink),))

    @on(DataTable.HeaderSelected, "#results")
    def sort_by(self, event: DataTable.HeaderSelected) -> None:
        """Sort by the column that was clicked; a second click turns the order."""
        key = str(event.column_key.value)
        self._descending = not self._descending if key == self._sort else False
        self._sort = key
        self._draw_table()

    @on(PanelColumn.Clicked)
    def click(self, event: PanelColumn.Clicked) -> None:
        """Do what the clicked row says."""
        self.run_worker(self.run_action(event.action), exclusive=False)

    @on(PlotView.Drawn)
    def caption(self) -> None:
        """Say which of how many figures this is."""
        line = self.query_one("#caption", Line)
        names, width = self._figure_names, line.size.width
        if not names or not width:
            return
        app = self.host
        keys = f"{first_key(app, 'figure-previous')} {first_key(app, 'figure-next')} other figures"
        if self.query_one(PlotView).hidden_panels:
            keys += f"  {first_key(app, 'figure-panel')} next panel"
        words = f"figure {self._figure_at + 1} of {len(names)}"
        line.show((Span("─" * 2, Ink.FRAME), Span(f" {words} ", Ink.DIM), Span(fit(f" {keys} ", width), Ink.FAINT)))

    @property
    def host(self) -> Host:
        """The app."""
        return host_of(self.app)

    @property
    def _going(self) -> LiveRun | None:
        """The run that is going on."""
        return self._live if self._live is not None and not self._live.now.over else None

    @property
    def _short(self) -> bool:
        return self.size.height < SHORT_ROWS

    @property
    def _view(self) -> View:
        return "table" if self.view == "both" and self._short else self.view

    @property
    def _figure_at(self) -> int:
        """The place of the figure shown: the one that was chosen, or the first while that has nothing to show."""
        return self._figure_names.index(self._figure) if self._figure in self._figure_names else 0

    def _tell(self, text: str) -> None:
        self.app.notify(text, markup=False)

    def _start(self, begin: object) -> None:
        self._live = LiveRun(begin, self._worker)  # type: ignore[arg-type]
        self.host.benchmark = self._live
        self._source, self._comparison, self._seen = "live", None, None
        self._live.start()
        assert self._timer is not None
        self._timer.resume()
        self._renew()

    def _choose(self, choice: Choice) -> None:
        """Take another choice, and show what it would measure unless something is going on."""
        self.choice = choice
        self.query_one(GroupList).show(choice)
        if self._going is None:
            self._source, self._comparison = "predicted", None
        self._renew()

    def _open(self, path: Path) -> None:
        """Show the run at ``path``. Raises InputError."""
        live = self._live
        if live is not None and live.folder == path:
            self._source = "live"
        else:
            self._stored, self._source = _read(path), "stored"
        self._comparison = None
        self._renew()

    def _compare(self, path: Path) -> None:
        """Compare the run shown with the one at ``path``. Raises InputError."""
        run = self.shown
        assert run is not None
        self._other = _read(path)
        self._comparison = compare(run, self._other)
        if self._source == "stored":
            self._stored = run
        self._renew()

    def _renew(self) -> None:
        """Something else is shown than before."""
        self._sort, self._descending = None, False
        self._figure_old = True
        self.redraw()
        self.call_after_refresh(self.redraw)

    def _find_runs(self) -> None:
        """In a thread: which runs there are, and the newest of them."""
        runs = stored_runs(self._out)
        newest: store.Stored | None = None
        for folder, _ in runs:
            try:
                newest = _read(folder)
                break
            except InputError:
                continue
        self.app.call_from_thread(self._take_runs, runs, newest)

    def _take_runs(self, runs: tuple[tuple[Path, ColumnValues], ...], newest: store.Stored | None) -> None:
        self._runs = runs
        if newest is not None and self._source == "predicted" and self._stored is None:
            self._stored, self._source = newest, "stored"
        self._renew()

    def _look(self) -> None:
        """See how far the run is, and draw what is new."""
        live = self._live
        if live is None:
            return
        now = live.now
        if now == self._seen:
            self._draw_figure_if_old()
            return
        before, self._seen = self._seen, now
        watched = self._source == "live" and self._comparison is None
        if now.over and self._timer is not None:
            self._timer.pause()
            self._over(now)
        if self.app.screen is not self and self.app.screen_stack[0] is not self:
            return
        fresh = before is None or now.done != before.done or now.over or now.total != before.total
        self._draw_title()
        self._draw_words()
        if watched:
            self._draw_table()
            self._figure_old = self._figure_old or fresh
            self._draw_figure_if_old(at_once=now.over)

    def _over(self, now: Snapshot) -> None:
        """A run has ended: say so, wherever the user is."""
        live = self._live
        assert live is not None
        match now.state:
            case "failed":
                self.app.notify(now.message, title="benchmark failed", severity="error", markup=False)
            case "cancelled":
                self._tell(f"cancelled; {now.done} of {now.total} cases are kept")
            case _:
                failed = sum(1 for row in live.rows if row["status"] not in (None, "ok"))
                self._tell(f"benchmark done: {now.total} cases{f', {failed} rows failed' if failed else ''}")
        self._runs = stored_runs(self._out)
        stored = live.stored()
        if stored is not None and stored.measured:
            self._stored = stored
            if self._source == "live":
                self._source = "stored"
        elif self._source == "live":
            self._source = "predicted" if self._stored is None else "stored"

    def _scenario_changed(self, change: Change) -> None:
        self._draw_words()

    def _draw_title(self) -> None:
        line = self.query_one("#title", Line)
        line.show((Span(fit(f" {self._title()}", line.size.width), Ink.BRIGHT),))

    def _title(self) -> str:
        run = self.shown
        if self._comparison is not None and run is not None and self._other is not None:
            found = self._comparison
            hosts = ", ".join(name for name, _, _ in found.hosts)
            differ = f" · machines differ in {hosts}" if hosts else ""
            counts = f"{len(found.changed)} of {len(found.rows)} differ beyond noise"
            loads = [one.host.get("load_average") for one in (run, self._other)]
            busy = f" · load {loads[0]:.1f} and {loads[1]:.1f}" if all(map(is_number, loads)) else ""
            return f"A {plain(run.folder.name)}  B {plain(self._other.folder.name)} · {counts}{busy}{differ}"
        if run is None or (self._source == "predicted"):
            return f"{self.choice.what} {self.choice.size} · predicted, not measured"
        about, host = run.about, run.host
        parts = [plain(run.folder.name, limit=60)]
        if about:
            parts.append(plain(f"{about.get('what')} {about.get('size')}", limit=40))
        cases = len(run.measured) or len({row["case"] for row in run.rows})
        parts.append(f"{cases} case{'' if cases == 1 else 's'}")
        machine = machine_name(host)
        parts += [machine] if machine else []
        parts += [plain(f"JAX {host['jax']}", 20)] if host.get("jax") else []
        if about and about.get("finished") is None and self._going is None:
            parts.append(f"unfinished, {first_key(self.host, 'bench-run')} goes on")
        return " · ".join(parts)

    def _draw_table(self) -> None:
        table = self.query_one(ResultTable)
        if table.display:
            now = self._live.now if self._live is not None and self._source == "live" else None
            table.fill(self._table(), self._sort, self._descending, None if now is None else now.case)

    def _table(self) -> Table:
        if self._comparison is not None:
            return comparison(self._comparison)
        if self._source == "live" and self._live is not None:
            return results(self._live.rows)
        if self._source == "stored" and self._stored is not None:
            return results(self._stored.rows)
        return results(waiting(self.choice.sweep)[0])

    def _draw_words(self) -> None:
        column, log = self.query_one("#panels", PanelColumn), self.query_one("#log", PanelColumn)
        live = self._live
        lines = () if live is None else live.lines
        if log.display and log.size.height > 2:
            rows = log_rows(lines or ("nothing was run yet",), log.inner_width, log.size.height - 2)
            log.show((Section("log", rows),))
        width, height = column.inner_width, column.size.height
        if not column.display or width < 10:
            return
        sections = choose(self._sections(width), height)
        rest = height - sum(section.height for section in sections)
        found = log_section(lines, width, rest)
        column.show([*sections, found] if found is not None else sections)

    def _sections(self, width: int) -> list[Section]:
        app, live, run = self.host, self._live, self.shown
        found = []
        if live is not None and live.now.state != "finished":
            found.append(progress_section(live.now, self._case_name(live.now.case), width))
        if self._going is None:
            pace = seconds_per_case(self.choice, (about for _, about in self._runs))
            found.append(choice_section(self.choice, pace, first_key(app, "bench-size")))
        if find_spec("jax") is None:
            found.append(Section("JAX", wrapped(INSTALL, width, Ink.WARN), rank=0))
        if run is not None:
            found.append(machine_section(run, self.session.scenario, width, first_key(app, "bench-bandwidth")))
        return found

    def _case_name(self, case: str | None) -> str:
        live = self._live
        if live is None or case is None:
            return ""
        return next((f"{row['group']}, {row['label']}" for row in live.rows if row["case"] == case), "")

    def _draw_figure_if_old(self, at_once: bool = False) -> None:
        if self._figure_old and (at_once or time.monotonic() - self._figure_drawn >= FIGURE_SECONDS):
            self._draw_figure()

    def _draw_figure(self) -> None:
        plot, run = self.query_one(PlotView), self.shown
        if not plot.display or not plot.size.width:
            return
        self._figure_old, self._figure_drawn = False, time.monotonic()
        if run is None:
            plot.clear()
            self.query_one("#caption", Line).show(())
            return
        plot.show(partial(self._build, run, self._figure), self._panel)

    def _build(self, run: store.Stored, name: str) -> Figure:
        """In a thread: the figure called ``name``, or the first one."""
        found = worth_showing(run)
        self._figure_names = tuple(found)
        return found.get(name) or next(iter(found.values()))


def _read(path: Path) -> store.Stored:
    """The run at ``path``. Raises InputError."""
    try:
        return store.read(path)
    except OSError as error:
        raise InputError(f"{plain(str(path))}: cannot be read: {plain(error.strerror or str(error))}") from None


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
