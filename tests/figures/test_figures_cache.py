"""Memory figures against formulas written out here, and against the scalar planner."""

from __future__ import annotations

import numpy as np
import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.parts import budget, device_parts
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures import cache
from kvtui.figures.figure import Bars, HeatMap, Line, Panel, Scatter
from kvtui.figures.scenarios import overlay
from tests.figures.sample_rows import marks, of_kind, said

LLAMA = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "32K", "batch": "8"})
HYBRID = scenario_from({"model": "Qwen3-Next-80B-A3B", "gpu": "H200 SXM", "gpus": "2", "context": "32K"})


def test_one_sequence_is_bytes_per_token_times_tokens() -> None:
    scenarios, _ = overlay(LLAMA, [find_model("DeepSeek-V3")])
    figure = cache.sequence_by_context(scenarios)
    llama, deepseek = of_kind(Line, figure.panels[0].marks)
    assert np.array_equal(llama.y, 2 * 32 * 8 * 128 * 2 * llama.x)
    assert np.array_equal(deepseek.y, 61 * (512 + 64) * 2 * deepseek.x)
    assert figure.panels[0].rules[0].value == 32_768
    assert llama.x[0] == 256
    assert llama.x[-1] == 131_072


def test_states_are_there_from_the_first_token() -> None:
    (line,) = of_kind(Line, cache.sequence_by_context((HYBRID,)).panels[0].marks)
    state = HYBRID.model.state_bytes()
    assert state > 0
    assert np.array_equal(line.y - state, 24_576 * line.x)


@pytest.mark.parametrize("scenario", [LLAMA, HYBRID, LLAMA._replace(continuous_batching=True, fill="average")])
def test_memory_by_context_is_the_plan_and_says_where_it_stops_fitting(scenario: Scenario) -> None:
    figure = cache.memory_by_context((scenario,))
    (line,) = of_kind(Line, figure.panels[0].marks[:1])
    for context, total in zip(line.x[::16].tolist(), line.y[::16].tolist(), strict=True):
        assert total == device_parts(scenario, int(context), scenario.batch).total
    most = capacity(plan(scenario)).context
    assert f"fits to {most:,} tokens at batch {scenario.batch}" in said(figure)
    assert figure.panels[0].rules[0].value == budget(scenario)
    assert (np.diff(line.y) >= 0).all()


def test_memory_by_batch_is_the_plan() -> None:
    figure = cache.memory_by_batch((LLAMA,))
    (line,) = of_kind(Line, figure.panels[0].marks[:1])
    assert {2**n for n in range(9)} <= set(line.x.tolist())
    assert line.y[line.x == 8] == plan(LLAMA).per_device.total
    assert f"{capacity(plan(LLAMA)).sequences} sequences of 32K tokens fit" in said(figure)


def test_the_map_is_a_share_of_what_may_be_used() -> None:
    figure = cache.memory_map(LLAMA)
    (panel,) = figure.panels
    (tiles,) = of_kind(HeatMap, panel.marks[:1])
    row, column = 20, 40
    total = device_parts(LLAMA, int(tiles.x[column]), int(tiles.y[row])).total
    assert tiles.z[row, column] == pytest.approx(100 * total / budget(LLAMA))
    assert 100.0 in tiles.contours
    assert panel.z is not None
    assert panel.z.unit == "%"


def test_a_pool_is_what_the_map_shares_out() -> None:
    pooled = LLAMA._replace(kv_pool=8 * 2**30)
    (tiles,) = of_kind(HeatMap, cache.memory_map(pooled).panels[0].marks[:1])
    assert tiles.z[0, 0] == pytest.approx(100 * 131_072 * 256 / (8 * 2**30))
    assert "KV pool" in said(cache.memory_by_context((pooled,)))


def test_the_speed_map_is_blank_exactly_where_it_does_not_fit() -> None:
    figure = cache.speed_map(LLAMA)
    tiles, frontier, _ = figure.panels[0].marks
    assert isinstance(tiles, HeatMap)
    assert isinstance(frontier, Line)
    for i in range(0, tiles.y.size, 8):
        for j in range(0, tiles.x.size, 8):
            total = device_parts(LLAMA, int(tiles.x[j]), int(tiles.y[i])).total
            assert np.isnan(tiles.z[i, j]) == (total > budget(LLAMA))
    known = ~np.isnan(frontier.y)
    assert known.any()
    assert (np.diff(frontier.y[known]) <= 0).all()


def test_kinds_of_layers_add_up_to_the_sequence() -> None:
    scenario = scenario_from({"model": "gpt-oss-120b", "context": "64K"})
    figure = cache.layer_kinds(scenario, (1024,))
    panel = figure.panels[0]
    assert len(panel.categories) == 2
    short, long = of_kind(Bars, panel.marks)
    assert short.name == "1K tokens"
    assert long.values.sum() == plan(scenario).cache.kv
    full, windowed = sorted(long.values.tolist(), reverse=True)
    assert full == 18 * 2 * 8 * 64 * 2 * 65_536
    assert windowed == 18 * 2 * 8 * 64 * 2 * 128


def test_parts_are_the_plan() -> None:
    (panel,) = cache.parts((LLAMA,)).panels
    bars = of_kind(Bars, panel.marks)
    parts = plan(LLAMA).per_device
    assert panel.stacked
    assert sum(bar.values.sum() for bar in bars) == parts.total
    assert [bar.values.tolist() for bar in bars[:2]] == [[parts.weights], [parts.kv]]
    assert [bar.name for bar in bars[:2]] == ["weights 14.96 GiB", "KV cache 32.00 GiB"]


def test_parts_of_several_models_are_a_bar_for_each() -> None:
    scenarios, _ = overlay(LLAMA, [find_model("Qwen3-8B")])
    (panel,) = cache.parts(scenarios).panels
    bars = of_kind(Bars, panel.marks)
    assert len(panel.categories) == 2
    assert np.sum([bar.values for bar in bars], axis=0).tolist() == [plan(one).per_device.total for one in scenarios]
    assert [bar.name for bar in bars[:2]] == ["weights", "KV cache"]


def test_the_catalogue_has_every_model_once() -> None:
    figure = cache.catalogue(LLAMA)
    clouds = of_kind(Scatter, figure.panels[0].marks)
    points = {label: y for mark in clouds for label, y in zip(mark.labels, mark.y.tolist(), strict=True)}
    assert points["DeepSeek-V3"] == 70_272
    assert points["Llama-3.1-8B"] == 131_072
    assert points["Qwen3-Next-80B-A3B"] == 24_576
    assert len(points) > 90
    assert {mark.name for mark in figure.panels[0].marks} >= {"GQA", "MHA", "MLA", "windows", "hybrid (states)"}
    own = marks(figure)["the scenario's model"]
    assert LLAMA.model.parameters is not None
    assert own.x.tolist() == [LLAMA.model.parameters / 1e9]


def test_more_memory_is_a_longer_context() -> None:
    figure = cache.context_by_memory((LLAMA,))
    (line,) = of_kind(Line, figure.panels[0].marks[:1])
    known = ~np.isnan(line.y)
    assert not known.all()
    assert (np.diff(line.y[known]) >= 0).all()
    middle = int(np.flatnonzero(known)[len(np.flatnonzero(known)) // 2])
    device: DeviceSpec = LLAMA.device._replace(usable_bytes=int(line.x[middle]))
    assert line.y[middle] == capacity(plan(LLAMA._replace(device=device))).context


def test_the_frontier_is_the_capacity() -> None:
    figure = cache.frontier((LLAMA,))
    (line,) = of_kind(Line, figure.panels[0].marks[:1])
    for context, most in zip(line.x[::20].tolist(), line.y[::20].tolist(), strict=True):
        assert most == capacity(plan(LLAMA._replace(context=int(context)))).sequences
    none = cache.frontier((LLAMA._replace(model=find_model("DeepSeek-V3")),))
    assert "not one sequence fits" in said(none)


def values_of(panel: Panel) -> dict[str, float]:
    (bars,) = of_kind(Bars, panel.marks)
    return dict(zip(panel.categories, bars.values.tolist(), strict=True))


def test_formats_are_the_plans_of_each() -> None:
    figure = cache.formats(LLAMA)
    sizes = values_of(figure.panels[0])
    assert sizes["bf16"] == 8 * 32_768 * 131_072
    assert sizes["fp32"] == 2 * sizes["bf16"] == 4 * sizes["fp8"]
    assert sizes["q8_0"] == sizes["fp8"] * 34 // 32
    contexts = values_of(figure.panels[1])
    assert contexts["fp8"] == capacity(plan(LLAMA._replace(kv_dtype="fp8"))).context
    assert "fp8_ds_mla" not in sizes
    assert "fp16 as bf16" in said(figure)
    latent = cache.formats(scenario_from({"model": "DeepSeek-V3.2"}))
    assert "fp8_ds_mla" in latent.panels[0].categories


def test_unknown_weights_are_one_line_or_one_note() -> None:
    unknown = LLAMA.model._replace(parameters=None, name="odd")
    with pytest.raises(InputError, match="--skip-weights"):
        cache.memory_by_context((LLAMA._replace(model=unknown),))
    beside = cache.memory_by_context((LLAMA, LLAMA._replace(model=unknown)))
    assert len(beside.panels[0].marks) == 1
    assert "odd is left out" in said(beside)


def test_models_are_laid_over_each_other_up_to_four() -> None:
    others = [find_model(name) for name in ("Llama-3.1-8B", "Qwen3-32B", "DeepSeek-V3", "Gemma-3-27B", "Qwen3-8B")]
    scenarios, notes = overlay(LLAMA._replace(kv_dtype="int8_per_token_head"), others)
    assert [one.model.name for one in scenarios] == ["Llama-3.1-8B", "Qwen3-32B", "DeepSeek-V3", others[3].name]
    assert any("Qwen3-8B is left out" in note for note in notes)


def test_names_are_harmless_and_different() -> None:
    hostile = LLAMA._replace(model=LLAMA.model._replace(name="a\x1b[31mb"))
    figure = cache.sequence_by_context((hostile, hostile))
    first, second = figure.panels[0].marks
    assert "\x1b" not in first.name + said(figure)
    assert second.name == f"{first.name} (2)"
