"""What must hold for any scenario, whatever the model, device, format and workload."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.formats import FORMATS, KV_FORMATS
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from kvtui.engine.picture.banks import bank_counts
from kvtui.engine.planning import grid
from kvtui.engine.planning.allocation import fill_percent, slots
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import device_parts
from kvtui.engine.planning.plan import plan
from kvtui.engine.saying.explain import explain
from kvtui.engine.scenario.scenario import Layout, Scenario, has_experts, valid_tps
from kvtui.engine.scenario.values import command_line, scenario_from, to_values
from tests.nightly import sampled

pytestmark = sampled(3)

MODELS = tuple(model for model in all_models() if model.parameters is not None)
WIDENING = ("int4", "nvfp4", "fp8", "q8_0", "bf16", "fp32")
ELEMENTS = ("int4", "q4_0", "q5_0", "int8", "q8_0", "bf16", "fp32")
"""Formats of weights that store every tensor alike."""

GGUF = {"q4_0", "q5_0", "q8_0"}
"""Of these the formats of a file that leaves a model's encoder and towers to another one."""

elements = st.sampled_from(ELEMENTS)

models = st.sampled_from(MODELS)
devices = st.sampled_from(all_devices())
contexts = st.integers(1, 2**21) | st.sampled_from([1, 16, 127, 128, 129, 4096, 131_072, 2**27])
batches = st.integers(1, 200)


@st.composite
def scenarios(draw: st.DrawFn, lengths: bool = True) -> Scenario:
    model, device = draw(models), draw(devices)
    tps = [tp for tp in valid_tps(model) if tp <= 64]
    batch = draw(batches)
    layout = Layout(
        draw(st.sampled_from(tps)), draw(st.integers(1, min(4, len(model.layers)))), draw(st.integers(1, min(3, batch)))
    )
    context = draw(contexts)
    held = draw(st.none() | st.lists(st.integers(1, context), min_size=batch, max_size=batch)) if lengths else None
    paged = draw(st.booleans())
    scenario = Scenario(
        model=model,
        device=device,
        context=context,
        batch=batch,
        layout=layout,
        expert_parallel=draw(st.booleans()) if has_experts(model) else False,
        weight_dtype=draw(st.sampled_from((*WIDENING, "awq", "gptq", "w8a8", "mxfp4", "nf4"))),
        kv_dtype=draw(st.sampled_from([f for f in KV_FORMATS if not FORMATS[f].packed_latent])),
        continuous_batching=draw(st.booleans()),
        paged_attention=paged,
        flash_attention=draw(st.booleans()),
        lengths=None if held is None else tuple(held),
        block_size=draw(st.sampled_from([1, 16, 64, 784])),
        speculative_tokens=draw(st.integers(0, 3)) if model.mtp else 0,
    )
    if not paged:
        return scenario
    shortest = min(slot.used for slot in slots(scenario, context, batch))
    return scenario._replace(shared_prefix=draw(st.integers(0, shortest)))


@given(scenarios())
def test_parts_sum_to_the_total(scenario: Scenario) -> None:
    for parts in (plan(scenario).total, plan(scenario).per_device):
        pieces = (parts.weights, parts.kv, parts.state, parts.activation, parts.overhead, parts.reserved_unused)
        assert parts.total == sum(pieces)
        assert min(pieces) >= 0
        assert all(isinstance(piece, int) for piece in pieces)


@given(scenarios())
def test_no_device_holds_more_than_all_and_all_no_more_than_each(scenario: Scenario) -> None:
    found = plan(scenario)
    assert found.per_device.total <= found.total.total <= found.per_device.total * found.devices


@given(scenarios(lengths=False), st.integers(0, 2**20))
def test_monotone_in_context(scenario: Scenario, more: int) -> None:
    before = device_parts(scenario, scenario.context, scenario.batch).total
    assert device_parts(scenario, scenario.context + more, scenario.batch).total >= before


@given(scenarios(lengths=False), st.integers(0, 200))
def test_monotone_in_batch(scenario: Scenario, more: int) -> None:
    """Below eight continuously batched sequences whole tokens are lost to rounding; the fills themselves never fall."""
    assume(scenario.layout.dp == 1 and (scenario.batch >= 8 or not scenario.continuous_batching))
    before = device_parts(scenario, scenario.context, scenario.batch).total
    assert device_parts(scenario, scenario.context, scenario.batch + more).total >= before


def test_one_more_sequence_never_fills_less() -> None:
    fills = [sum(percent * count for percent, count in fill_percent(batch).items()) for batch in range(1, 300)]
    assert fills == sorted(fills)


@given(scenarios(), st.data())
def test_monotone_in_format(scenario: Scenario, data: DataObject) -> None:
    small, large = sorted(data.draw(st.lists(st.sampled_from(WIDENING), min_size=2, max_size=2)), key=WIDENING.index)
    lighter, heavier = sorted(data.draw(st.lists(elements, min_size=2, max_size=2)), key=ELEMENTS.index)
    narrow = plan(scenario._replace(kv_dtype=small, weight_dtype=lighter)).total
    wide = plan(scenario._replace(kv_dtype=large, weight_dtype=heavier)).total
    assert narrow.kv <= wide.kv
    if (lighter in GGUF) == (heavier in GGUF):
        assert narrow.weights <= wide.weights
    assert narrow.state == wide.state


@given(models, contexts, st.sampled_from(WIDENING), st.data())
def test_tensor_parallelism_never_raises_a_ranks_bytes(
    model: ModelSpec, context: int, form: str, data: DataObject
) -> None:
    tps = valid_tps(model)
    few = data.draw(st.sampled_from(tps))
    many = data.draw(st.sampled_from([tp for tp in tps if tp % few == 0]))
    for growth in ("kv", "state"):
        before = getattr(cache_bytes(model.caches, context, FORMATS[form], few), growth)
        after = getattr(cache_bytes(model.caches, context, FORMATS[form], many), growth)
        assert after <= before
        assert many // few * after >= before


@given(scenarios())
def test_allocated_is_never_less_than_useful(scenario: Scenario) -> None:
    found = plan(scenario)
    for slot in found.sequences:
        assert slot.reserved >= slot.used >= 1
    assert found.total.reserved_unused >= 0
    assert sum(slot.sequences for slot in found.sequences) == scenario.batch


@given(scenarios(lengths=False))
def test_capacity_of_a_cost_is_at_least_its_size(scenario: Scenario) -> None:
    """A pool of exactly what n sequences or tokens cost holds at least n, on a device with room for it."""
    scenario = scenario._replace(shared_prefix=0, device=scenario.device._replace(usable_bytes=2**62))
    most = device_parts(scenario._replace(kv_pool=1), scenario.context, scenario.batch)
    pool = max(1, most.cache)
    found = capacity(plan(scenario._replace(kv_pool=pool)))
    assert found.context is None or found.context >= scenario.context
    assert found.sequences is None or found.sequences >= scenario.batch


@given(scenarios(lengths=False))
def test_one_more_than_the_capacity_does_not_fit(scenario: Scenario) -> None:
    scenario = scenario._replace(shared_prefix=0)
    found = capacity(plan(scenario))
    context = found.context or 0
    assume(context)
    budget = int(scenario.device.usable_bytes)
    assert device_parts(scenario, context + 1, scenario.batch).total > budget
    assert device_parts(scenario, context, scenario.batch).total <= budget


@given(models, st.lists(st.integers(1, 2**30), min_size=1, max_size=20), st.sampled_from(WIDENING))
def test_the_array_version_equals_the_scalar(model: ModelSpec, tokens: list[int], form: str) -> None:
    kv = FORMATS[form]
    scalar = []
    for n in tokens:
        one = cache_bytes(model.caches, n, kv)
        scalar.append(one.kv + one.state)
    assert grid.cache_bytes(model.caches, np.array(tokens, dtype=np.int64), kv).tolist() == scalar


@given(scenarios())
def test_explanations_add_up_to_the_plan(scenario: Scenario) -> None:
    found = plan(scenario)
    parts = {e.id: e.bytes for e in explain(found, capacity(found), estimate(found))}
    kv = sum(size or 0 for name, size in parts.items() if name.startswith("kv."))
    state = sum(size or 0 for name, size in parts.items() if name.startswith("state."))
    assert kv == found.total.kv
    assert state == found.total.state
    assert parts["weights"] == found.total.weights
    assert parts["total"] == found.total.total


@given(scenarios())
def test_bands_are_ordered_and_positive(scenario: Scenario) -> None:
    found = estimate(plan(scenario))
    for band in (found.prefill_ms, found.decode_ms, found.tokens_per_second, found.joules_per_token):
        assert band is None or 0 < band.low <= band.high


@given(scenarios())
def test_the_command_line_reproduces_the_scenario(scenario: Scenario) -> None:
    assert scenario_from(to_values(scenario))._replace(model_ref="") == scenario
    assert "--model" in command_line(scenario)


@given(scenarios())
def test_the_picture_shows_the_plan(scenario: Scenario) -> None:
    parts = plan(scenario).per_device
    sizes = {"weights": parts.weights, "kv": parts.kv, "rest": parts.total - parts.weights - parts.kv}
    counts = bank_counts(sizes, scenario.device.usable_bytes, 480)
    assert sum(counts.values()) == 480
    whole = max(scenario.device.usable_bytes, parts.total)
    for name, size in sizes.items():
        assert abs(counts[name] - size * 480 / whole) < 1


@pytest.mark.parametrize("model", all_models(), ids=lambda m: m.name)
def test_every_model_plans_on_every_class_of_device(model: ModelSpec) -> None:
    """All catalogue models, ten devices from a Raspberry-sized card to a wafer: a plan, or a named unknown."""
    for name in ("RTX 3060 12GB", "RTX 4090", "L4", "A100 80GB SXM", "H100 SXM", "B300", "Instinct MI300X"):
        device = next(d for d in all_devices() if d.name == name)
        _plans(model, device)
    for device in all_devices()[-3:]:
        _plans(model, device)


def _plans(model: ModelSpec, device: DeviceSpec) -> None:
    scenario = Scenario(model=model, device=device, context=model.max_context or 8192)
    if model.parameters is None:
        with pytest.raises(InputError, match="parameter count"):
            plan(scenario)
        scenario = scenario._replace(skip_weights=True)
    found = plan(scenario)
    assert found.total.total > 0
    assert found.devices_needed is None or found.devices_needed >= 1
    assert (found.devices_needed == 1) == found.fits
