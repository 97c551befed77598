"""Every entry of the catalogue builds a figure for every kind of model, fast, with units on its axes."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures import catalogue as catalog
from kvtui.figures.catalogue import ENTRIES, CatalogueFigure, Parameter, ParameterKind
from kvtui.figures.figure import HeatMap, Line
from kvtui.figures.json import to_json
from tests.figures.sample_rows import of_kind, said, values

SECONDS = 0.3
DIMENSIONLESS = {"experts", "layers", "case", "model", "kind of layer", "KV format", "sharding", "devices"}
MODELS = {"dense": "Llama-3.1-8B", "hybrid": "Qwen3-Next-80B-A3B", "latent": "DeepSeek-V3", "windows": "Gemma-3-27B"}
OTHERS = [find_model(name) for name in ("Qwen3-32B", "DeepSeek-V3", "Gemma-3-27B")]
DRAWN = [entry for entry in ENTRIES if entry.source != "run"]


def workload(model: str, **options: Any) -> Scenario:
    return scenario_from({"model": model, "gpu": "H200 SXM", "gpus": "8", "context": "32K", "batch": "4", **options})


SCENARIOS = {kind: workload(model) for kind, model in MODELS.items()}
SCENARIOS["busy"] = workload("Llama-3.1-8B", cb=True, fill="average", pa=True, fa=False, engine="vllm", kv_pool="20GiB")


REFUSED = {("training-memory", "hybrid")}
"""What says by an error why it cannot be drawn."""
CASES = [
    (entry, kind)
    for entry in DRAWN
    for kind in SCENARIOS
    if (entry.source != "shape" or kind == "dense") and (entry.id, kind) not in REFUSED
]


@pytest.mark.parametrize(("entry", "kind"), CASES, ids=lambda one: one if isinstance(one, str) else one.id)
def test_every_entry_is_drawn_for_every_kind_of_model(entry: CatalogueFigure, kind: str) -> None:
    took: list[float] = []
    while not took or (min(took) >= SECONDS and len(took) < 3):
        started = time.process_time()
        figure = catalog.build(entry, SCENARIOS[kind], OTHERS if entry.source == "models" else ())
        took.append(time.process_time() - started)
    assert min(took) < SECONDS
    assert (figure.id, figure.title, figure.question) == (entry.id, entry.title, entry.question)
    json.loads(to_json(figure), parse_constant=pytest.fail)
    assert figure.panels
    for panel in figure.panels:
        names = [mark.name for mark in panel.marks]
        assert len(set(names)) == len(names)
        for axis in (panel.x, panel.y, panel.z):
            assert axis is None or axis.unit or axis.ticks != "number" or axis.label in DIMENSIONLESS
        for mark in panel.marks:
            assert values(mark).size
    drawn = [values(mark) for panel in figure.panels for mark in panel.marks]
    assert any(np.isfinite(array).any() for array in drawn)


def test_ids_are_unique_and_everything_has_a_question() -> None:
    ids = [entry.id for entry in ENTRIES]
    assert len(set(ids)) == len(ids)
    assert all(entry.question.endswith("?") and entry.title for entry in ENTRIES)
    assert {entry.source for entry in ENTRIES} == {"scenario", "models", "shape", "run"}
    assert [entry.id for entry in ENTRIES if entry.source == "run"][:2] == ["01", "02"]


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.source == "run"], ids=lambda entry: entry.id)
def test_measured_entries_say_what_they_lack(entry: CatalogueFigure) -> None:
    figure = catalog.build(entry, measured={} if entry.reads in ("decode", "replay") else [])
    assert figure.panels == ()
    assert said(figure)


PARAMETERS = [(entry, parameter) for entry in ENTRIES for parameter in entry.parameters]


@pytest.mark.parametrize(("entry", "parameter"), PARAMETERS, ids=lambda one: one[0])
def test_defaults_are_written_as_they_are_read(entry: CatalogueFigure, parameter: Parameter) -> None:
    assert parameter.parse(parameter.show(parameter.default)) == parameter.default
    assert parameter.means


@given(st.sampled_from(PARAMETERS), st.text(max_size=12) | st.integers(-5, 10**9).map(str))
def test_any_text_is_a_value_or_one_line(pair: tuple[CatalogueFigure, Parameter], text: str) -> None:
    _, parameter = pair
    error = ""
    try:
        value = parameter.parse(text)
    except InputError as wrong:
        error = str(wrong)
    if error:
        assert "\n" not in error
        assert parameter.name in error
    else:
        assert parameter.parse(parameter.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("count", "1,024", 1024),
        ("counts", "4,8", (4, 8)),
        ("tokens", "128K", 131_072),
        ("token counts", "1K,1M", (1024, 2**20)),
        ("gigabytes", "0.5", 0.5),
        ("ratio", "5:1", (5, 1)),
    ],
)
def test_kinds_of_parameters(kind: ParameterKind, text: str, value: Any) -> None:
    assert Parameter("x", "", kind, value).parse(text) == value


def test_parameters_are_read_by_name() -> None:
    entry = catalog.find_entry("estimate-swa")
    found = catalog.parse_values(entry, {"ratio": "3:1", "window": "4K"})
    assert found["ratio"] == (3, 1)
    assert found["heads"] == 32
    assert catalog.build(entry, values=found).panels[0].marks[1].name.startswith("MHA + SWA 4K, 3:1")
    with pytest.raises(UnknownName, match="did you mean window"):
        catalog.parse_values(entry, {"windw": "4K"})
    with pytest.raises(UnknownName, match="did you mean memory-map"):
        catalog.find_entry("memory-mapp")
    with pytest.raises(InputError, match="needs a scenario"):
        catalog.build(catalog.find_entry("memory-map"))


def test_a_longest_context_is_kept_to() -> None:
    for id in ("kv-context", "memory-context", "memory-map", "frontier", "speed-context"):
        figure = catalog.build(catalog.find_entry(id), SCENARIOS["dense"], values={"longest": 3000})
        first = figure.panels[0].marks[0]
        assert isinstance(first, Line | HeatMap)
        assert first.x.max() == 3000
    figure = catalog.build(catalog.find_entry("memory-map"), SCENARIOS["dense"], values={"longest": 1, "largest": 1})
    (tiles,) = of_kind(HeatMap, figure.panels[0].marks[:1])
    assert tiles.z.shape == (1, 1)
