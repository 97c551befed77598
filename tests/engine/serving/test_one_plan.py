"""The memory of a plan and the allocation of its engine are one: they have the same sums, and fit or not together."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import engine_budget
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.report.document import document
from tests.engine.serving.any_model import scenarios

MEMORY_LIMITS = {"kv pool", "device memory", "smallest pipeline rank", "weights"}


@given(st.data())
def test_memory_and_engine_say_the_same(data: st.DataObject) -> None:
    found = None
    with suppress(InputError):
        found = plan(data.draw(scenarios()))
    if found is None or found.serving is None:
        return
    scenario: Scenario = found.scenario
    served, parts = found.serving, found.per_device
    assert parts.total == parts.weights + parts.activation + parts.overhead + parts.cache
    assert len(served.rooms) == scenario.layout.pp
    for stage, room in zip(stages(scenario), served.rooms, strict=True):
        divided = engine_budget(scenario, stage)
        assert divided is not None
        pool = divided.pool if scenario.kv_pool is None else scenario.kv_pool
        if served.fits and served.max_sequences >= scenario.batch:
            assert room <= max(0, pool)
    if served.fits and served.max_sequences >= scenario.batch:
        assert parts.cache in served.rooms
        assert found.crowded or scenario.kv_pool is not None or parts.total <= found.budget_per_device
    elif not served.refusals and {served.max_context_limit, served.max_sequences_limit} <= MEMORY_LIMITS:
        lacking = parts.cache > scenario.kv_pool if scenario.kv_pool else parts.total > found.budget_per_device
        assert lacking


@pytest.mark.parametrize("engine", ["vllm", "vllm@0.19", "sglang", "tensorrt-llm", "llama.cpp"])
@pytest.mark.parametrize("model", ["Llama-3.1-8B", "gemma-3-12b", "Qwen3.5-9B"])
def test_the_report_has_one_cache(engine: str, model: str) -> None:
    """KV, state, reserved room and what is rest of the pool are what the engine allocates."""
    answer = document(scenario_from({"model": model, "engine": engine, "gpu": "H100", "context": "16K"}))
    memory, served = answer["memory"], answer["engine"]
    device = memory["fullest_device"]
    cache = sum(device[f"{part}_bytes"] for part in ("kv", "state", "reserved_unused", "pool_free"))
    assert memory["fits"]
    assert cache <= served["pool_bytes"]
    if served["buffers"]:
        listed = sum(buffer["bytes"] for buffer in served["buffers"])
        assert abs(listed - cache) <= (served["state_bytes_per_slot"] or 0) + (served["block_size_tokens"] or 0) * 2**20
    else:
        assert cache == served["blocks"] * served["bytes_per_block"]
    assert device["total_bytes"] <= memory["budget_bytes_per_device"]
