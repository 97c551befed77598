"""Times, costs and energy can be worked out again from what their explanations say, and from nothing else."""

from __future__ import annotations

import pytest

from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.saying.explain import explain
from kvtui.engine.scenario.values import scenario_from

SCENARIOS: tuple[dict[str, str | bool], ...] = (
    {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "16K", "batch": "4"},
    {"model": "Llama-3.3-70B", "gpu": "H100 SXM", "tp": "2", "weight_dtype": "fp8", "context": "16K", "engine": "vllm"},
    {"model": "Llama-3.1-8B", "gpu": "RTX 4090", "context": "8K", "weight_dtype": "q4_k_m", "bandwidth": "900"},
)


@pytest.mark.parametrize("values", SCENARIOS)
def test_every_result_follows_from_the_values_that_are_said(values: dict[str, str | bool]) -> None:
    planned = plan(scenario_from(values))
    told = {one.id: dict(one.values) for one in explain(planned, capacity(planned), estimate(planned))}
    numbers = {
        name: {key: float(value) for key, value in said.items() if not isinstance(value, str)}
        for name, said in told.items()
    }

    v = numbers["decode"]
    for end, other in (("low", "high"), ("high", "low")):
        read = v["step_bytes"] / (v["tp"] * v["bandwidth_gbs"] * 1e9 * v.get(f"efficiency_{other}", 1))
        work = v["step_flops"] / (v["tp"] * v["peak_tflops"] * 1e12 * v[f"compute_efficiency_{other}"])
        ms = 1e3 * max(read, work) + v[f"launches_ms_{end}"] + v.get(f"collectives_ms_{end}", 0)
        assert ms == pytest.approx(v[f"found_ms_per_token_{end}"])

    v = numbers["prefill"]
    for end, share in (("low", 0.6), ("high", 0.35)):
        assert 1e3 * v["flops"] / (v["tp"] * v["peak_tflops"] * 1e12 * share) == pytest.approx(v[f"found_ms_{end}"])

    for end, other, share in (("low", "high", 0.6), ("high", "low", 1.0)):
        v = numbers["cost"]
        cost = v["devices"] * v[f"usd_per_hour_{end}"] / 3600 / v[f"tokens_per_second_{other}"] * 1e6
        assert cost == pytest.approx(v[f"found_usd_per_million_tokens_{end}"])
        v = numbers["energy"]
        joules = v["devices"] * v["tdp_watts"] * share / v[f"tokens_per_second_{other}"]
        assert joules == pytest.approx(v[f"found_joules_per_token_{end}"])
