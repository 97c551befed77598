"""A row and a folder make an engine: every row has its folder with all parts, and every folder its row."""

from __future__ import annotations

import inspect

import pytest

from kvtui.engine.engines.known import ENGINES, KNOWN, Known, larger_stages, milestones, parse_engine, part, span
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.planning.stages import partition
from kvtui.engine.saying.notices import notices
from kvtui.engine.scenario.scenario import Layout
from kvtui.engine.scenario.values import BY_KEY, scenario_from
from tests.paths import ROOT
from tests.present import present


def test_every_folder_has_its_row() -> None:
    folders = {path.parent.name for path in (ROOT / "kvtui/engine/serving").glob("*/__init__.py")}
    assert folders == {known.folder for known in KNOWN}


def test_the_help_names_every_engine() -> None:
    assert all(name in BY_KEY["engine"].help for name in ENGINES)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_row_serves(known: Known) -> None:
    scenario = scenario_from({"engine": known.name, "context": "8K"})
    assert isinstance(serve(scenario), Serving)
    assert present(serve(scenario)).engine == known.name
    for alias in known.aliases:
        assert parse_engine(alias).name == known.name
    assert parse_engine(f"{known.name}@{span(known.name).example}").version == span(known.name).example


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_milestones_are_releases_newest_first(known: Known) -> None:
    found = milestones(known.name)
    versions = [parse_engine(f"{known.name}@{milestone.version}").version for milestone in found]
    assert versions == sorted(versions, key=lambda version: [int(n) for n in version.split(".")], reverse=True)
    assert all(milestone.news for milestone in found)
    known_span = (span(known.name).newest, span(known.name).oldest)
    assert (*versions[:1], *versions[-1:]) == (known_span if known_span[1] else ())


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_a_row_with_a_log_reads_and_compares_it(known: Known) -> None:
    reader = part(known.name, "log").READER
    assert reader.engine == known.name
    assert all(
        any(line.marker in words or words in line.pattern.pattern for line in reader.lines)
        for words in reader.looked_for
    )
    assert list(inspect.signature(part(known.name, "components").compare).parameters) == [
        "log",
        "scenario",
        "known_device",
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_where_the_larger_stages_are(engine: str) -> None:
    """32 layers of Llama-3.1-8B on five stages: two have a layer more."""
    scenario = scenario_from({"engine": engine, "context": "8K"})._replace(layout=Layout(pp=5))
    first = larger_stages(engine) == "first"
    assert partition(scenario) == ((7, 7, 6, 6, 6) if first else (6, 6, 7, 7, 6))


@pytest.mark.parametrize(
    ("engine", "weights", "gpu", "notice"),
    [
        ("none", "mlx-4bit", "H100", ""),
        ("vllm", "awq-g32", "H100", ""),
        ("vllm", "nvfp4-mlp", "RTX 5090", ""),
        ("vllm", "mlx-4bit", "H100", "weights_not_loaded"),
        ("vllm", "q4_k_m", "H100", "weights_not_loaded"),
        ("llama.cpp", "iq3_xxs", "RTX 4090", ""),
        ("llama.cpp", "awq", "RTX 4090", "weights_not_loaded"),
        ("sglang", "nvfp4", "MI300X", "weights_not_run"),
        ("vllm", "fp8", "MI300X", ""),
        ("vllm", "fp8", "V100", "weights_not_run"),
    ],
)
def test_weights_that_an_engine_or_its_device_cannot_run_are_said(
    engine: str, weights: str, gpu: str, notice: str
) -> None:
    values = {"model": "Qwen3-8B", "engine": engine, "weight_dtype": weights, "gpu": gpu, "context": "4K"}
    found = {one.id for one in notices(plan(scenario_from(values)))} & {"weights_not_loaded", "weights_not_run"}
    assert found == ({notice} if notice else set())
