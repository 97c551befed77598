"""What the Explore screen draws, as one value: which figure, with what parameters, of which models or run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kvtui.bench import store
from kvtui.bench.figures import measured
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import command_line
from kvtui.figures.catalogue import COMES_WITH_KVTUI, ENTRIES, CatalogueFigure, build
from kvtui.figures.figure import Figure

MOST_MODELS = 4
RESULTS = Path(store.OUT)


@dataclass(frozen=True, slots=True)
class ExploreState:
    """The figure ``entry``, drawn for the scenario.

    ``changed`` are the parameters that were typed, by figure; the others have their defaults. Figures of models also
    draw these ``models`` beside the scenario's, figures of a run that in ``run``, or the newest one.
    """

    entry: CatalogueFigure = ENTRIES[0]
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: tuple[ModelSpec, ...] = ()
    run: Path | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The figure's parameters as they were typed, defaults for the others."""
        return {**self.entry.defaults, **self.changed.get(self.entry.id, {})}

    @property
    def missing(self) -> frozenset[str]:
        """The kinds of measured data that figures read and of which no run is stored."""
        if self.run is not None:
            return frozenset()
        return frozenset(
            {"sweep", "decode"} - {str(about.get("what") or "sweep") for _, about in store.runs_in(RESULTS)}
        )

    @property
    def no_more(self) -> str:
        """Why no other model can be drawn too; empty if one can."""
        if self.entry.source != "models":
            return "this figure draws one model; the figures marked + draw up to four"
        if len(self.models) + 1 >= MOST_MODELS:
            return f"{MOST_MODELS} models are drawn already; O draws one alone"
        return ""

    def with_values(self, values: Mapping[str, Any]) -> ExploreState:
        """The figure with other parameters."""
        defaults = self.entry.defaults
        typed = {name: value for name, value in values.items() if value != defaults[name]}
        return replace(self, changed={**self.changed, self.entry.id: typed})

    def with_model(self, model: ModelSpec, scenario: Scenario) -> ExploreState:
        """The figure with ``model`` drawn too, unless it is drawn already."""
        return self if model in (*self.models, scenario.model) else replace(self, models=(*self.models, model))

    def command(self, scenario: Scenario) -> str:
        """The command line that draws the figure."""
        entry = self.entry
        words = ["kvtui", "plot"]
        if entry.source == "run" and (self.run or entry.reads not in COMES_WITH_KVTUI):
            words.append(shlex.quote(str(self.run or RESULTS)))
        words += ["--figure", entry.id]
        typed = self.changed.get(entry.id, {})
        texts = [f"{one.name}={one.show(typed[one.name])}" for one in entry.parameters if one.name in typed]
        if texts:
            words += ["--set", *map(shlex.quote, texts)]
        if entry.source in ("scenario", "models"):
            words.append(command_line(scenario))
        if entry.source == "models" and self.models:
            words += ["--beside", *(shlex.quote(model.name) for model in self.models)]
        return " ".join(words)

    def figure(self, scenario: Scenario) -> Figure:
        """The figure itself. Raises InputError where it cannot be drawn, or the run cannot be read."""
        rows = measured(self.entry.reads, self.run, RESULTS) if self.entry.source == "run" else ()
        models = (scenario.model, *self.models)
        return build(self.entry, scenario=scenario, models=models, measured=rows, values=self.values)


def matching(query: str) -> tuple[CatalogueFigure, ...]:
    """The figures that have all words of ``query`` in their name, title, question or heading."""
    words = query.casefold().split()
    return tuple(entry for entry in ENTRIES if all(word in _text(entry) for word in words))


def _text(entry: CatalogueFigure) -> str:
    return f"{entry.id} {entry.title} {entry.question} {entry.group}".casefold()
