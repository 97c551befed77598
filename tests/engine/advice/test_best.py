"""The best formats that fit: they fit, nothing less lossy does, and a context that falls short is said."""

from __future__ import annotations

import pytest

from kvtui.engine.advice.best import best_format
from kvtui.engine.advice.matrix import answer
from kvtui.engine.advice.risk import cache_risk, weights_risk
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.values import scenario_from

SCENARIOS = (
    {"model": "Llama-3.1-8B", "gpu": "RTX 4090", "context": "128K"},
    {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "128K", "engine": "vllm"},
    {"model": "Qwen3-30B-A3B", "gpu": "RTX 4090", "context": "32K", "engine": "llama.cpp"},
    {"model": "gpt-oss-120b", "gpu": "H100 SXM", "context": "64K"},
)


@pytest.mark.parametrize("values", SCENARIOS)
def test_what_is_found_fits_and_nothing_with_less_risk_does(values: dict[str, str]) -> None:
    scenario = scenario_from(values)
    found = best_format(scenario)
    assert found.context >= scenario.context
    assert answer(adapted(scenario, {"weight_dtype": found.weights, "kv_dtype": found.kv})[0]).fits
    for weights in ("bf16", "fp8", "q8_0", "q6_k"):
        for kv in ("bf16", "fp8", "q8_0"):
            risk = max(weights_risk(weights, scenario.model).level, cache_risk(kv).level)
            if risk < found.risk:
                assert not answer(adapted(scenario, {"weight_dtype": weights, "kv_dtype": kv})[0]).fits


def test_a_context_that_falls_short_is_the_most_that_the_smallest_formats_leave() -> None:
    scenario = scenario_from({"model": "Qwen2.5-32B", "gpu": "RTX 4090", "context": "32K"})
    found = best_format(scenario)
    assert found.words == "Q4_K_M + q8_0 KV"
    assert 0 < found.context < scenario.context
    changed = adapted(scenario, {"weight_dtype": found.weights, "kv_dtype": found.kv})[0]
    assert answer(changed).context == found.context


def test_where_no_weights_fit_nothing_is_best() -> None:
    found = best_format(scenario_from({"model": "Llama-3.1-405B", "gpu": "RTX 4090"}))
    assert (found.context, found.words) == (0, "no format fits")
