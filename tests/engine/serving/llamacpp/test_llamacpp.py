"""llama.cpp's buffers against the lines that real servers printed, and what must hold for every model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.caches import Attention
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.formats import kv_format
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.stages import stages
from kvtui.engine.planning.weights import weight_bytes
from kvtui.engine.scenario.scenario import NO_SERVING_OPTIONS, Layout, Scenario, ServingOptions
from kvtui.engine.serving.llamacpp.budget import FIT_MARGIN_BYTES, budget
from kvtui.engine.serving.llamacpp.buffers import check_heads
from kvtui.engine.serving.llamacpp.releases import KV_FORMATS
from kvtui.engine.serving.llamacpp.serve import serve
from tests.engine.serving.bounds import around

H100 = find_device("H100 SXM")
ONE_SLOT = ServingOptions(parallel=1)
BEFORE_PADDING = ServingOptions(version="b6200")
MODELS = tuple(model for model in all_models() if not any(kind == "cross_attention" for kind in model.layer_kinds))

PLAIN = tuple(m for m in MODELS if not m.layer_kinds.keys() & {"sparse_indexer", "compressed_latent"})


def scenario(model: str, context: int, serving: ServingOptions = NO_SERVING_OPTIONS, **fields: Any) -> Scenario:
    given: dict[str, Any] = {"kv_dtype": "fp16", "skip_weights": True, "engine": "llama.cpp", **fields}
    return Scenario(find_model(model), H100, context, serving=serving, **given)


def listed(served: Serving) -> list[tuple[str, int, int, float]]:
    """Name, cells, layers and MiB as the log prints them."""
    return [(b.name, b.cells, b.layers, round(b.bytes / MIB, 2)) for b in served.buffers]


WITNESSES = [
    (
        "gpt-oss-20b, 131,072",
        scenario("gpt-oss-20b", 131_072, ONE_SLOT),
        [("KV buffer", 131_072, 12, 3072.00), ("SWA KV buffer", 768, 12, 18.00)],
    ),
    (
        "gpt-oss-20b, a build of August 2025",
        scenario("gpt-oss-20b", 4096, BEFORE_PADDING, flash_attention=False),
        [("KV buffer", 4096, 12, 96.00), ("SWA KV buffer", 640, 12, 15.00)],
    ),
    (
        "Gemma-4-12B, q8_0, four slots share 8,192",
        scenario("gemma-4-12B", 8192, kv_dtype="q8_0"),
        [("KV buffer", 8192, 8, 68.00), ("SWA KV buffer", 4608, 40, 765.00)],
    ),
    (
        "Qwen3.6-27B, q8_0, four slots",
        scenario("Qwen3.6-27B", 131_072, kv_dtype="q8_0"),
        [("KV buffer", 131_072, 16, 4352.00), ("RS buffer (R)", 4, 48, 22.50), ("RS buffer (S)", 4, 48, 576.00)],
    ),
    (
        "Qwen3.8-27B, one slot that can roll back two tokens",
        scenario("Qwen3.8-27B", 8192, ONE_SLOT, speculative_tokens=2),
        [
            ("KV buffer", 8192, 16, 512.00),
            ("RS buffer (R)", 1, 48, 16.88),
            ("RS buffer (S)", 1, 48, 432.00),
            ("MTP KV buffer", 8192, 1, 32.00),
        ],
    ),
    (
        "Qwen3.6-35B-A3B, one slot that can roll back two tokens (PR 23269)",
        scenario("Qwen3.6-35B-A3B", 65_536, ONE_SLOT, speculative_tokens=2),
        [
            ("KV buffer", 65_536, 10, 1280.00),
            ("RS buffer (R)", 1, 30, 8.44),
            ("RS buffer (S)", 1, 30, 180.00),
            ("MTP KV buffer", 65_536, 1, 128.00),
        ],
    ),
    (
        "Qwen3.5-9B, four slots",
        scenario("Qwen3.5-9B", 135_168),
        [("KV buffer", 135_168, 8, 4224.00), ("RS buffer (R)", 4, 24, 9.00), ("RS buffer (S)", 4, 24, 192.00)],
    ),
    (
        "Qwen3.6-27B, two slots (PR 23792)",
        scenario("Qwen3.6-27B", 4096, ServingOptions(parallel=2)),
        [("KV buffer", 2048, 16, 256.00), ("RS buffer (R)", 2, 48, 11.25), ("RS buffer (S)", 2, 48, 288.00)],
    ),
    (
        "Qwen3.6-27B, f16, four slots (an LM Studio log)",
        scenario("Qwen3.6-27B", 262_144),
        [("KV buffer", 262_144, 16, 16_384.00), ("RS buffer (R)", 4, 48, 22.50), ("RS buffer (S)", 4, 48, 576.00)],
    ),
    (
        "DeepSeek-V4-Flash, a physical batch of 8,192: 128 + 8,192 cells padded (issues 27872 and 27680)",
        scenario("DeepSeek-V4-Flash", 524_288, ServingOptions(parallel=1, ubatch=8192)),
        [
            ("SWA KV buffer", 8448, 43, 354.75),
            ("indexer KV buffer", 131_072, 21, 672.00),
            ("CSA KV buffer", 131_072, 21, 2688.00),
            ("HCA KV buffer", 4096, 20, 80.00),
            ("CSA state buffer", 8, 21, 1.31),
            ("HCA state buffer", 128, 20, 10.00),
            ("indexer state buffer", 8, 21, 0.33),
        ],
    ),
    (
        "GLM-5.2: index keys in K's type, on the layers that own an indexer (672 MiB at 128K, PR 2093 of a fork)",
        scenario("GLM-5.2", 131_072),
        [("KV buffer", 131_072, 78, 11_232.00), ("indexer KV buffer", 131_072, 21, 672.00)],
    ),
]


@pytest.mark.parametrize(("given", "expected"), [(w[1], w[2]) for w in WITNESSES], ids=[w[0] for w in WITNESSES])
def test_buffers_of_boot_logs(given: Scenario, expected: list[tuple[str, int, int, float]]) -> None:
    assert listed(serve(given)) == expected


def test_full_windows_are_the_43_layers_of_deepseek_v4_at_a_kib_per_cell() -> None:
    """The same figure by another way: ``-c 8448 --swa-full`` (the facts' reading of the log line)."""
    served = serve(scenario("DeepSeek-V4-Flash", 8448, ServingOptions(parallel=1, swa_full=True)))
    assert listed(served)[0] == ("SWA KV buffer", 8448, 43, 354.75)


@pytest.mark.parametrize(
    ("kv", "k_mib"), [("fp16", 224), ("q8_0", 119), ("q4_0", 63), ("q4_1", 70), ("q5_0", 77), ("q5_1", 84)]
)
def test_cache_formats_of_llama_32_3b(kv: str, k_mib: int) -> None:
    """K alone is what the log gives for the quantised types; V is as large."""
    assert listed(serve(scenario("Llama-3.2-3B", 4096, kv_dtype=kv))) == [("KV buffer", 4096, 28, 2.0 * k_mib)]


def test_eight_devices_hold_512_and_256_mib_in_turn() -> None:
    served = serve(scenario("gpt-oss-20b", 131_072, ONE_SLOT, layout=Layout(pp=8)))
    full = [b for b in served.buffers if b.name.startswith("KV buffer")]
    assert [b.bytes / MIB for b in full] == [512, 256] * 4
    assert [b.name for b in full] == [f"KV buffer, device {device}" for device in range(8)]
    assert sum(b.bytes for b in served.buffers) == 3090 * MIB
    assert served.needed_bytes == (512 + 3) * MIB


@pytest.mark.parametrize(
    ("parallel", "unified_cells", "swa_cells"),
    [(None, 4096, 2560), (1, 4096, 1024), (2, 2048, 1024), (3, 1536, 1024), (4, 1024, 1024), (8, 512, 512)],
)
def test_slots_divide_the_context(parallel: int | None, unified_cells: int, swa_cells: int) -> None:
    """Cells of gemma-3-1b at ``-c 4096``; windows of 512 saturate at what a slot has (probed in unsloth PR 5225)."""
    served = serve(scenario("gemma-3-1b", 4096, ServingOptions(parallel=parallel)))
    assert [(b.cells) for b in served.buffers] == [unified_cells, swa_cells]
    streams = parallel or 1
    assert served.kv_cache_tokens == unified_cells * streams
    assert served.max_concurrency == streams
    row = 2 * 256 * 2
    assert served.needed_bytes == streams * row * (4 * unified_cells + 22 * swa_cells)


@pytest.mark.parametrize(("parallel", "cells"), [(3, 1536), (4, 1024)])
def test_a_small_context_is_rounded_up_for_each_slot(parallel: int, cells: int) -> None:
    """``-c 1024``: three slots allocate 1,536 cells, four 1,024 (unsloth PR 7530, build 10107)."""
    assert serve(scenario("gemma-3-1b", 1024, ServingOptions(parallel=parallel))).kv_cache_tokens == cells


@pytest.mark.parametrize(
    ("version", "cells", "slots"),
    [("b6200", 768, 1), ("6400", 768, 1), ("b6900", 640, 1), ("b6969", 1024, 4), ("b7079", 1024, 4), ("", 1024, 4)],
)
def test_builds_pad_and_share_differently(version: str, cells: int, slots: int) -> None:
    served = serve(scenario("gpt-oss-20b", 4096, ServingOptions(version=version)))
    assert served.buffers[1].cells == cells
    assert serve(scenario("Qwen3.5-9B", 4096, ServingOptions(version=version))).state_slots == slots


def test_v_is_as_wide_as_the_widest_layer_without_flash_attention() -> None:
    narrow, wide = (serve(scenario("gemma-4-12B", 8192, flash_attention=fa)) for fa in (True, False))
    assert narrow.buffers[0].bytes == 8 * 8192 * (512 + 512) * 2
    assert wide.buffers[0].bytes == 8 * 8192 * (512 + 2048) * 2
    assert narrow.buffers[1] == wide.buffers[1]


def test_shared_layers_own_nothing_and_state_is_32_bit() -> None:
    kv = serve(scenario("gemma-3n-E4B", 8192)).buffers
    assert [b.layers for b in kv] == [4, 16]
    conv, state = serve(scenario("LFM2-1.2B", 8192, ONE_SLOT)).buffers[1:]
    assert (conv.bytes, state.bytes) == (10 * 2 * 2048 * 4, 0)
    kda = serve(scenario("Kimi-Linear-48B-A3B", 8192, ONE_SLOT)).buffers
    assert kda[0].bytes == 7 * 8192 * 576 * 2
    assert (kda[1].bytes, kda[2].bytes) == (20 * 3 * 3 * 4096 * 4, 20 * 128 * 128 * 32 * 4)


def test_mamba2_cannot_roll_back_and_the_draft_cache_stays_f16() -> None:
    plain, drafting = (
        serve(scenario("Nemotron-3-Super-120B-A12B", 8192, kv_dtype="q8_0", speculative_tokens=n)) for n in (0, 3)
    )
    assert plain.state_bytes_per_slot == drafting.state_bytes_per_slot
    draft = [b for b in drafting.buffers if b.name.startswith("MTP")]
    assert plain.buffers == drafting.buffers[: len(plain.buffers)]
    assert [b.bytes for b in draft] == [8192 * 2 * 2 * 128 * 2]


def test_an_external_drafter_caches_like_a_full_layer() -> None:
    served = serve(scenario("Llama-3.1-8B", 8192, ServingOptions(draft_layers=1), speculative_tokens=3))
    assert listed(served) == [("KV buffer", 8192, 32, 1024.00), ("MTP KV buffer", 8192, 1, 32.00)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda: scenario("Llama-3.1-8B", 4096, kv_dtype="fp8"),
            "fp32, fp16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl",
        ),
        (lambda: scenario("Llama-3.1-8B", 4096, kv_dtype="q8_0", flash_attention=False), "only with FlashAttention"),
        (lambda: scenario("Llama-3.1-8B", 4096, ServingOptions(parallel=257)), "at most 256 slots"),
        (lambda: scenario("whisper-large-v3", 448), "cross-attention"),
    ],
)
def test_what_llamacpp_cannot_do_is_said(given: Callable[[], Scenario], message: str) -> None:
    with pytest.raises(InputError, match=message):
        serve(given())


def test_heads_that_blocks_do_not_divide_are_refused() -> None:
    model = find_model("Llama-3.1-8B")
    cache = model.layers[0].caches[0]
    assert isinstance(cache, Attention)
    layer = model.layers[0]._replace(caches=(cache._replace(k_dim=80, v_dim=80),))
    odd = model._replace(layers=(layer,) * 32)
    with pytest.raises(InputError, match="blocks of 32, which do not divide heads of 80"):
        serve(scenario("Llama-3.1-8B", 4096, kv_dtype="q8_0")._replace(model=odd))


def test_room_is_what_weights_compute_buffer_and_margin_leave() -> None:
    given = scenario("Llama-3.1-8B", 8192)._replace(skip_weights=False)
    prior = serve(given)
    assert prior.pool_is_estimate
    measured = Overheads("mine", weights=5 * 1024 * MIB, activation=300 * MIB, non_torch=100 * MIB)
    known = serve(given._replace(serving=ServingOptions(measured=measured)))
    assert known.pool_bytes == H100.allocatable_bytes - (5 * 1024 + 300 + 100) * MIB - FIT_MARGIN_BYTES
    assert prior.pool_bytes < known.pool_bytes
    small = serve(given._replace(kv_pool=100 * MIB))
    assert (small.pool_bytes, small.pool_is_estimate, small.fits, small.max_context) == (100 * MIB, False, False, 768)
    assert any("768 tokens" in note for note in small.notes)


def storable(model: ModelSpec, form: str) -> bool:
    """Whether llama.cpp can keep the heads of ``model`` in the cache format ``form``, whose blocks must divide them."""
    try:
        check_heads(model, kv_format(form))
    except InputError:
        return False
    return True


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    model = draw(st.sampled_from(MODELS))
    return Scenario(
        model,
        H100,
        context=draw(st.integers(1, 2**20)),
        kv_dtype=draw(st.sampled_from([form for form in KV_FORMATS if storable(model, form)])),
        skip_weights=True,
        engine="llama.cpp",
        layout=Layout(pp=draw(st.integers(1, min(4, len(model.layers))))),
        speculative_tokens=draw(st.integers(0, 3)) if model.mtp else 0,
        kv_pool=draw(st.none() | st.integers(1, 2**38)),
        serving=ServingOptions(
            parallel=draw(st.none() | st.integers(1, 8)),
            ubatch=draw(st.sampled_from([1, 64, 512, 2048])),
            swa_full=draw(st.booleans()),
            version=draw(st.sampled_from(["", "b6200", "b6900"])),
        ),
    )


@given(scenarios(), st.integers(1, 2**38))
def test_buffers_sum_to_what_each_device_needs(given: Scenario, pool: int) -> None:
    """Where every device has the same room, the one that needs most is shown."""
    served = serve(given)
    devices: dict[str, int] = {}
    for buffer in served.buffers:
        device = buffer.name.partition(", ")[2]
        devices[device] = devices.get(device, 0) + buffer.bytes
    assert all(isinstance(b.bytes, int) and b.bytes >= 0 and b.cells > 0 and b.layers > 0 for b in served.buffers)
    assert served.needed_bytes in devices.values()
    assert serve(given._replace(kv_pool=pool)).needed_bytes == max(devices.values())


@given(scenarios(), st.integers(1, 2**18))
def test_more_context_never_costs_less(given: Scenario, more: int) -> None:
    assert total(serve(given)) <= total(serve(given._replace(context=given.context + more)))


@given(scenarios())
def test_max_context_is_the_last_that_fits(given: Scenario) -> None:
    served = serve(given)
    expected = around(served.max_context)
    assert {tokens: serve(given._replace(context=tokens)).fits for tokens in expected} == expected
    assert served.fits == (served.max_context is None or given.context <= served.max_context)


@given(scenarios())
def test_max_sequences_have_a_slot_of_the_context_each(given: Scenario) -> None:
    served = serve(given)

    def with_slots(count: int) -> Serving:
        cells = serve(given._replace(serving=given.serving._replace(parallel=1))).kv_cache_tokens
        slots = given.serving._replace(parallel=count)
        return serve(given._replace(context=cells * count, serving=slots))

    expected = around(served.max_sequences, 256)
    assert {count: with_slots(count).fits for count in expected} == expected


@given(scenarios(), st.sampled_from([f for f in KV_FORMATS if f not in {"fp16", "bf16", "fp32"}]))
def test_quantised_caches_are_smaller(given: Scenario, quantised: str) -> None:
    assume(any(cache.growth != "state" for layer in given.model.layers for cache in layer.caches))
    assume(storable(given.model, quantised))
    assert total(serve(given._replace(kv_dtype=quantised))) < total(serve(given._replace(kv_dtype="fp16")))


@given(scenarios())
def test_full_windows_never_cost_less(given: Scenario) -> None:
    small, large = (given._replace(serving=given.serving._replace(swa_full=full)) for full in (False, True))
    assert total(serve(small)) <= total(serve(large))


def total(served: Serving) -> int:
    return sum(buffer.bytes for buffer in served.buffers)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_model_is_served_in_f16(model: ModelSpec) -> None:
    served = serve(Scenario(model, H100, 32_768, kv_dtype="fp16", skip_weights=True, engine="llama.cpp"))
    names = {buffer.name for buffer in served.buffers}
    assert len(names) <= 7


@pytest.mark.parametrize("model", PLAIN, ids=lambda model: model.name)
def test_a_token_of_f16_is_that_of_the_plain_arithmetic(model: ModelSpec) -> None:
    """K and V in 16 bits, without any engine's rounding; llama.cpp has formats of its own for keys of an index."""
    served = serve(Scenario(model, H100, 32_768, kv_dtype="fp16", skip_weights=True, engine="llama.cpp"))
    assert served.bytes_per_token == model.bytes_per_token(kv_format("fp16"))


def test_a_device_holds_the_file_without_an_untied_embedding() -> None:
    """As a log of gpt-oss-20b in MXFP4 MoE has it: 10,949.38 MiB on CUDA0, and 586.82 MiB on the CPU."""
    given = {"skip_weights": False, "weight_dtype": "mxfp4_moe"}
    chosen = scenario("gpt-oss-20b", 4096, BEFORE_PADDING, **given)
    weights = budget(chosen, stages(chosen)[0]).bytes_of("weights")
    assert weights / MIB == pytest.approx(10_949.38, abs=0.05)


def test_a_tied_embedding_is_on_the_device_too() -> None:
    chosen = scenario("Qwen3-4B", 4096, skip_weights=False, weight_dtype="q8_0")
    weights = budget(chosen, stages(chosen)[0]).bytes_of("weights")
    assert weights == weight_bytes(chosen)
