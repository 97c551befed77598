"""The words of the Explore screen around its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvtui.bench.figures import are_bundled
from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.catalogue import COMES_WITH_KVTUI
from kvtui.figures.figure import Panel, Surface
from kvtui.plots.readout import Reading
from kvtui.screens.explore.state import RESULTS, ExploreState
from kvtui.widgets.panels import Section


def title(state: ExploreState, scenario: Scenario, width: int) -> InkRow:
    """The figure's question, and at the right what it is drawn from, where there is room."""
    device = f"{scenario.layout.devices} × {scenario.device.name}"
    about = f"{plain(scenario.model.name, 40)} · {device} · {format_tokens(scenario.context)} tokens"
    follows = {"run": _run(state), "shape": "a made-up shape: p types its size"}
    right = follows.get(state.entry.source, about)
    question = f" {state.entry.question}"
    gap = width - len(question) - len(right) - 1
    if gap < 2:
        return (Span(question),)
    return (Span(question, Ink.BRIGHT), Span(f"{' ' * gap}{right}", Ink.DIM))


def form(state: ExploreState, scenario: Scenario, width: int) -> list[Section]:
    """The figure's parameters and the models that it draws, as far as it has either."""
    parameters: list[InkRow] = []
    for one in state.entry.parameters:
        shown = one.show(state.values[one.name]) or "by the scenario"
        room = max(1, width - len(shown) - 1)
        parameters.append((Span(f"{fit(one.means, room)} ", Ink.DIM), Span(shown, Ink.TEXT)))
    sections = [Section("parameters", parameters, 0, ("parameters",) * len(parameters))] if parameters else []
    if state.entry.source == "models":
        names = [scenario.model.name, *(model.name for model in state.models)]
        models: list[InkRow] = [(Span(fit(plain(name, 60), width), Ink.TEXT),) for name in names]
        sections.append(Section("models", models, 1, ("overlay",) * len(models)))
    return sections


def hint(moves: str, titles: Sequence[str], alone: int | None, width: int) -> InkRow:
    """What the keys do: ``moves``, and which of the panels ``titles`` is shown, if only one is ``alone``."""
    hints = [moves]
    if len(titles) > 1:
        name = "all" if alone is None else f"{alone + 1} of {len(titles)}, {plain(titles[alone], 60)}"
        hints.append(f"] next panel (shown: {name})")
    return (Span(fit(" " + "  ·  ".join(hints), width), Ink.DIM),)


def one_sheet(panel: Panel, number: int) -> tuple[Panel, tuple[str, ...]]:
    """``panel`` with sheet ``number`` alone, whose name is in the title, and the names of all; whole behind the last.

    What is no sheet stays.
    """
    sheets = tuple(mark.name for mark in panel.marks if isinstance(mark, Surface))
    if len(sheets) < 2 or number >= len(sheets):
        return panel, sheets
    name = sheets[number]
    marks = tuple(mark for mark in panel.marks if not isinstance(mark, Surface) or mark.name == name)
    return replace(panel, title=f"{panel.title}: {name}", marks=marks), sheets


def readings(found: Sequence[Reading]) -> InkRow:
    """What the cursor reads out."""
    return tuple(
        span for one in found for span in (Span(f" {plain(one.name, 40)} ", Ink.DIM), Span(f"{one.text}  ", Ink.TEXT))
    )


def _run(state: ExploreState) -> str:
    if state.entry.reads in ("trained", "batches", "curves"):
        bundled = state.run is None and are_bundled(state.entry.reads, RESULTS)
        return "bundled models; kvtui train makes yours" if bundled else "your trained models"
    if state.entry.reads in COMES_WITH_KVTUI:
        return "the newest there is, else the bundled"
    return "the newest run; u chooses another" if state.run is None else plain(state.run.name, 60)
