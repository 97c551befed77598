"""A KV pool that is given: it must hold the cache, and the device must hold it beside everything else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kvtui.engine.basis.units import GIB, MAX_TOKENS
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.planning import grid
from kvtui.engine.planning.allocation import busiest_share, slots
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.parts import Parts, budget, stage_parts, used
from kvtui.engine.planning.plan import Plan, _layouts, plan
from kvtui.engine.planning.stages import stages
from kvtui.engine.saying.alerts import Level, announcement, level
from kvtui.engine.saying.notices import notices
from kvtui.engine.scenario.scenario import Scenario, valid_tps
from kvtui.engine.scenario.values import scenario_from
from kvtui.report import render
from kvtui.report.document import document
from tests.engine.planning.test_properties import scenarios
from tests.present import present

ENGINES = ("none", "vllm", "sglang", "llama.cpp", "tensorrt-llm")
LARGE = {"model": "DeepSeek-V3.2", "weight_dtype": "fp8", "context": "4096", "kv_pool": "1GB"}

pooled = st.tuples(scenarios(lengths=False), st.integers(1, 2**34) | st.integers(2**34, 2**39)).map(
    lambda both: both[0]._replace(kv_pool=both[1])
)


def planned(**values: str | bool) -> Plan:
    return plan(scenario_from(values))


def every_stage(scenario: Scenario, context: int, batch: int) -> list[Parts]:
    share = busiest_share(slots(scenario, context, batch), scenario.layout.dp)
    return [stage_parts(scenario, stage, share, context) for stage in stages(scenario)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pool_does_not_hide_weights_that_fit_nowhere(engine: str) -> None:
    found = planned(**LARGE, engine=engine)
    assert found.per_device.weights > 500 * GIB
    assert found.crowded
    assert not found.fits
    assert found.binding_limit == "weights"
    assert (found.devices_needed or 0) > 8
    assert capacity(found)[:2] == (0, 0)
    assert capacity(found).context_limit == capacity(found).sequences_limit == "weights"
    said = {notice.id: notice.text for notice in notices(found)}
    assert "of a device's 79.65 GiB, which leaves 0 B for a KV pool of 953.67 MiB" in said["over_capacity"]
    assert said["multi_device"] == f"needs {found.devices_needed} devices of this kind"
    enough = planned(**LARGE, engine=engine, gpu="H200 SXM", gpus="8")
    assert enough.fits
    assert not enough.crowded


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pool_may_take_all_that_is_left_and_not_one_byte_more(engine: str) -> None:
    """Without an engine of the budget; an engine that is told its pool does not ask for a share of the memory."""
    values = {"model": "Llama-3.1-8B", "context": "4096", "engine": engine, "gpu_memory_utilization": "0.8"}
    parts = planned(**values).per_device
    whole = 81_559 * 2**20
    room = int(whole * 0.8) if engine == "none" else whole
    left = room - parts.weights - parts.activation - parts.overhead
    inside, outside = (planned(**values, kv_pool=str(size)) for size in (left, left + 1))
    assert (inside.fits, inside.crowded) == (True, False)
    assert (outside.fits, outside.crowded, outside.binding_limit) == (False, True, "device memory")
    assert outside.devices_needed == 2
    assert capacity(outside).sequences == 0
    assert capacity(inside).sequences


def test_what_stops_is_named() -> None:
    values = {"model": "Llama-3.1-8B", "context": "8192"}
    small = planned(**values, kv_pool="512MiB")
    assert (small.fits, small.binding_limit, small.devices_needed) == (False, "kv pool", None)
    assert capacity(small).context_limit == "kv pool"
    assert "of a pool of 512.00 MiB" in next(n.text for n in notices(small) if n.id == "over_capacity")
    whole = planned(**values, kv_pool="1GiB")
    assert (whole.fits, whole.binding_limit) == (True, "kv pool")
    assert capacity(whole)[:2] == (8192, 1)
    skipped = planned(**values, kv_pool="79.5GiB", skip_weights=True)
    text = next(n.text for n in notices(skipped) if n.id == "over_capacity")
    assert text.startswith("activations and overhead take ")


def test_activations_that_grow_stop_a_context_before_the_pool_is_full() -> None:
    """The pool would hold many more tokens, but a longer prefill step leaves it no room."""
    values = {"model": "Llama-3.1-8B", "context": "1024", "max_batched_tokens": "1M"}
    parts = planned(**values).per_device
    pool = planned().budget_per_device - parts.weights - parts.activation - parts.overhead
    found = capacity(planned(**values, kv_pool=str(pool)))
    assert found.context == 1024
    assert found.context_limit == "device memory"


def test_a_machine_that_was_measured_counts_as_it_was() -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "engine": "vllm", "kv_pool": "61GiB"})
    assert plan(scenario).fits
    for activation, fits in ((2 * GIB, True), (4 * GIB, False)):
        measured = Overheads("rig", activation=activation, engine="vllm")
        found = plan(scenario._replace(serving=scenario.serving._replace(measured=measured)))
        assert (found.fits, found.crowded) == (fits, not fits)


def test_the_announcement_asks_for_what_is_missing() -> None:
    pool = planned(model="Llama-3.1-70B", gpus="4", kv_pool="1MiB")
    assert level(pool) == Level.MULTI_DEVICE
    assert "a larger KV pool" in present(announcement(pool)).text
    device = planned(model="Llama-3.1-405B", gpus="2", kv_pool="1GiB")
    assert level(device) == Level.MULTI_NODE
    assert f"need {device.devices_needed} devices" in present(announcement(device)).text


@given(pooled)
def test_it_fits_if_every_stage_holds_its_pool_and_every_pool_its_cache(scenario: Scenario) -> None:
    found = plan(scenario)
    every = every_stage(scenario, scenario.context, scenario.batch)
    pool = present(scenario.kv_pool)
    room = budget(scenario) - pool
    beside = max(parts.weights + parts.activation + parts.overhead for parts in every)
    cache = max(parts.kv + parts.state + parts.reserved_unused for parts in every)
    assert found.fits == (cache <= pool and beside <= room)
    assert found.crowded or found.fits or cache > pool
    assert not found.crowded or beside > room
    assert (used(scenario, found.per_device) > 1) == (not found.fits)
    assert found.fits or any(notice.id == "over_capacity" for notice in notices(found))


@given(pooled)
def test_one_more_than_the_capacity_does_not_fit(scenario: Scenario) -> None:
    """In the pool that is given, or in half of what the device has left beside the rest."""
    scenario = scenario._replace(shared_prefix=0)
    if plan(scenario).crowded:
        beside = max(p.weights + p.activation + p.overhead for p in every_stage(scenario, 1, scenario.batch))
        scenario = scenario._replace(kv_pool=max(1, (budget(scenario) - beside) // 2))
    context = capacity(plan(scenario)).context or 0
    assume(context)
    assert plan(scenario._replace(context=context)).fits
    assert not plan(scenario._replace(context=context + 1)).fits


@given(pooled, st.lists(st.tuples(st.integers(1, 2**21), st.integers(3, 300)), min_size=1, max_size=4))
def test_the_arrays_say_the_same(scenario: Scenario, points: list[tuple[int, int]]) -> None:
    scenario = scenario._replace(shared_prefix=0)
    contexts, batches = np.array(points).T
    needs = grid.device_bytes(scenario, contexts, batches)
    every = [every_stage(scenario, context, batch) for context, batch in points]
    assert needs.cache.tolist() == [max(parts.cache for parts in one) for one in every]
    held = [plan(scenario._replace(context=c, batch=b)).fits for c, b in points]
    assert grid.fits(scenario, needs, np.array(budget(scenario))).tolist() == held
    assert ((grid.used(scenario, needs) > 1) == ~np.array(held)).all()
    most = capacity(plan(scenario)).context
    assert grid.most_context(scenario, np.array([scenario.batch])).tolist() == [MAX_TOKENS if most is None else most]


@pytest.mark.parametrize(
    ("model", "device", "pool", "engine"),
    [
        ("Llama-3.1-70B", "RTX 4090", "1GiB", "none"),
        ("Llama-3.1-405B", "H100 SXM", "20GiB", "none"),
        ("Llama-3.1-405B", "H100 SXM", "20GiB", "vllm"),
        ("DeepSeek-V3.2", "H200 SXM", "60GiB", "sglang"),
        ("Qwen3-30B-A3B", "T4", "2GiB", "llama.cpp"),
    ],
)
def test_no_split_over_fewer_devices_fits(model: str, device: str, pool: str, engine: str) -> None:
    found = planned(model=model, gpu=device, kv_pool=pool, engine=engine, context="4096", batch="3")
    assert found.crowded
    assert found.devices_needed is not None
    tps, layers = valid_tps(found.scenario.model), len(found.scenario.model.layers)
    for devices in range(1, found.devices_needed + 1):
        fits = [plan(found.scenario._replace(layout=layout)).fits for layout in _layouts(devices, tps, layers, 3)]
        assert any(fits) == (devices == found.devices_needed)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
@pytest.mark.parametrize("engine", ENGINES)
def test_reports_say_it(engine: str, form: str) -> None:
    found = document(scenario_from({**LARGE, "engine": engine}))
    assert found["memory"]["fits"] is False
    shown = render(found, form, width=200)
    assert "does not fit: weights, activations and overhead take" in shown
    needed, split = found["memory"]["devices_needed"], found["memory"]["split_needed"]
    assert f"{needed} devices ({split}) would hold it" in shown
    assert "missing" in shown
