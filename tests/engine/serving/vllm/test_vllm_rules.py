"""One smallest case for each rule: what vLLM's own planning code or a start-up log gives, and the release before it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from kvtui.engine.engines.result import Serving
from kvtui.engine.model.caches import Attention, Cache, Latent, mamba1
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import Layer
from kvtui.engine.serving.vllm.blocks import entry_bytes
from kvtui.engine.serving.vllm.serve import serve
from tests.engine.serving.vllm.test_vllm_witnesses import printed, scenario, served

POOL = "--kv-pool 100GiB --max-seqs 4"


class Logged(NamedTuple):
    """What a start-up log prints: the command, tokens, concurrency, and how near the pool's two digits bring it."""

    line: str
    tokens: int
    concurrency: str
    near: float = 0.0


@pytest.mark.parametrize(
    "logged",
    [
        Logged(
            "vllm@0.20.1rc1 --model Nemotron-3-Nano-30B-A3B --kv-dtype fp8 --context 256000 --max-batched-tokens 32768"
            " --kv-pool 3.72GiB",
            1_206_303,
            "4.71",
        ),
        Logged(
            "vllm@0.20.1 --model whisper-large-v3 --kv-dtype fp16 --context 448 --max-batched-tokens 2048"
            " --kv-pool 16.9026GiB",
            19_881,
            "44.38",
        ),
        Logged(
            "vllm@0.22 --model DeepSeek-V4-Flash --tp 2 --kv-dtype fp8 --context 262144 --kv-pool 32.08GiB",
            2_175_276,
            "8.30",
            0.0002,
        ),
        Logged(
            "vllm@0.33 --model DeepSeek-V4-Flash --tp 4 --kv-dtype fp8 --context 33792 --max-batched-tokens 8448"
            " --kv-pool 12.39GiB",
            63_859,
            "1.89",
            0.0003,
        ),
        Logged(
            "vllm@0.23 --model GLM-5.2 --gpu H200 --tp 8 --kv-dtype fp8 --context 262144 --kv-pool 28.74GiB",
            502_016,
            "1.92",
        ),
        Logged(
            "vllm@0.21 --model gemma-4-31B --tp 2 --gpu Arc_Pro_B60 --context 163840 --max-batched-tokens 8192"
            " --kv-pool 10.12GiB",
            169_314,
            "1.03",
        ),
    ],
    ids=lambda logged: logged.line.split()[2],
)
def test_a_log_is_given(logged: Logged) -> None:
    """Of the encoder-decoder 16.9 GiB are printed, of which any pool from 16.90 to 16.91 gives these two figures."""
    tokens, concurrency = printed(served(f"--engine {logged.line}"))
    assert concurrency == logged.concurrency
    assert tokens == pytest.approx(logged.tokens, rel=logged.near, abs=0)


def test_a_hybrids_block_on_amd() -> None:
    """granite-4.0-h-small under 0.11.1 on an APU: a block of 528 tokens, and 0.69 % of padding."""
    found = served("--engine vllm@0.11.1 --model granite-4.0-h-small --gpu MI300X --context 32768 --kv-pool 10GiB")
    assert found.block_size == 528
    assert any("padded by 0.69%" in note for note in found.notes)


def test_compressors_keep_states_in_groups_of_their_own() -> None:
    line = "--model DeepSeek-V4-Flash --tp 4 --kv-dtype fp8 --context 33792 --max-batched-tokens 8448 --kv-pool 12GiB"
    found = served(f"--engine vllm@0.33 {line}")
    assert (found.groups, found.blocks_per_request, found.bytes_per_block) == (5, 7022, 1_002_240)
    assert [(share.kind, share.groups, share.block_size, share.blocks) for share in found.shares] == [
        ("compressed_latent", 1, 256, 132),
        ("sliding_window_latent", 2, 64, 267),
        ("compressor_state", 1, 4, 4227),
        ("compressor_state", 1, 8, 2129),
    ]
    older = served(f"--engine vllm@0.26 {line}")
    assert older.bytes_per_block == 22 * 37_440 + 21 * 8_640 + 20 * 1_728
    assert any("counts the bytes of a request" in note for note in older.notes)


@pytest.mark.parametrize(
    ("line", "release", "blocks", "before", "less"),
    [
        ("--model Nemotron-H-8B --context 8192", "0.32", 26, "0.31", 20),
        ("--model Kimi-K3 --context 1048576", "0.29", 192, "0.28", 189),
    ],
)
def test_a_prefill_leaves_a_checkpoint(line: str, release: str, blocks: int, before: str, less: int) -> None:
    assert served(f"--engine vllm@{release} {line} {POOL}").blocks_per_request == blocks
    assert served(f"--engine vllm@{before} {line} {POOL}").blocks_per_request == less


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("vllm@0.33 --model Qwen3-Next-80B-A3B --gpu H100", 576),
        ("vllm@0.33 --model Qwen3-Next-80B-A3B --gpu B200", 576),
        ("vllm@0.33 --model Qwen3-Next-80B-A3B --gpu MI300X", 544),
        ("vllm@0.33 --model Qwen3-Next-80B-A3B --gpu A100", 544),
        ("vllm@0.32 --model Qwen3-Next-80B-A3B --gpu H100", 544),
        ("vllm@0.33 --model Nemotron-3-Super", 4160),
        ("vllm@0.33 --model Nemotron-3-Super --speculative-tokens 1", 4176),
        ("vllm@0.33 --model Nemotron-3-Super --speculative-tokens 3", 4224),
        ("vllm@0.26 --model Kimi-K3", 5696),
        ("vllm@0.27 --model Kimi-K3", 5760),
        ("vllm@0.24 --model Qwen3.6-27B --gpu Arc_Pro_B60", 832),
        ("vllm@0.24 --model Qwen3.6-27B", 784),
    ],
)
def test_the_block_of_a_model_with_state(line: str, tokens: int) -> None:
    assert served(f"--engine {line} --context 8192 {POOL}").block_size == tokens


def test_without_prefix_caching_no_checkpoint_needs_its_step() -> None:
    given = scenario(f"--engine vllm@0.33 --model Qwen3-Next-80B-A3B --gpu H100 --context 8192 {POOL}")
    assert serve(given._replace(serving=given.serving._replace(prefix_caching=False))).block_size == 544


def made(line: str, *layers: Cache, **changes: object) -> Serving:
    """What a model of ``layers`` gets."""
    given = scenario(f"{line} {POOL}")
    model = given.model._replace(layers=tuple(Layer((cache,)) for cache in layers))
    return serve(given._replace(model=model, **changes))  # type: ignore[arg-type]


FULL = Attention("full", 16, 4, 128, 128)
WINDOW = Attention("sliding_window", 16, 4, 128, 128, 512)
LATENT = Latent(16, 512, 64)
LLAMA = "--model Llama-3.1-8B --context 8192 --engine"


def test_a_batch_more_than_there_are_stages_is_in_flight() -> None:
    """Windows of 1,024 tokens and steps of 8,192, in blocks of 16."""
    line = "--model gemma-3-27b --context 131072 --max-batched-tokens 8192 --kv-pool 20GiB"

    def window(release: str, more: str) -> int:
        return served(f"--engine vllm@{release} {line} {more}").shares[0].blocks

    found = [window(release, "--pp 2") for release in ("0.25.1", "0.26", "0.33")]
    assert found == [577, (1023 + 3 * 8192 + 15) // 16 + 1, (1023 + 3 * 8192 + 15) // 16 + 1]
    alone = [window(release, "") for release in ("0.25.1", "0.26")]
    assert alone == [577, 1089]


def test_a_sparse_model_has_the_second_runner_later() -> None:
    line = "--model gpt-oss-20b --context 131072 --max-batched-tokens 8192 --kv-pool 20GiB --pp 2"
    found = [served(f"--engine vllm@{release} {line}").shares[0].blocks for release in ("0.28", "0.29")]
    assert found == [(127 + 2 * 8192 + 15) // 16 + 1, (127 + 3 * 8192 + 15) // 16 + 1]


@pytest.mark.parametrize(
    ("chosen", "gpu", "batches"), [(None, "H100", 2), (False, "H100", 1), (None, "CPU", 1), (True, "CPU", 2)]
)
def test_scheduling_overlaps_unless_it_is_told_not_to(chosen: bool | None, gpu: str, batches: int) -> None:
    given = scenario(f"--engine vllm --model gemma-3-27b --gpu {gpu} --context 131072 --block-size 32 {POOL}")
    given = given._replace(max_batched_tokens=8192, serving=given.serving._replace(async_scheduling=chosen))
    assert serve(given).shares[0].blocks == (1023 + batches * 8192 + 31) // 32 + 1


def test_chunks_beside_a_drafter_are_cached_in_full() -> None:
    line = "--engine vllm --model Llama-4-Scout --context 32768 --kv-pool 40GiB"
    assert served(line).groups == 4
    found = served(f"{line} --draft-layers 1 --speculative-tokens 3")
    assert (found.groups, found.bytes_per_block) == (1, 49 * 16 * 4096)


def test_windows_that_latents_cannot_match() -> None:
    """Pages of 73,728 bytes of a latent, and in blocks of 16 tokens 131,072 of 16 KV heads; 65,536 of 8 are padded."""
    layers = (WINDOW._replace(kv_heads=16),) * 12 + (LATENT,) * 35
    found = made(f"{LLAMA} vllm@0.27", *layers, block_size=64)
    assert (found.groups, found.blocks_per_request, found.refusals) == (1, 128, ())
    assert found.bytes_per_block == 64 * (12 * 16 * 512 + 35 * 1152)
    assert any("refuses to start" in text for text in made(f"{LLAMA} vllm@0.26", *layers, block_size=64).refusals)
    narrow = (WINDOW._replace(kv_heads=8),) * 12 + (LATENT,) * 35
    found = made(f"{LLAMA} vllm@0.27", *narrow, block_size=64)
    assert (found.groups, found.bytes_per_block, found.refusals) == (4, 12 * 73_728, ())


@pytest.mark.parametrize(
    ("form", "size"), [("int8_per_token_head", 584), ("fp8_per_token_head", 584), ("fp8", 576), ("bf16", 1152)]
)
def test_a_latents_scales_are_kept_twice(form: str, size: int) -> None:
    given = scenario(f"--engine vllm --model DeepSeek-V3 --context 8192 {POOL}")._replace(kv_dtype=form)
    assert entry_bytes(LATENT, given) == size
    assert FORMATS[form].row_bytes(1, 576) == size - (4 if "head" in form else 0)


def test_windows_of_two_sizes_need_the_hybrid_manager() -> None:
    layers = (FULL, WINDOW, WINDOW._replace(cap=1024))
    given = scenario(f"{LLAMA} vllm {POOL}")
    off = given.serving._replace(hybrid_manager=False)
    found = made(f"{LLAMA} vllm", *layers, serving=off)
    assert any("cannot merge windows of different size" in text for text in found.refusals)
    assert not made(f"{LLAMA} vllm", *layers).refusals
    assert not made(f"{LLAMA} vllm", FULL, WINDOW, WINDOW, serving=off).refusals
    assert not made(f"{LLAMA} vllm", WINDOW, WINDOW, serving=off).refusals
    alone = made(f"{LLAMA} vllm", WINDOW, WINDOW._replace(kind="chunked_local"), serving=off)
    assert any("finds no layer that keeps every token" in text for text in alone.refusals)


def test_a_stage_without_a_cache_of_its_own() -> None:
    line = "--engine vllm --model gemma-4-E2B --context 32768 --kv-pool 20GiB"
    assert not served(line).refusals
    assert any("stage 2 has no layer with a cache" in text for text in served(f"{line} --pp 2").refusals)


def test_a_state_that_is_kept_once_is_as_long_as_the_longest_request() -> None:
    line = "--model Nemotron-H-56B --tp 8 --kv-dtype fp8 --kv-pool 20GiB --max-seqs 4"
    found = served(f"--engine vllm@0.20.0 {line} --context 8192")
    assert found.block_size == 8256
    assert found.kv_cache_tokens == (found.blocks or 0) // 7 * 8192
    assert served(f"--engine vllm@0.20.0 {line} --context 16384").kv_cache_tokens == (found.blocks or 0) // 7 * 8256


def test_what_the_start_up_check_counts() -> None:
    """gemma-3-27b at 131,072 tokens: 15.28 GB, of which 0.18.1 counts the first group alone, 0.76."""
    line = "--model gemma-3-27b --context 131072 --max-batched-tokens 8192 --kv-pool 10GiB"
    counted = served(f"--engine vllm@0.18.1 {line}")
    assert (counted.needed_bytes, counted.engine_needed_bytes) == (15_275_130_880, 756_285_440)
    assert (counted.fits, counted.max_sequences) == (True, 0)
    assert any("first group's blocks alone" in note for note in counted.notes)
    found = served(f"--engine vllm@0.19 {line}")
    assert (found.needed_bytes, found.engine_needed_bytes, found.fits) == (15_275_130_880, None, False)
    layers = served(f"--engine vllm@0.13 {line}")
    assert layers.engine_needed_bytes == (52 * 577 + 10 * 8192) * 131_072


def test_the_block_that_was_asked_for_came_late() -> None:
    """144 tokens hold this state; with 128 to a step it takes 256."""
    state = mamba1(inner=4096, state=8, conv=4, state_format="fp32")
    layers = (state, FULL._replace(kv_heads=1, q_heads=1, k_dim=280, v_dim=280))

    def block(release: str) -> int | None:
        return made(f"{LLAMA} vllm@{release}", *layers, block_size=128).block_size

    assert (block("0.19.1"), block("0.20.0")) == (144, 256)


def test_windows_alone_had_the_smallest_blocks_for_a_while() -> None:
    found = [
        made(f"{LLAMA} vllm@{release}", WINDOW, block_size=64).block_size
        for release in ["0.24", "0.25", "0.29", "0.30"]
    ]
    assert found == [64, 16, 16, 64]


def test_a_state_per_block_and_per_drafted_token() -> None:
    """Mamba-2 with a drafter and prefix caching, before states were kept at blocks' boundaries."""
    line = "--model Nemotron-3-Super --context 8192 --prefix-caching --speculative-tokens 3"

    def states(release: str) -> list[int]:
        found = served(f"--engine vllm@{release} {line} {POOL}")
        return [share.blocks for share in found.shares if share.kind == "mamba2"]

    assert (states("0.20.1"), states("0.22"), states("0.27.1")) == ([2], [5], [5])


@pytest.mark.parametrize(("release", "refused"), [("0.19.1", True), ("0.20.0", False), ("0.23", False)])
def test_a_narrower_v_counted_as_wide_does_not_divide(release: str, refused: bool) -> None:
    found = served(f"--engine vllm@{release} --model MiMo-V2-Flash --context 32768 --kv-pool 20GiB")
    assert bool(found.refusals) == refused


def test_pages_that_do_not_divide_are_refused_and_later_padded() -> None:
    layers = (WINDOW, WINDOW, FULL._replace(q_heads=3, kv_heads=3))
    assert any("do not divide" in text for text in made(f"{LLAMA} vllm@0.23", *layers).refusals)
    assert not made(f"{LLAMA} vllm@0.24", *layers).refusals


def test_windows_keep_what_several_draft_modules_may_read_again() -> None:
    given = scenario(f"{LLAMA} vllm@0.28 {POOL}")
    modules = (Layer((FULL,)), Layer((FULL,)))
    model = given.model._replace(layers=(Layer((FULL,)), Layer((WINDOW,))), mtp=modules)

    def blocks(release: str) -> int:
        options = given.serving._replace(version=release, async_scheduling=False)
        found = serve(given._replace(model=model, serving=options, speculative_tokens=2, max_batched_tokens=513))
        return next(share.blocks for share in found.shares if share.kind == "sliding_window")

    assert (blocks("0.27.1"), blocks("0.28")) == (65, 66)


def test_layers_that_share_an_index_keep_its_keys_once() -> None:
    line = "--model GLM-5.2 --gpu H200 --tp 8 --kv-dtype fp8 --context 65536 --kv-pool 28GiB"
    sizes = [served(f"--engine vllm@{release} {line}").bytes_per_block for release in ("0.23", "0.24")]
    assert sizes == [64 * 78 * 788, 64 * (78 * 656 + 21 * 132)]
    drafted = served(f"--engine vllm@0.24 {line} --speculative-tokens 1")
    assert drafted.bytes_per_block == 64 * (79 * 656 + 22 * 132)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("vllm@0.28 --gpu RTX_4090 --model Qwen3-8B", True),
        ("vllm@0.28 --gpu RTX_4090 --model Qwen3-8B --eager", False),
        ("vllm@0.28 --gpu MI300X --model Qwen3-8B", False),
        ("vllm@0.28 --gpu RTX_4090 --model Qwen3-8B --kv-pool 4GiB", False),
        ("vllm@0.19 --gpu RTX_4090 --model Qwen3-8B", False),
    ],
)
def test_a_first_start_may_have_less(line: str, said: bool) -> None:
    """What compiling takes is counted in logs of 0.20 to 0.28; a pool that is told is not measured."""
    found = served(f"--engine {line} --context 8192")
    assert any("first start compiles" in note for note in found.notes) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("DeepSeek-V3 --tp 8 --gpu B200 --kv-dtype nvfp4", "no kernel of vLLM reads latents in nvfp4"),
        ("DeepSeek-V3 --tp 8 --gpu B200 --kv-dtype int8_per_token_head", "reads latents in int8_per_token_head"),
        ("DeepSeek-V3 --tp 8 --gpu B200 --kv-dtype fp8", ""),
        ("DeepSeek-V3.2 --tp 8 --gpu B200 --kv-dtype fp8_ds_mla", ""),
        ("gpt-oss-20b --gpu RTX_5090 --kv-dtype nvfp4", "cannot read heads of 64 elements in nvfp4"),
        ("gpt-oss-20b --gpu B200 --kv-dtype nvfp4", ""),
        ("Qwen3-8B --gpu MI300X --kv-dtype nvfp4", "FlashInfer alone reads K and V in nvfp4"),
        ("Qwen3-8B --gpu MI300X --kv-dtype int8_per_token_head", ""),
    ],
)
def test_a_cache_that_no_kernel_reads_is_refused_by_name(line: str, said: str) -> None:
    """Formats that the attention backends of 0.32 list (``supported_kv_cache_dtypes``)."""
    refusals = served(f"--engine vllm --context 8192 --kv-pool 4GiB --model {line}").refusals
    assert any(said in refusal and "no attention backend" in refusal for refusal in refusals) == bool(said)


@pytest.mark.parametrize(("layers", "error"), [(1, 0.0137), (3, -0.0230)])
def test_a_forks_drafter_lies_between_one_layer_and_its_three(layers: int, error: float) -> None:
    """DeepSeek-V4-Flash with DSpark on two DGX Sparks, 20.36 GiB: 3,076,565 tokens were logged, 2.93 times 1M.

    Its server was a fork of 0.21.1rc1: "Using probe DeepSeek V4 nvfp4_ds_mla KV cache format", a latent that no release
    has, and three layers of its own for the drafter, the last of them "model.layers.45". What releases make of the same
    pool, with fp8_ds_mla, is this much apart.
    """
    line = "--model DeepSeek-V4-Flash --tp 2 --kv-dtype fp8 --context 1048576 --kv-pool 20.36GiB --speculative-tokens 3"
    given = scenario(f"--engine vllm@0.22 {line}")
    given = given._replace(model=given.model._replace(mtp=given.model.mtp[:1] * layers))
    assert serve(given).kv_cache_tokens / 3_076_565 - 1 == pytest.approx(error, abs=0.0001)
