"""The windows of the Explore screen: a figure's parameters, one more model, what a figure says, and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Label, Static

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.sources.load import load_model
from kvtui.figures.catalogue import CatalogueFigure, parse_values
from kvtui.figures.figure import Axis, Figure, Panel
from kvtui.plots.png import png
from kvtui.screens import bindings
from kvtui.screens.windows.export import Form
from kvtui.screens.windows.picker import Picker
from kvtui.screens.windows.pickers import model_source
from kvtui.screens.windows.window import Window

TEXT_WIDTH = 118
SOURCES = {
    "scenario": "Drawn from the scenario on screen, by the planner's own formulas.",
    "models": "Drawn from the scenario on screen, for up to four models, by the planner's own formulas.",
    "shape": "Drawn from its parameters alone, by the planner's own formulas.",
    "run": "Drawn from measured rows.",
}


class ParametersScreen(Window):
    """One line per parameter; enter draws the figure with them, escape leaves it as it was."""

    def __init__(
        self, entry: CatalogueFigure, values: Mapping[str, Any], take: Callable[[dict[str, Any]], None]
    ) -> None:
        super().__init__()
        self._entry, self._take = entry, take
        self._fields = {one.name: Input(one.show(values[one.name])) for one in entry.parameters}
        self._hint = Static(classes="hint", markup=False)

    def compose(self) -> ComposeResult:
        """The lines and what is wrong with them."""
        with Vertical(classes="box") as box:
            box.border_title = f"parameters of {self._entry.title}"
            box.border_subtitle = f"enter draw   {self.legend(('move', 'list-up', 'list-down'))}"
            with VerticalScroll(can_focus=False):
                for one in self._entry.parameters:
                    with Horizontal(classes="field"):
                        yield Label(one.means, markup=False)
                        field = self._fields[one.name]
                        field.placeholder = "/".join(one.choices) or "by the scenario"
                        yield field
            yield self._hint

    def on_mount(self) -> None:
        """Begin with the first."""
        next(iter(self._fields.values())).focus()

    def action_move(self, rows: int) -> None:
        """To another parameter."""
        fields = list(self._fields.values())
        at = next((number for number, field in enumerate(fields) if field.has_focus), 0)
        fields[max(0, min(at + rows, len(fields) - 1))].focus()

    @on(Input.Changed)
    def check(self) -> None:
        """Say what is wrong."""
        self._read()

    @on(Input.Submitted)
    def submit(self) -> None:
        """Draw, if nothing is wrong."""
        values = self._read()
        if values is not None:
            self._take(values)
            self.dismiss()

    def _read(self) -> dict[str, Any] | None:
        try:
            values = parse_values(self._entry, {name: field.value for name, field in self._fields.items()})
        except InputError as error:
            self._hint.update(Content(str(error)).stylize("$text-error"))
            return None
        self._hint.update("")
        return values


class AboutScreen(Window):
    """What a figure asks, its axes, and what must be known to trust it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings.closing("explain", "quit"), *bindings.SCROLLING]

    def __init__(self, entry: CatalogueFigure, figure: Figure | None) -> None:
        super().__init__()
        self._entry, self._figure = entry, figure

    def compose(self) -> ComposeResult:
        """The text, to scroll through."""
        with Vertical(classes="box") as box:
            box.border_title = f"{self._entry.id}: {self._entry.title}"
            box.border_subtitle = self.legend(("scroll", "list-up", "list-down"), ("close", "window-close"))
            with VerticalScroll():
                yield Static(self._text(), markup=False)

    def _text(self) -> Content:
        lines = [Content.styled(self._entry.question, "bold $primary"), Content(), Content(SOURCES[self._entry.source])]
        if self._figure is not None:
            for panel in self._figure.panels:
                lines += [Content(), Content.styled(plain(panel.title, 200), "$accent"), Content(_axes(panel))]
            lines += [Content()] if self._figure.notes else []
            lines += [Content(f"- {plain(note, 600)}") for note in self._figure.notes]
        return Content("\n").join(lines)


def overlay_picker(scenario: Scenario, take: Callable[[ModelSpec], None]) -> Picker:
    """The list of models, of which ``take`` gets the one to draw beside the scenario's."""

    def typed(text: str) -> Callable[[], None]:
        return partial(take, load_model(text))

    source = model_source(scenario, lambda name: take(find_model(name)), typed)
    return Picker(replace(source, title="model to draw too"))


def forms(figure: Figure) -> tuple[Form, ...]:
    """The kinds of file that ``figure`` can become."""
    from kvtui.figures.csv import to_csv
    from kvtui.figures.json import to_json
    from kvtui.plots import draw, image, vector

    return (
        Form("svg", None, "the figure as a drawing, for a document or a slide", lambda: vector.render(figure)),
        Form("csv", None, "the figure's values", lambda: to_csv(figure)),
        Form("json", None, "the figure as data, which kvtui plot draws", lambda: to_json(figure)),
        Form("txt", None, "the figure as text", lambda: draw.render_text(figure, TEXT_WIDTH) + "\n"),
        Form("png", None, "the figure in dots, by resvg", lambda: png(vector.render(figure))),
        Form("pdf", None, "the figure as PDF, by matplotlib", lambda: image.render(figure)),
    )


def _axes(panel: Panel) -> str:
    axes: list[tuple[str, Axis | None]] = [("x", panel.x), ("y", panel.y), ("z", panel.z)]
    shown = [
        f"{name}: {plain(axis.title, 100)}{_scale(axis)}" for name, axis in axes if axis is not None and axis.label
    ]
    return "   ".join(shown)


def _scale(axis: Axis) -> str:
    return "" if axis.scale == "linear" else ", logarithmic"
