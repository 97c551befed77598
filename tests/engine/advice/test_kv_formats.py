"""What formats of the cache take: the plan's own bytes and users, halved in 8 bits."""

from __future__ import annotations

import pytest

from kvtui.engine.advice.kv_formats import compared_formats
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import scenario_from


@pytest.mark.parametrize("engine", ["none", "vllm"])
def test_a_format_is_what_its_plan_says(engine: str) -> None:
    scenario = scenario_from(
        {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "32K", "batch": "4", "engine": engine}
    )
    found = {one.name: one for one in compared_formats(scenario)}
    for name in ("bf16", "fp8"):
        planned = plan(scenario._replace(kv_dtype=name))
        room = capacity(planned)
        assert found[name].bytes == planned.cache.kv
        assert (found[name].answer.context, found[name].answer.sequences) == (room.context, room.sequences)
    assert found["fp8"].saved == 0.5
    assert found["bf16"].saved == 0
    sizes = [one.bytes for one in found.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_what_the_model_cannot_use_is_left_out() -> None:
    names = {one.name for one in compared_formats(scenario_from({"model": "Llama-3.1-8B", "engine": "vllm"}))}
    assert "fp8_ds_mla" not in names
    assert "q4_0" not in names
