"""Mode 2, Explore: figures of the scenario, of made-up shapes and of measured runs, to read out, enlarge and turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList

from kvtui.canvas.cells import Span
from kvtui.canvas.palette import Ink
from kvtui.engine.model.spec import ModelSpec
from kvtui.figures.catalogue import ENTRIES, CatalogueFigure
from kvtui.plots.camera import Camera
from kvtui.screens import bindings
from kvtui.screens.explore import words
from kvtui.screens.explore.list import FigureList
from kvtui.screens.explore.state import RESULTS, ExploreState
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.state.session import ScenarioChange, Session
from kvtui.widgets.figure import FigureView
from kvtui.widgets.key_name import first_key
from kvtui.widgets.panels import PanelColumn, TextLine
from kvtui.widgets.surface import SurfaceView

if TYPE_CHECKING:
    from kvtui.screens.windows.export import Form


FLAT_BELOW = 100


class ExploreScreen(ScenarioActions):
    """The list of figures and the parameters at the left, the figure at the right, and what the cursor reads out.

    ``state`` says what is drawn; ``show`` takes another.
    """

    MODE = "explore"
    CSS_PATH = Path(__file__).with_name("explore.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings.EXPLORE

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.state = ExploreState()
        self._stale = True
        self._full = False
        self._sheet = 0
        self._sheets: tuple[str, ...] = ()
        self._flat = "", False

    def body(self) -> ComposeResult:
        """Title, list and parameters, figure, and a line of readings."""
        yield TextLine(id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Input(id="wanted", placeholder="words, such as: context, surface")
                yield FigureList(id="figures")
                yield PanelColumn(id="form")
            with Vertical(id="right"):
                yield FigureView(id="figure", readable=True)
                yield SurfaceView(id="space")
        yield TextLine(id="reading")

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one("#wanted", Input).display = False
        self.space.display = False
        self._list_figures()
        self.query_one(FigureList).focus()

    def _list_figures(self) -> None:
        """Fill the list, with the kinds of data that there are."""
        figures = self.query_one(FigureList)
        figures.missing = self.state.missing
        figures.makes = f"{first_key(self.host, 'bench')} {first_key(self.host, 'bench-run')}"
        figures.fill("", self.state.entry)

    def on_screen_resume(self) -> None:
        """Draw the scenario of now if it changed behind another screen."""
        if self.query_one(FigureList).missing != self.state.missing:
            self._list_figures()
        if self._stale:
            self.call_after_refresh(self.work_out)

    def scenario_changed(self, change: ScenarioChange) -> None:
        """Draw the figure anew, or later if it is not on screen."""
        self._stale = True
        if self.is_current:
            self.work_out()

    @property
    def view(self) -> FigureView:
        """The plane figure."""
        return self.query_one("#figure", FigureView)

    @property
    def space(self) -> SurfaceView:
        """The panel in space."""
        return self.query_one("#space", SurfaceView)

    @property
    def command(self) -> str:
        """The command line that draws the figure."""
        return self.state.command(self.session.scenario)

    def action_sheet(self) -> None:
        """The next sheet of a picture in space alone, and after the last all of them."""
        if len(self._sheets) < 2:
            self.host.tell("this picture has one sheet")
            return
        self._sheet = (self._sheet + 1) % (len(self._sheets) + 1)
        self._show_panel()

    def show(self, state: ExploreState) -> None:
        """Draw another figure, or the same of something else."""
        if state.entry != self.state.entry:
            self._sheet = 0
        self.state = state
        self.work_out()

    def choose(self, entry: CatalogueFigure) -> None:
        """Show the figure of ``entry``."""
        if entry != self.state.entry or self._stale:
            self.show(replace(self.state, entry=entry))

    def work_out(self) -> None:
        """Work the figure out and draw it, in a thread."""
        self._stale = False
        self._draw_title()
        self._draw_form()
        self.view.work_out(partial(self.state.figure, self.session.scenario))

    def redraw(self) -> None:
        """Draw everything as it is now."""
        self._draw_title()
        self._draw_form()
        self.view.draw()
        if self.space.display and self.view.shown is not None:
            self._face(self.view.shown.id)
            self.space.redraw()

    def action_switch(self) -> None:
        """To the figure, or back to the list."""
        figures = self.query_one(FigureList)
        if figures.has_focus or not (self.space.has_focus or self.view.has_focus):
            self._focus_figure()
        else:
            if self._full:
                self.action_full()
            figures.focus()

    def action_full(self) -> None:
        """The figure alone, or with the list beside it."""
        self._full = not self._full
        self.set_class(self._full, "-full")
        if self._full:
            self._focus_figure()

    def action_next_panel(self) -> None:
        """The next panel alone, and after the last one all of them."""
        self.view.next_panel()
        self._show_panel()

    def action_parameters(self) -> None:
        """Type the figure's parameters."""
        entry = self.state.entry
        if not entry.parameters:
            self.host.tell("this figure has no parameters: it follows the scenario")
            return
        from kvtui.screens.explore.windows import ParametersScreen

        def take(values: Mapping[str, Any]) -> None:
            self.show(self.state.with_values(values))

        self.host.open(ParametersScreen(entry, self.state.values, take))

    def action_overlay(self) -> None:
        """Draw one more model."""
        if self.state.no_more:
            self.host.tell(self.state.no_more)
            return
        from kvtui.screens.explore.windows import overlay_picker

        self.host.open(overlay_picker(self.session.scenario, self.add_model))

    def add_model(self, model: ModelSpec) -> None:
        """Draw ``model`` too."""
        self.show(self.state.with_model(model, self.session.scenario))

    def action_alone(self) -> None:
        """Draw the scenario's model alone."""
        self.show(replace(self.state, models=()))

    def action_open_run(self) -> None:
        """Choose a measured run."""
        from kvtui.screens.bench.runs import RunPicker

        def take(path: Path) -> None:
            self.show(replace(self.state, run=path))

        self.host.open(RunPicker("run to draw", RESULTS, self.state.run, take))

    def action_explain(self, about: str | None = None) -> None:
        """Say what the figure shows and how it came about."""
        from kvtui.screens.explore.windows import AboutScreen

        self.host.open(AboutScreen(self.state.entry, self.view.shown))

    def action_filter(self) -> None:
        """Type words to find figures by."""
        field = self.query_one("#wanted", Input)
        field.display = True
        field.focus()

    def action_unfilter(self) -> None:
        """List all figures again, and go on in the list."""
        field = self.query_one("#wanted", Input)
        field.value = ""
        field.display = False
        self.query_one(FigureList).focus()

    def export_forms(self) -> tuple[Form, ...]:
        """The figure as files."""
        from kvtui.screens.explore.windows import forms

        return forms(self.view.shown) if self.view.shown is not None and self.view.shown.panels else ()

    @on(Input.Changed, "#wanted")
    def filter_typed(self, event: Input.Changed) -> None:
        """List what has the words."""
        self.query_one(FigureList).fill(event.value, self.state.entry)

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
    def selected(self, event: OptionList.OptionSelected) -> None:
        """Enter goes to the figure; on a heading it folds what is under it, or opens it."""
        if not self.query_one(FigureList).fold(str(event.option_id)):
            self.action_switch()

    def on_figure_view_built(self, message: FigureView.Built) -> None:
        """Show the figure where its kind is shown."""
        self._show_panel()
        self._draw_form()

    def on_figure_view_changed(self, message: FigureView.Changed) -> None:
        """Say what the cursor reads out."""
        if message.readings:
            self.query_one("#reading", TextLine).show(words.readings(message.readings))
        else:
            self._draw_hint()

    def on_figure_view_failed(self, message: FigureView.Failed) -> None:
        """Say why there is no figure."""
        self.query_one("#reading", TextLine).show((Span(f" {message.error}", Ink.WARN),))

    def _focus_figure(self) -> None:
        (self.space if self.space.display else self.view).focus()

    def _show_panel(self) -> None:
        """A panel in space is shown by the view that can turn it."""
        figure = self.view.shown
        if figure is None:
            return
        number = self.view.panel or 0
        panel = figure.panels[number] if number < len(figure.panels) else None
        spatial = panel is not None and panel.spatial
        focused = self.view.has_focus or self.space.has_focus
        self.space.display, self.view.display = spatial, not spatial
        if spatial and panel is not None:
            from kvtui.plots.style import styles

            shown, self._sheets = words.one_sheet(panel, self._sheet)
            self.space.show(shown, styles(figure))
            self._face(figure.id)
        if focused:
            self._focus_figure()
        self._draw_title()
        self._draw_hint()

    def _face(self, id: str) -> None:
        """Look at another figure as at first: from above, as on a map, where there is little room."""
        flat = id, self.size.width < FLAT_BELOW
        if flat != self._flat:
            self._flat = flat
            self.space.look_from(Camera().along("z") if flat[1] else Camera())

    def _draw_title(self) -> None:
        line = self.query_one("#title", TextLine)
        line.show(words.title(self.state, self.session.scenario, line.size.width))

    def _draw_form(self) -> None:
        column = self.query_one("#form", PanelColumn)
        column.show(words.form(self.state, self.session.scenario, column.inner_width))

    def _draw_hint(self) -> None:
        moves = "arrows turn the picture" if self.space.display else "arrows read out values"
        if not (self.view.has_focus or self.space.has_focus):
            moves = "tab goes to the figure"
        alone = self.view.panel
        if alone is None and (self.space.display or self.view.hidden_panels):
            alone = 0
        if self.space.display and len(self._sheets) > 1:
            shown = (*self._sheets, "all")[self._sheet]
            moves += f"  ·  {first_key(self.host, 'explore-sheet')} next sheet (shown: {shown})"
        titles = [panel.title for panel in self.view.shown.panels] if self.view.shown else []
        line = self.query_one("#reading", TextLine)
        line.show(words.hint(moves, titles, alone, line.size.width))
