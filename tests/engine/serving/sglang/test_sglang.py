"""SGLang's pools against the lines that real servers printed, and what must hold for every model."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.scenario.scenario import NO_SERVING_OPTIONS, Layout, Scenario, ServingOptions, valid_tps
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.sglang.budget import mem_fraction_static
from kvtui.engine.serving.sglang.releases import KV_FORMATS, defaults
from kvtui.engine.serving.sglang.serve import serve
from tests.engine.serving.bounds import around
from tests.present import present

H100 = find_device("H100 SXM")
MODELS = all_models()


def scenario(model: str, pool: int | None, serving: ServingOptions = NO_SERVING_OPTIONS, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"context": 32_768, "block_size": 1, "skip_weights": True, "engine": "sglang", **fields}
    return Scenario(find_model(model), H100, kv_pool=pool, serving=serving, **given)


def gib(served: Serving) -> dict[str, float]:
    return {buffer.name: round(buffer.bytes / GIB, 3) for buffer in served.buffers}


WITNESSES = [
    ("DeepSeek-V3.2, fp8 with packed latents (PR 11309)", "DeepSeek-V3.2", "fp8", 1, 975_424, 48_068, 43.67),
    ("Kimi-K2.5, bf16", "Kimi-K2.5", "bf16", 1, 2_454_421, 70_272, 160.63),
    ("Qwen3-235B, TP4: K and V of 8.23 each", "Qwen3-235B-A22B", "bf16", 4, 367_404, 48_128, 2 * 8.234),
]


@pytest.mark.parametrize(
    ("model", "kv", "tp", "tokens", "cell", "printed"), [w[1:] for w in WITNESSES], ids=[w[0] for w in WITNESSES]
)
def test_tokens_of_a_pool_and_the_pool_of_tokens(
    model: str, kv: str, tp: int, tokens: int, cell: int, printed: float
) -> None:
    exact = serve(scenario(model, tokens * cell, kv_dtype=kv, layout=Layout(tp=tp)))
    assert exact.kv_cache_tokens == tokens
    assert sum(gib(exact).values()) == pytest.approx(printed, abs=0.011)
    rounded = serve(scenario(model, int(printed * GIB), kv_dtype=kv, layout=Layout(tp=tp)))
    assert rounded.kv_cache_tokens == pytest.approx(tokens, rel=0.002)


def test_k_and_v_of_a_rank_are_listed_apart() -> None:
    served = serve(scenario("Qwen3-235B-A22B", 367_404 * 48_128, layout=Layout(tp=4)))
    assert gib(served) == {"KV pool (K)": 8.234, "KV pool (V)": 8.234}
    assert [b.layers for b in served.buffers] == [94, 94]


@pytest.mark.parametrize(
    ("model", "kv", "tokens", "cell", "slots", "printed"),
    [
        (
            "Qwen3.6-27B",
            "bf16",
            330_323,
            65_536,
            124,
            {"KV pool (K)": 10.081, "KV pool (V)": 10.081, "mamba pool (conv)": 0.343, "mamba pool (ssm)": 17.578},
        ),
        (
            "Qwen3.8-27B",
            "fp8",
            228_520,
            32_768,
            360,
            {"KV pool (K)": 3.487, "KV pool (V)": 3.487, "mamba pool (conv)": 0.992, "mamba pool (ssm)": 50.766},
        ),
        (
            "Ling-3.0-Flash",
            "bf16",
            1_226_984,
            8064,
            117,
            {"KV pool": 9.215, "mamba pool (conv)": 0.284, "mamba pool (ssm)": 8.066},
        ),
    ],
)
def test_state_slots_and_tokens(
    model: str, kv: str, tokens: int, cell: int, slots: int, printed: dict[str, float]
) -> None:
    """A given number of slots (no radix cache) leaves the logged tokens; one slot more is allocated than handed out."""
    state = find_model(model).state_bytes()
    chosen = ServingOptions(prefix_caching=False, max_seqs=slots)
    served = serve(scenario(model, tokens * cell + slots * state, chosen, kv_dtype=kv))
    assert (served.kv_cache_tokens, served.state_slots) == (tokens, slots)
    assert gib(served) == printed
    assert served.state_bytes_per_slot == state


def test_automatic_slots_take_nine_nineteenths() -> None:
    """Ling-3.0-Flash's log has the slots that the rule gives; Qwen3.6-27B's has one less (124), so within one."""
    ling = serve(scenario("Ling-3.0-Flash", 1_226_984 * 8064 + 117 * find_model("Ling-3.0-Flash").state_bytes()))
    assert (ling.state_slots, ling.kv_cache_tokens) == (117, 1_226_984)
    qwen = serve(scenario("Qwen3.6-27B", 330_323 * 65_536 + 124 * find_model("Qwen3.6-27B").state_bytes()))
    assert qwen.state_slots == pytest.approx(124, abs=1)
    assert qwen.kv_cache_tokens == pytest.approx(330_323, rel=0.01)


def test_running_requests_hold_five_slots_each() -> None:
    """360 slots ran 72 requests (a public log of 0.5)."""
    given = scenario("Qwen3.8-27B", 80 * GIB, context=64)
    served = serve(given)
    assert served.max_sequences == present(served.state_slots) // 5
    assert served.max_sequences_limit == "state slots"
    assert serve(given._replace(serving=ServingOptions(max_seqs=7))).max_sequences == 7


def test_windowed_layers_have_a_pool_of_their_own() -> None:
    """MiMo-V2-Flash on four ranks with pages of 64 (PR 18039): 375,360 and 300,288 tokens, 8.38 and 5.59 GiB."""
    pool = 375_360 * (9 * 320 * 2 + Fraction(4, 5) * 39 * 2 * 320 * 2)
    served = serve(scenario("MiMo-V2-Flash", int(pool), block_size=64, layout=Layout(tp=4)))
    assert served.kv_cache_tokens == 375_360
    listed = {b.name: (b.cells, b.layers, round(b.bytes / GIB, 2)) for b in served.buffers}
    assert listed["SWA pool (K)"] == (300_288, 39, 8.38)
    assert listed["SWA pool (V)"] == (300_288, 39, 5.58)
    assert listed["KV pool (K)"][:2] == (375_360, 9)


def test_without_the_hybrid_pool_windows_cost_as_much_as_full_layers() -> None:
    given = scenario("gpt-oss-20b", 8 * GIB)
    alone = serve(given._replace(serving=ServingOptions(hybrid_manager=False)))
    assert alone.kv_cache_tokens == 8 * GIB // 49_152
    assert serve(given).kv_cache_tokens == 8 * GIB * 10 // (49_152 * 9)


@pytest.mark.parametrize(("kv", "cell"), [("bf16", 576 * 2), ("fp8", 576), ("fp8_ds_mla", 656), ("nvfp4", 324)])
def test_latents_are_whole_on_every_rank(kv: str, cell: int) -> None:
    model = "DeepSeek-V3" if kv != "fp8_ds_mla" else "DeepSeek-V3.2"
    key = 0 if kv != "fp8_ds_mla" else 132
    for tp in (1, 8):
        served = serve(scenario(model, 40 * GIB, kv_dtype=kv, layout=Layout(tp=tp)))
        assert served.kv_cache_tokens == 40 * GIB // (61 * (cell + key))


def test_fp8_latents_are_packed_in_every_layer_of_a_model_with_an_index() -> None:
    """GLM-5.2 has an indexer in 21 of 78 layers; MiniMax-M3 has one without latents."""
    assert serve(scenario("GLM-5.2", GIB, kv_dtype="fp8")).bytes_per_token == 78 * 656 + 21 * 132
    assert serve(scenario("MiniMax-M3", GIB, kv_dtype="fp8")).bytes_per_token == 60 * 2 * 4 * 128 + 57 * 256


@pytest.mark.parametrize(
    ("device", "chunk", "fraction"), [("RTX 4090", 2048, 0.847), ("H100 SXM", 8192, 0.835), ("H200 SXM", 8192, 0.907)]
)
def test_share_of_memory_that_sglang_chooses(device: str, chunk: int, fraction: float) -> None:
    """RTX 4090 (24,564 MiB, 24 graphs): 512 + 3,072 + 128 + 48 = 3,760 MiB are kept; H100: 13,440 MiB of 81,559."""
    spec = find_device(device)
    assert defaults("", find_model("Llama-3.1-8B"), spec, "bf16").max_batched_tokens == chunk
    assert float(mem_fraction_static(spec, chunk, Layout())) == fraction


def test_memory_left_for_the_pools() -> None:
    given = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "engine": "sglang", "context": "8192"})
    assert (given.block_size, given.max_batched_tokens) == (1, 8192)
    served = serve(given)
    before = H100.allocatable_bytes - 460 * MIB
    assert served.pool_bytes == int(before * Fraction(835, 1000)) - present(given.model.parameters) * 2
    assert any("0.835" in note for note in served.notes)
    chosen = serve(given._replace(memory_utilization=0.5))
    assert chosen.pool_bytes == before // 2 - present(given.model.parameters) * 2
    measured = ServingOptions(measured=Overheads("mine", weights=10 * GIB, non_torch=GIB))
    known = serve(given._replace(memory_utilization=0.5, serving=measured))
    assert known.pool_bytes == (H100.allocatable_bytes - GIB) // 2 - 10 * GIB


def test_all_stages_have_the_tokens_of_the_smallest() -> None:
    given = scenario("Llama-3.1-8B", 8 * GIB, ServingOptions(partition=(10, 22)), layout=Layout(pp=2))
    served = serve(given)
    assert served.kv_cache_tokens == 8 * GIB // (22 * 4096)
    assert [b.layers for b in served.buffers] == [22, 22]


def test_mtp_layers_share_the_pool_and_keep_intermediate_states() -> None:
    plain, drafting = (serve(scenario("Qwen3.5-9B", 20 * GIB, speculative_tokens=n)) for n in (0, 3))
    assert drafting.bytes_per_token - plain.bytes_per_token == 4096
    assert present(drafting.state_slots) < present(plain.state_slots)
    assert drafting.kv_cache_tokens < plain.kv_cache_tokens


@pytest.mark.parametrize(
    ("model", "pool", "message"),
    [
        ("Qwen3.5-9B", 4 * 52 * MIB, "one request needs 5"),
        ("Llama-3.1-8B", 1000, "no memory for a token pool"),
        ("gpt-oss-20b", 5 * MIB, "cannot hold one window of 128"),
    ],
)
def test_reasons_not_to_start(model: str, pool: int, message: str) -> None:
    (reason,) = serve(scenario(model, pool)).refusals
    assert message in reason
    assert not serve(scenario(model, 8 * GIB)).refusals


def test_an_unknown_format_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="sglang has no q8_0 cache; it has bf16, fp16"):
        scenario("Llama-3.1-8B", GIB, kv_dtype="q8_0")


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    model = draw(st.sampled_from(MODELS))
    packed = model.name in {"DeepSeek-V3.2", "GLM-5", "GLM-5.2"}
    formats = [f for f in KV_FORMATS if packed or f != "fp8_ds_mla"]
    return Scenario(
        model,
        draw(st.sampled_from(all_devices())),
        context=draw(st.integers(1, 2**21)),
        kv_dtype=draw(st.sampled_from(formats)),
        skip_weights=True,
        engine="sglang",
        block_size=draw(st.sampled_from([1, 16, 64])),
        layout=Layout(draw(st.sampled_from(valid_tps(model))), draw(st.integers(1, min(3, len(model.layers))))),
        speculative_tokens=draw(st.integers(0, 3)) if model.mtp else 0,
        kv_pool=draw(st.none() | st.integers(1, 2**38)),
        serving=ServingOptions(
            max_seqs=draw(st.none() | st.integers(1, 512)),
            prefix_caching=draw(st.sampled_from([None, False, True])),
            hybrid_manager=draw(st.sampled_from([None, False])),
        ),
    )


@given(scenarios())
def test_pools_fit_the_memory_but_for_the_extra_slot(given: Scenario) -> None:
    """Slots that were asked for are made whatever there is; those that SGLang chooses itself fit beside the tokens."""
    served = serve(given)
    tokens = sum(b.bytes for b in served.buffers if not b.name.startswith("mamba"))
    states = (served.state_slots or 0) * (served.state_bytes_per_slot or 0)
    chosen = states if given.serving.max_seqs is None or given.serving.prefix_caching is not False else 0
    assert tokens + chosen <= served.pool_bytes
    listed = sum(b.bytes for b in served.buffers if b.name.startswith("mamba"))
    assert listed == states + (served.state_bytes_per_slot or 0)


@given(scenarios())
def test_max_context_is_the_last_that_the_token_pool_holds(given: Scenario) -> None:
    """Without a token pool, states alone set no bound."""
    served = serve(given)
    expected = around(served.max_context)
    tried = {tokens: serve(given._replace(context=tokens)) for tokens in expected}
    assert {
        tokens: present(found.engine_needed_bytes) <= found.pool_bytes for tokens, found in tried.items()
    } == expected
    pooled = bool(served.bytes_per_block)
    assert served.max_context in ((served.kv_cache_tokens,) if pooled else (0, None))


@given(scenarios(), st.integers(1, 2**18))
def test_more_context_never_costs_less(given: Scenario, more: int) -> None:
    longer = given._replace(context=given.context + more)
    assert serve(given).needed_bytes <= serve(longer).needed_bytes


@given(scenarios())
def test_a_wider_format_never_holds_more_tokens(given: Scenario) -> None:
    narrow, wide = (serve(given._replace(kv_dtype=kv)) for kv in ("fp8", "bf16"))
    assert narrow.kv_cache_tokens >= wide.kv_cache_tokens
    assert narrow.needed_bytes <= wide.needed_bytes


@given(st.sampled_from(all_devices()), st.integers(1, 64), st.integers(1, 8))
def test_the_share_is_a_share(device: DeviceSpec, tp: int, pp: int) -> None:
    chosen = mem_fraction_static(
        device, defaults("", find_model("Llama-3.1-8B"), device, "bf16").max_batched_tokens, Layout(tp, pp)
    )
    assert 0 <= chosen < 1
    assert chosen * 1000 == int(chosen * 1000)


@pytest.mark.parametrize(
    ("model", "windowed", "full"),
    [("gpt-oss-120b", 18, 18), ("gemma-4-E4B", 35, 7), ("gemma-3-12b", 0, 48), ("gemma-2-9b", 0, 42)],
)
def test_windows_have_a_pool_for_the_models_on_the_list_alone(model: str, windowed: int, full: int) -> None:
    """Layers that share another's cache, 18 of gemma-4-E4B's 42, have entries like the others."""
    served = serve(scenario(model, 8 * GIB))
    layers = {buffer.name: buffer.layers for buffer in served.buffers}
    assert (layers.get("SWA pool (K)", 0), layers["KV pool (K)"]) == (windowed, full)
    if not windowed:
        asked = serve(scenario(model, 8 * GIB, ServingOptions(hybrid_manager=True)))
        assert any(buffer.name == "SWA pool (K)" for buffer in asked.buffers)
        assert any("caches all layers in full" in note for note in served.notes)


def test_pools_are_as_large_as_they_were_told_to_be() -> None:
    """What SGLang's own options say of tokens, windows, states and their slots."""
    plain = serve(scenario("gpt-oss-20b", 8 * GIB))
    half = serve(scenario("gpt-oss-20b", 8 * GIB, ServingOptions(swa_full_tokens_ratio=0.5)))
    assert half.kv_cache_tokens > plain.kv_cache_tokens
    assert {b.cells for b in half.buffers if "SWA" in b.name} == {half.kv_cache_tokens // 2}
    bounded = serve(scenario("gpt-oss-20b", 8 * GIB, ServingOptions(max_total_tokens=100_000)))
    assert bounded.kv_cache_tokens == 100_000
    slots = serve(scenario("Qwen3.5-9B", 8 * GIB, ServingOptions(max_mamba_cache_size=20)))
    assert slots.state_slots == 20
    told = [ServingOptions(mamba_full_memory_ratio=ratio) for ratio in (0.5, 0.9, 2.0)]
    states = [serve(scenario("Qwen3.5-9B", 8 * GIB, serving)) for serving in told]
    assert sorted(found.state_slots or 0 for found in states) == [found.state_slots for found in states]
    assert sorted((found.kv_cache_tokens for found in states), reverse=True) == [f.kv_cache_tokens for f in states]


def test_an_external_drafter_replaces_prediction_layers() -> None:
    own = serve(scenario("DeepSeek-V3", 8 * GIB, speculative_tokens=2))
    external = serve(scenario("DeepSeek-V3", 8 * GIB, ServingOptions(draft_layers=1), speculative_tokens=2))
    assert own.bytes_per_token == external.bytes_per_token == 62 * 1152


def test_a_prediction_layer_has_an_index_of_its_own() -> None:
    """21 of GLM-5.2's 78 layers have one, and the layer that drafts another."""
    for drafted, indexed in ((0, 21), (1, 22)):
        served = serve(scenario("GLM-5.2", 8 * GIB, speculative_tokens=drafted))
        assert [buffer.layers for buffer in served.buffers if buffer.name == "indexer pool"] == [indexed]
