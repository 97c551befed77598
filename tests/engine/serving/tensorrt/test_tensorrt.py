"""TensorRT-LLM's blocks against the few lines there are, and what must hold for every model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.scenario.scenario import NO_SERVING_OPTIONS, Layout, Scenario, ServingOptions, valid_tps
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.tensorrt.releases import KV_FORMATS
from kvtui.engine.serving.tensorrt.serve import serve
from tests.engine.serving.bounds import around
from tests.present import present

H100 = find_device("H100 SXM")
MODELS = all_models()


def scenario(model: str, pool: int | None, serving: ServingOptions = NO_SERVING_OPTIONS, **fields: Any) -> Scenario:
    given: dict[str, Any] = {
        "context": 2048,
        "block_size": 32,
        "skip_weights": True,
        "engine": "tensorrt-llm",
        **fields,
    }
    return Scenario(find_model(model), H100, kv_pool=pool, serving=serving, **given)


@pytest.mark.parametrize("block", [32, 64, 128])
def test_plain_attention_to_the_token(block: int) -> None:
    """Issue 1400: 69,524,783,104 bytes for 132,608 tokens."""
    served = serve(scenario("Llama-2-7B", 69_524_783_104, kv_dtype="fp16", block_size=block))
    assert (served.kv_cache_tokens, served.bytes_per_token) == (132_608, 524_288)
    assert served.blocks == 132_608 // block
    assert [b.bytes for b in served.buffers] == [69_524_783_104]


def test_blocks_are_rounded_up() -> None:
    """Issue 2268: 0.9 of 21.89 GiB are 631 blocks of 64 tokens at 512 KiB, where whole blocks would be 630."""
    served = serve(scenario("Llama-2-7B", int(21.89 * GIB * 0.9), kv_dtype="fp16", block_size=64))
    assert served.blocks == 631
    assert served.buffers[0].bytes == 631 * 64 * 524_288


def test_tokens_before_rounding_up_to_blocks() -> None:
    """Issue 224: 10,718 tokens in a pool of which 5.23 GiB are known to three digits (blocks of 16)."""
    served = serve(scenario("Llama-2-7B", int(5.23 * GIB), kv_dtype="fp16", block_size=16))
    assert served.kv_cache_tokens == pytest.approx(10_718, rel=0.002)


def test_free_memory_fraction() -> None:
    measured = Overheads("mine", weights=20 * GIB, activation=2 * GIB, non_torch=GIB)
    given = scenario_from({"model": "Llama-3.1-8B", "engine": "tensorrt-llm", "context": "8192"})
    assert given.block_size == 32
    free = H100.allocatable_bytes - 23 * GIB
    for share, percent in ((1.0, 90), (0.5, 50)):
        served = serve(given._replace(memory_utilization=share, serving=ServingOptions(measured=measured)))
        assert served.pool_bytes == free * percent // 100
    assert any("approximate" in note for note in served.notes)


def test_index_keys_need_blocks_of_64_and_latents_are_whole_on_every_rank() -> None:
    served = serve(scenario("DeepSeek-V3.2", 10 * GIB, layout=Layout(tp=8)))
    assert (served.block_size, served.bytes_per_token) == (64, 61 * (1152 + 132))


def test_window_pools_hold_as_many_sequences_each() -> None:
    served = serve(scenario("gpt-oss-20b", 10 * GIB, ServingOptions(hybrid_manager=True)))
    full, windowed = served.buffers
    assert (full.layers, windowed.layers) == (12, 12)
    assert full.cells / 2048 == pytest.approx(windowed.cells / 128, rel=0.01)
    assert served.max_sequences == min(full.cells // 2048, windowed.cells // 128)


def test_states_are_set_aside_first() -> None:
    given = scenario("Qwen3.5-9B", 10 * GIB, ServingOptions(max_seqs=16))
    served = serve(given)
    states = 16 * find_model("Qwen3.5-9B").state_bytes()
    assert served.buffers[-1].bytes == states
    assert 0 <= served.kv_cache_tokens * 32_768 - (10 * GIB - states) < 32 * 32_768
    assert served.state_slots == 16


def test_an_unknown_format_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="tensorrt-llm has no q8_0 cache; it has bf16"):
        scenario("Llama-3.1-8B", GIB, kv_dtype="q8_0")


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    model = draw(st.sampled_from(MODELS))
    return Scenario(
        model,
        H100,
        context=draw(st.integers(1, 2**20)),
        kv_dtype=draw(st.sampled_from(KV_FORMATS)),
        skip_weights=True,
        engine="tensorrt-llm",
        block_size=draw(st.sampled_from([16, 32, 64])),
        layout=Layout(draw(st.sampled_from(valid_tps(model))), draw(st.integers(1, min(3, len(model.layers))))),
        speculative_tokens=draw(st.integers(0, 3)) if model.mtp else 0,
        kv_pool=draw(st.none() | st.integers(1, 2**38)),
        serving=ServingOptions(max_seqs=draw(st.none() | st.integers(1, 64))),
    )


@given(scenarios())
def test_pools_fill_the_memory_rounded_up_to_blocks(given: Scenario) -> None:
    served = serve(given)
    pools = [buffer for buffer in served.buffers if buffer.name != "state pool"]
    states = served.buffers[len(pools) :]
    room = max(0, served.pool_bytes - sum(buffer.bytes for buffer in states))
    one_block_each = sum(1 + b.bytes * present(served.block_size) // b.cells for b in pools if b.cells)
    assert sum(buffer.bytes for buffer in pools) <= room + one_block_each
    assert (served.blocks or 0) * present(served.block_size) == served.kv_cache_tokens


@given(scenarios())
def test_max_context_is_the_last_that_fits(given: Scenario) -> None:
    given = given._replace(kv_pool=given.kv_pool or 2**34)
    expected = around(serve(given).max_context)
    assert {tokens: serve(given._replace(context=tokens)).fits for tokens in expected} == expected


@given(scenarios(), st.integers(1, 2**18))
def test_more_context_never_costs_less(given: Scenario, more: int) -> None:
    assert serve(given).needed_bytes <= serve(given._replace(context=given.context + more)).needed_bytes


def test_windows_keep_every_token_unless_they_are_asked_for() -> None:
    """36 layers of gpt-oss-120b with 8 heads of 64 + 64 elements in 16 bits: 73,728 bytes for each token."""
    served = serve(scenario("gpt-oss-120b", 10 * GIB, context=32_768))
    assert (served.bytes_per_token, len(served.buffers)) == (73_728, 1)
    assert any("max_attention_window" in note for note in served.notes)
    asked = serve(scenario("gpt-oss-120b", 10 * GIB, ServingOptions(hybrid_manager=True), context=32_768))
    assert (asked.bytes_per_token, len(asked.buffers)) == (36_864, 2)


def test_an_external_drafter_replaces_prediction_layers() -> None:
    """DeepSeek-V3 has one prediction layer; an EAGLE head of one layer drafts instead of it, not besides."""
    own = serve(scenario("DeepSeek-V3", 10 * GIB, speculative_tokens=2))
    external = serve(scenario("DeepSeek-V3", 10 * GIB, ServingOptions(draft_layers=1), speculative_tokens=2))
    assert own.bytes_per_token == external.bytes_per_token == 62 * 576 * 2
