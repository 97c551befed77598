"""Scenario to plan: the parts, the policies, the layouts and what fits, against published figures."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.parts import score_matrix_bytes
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.saying.notices import notices
from kvtui.engine.scenario.values import scenario_from


def planned(**values: str | bool) -> Plan:
    return plan(scenario_from(values))


@pytest.mark.parametrize(
    ("model", "gib_128000", "gib_1000000"),
    [
        ("Llama-3.2-1B", 3.906, 30.52),
        ("Llama-3.1-8B", 15.625, 122.07),
        ("Llama-3.1-70B", 39.06, 305.18),
        ("Llama-3.1-405B", 61.52, 480.65),
        ("DeepSeek-V3", 8.377, 65.45),
    ],
)
def test_kv_of_a_long_sequence(model: str, gib_128000: float, gib_1000000: float) -> None:
    for context, expected in (("128000", gib_128000), ("1000000", gib_1000000)):
        kv = planned(model=model, context=context, gpus="8", pp="8", skip_weights=True).total.kv
        assert kv / GIB == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(("dtype", "gib"), [("fp32", 610), ("fp16", 305), ("int8", 153), ("int4", 76)])
def test_kv_by_format(dtype: str, gib: int) -> None:
    kv = planned(model="Llama-3.1-70B", context="1000000", kv_dtype=dtype, skip_weights=True).total.kv
    assert round(kv / GIB) == gib


@pytest.mark.parametrize(
    ("model", "gib"),
    [("Llama-3.1-8B", 14.96), ("Llama-3.1-70B", 131.42), ("Mixtral-8x7B-v0.1", 86.99), ("Llama-3.1-405B", 755.96)],
)
def test_weights_count_every_parameter(model: str, gib: float) -> None:
    assert planned(model=model).total.weights / GIB == pytest.approx(gib, abs=0.01)


def test_every_expert_is_resident() -> None:
    """Active parameters alone would give 5.6 GiB, the error of a well-known calculator."""
    assert 147 < planned(model="Qwen3-Next-80B-A3B").total.weights / GIB < 150


@pytest.mark.parametrize(
    ("batch", "percent"),
    [(2, 50), (3, 40), (4, 31.25), (8, 30), (16, 36.25), (32, 36.25), (64, 36.25), (128, 36.25)],
)
def test_continuous_batching_fills(batch: int, percent: float) -> None:
    full = planned(model="Llama-3.1-8B", context="100000", batch=str(batch)).total
    filled = planned(model="Llama-3.1-8B", context="100000", batch=str(batch), cb=True, fill="average").total
    assert filled.kv == pytest.approx(full.kv * percent / 100)
    assert filled.reserved_unused == 0


def test_static_reservation_sets_the_whole_context_aside() -> None:
    parts = planned(model="Llama-3.1-8B", context="4000", lengths="1000,2500").total
    assert parts.kv == 3500 * 131_072
    assert parts.reserved_unused == (3000 + 1500) * 131_072


def test_paged_attention_wastes_only_the_last_block() -> None:
    parts = planned(model="Llama-3.1-8B", context="4000", lengths="1000,2500", pa=True).total
    assert parts.kv == 3500 * 131_072
    assert parts.reserved_unused == (8 + 12) * 131_072


def test_a_shared_prefix_is_stored_once_in_whole_blocks() -> None:
    alone = planned(model="Llama-3.1-8B", context="1600", batch="4", pa=True)
    shared = planned(model="Llama-3.1-8B", context="1600", batch="4", pa=True, shared_prefix="1000")
    saved = 3 * (1000 // 16 * 16) * 131_072
    assert alone.total.kv - shared.total.kv == saved == shared.prefix_shared
    replicas = planned(model="Llama-3.1-8B", context="1600", batch="4", pa=True, shared_prefix="1000", dp="2")
    assert replicas.prefix_shared == 2 * (1000 // 16 * 16) * 131_072


def test_a_shared_prefix_does_not_touch_windows_or_state() -> None:
    alone = planned(model="Qwen3-Next-80B-A3B", context="1600", batch="4", pa=True)
    shared = planned(model="Qwen3-Next-80B-A3B", context="1600", batch="4", pa=True, shared_prefix="1600")
    assert alone.total.state == shared.total.state == 4 * 77_266_944
    assert alone.total.kv - shared.total.kv == 3 * 1600 * 24_576


@pytest.mark.parametrize(
    ("batch", "context", "gib"),
    [(8, 1024, 0.0492), (8, 2048, 1.992), (8, 4096, 7.992), (8, 16_384, 31.99), (8, 20_480, 40.0), (1, 65_536, 16.0)],
)
def test_score_matrix_of_32_heads(batch: int, context: int, gib: float) -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})
    assert score_matrix_bytes(scenario, context, batch) / GIB == pytest.approx(gib, rel=2e-3)


def test_score_matrix_uses_the_models_own_heads_and_is_in_no_total() -> None:
    on = planned(model="Llama-3.1-70B", context="4096", gpu="H200 SXM")
    off = planned(model="Llama-3.1-70B", context="4096", gpu="H200 SXM", fa=False)
    assert on.flash_attention_saved == (4096 * 4096 - 128 * 128) * 64 * 2
    assert off.total.activation - on.total.activation == on.flash_attention_saved
    assert on.total.total == sum(
        (on.total.weights, on.total.kv, on.total.state, on.total.activation, on.total.overhead)
    )


def test_activation_prior_meets_the_logged_profile_runs() -> None:
    """vLLM logs 1.20 and 1.23 GiB for Llama-3.1-8B at 8,192 batched tokens and 256 sequences."""
    activation = planned(model="Llama-3.1-8B", context="8192", batch="256", gpu="H200 SXM").per_device.activation
    assert activation / GIB == pytest.approx(1.2, rel=0.05)


def test_tensor_parallel_ranks_replicate_heads_beyond_their_number() -> None:
    four = planned(model="Qwen3-235B-A22B", tp="4", context="1000")
    eight = planned(model="Qwen3-235B-A22B", tp="8", context="1000")
    assert four.per_device.kv == eight.per_device.kv == 48_128 * 1000
    assert eight.total.kv == 2 * four.total.kv


def test_latents_are_copied_to_every_rank() -> None:
    plan_ = planned(model="DeepSeek-V3", tp="8", context="1000", weight_dtype="fp8")
    assert plan_.per_device.kv == 70_272_000
    assert plan_.total.kv == 8 * 70_272_000


def test_pipeline_stages_divide_layers_and_the_fullest_counts() -> None:
    plan_ = planned(model="Llama-3.1-405B", tp="8", pp="4", context="1000")
    assert plan_.per_device.kv == 32 * 2 * 128 * 2 * 1000  # stages of 32, 32, 31 and 31 layers, one KV head a rank
    assert plan_.total.kv == 516_096 * 1000


def test_replicas_share_the_sequences() -> None:
    plan_ = planned(model="Llama-3.1-8B", dp="4", batch="6", context="1000")
    assert plan_.per_device.kv == 2 * 131_072_000
    assert plan_.total.kv == 6 * 131_072_000
    assert plan_.total.weights == 4 * plan_.per_device.weights


def test_mtp_layers_count_with_speculation_only() -> None:
    without = planned(model="Qwen3.5-27B", context="1000")
    drafting = planned(model="Qwen3.5-27B", context="1000", speculative_tokens="3")
    assert without.total.kv == 65_536 * 1000
    assert drafting.total.kv == 65_536 * 1000 * 17 // 16
    with pytest.raises(InputError, match="speculative-tokens"):
        planned(model="Llama-3.1-8B", speculative_tokens="3")


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        ({"gpus": "8"}, (8, 1, 1)),
        ({"gpus": "8", "model": "Qwen2.5-7B"}, (4, 2, 1)),
        ({"gpus": "8", "tp": "2"}, (2, 4, 1)),
        ({"gpus": "8", "tp": "2", "pp": "1", "batch": "4"}, (2, 1, 4)),
        ({"tp": "2", "pp": "2"}, (2, 2, 1)),
        ({"gpus": "1"}, (1, 1, 1)),
    ],
)
def test_layouts(values: dict[str, str], layout: tuple[int, int, int]) -> None:
    found = scenario_from({"model": "Llama-3.1-8B", **values}).layout
    assert (found.tp, found.pp, found.dp) == layout


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "Qwen2.5-7B", "tp": "8"}, "28"),
        ({"model": "phi-4", "tp": "4"}, "10 KV heads"),
        ({"gpus": "8", "tp": "3"}, "gpus"),
        ({"gpus": "4", "tp": "2", "pp": "1", "dp": "1"}, "gpus"),
        ({"pp": "33"}, "pp"),
        ({"dp": "2"}, "dp"),
        ({"context": "1000", "lengths": "1000,1001"}, "lengths"),
        ({"batch": "3", "lengths": "1,2"}, "lengths"),
        ({"shared_prefix": "16"}, "--pa"),
        ({"kv_dtype": "fp8_ds_mla"}, "MLA"),
        ({"weight_dtype": "fp8_ds_mla"}, "weight-dtype"),
        ({"model": "Ling-3.0-Flash"}, "--skip-weights"),
    ],
)
def test_contradictions_are_errors(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        planned(**values)


def test_devices_needed_and_its_notices() -> None:
    small = planned(model="Llama-3.1-8B")
    assert small.fits
    assert small.devices_needed == 1
    big = planned(model="Llama-3.1-70B", gpu="H100 SXM", context="8192")
    assert not big.fits
    assert big.devices_needed == 2
    assert big.binding_limit == "weights"
    ids = {notice.id for notice in notices(big)}
    assert {"over_capacity", "multi_device"} <= ids
    huge = planned(model="Llama-3.1-405B", context="1M")
    assert huge.devices_needed is not None
    assert huge.devices_needed > 8
    assert "multi_node" in {notice.id for notice in notices(huge)}


def test_devices_needed_really_fit_and_one_less_does_not() -> None:
    found = planned(model="Llama-3.1-405B", context="32K", batch="4")
    assert found.devices_needed is not None
    assert planned(model="Llama-3.1-405B", context="32K", batch="4", gpus=str(found.devices_needed)).fits
    for layout in ({"tp": "8"}, {"tp": "4", "pp": "2"}, {"pp": "8"}):
        assert not planned(model="Llama-3.1-405B", context="32K", batch="4", **layout).fits


def test_warnings_fire_at_their_thresholds() -> None:
    ids = [{n.id for n in notices(planned(model="Llama-3.1-8B", context=str(c)))} for c in (300_000, 400_000, 600_000)]
    assert "near_capacity" not in ids[0]
    assert "near_capacity" in ids[1]
    assert "over_capacity" in ids[2]
    assert all("beyond_model_context" in found for found in ids)


def test_a_pool_replaces_what_is_left_over() -> None:
    inside = planned(model="Llama-3.1-8B", kv_pool="1GiB", context="8192")
    assert inside.fits
    outside = planned(model="Llama-3.1-8B", kv_pool="1GiB", context="8193")
    assert not outside.fits
    assert outside.binding_limit == "kv pool"


def test_utilisation_of_memory_shrinks_the_budget() -> None:
    whole, part = planned(), planned(gpu_memory_utilization="0.9")
    assert part.budget_per_device == int(whole.usable_per_device * 0.9)
    assert whole.usable_per_device == 81_559 * 2**20
