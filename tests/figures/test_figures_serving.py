"""Throughput figures: whole sequences, weights subtracted, bands of the scalar estimate; cache surfaces by formula."""

from __future__ import annotations

import numpy as np
import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import fits
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures import roofline as roofline_plot
from kvtui.figures import serving
from kvtui.figures.figure import Line, Scatter, Surface
from kvtui.figures.scenarios import overlay
from tests.figures.sample_rows import marks, of_kind, said

LLAMA = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "8K", "batch": "4"})


def on(scenario: Scenario, usable: float, batch: int | None = None) -> Scenario:
    device = scenario.device._replace(usable_bytes=int(usable))
    return scenario._replace(device=device, batch=batch or scenario.batch)


def band(line: Line, at: int) -> tuple[float, float]:
    assert line.low is not None
    assert line.high is not None
    return line.low[at], line.high[at]


def test_throughput_is_that_of_the_whole_sequences_that_fit() -> None:
    figure = serving.throughput_by_memory((LLAMA,), least_gb=10, most_gb=80)
    line, *_ = of_kind(Line, figure.panels[0].marks)
    assert line.low is not None
    assert line.high is not None
    for i in range(0, line.x.size, 9):
        batch = 0
        while fits(on(LLAMA, line.x[i]), LLAMA.context, batch + 1):
            batch += 1
        if batch == 0:
            assert line.y[i] == 0
            continue
        expected = estimate(plan(on(LLAMA, 2**50, batch))).tokens_per_second
        assert band(line, i) == pytest.approx(expected)
        assert line.low[i] <= line.y[i] <= line.high[i]
    assert (np.diff(line.y) >= 0).all()


def test_ratios_are_to_the_first_model_and_blank_where_it_has_none() -> None:
    scenarios, _ = overlay(LLAMA, [find_model("Qwen3-8B")])
    figure = serving.throughput_by_memory(scenarios)
    speeds, ratios = marks(figure, 0), marks(figure, 1)
    first = speeds["Llama-3.1-8B"].y
    assert np.isnan(ratios["Qwen3-8B"].y[first == 0]).all()
    some = first > 0
    assert ratios["Qwen3-8B"].y[some] == pytest.approx(speeds["Qwen3-8B"].y[some] / first[some])
    assert set(ratios["Llama-3.1-8B"].y[some]) == {1.0}


def test_attentions_differ_by_what_memory_there_is() -> None:
    figure = serving.variants_by_memory(LLAMA)
    ratio = marks(figure, 1)["MLA"].y
    known = ratio[~np.isnan(ratio)]
    assert known.min() < 0.7 * known.max()
    assert "leaves out the weights" in said(figure)


def test_the_surface_is_zero_exactly_where_not_one_sequence_fits() -> None:
    figure = serving.serving_surface(LLAMA, least_gb=8, most_gb=40)
    (sheet,) = of_kind(Surface, figure.panels[0].marks)
    assert sheet.z.shape == (sheet.y.size, sheet.x.size)
    for i in range(0, sheet.y.size, 8):
        for j in range(0, sheet.x.size, 8):
            assert (sheet.z[i, j] > 0) == fits(on(LLAMA, sheet.x[j]), int(sheet.y[i]), 1)
    assert (sheet.z == 0).any()
    assert (sheet.z > 0).any()


def test_memory_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InputError, match="most-gb"):
        serving.serving_surface(LLAMA, least_gb=8, most_gb=8)


def test_speed_by_context_is_the_estimate() -> None:
    figure = serving.speed_by_context((LLAMA,), longest=16_384)
    speed, step, prefill = of_kind(Line, (panel.marks[0] for panel in figure.panels))
    at = int(np.flatnonzero(speed.x == 8192)[0])
    found = estimate(plan(on(LLAMA, 2**50)))
    assert band(speed, at) == pytest.approx(found.tokens_per_second)
    assert band(step, at) == pytest.approx(found.decode_ms)
    assert band(prefill, at) == pytest.approx(found.prefill_ms)
    assert (np.diff(prefill.y) > 0).all()
    assert (np.diff(speed.y) < 0).all()


def test_speed_by_batch_trades_users_against_throughput() -> None:
    together, alone = of_kind(Line, (panel.marks[0] for panel in serving.speed_by_batch((LLAMA,)).panels))
    assert (np.diff(together.y) > 0).all()
    assert (np.diff(alone.y) < 0).all()
    assert together.x[0] == 1


def test_unknown_speeds_are_noted() -> None:
    unknown = LLAMA._replace(model=LLAMA.model._replace(active_parameters=None))
    figure = serving.speed_by_batch((unknown,))
    line, *_ = of_kind(Line, figure.panels[0].marks)
    assert np.isnan(line.y).all()
    assert "no speed" in said(figure)
    assert "no steps" in said(roofline_plot.device((unknown,)))


def test_the_device_roofline_is_bandwidth_then_peak() -> None:
    figure = roofline_plot.device((LLAMA,))
    roof, steps = figure.panels[0].marks
    assert isinstance(roof, Line)
    assert isinstance(steps, Scatter)
    teraflops = LLAMA.device.peak("bf16")
    assert teraflops is not None
    bandwidth, peak = LLAMA.device.bandwidth_gbs * 1e9, teraflops * 1e12
    assert roof.y == pytest.approx(np.minimum(roof.x * bandwidth, peak))
    assert steps.labels[0] == "batch 1"
    assert (np.diff(steps.x) > 0).all()
    assert (steps.y <= np.minimum(steps.x * bandwidth, peak)).all()


@pytest.mark.parametrize(
    ("attention", "elements"), [("MHA", 2 * 512), ("GQA", 2 * 128), ("MLA", 64 + 16), ("MQA", 2 * 32)]
)
def test_extrapolation_by_formula(attention: str, elements: int) -> None:
    figure = serving.extrapolation()
    line = marks(figure)[attention]
    assert np.array_equal(line.y, 8 * 12 * elements * 4 * line.x)
    assert line.x[0] == 512
    assert line.x[-1] == 131_072
    assert [rule.value for rule in figure.panels[0].rules] == [24e9, 80e9]


def test_the_cache_surface_by_formula() -> None:
    figure = serving.cache_surface()
    together, *alone = figure.panels
    assert [sheet.name for sheet in together.marks] == ["MHA", "GQA", "MLA"]
    assert len(alone) == 3
    sheets = of_kind(Surface, together.marks)
    for sheet, share in zip(sheets, (1, 4, None), strict=True):
        assert (np.diff(sheet.x) > 0).all()
        for j, dim in enumerate(range(128, 1025, 128)):
            elements = 64 + 16 if share is None else 2 * dim // share
            assert np.array_equal(sheet.z[:, j], 8 * 12 * elements * 4 * sheet.y)
    mla = sheets[2]
    assert (mla.z == mla.z[:, :1]).all()
    assert [rule.label for rule in together.rules] == ["24 GB", "80 GB"]
    assert alone[2].rules == ()


def test_weights_of_the_family_by_formula() -> None:
    sheet, *_ = of_kind(Surface, serving.cache_surface().panels[0].marks)
    for j, dim in enumerate(range(128, 1025, 128)):
        layer = 4 * dim * dim + 3 * dim * 4 * dim + 2 * dim
        assert sheet.x[j] * 1e6 == pytest.approx(12 * layer + dim * 256 + dim)
