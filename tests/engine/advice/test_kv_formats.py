"""What formats of the cache take: the plan's own bytes and users, halved in 8 bits."""

from __future__ import annotations

import pytest

from kvtui.engine.advice.kv_formats import KvFormat, compared_formats
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from


def compared(scenario: Scenario) -> dict[str, KvFormat]:
    planned = plan(scenario)
    return {one.name: one for one in compared_formats(planned, capacity(planned))}


@pytest.mark.parametrize("engine", ["none", "vllm"])
def test_a_format_is_what_its_plan_says(engine: str) -> None:
    scenario = scenario_from(
        {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "32K", "batch": "4", "engine": engine}
    )
    found = compared(scenario)
    for name in ("bf16", "fp8"):
        planned = plan(scenario._replace(kv_dtype=name))
        room = capacity(planned)
        assert found[name].bytes == planned.cache.kv
        assert found[name].capacity == room
    assert found["fp8"].saved == 0.5
    assert found["bf16"].saved == 0
    sizes = [one.bytes for one in found.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_what_the_model_cannot_use_is_left_out() -> None:
    names = compared(scenario_from({"model": "Llama-3.1-8B", "engine": "vllm"})).keys()
    assert "fp8_ds_mla" not in names
    assert "q4_0" not in names


def test_vllm_keeps_latents_in_few_formats() -> None:
    """No backend of its MLA has scales per token and head, or 4 bits; a B200 has fp4 math for other models."""
    values = {"gpu": "B200", "tp": "8", "weight_dtype": "fp8", "engine": "vllm"}
    assert list(compared(scenario_from({**values, "model": "DeepSeek-V3"}))) == ["bf16", "fp8"]
    assert "nvfp4" in compared(scenario_from({**values, "model": "Llama-3.1-70B"}))
    assert "nvfp4" not in compared(scenario_from({**values, "gpu": "H100 SXM", "model": "Llama-3.1-70B"}))
