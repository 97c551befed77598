"""Mode 2, Explore: figures of the scenario, of made-up shapes and of measured runs, to read out, enlarge and turn."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Input, OptionList

from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec
from kvtui.figures.catalogue import ENTRIES, CatalogueFigure, build
from kvtui.figures.figure import Figure
from kvtui.screens import bindings
from kvtui.screens.explore.list import FigureList
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import Change, Session
from kvtui.widgets.figure import FigureView
from kvtui.widgets.key_line import KeyLine
from kvtui.widgets.mode_bar import ModeBar
from kvtui.widgets.panels import Line, PanelColumn, Section
from kvtui.widgets.surface import SurfaceView

if TYPE_CHECKING:
    from kvtui.screens.windows.export import Form

LEAST_COLUMNS, LEAST_ROWS = 60, 18
MOST_MODELS = 4
RESULTS = Path("results")


class ExploreScreen(ScenarioActions, Screen[None]):
    """The list of figures and the parameters at the left, the figure at the right, and what the cursor reads out."""

    CSS_PATH = Path(__file__).with_name("explore.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.EXPLORE

    def __init__(self, session: Session) -> None:
        super().__init__(id="explore")
        self.session = session
        self.entry = ENTRIES[0]
        self._values: dict[str, dict[str, Any]] = {}
        self._models: list[ModelSpec] = []
        self._run: Path | None = None
        self._stale = True
        self._full = False

    def compose(self) -> ComposeResult:
        """Title, list and parameters, figure, a line of readings, and the keys."""
        yield ModeBar("explore")
        yield Line(id="too-small")
        yield Line(id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Input(id="wanted", placeholder="words, such as: context, surface")
                yield FigureList(id="figures")
                yield PanelColumn(id="form")
            with Vertical(id="right"):
                yield FigureView(id="figure", readable=True)
                yield SurfaceView(id="space")
        yield Line(id="reading")
        yield KeyLine()

    async def on_mount(self) -> None:
        """Follow the session and the theme."""
        self._unsubscribe = self.session.subscribe(self._scenario_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self.call_after_refresh(self._redraw))
        self.query_one("#wanted", Input).display = False
        self.space.display = False
        self.query_one(FigureList).fill("")
        self.query_one(FigureList).focus()
        await self.query_one(KeyLine).fill()

    def on_unmount(self) -> None:
        """Let go of the session."""
        self._unsubscribe()

    def on_resize(self, event: Resize) -> None:
        """Say what size is needed where it is too small, and draw."""
        width, height = event.size
        small = width < LEAST_COLUMNS or height < LEAST_ROWS
        self.set_class(small, "-too-small")
        if small:
            words = f"kvtui needs {LEAST_COLUMNS}x{LEAST_ROWS}, this is {width}x{height}"
            self.query_one("#too-small", Line).show((Span(words),))
        self.call_after_refresh(self._redraw)

    def on_screen_resume(self) -> None:
        """Draw the scenario of now if it changed behind another screen."""
        if self._stale:
            self.call_after_refresh(self.work_out)

    @property
    def view(self) -> FigureView:
        """The plane figure."""
        return self.query_one("#figure", FigureView)

    @property
    def space(self) -> SurfaceView:
        """The panel in space."""
        return self.query_one("#space", SurfaceView)

    @property
    def values(self) -> dict[str, Any]:
        """The figure's parameters as they were set, defaults for the others."""
        return {**self.entry.defaults, **self._values.get(self.entry.id, {})}

    @property
    def command(self) -> str:
        """The command line that draws the figure."""
        from kvtui.engine.scenario.values import command_line

        words = ["kvtui", "plot"]
        if self.entry.source == "run":
            words.append(shlex.quote(str(self._run or RESULTS)))
        words += ["--figure", self.entry.id]
        chosen = self._values.get(self.entry.id, {})
        texts = [f"{p.name}={p.show(chosen[p.name])}" for p in self.entry.parameters if p.name in chosen]
        if texts:
            words += ["--set", *map(shlex.quote, texts)]
        if self.entry.source in ("scenario", "models"):
            words.append(command_line(self.session.scenario))
        if self.entry.source == "models" and self._models:
            words += ["--beside", *(shlex.quote(model.name) for model in self._models)]
        return " ".join(words)

    def choose(self, entry: CatalogueFigure) -> None:
        """Show the figure of ``entry``."""
        if entry != self.entry or self._stale:
            self.entry = entry
            self.work_out()

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Draw the figure with other parameters."""
        defaults = self.entry.defaults
        self._values[self.entry.id] = {name: value for name, value in values.items() if value != defaults[name]}
        self.work_out()

    def work_out(self) -> None:
        """Work the figure out and draw it, in a thread."""
        self._stale = False
        entry, values, scenario, models = self.entry, self.values, self.session.scenario, tuple(self._models)
        run = self._run

        def make() -> Figure:
            measured = _measured(entry, run) if entry.source == "run" else None
            every = (scenario.model, *models)
            return build(entry, scenario=scenario, models=every, measured=measured, values=values)

        self._draw_title()
        self._draw_form()
        self.view.work_out(make)

    def action_switch(self) -> None:
        """To the figure, or back to the list."""
        figures = self.query_one(FigureList)
        if figures.has_focus or not (self.space.has_focus or self.view.has_focus):
            (self.space if self.space.display else self.view).focus()
        else:
            if self._full:
                self.action_full()
            figures.focus()

    def action_full(self) -> None:
        """The figure alone, or with the list beside it."""
        self._full = not self._full
        self.set_class(self._full, "-full")
        if self._full:
            (self.space if self.space.display else self.view).focus()

    def action_next_panel(self) -> None:
        """The next panel alone, and after the last one all of them."""
        self.view.next_panel()
        self._show_panel()

    def action_parameters(self) -> None:
        """Type the figure's parameters."""
        if not self.entry.parameters:
            self.host.tell("this figure has no parameters: it follows the scenario")
            return
        from kvtui.screens.explore.windows import ParametersScreen

        self.host.open(ParametersScreen(self.entry, self.values, self.set_values))

    def action_overlay(self) -> None:
        """Draw one more model."""
        if self.entry.source != "models":
            self.host.tell("this figure draws one model; the figures marked + draw up to four")
        elif len(self._models) + 1 >= MOST_MODELS:
            self.host.tell(f"{MOST_MODELS} models are drawn already; O draws one alone")
        else:
            from kvtui.screens.explore.windows import overlay_picker

            self.host.open(overlay_picker(self.session.scenario, self._add_model))

    def action_alone(self) -> None:
        """Draw the scenario's model alone."""
        self._models.clear()
        self.work_out()

    def action_open_run(self) -> None:
        """Choose a measured run."""
        from kvtui.screens.bench.runs import RunPicker

        def take(path: Path) -> None:
            self._run = path
            self.work_out()

        self.host.open(RunPicker("run to draw", RESULTS, self._run, take))

    def action_explain(self, about: str | None = None) -> None:
        """Say what the figure shows and how it came about."""
        from kvtui.screens.explore.windows import AboutScreen

        self.host.open(AboutScreen(self.entry, self.view.shown))

    def action_filter(self) -> None:
        """Type words to find figures by."""
        field = self.query_one("#wanted", Input)
        field.display = True
        field.focus()

    def export_forms(self) -> tuple[Form, ...]:
        """The figure as files."""
        from kvtui.screens.explore.windows import forms

        return forms(self.view.shown) if self.view.shown is not None and self.view.shown.panels else ()

    @on(Input.Changed, "#wanted")
    def filter_typed(self, event: Input.Changed) -> None:
        """List what has the words."""
        self.query_one(FigureList).fill(event.value, self.entry)

    @on(Input.Submitted, "#wanted")
    def filter_taken(self) -> None:
        """Go to the list that was found."""
        self.query_one(FigureList).focus()

    @on(OptionList.OptionHighlighted, "#figures")
    def highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the figure under the cursor."""
        entry = next((entry for entry in ENTRIES if entry.id == event.option_id), None)
        if entry is not None:
            self.choose(entry)

    @on(OptionList.OptionSelected, "#figures")
    def selected(self) -> None:
        """Enter goes to the figure."""
        self.action_switch()

    def on_figure_view_built(self, message: FigureView.Built) -> None:
        """Show the figure where its kind is shown."""
        self._show_panel()
        self._draw_form()

    def on_figure_view_changed(self, message: FigureView.Changed) -> None:
        """Say what the cursor reads out."""
        if not message.readings:
            self._draw_hint()
            return
        parts: list[Span] = []
        for reading in message.readings:
            parts += [Span(f" {plain(reading.name, 40)} ", Ink.DIM), Span(f"{reading.text}  ", Ink.TEXT)]
        self.query_one("#reading", Line).show(tuple(parts))

    def on_figure_view_failed(self, message: FigureView.Failed) -> None:
        """Say why there is no figure."""
        self.query_one("#reading", Line).show((Span(f" {message.error}", Ink.WARN),))

    def on_panel_column_clicked(self, message: PanelColumn.Clicked) -> None:
        """Do what the clicked row says."""
        self.run_worker(self.run_action(message.action), exclusive=False)

    def _scenario_changed(self, change: Change) -> None:
        self._stale = True
        if self.is_current:
            self.work_out()

    def _redraw(self) -> None:
        self._draw_title()
        self._draw_form()
        self.view.draw()
        if self.space.display:
            self.space.redraw()

    def _add_model(self, model: ModelSpec) -> None:
        if model not in self._models and model != self.session.scenario.model:
            self._models.append(model)
        self.work_out()

    def _show_panel(self) -> None:
        """A panel in space is shown by the view that can turn it."""
        figure = self.view.shown
        if figure is None:
            return
        number = self.view.panel if self.view.panel is not None else 0
        panel = figure.panels[number] if number < len(figure.panels) else None
        spatial = panel is not None and panel.spatial
        focused = self.view.has_focus or self.space.has_focus
        self.space.display, self.view.display = spatial, not spatial
        if spatial and panel is not None:
            from kvtui.plots.style import styles

            self.space.show(panel, styles(figure))
        if focused:
            (self.space if spatial else self.view).focus()
        self._draw_title()
        self._draw_hint()

    def _draw_title(self) -> None:
        scenario = self.session.scenario
        device = f"{scenario.layout.devices} × {scenario.device.name}"
        about = f"{plain(scenario.model.name, 40)} · {device} · {format_tokens(scenario.context)} tokens"
        follows = {"run": _words_of_run(self._run), "shape": "a made-up shape: p types its size"}
        right = follows.get(self.entry.source, about)
        width = self.query_one("#title", Line).size.width
        question = f" {self.entry.question}"
        gap = width - len(question) - len(right) - 1
        row = (Span(question, Ink.BRIGHT), Span(f"{' ' * gap}{right}", Ink.DIM)) if gap > 1 else (Span(question),)
        self.query_one("#title", Line).show(row)

    def _draw_form(self) -> None:
        column = self.query_one("#form", PanelColumn)
        width = column.inner_width
        rows: list[InkRow] = []
        for one in self.entry.parameters:
            shown = one.show(self.values[one.name]) or "by the scenario"
            name = one.means
            room = max(1, width - len(shown) - 1)
            rows.append((Span(f"{fit(name, room)} ", Ink.DIM), Span(shown, Ink.TEXT)))
        sections = [Section("parameters", rows, 0, ("parameters",) * len(rows))] if rows else []
        if self.entry.source == "models":
            names = [self.session.scenario.model, *self._models]
            models: list[InkRow] = [(Span(fit(plain(model.name, 60), width), Ink.TEXT),) for model in names]
            sections.append(Section("models", models, 1, ("overlay",) * len(models)))
        column.show(sections)

    def _draw_hint(self) -> None:
        figure = self.view.shown
        count = len(figure.panels) if figure else 0
        hints = ["arrows turn the picture" if self.space.display else "arrows read out values"]
        if not (self.view.has_focus or self.space.has_focus):
            hints = ["tab goes to the figure"]
        if count > 1:
            number = self.view.panel or 0
            alone = self.view.panel is not None or self.space.display or bool(self.view.hidden_panels)
            name = f"{number + 1} of {count}, {plain(figure.panels[number].title, 60)}" if alone and figure else "all"
            hints.append(f"] next panel (shown: {name})")
        line = self.query_one("#reading", Line)
        line.show((Span(fit(" " + "  ·  ".join(hints), line.size.width), Ink.DIM),))


def _measured(entry: CatalogueFigure, run: Path | None) -> Any:
    """What the figure reads, of ``run`` or of the newest run in the results folder; nothing where there is none.

    Raises InputError for a run that cannot be read.
    """
    from kvtui.bench import store
    from kvtui.figures.decode import results_of
    from kvtui.screens.bench.runs import stored_runs

    empty: Any = {} if entry.reads == "decode" else []
    if run is None:
        wanted = "decode" if entry.reads == "decode" else "sweep"
        if entry.reads not in ("decode", "sweep"):
            return empty
        runs = [path for path, about in stored_runs(RESULTS) if (about.get("what") or "sweep") == wanted]
        if not runs:
            return empty
        run = runs[0]
    try:
        found = store.read(run)
    except OSError as error:
        raise InputError(f"run: {plain(str(run))}: {plain(error.strerror or str(error))}") from None
    return results_of(found.rows, found.measured) if entry.reads == "decode" else found.rows


def _words_of_run(run: Path | None) -> str:
    return "the newest run; u chooses another" if run is None else plain(run.name, 60)
