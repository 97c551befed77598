"""Figures that real vLLM servers printed, at the precision they printed them.

Pools are GiB as logged, two digits: where tokens follow from the rounded pool alone, 0.2 % is allowed.
"""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.caches import Attention, mamba2
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import Layer
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm import serve as vllm
from kvtui.engine.serving.vllm.blocks import align
from kvtui.engine.serving.vllm.releases import rules
from tests.present import present


def scenario(line: str) -> Scenario:
    """The scenario of a command line without quotes; ``--name`` alone is a switch."""
    values: dict[str, str | bool] = {}
    for part in f" {line}".split(" --")[1:]:
        name, _, value = part.partition(" ")
        values[name.replace("-", "_")] = value or True
    return scenario_from(values)


def served(line: str) -> Serving:
    return vllm.serve(scenario(line))


def printed(found: Serving) -> tuple[int, str]:
    """Tokens and concurrency as the log writes them."""
    return found.kv_cache_tokens, f"{float(found.max_concurrency):.2f}"


QWEN_27B = "--model Qwen3.6-27B --tp 2 --kv-dtype fp8"
MTP_3 = "--speculative-tokens 3 --prefix-caching --context 262144"


def test_hybrid_with_mtp_l2() -> None:
    found = served(f"--engine vllm@0.22 {QWEN_27B} {MTP_3} --kv-pool 5.33GiB")
    assert (found.block_size, found.blocks, found.blocks_per_request, found.groups) == (1600, 205, 179, 4)
    assert printed(found) == (300_220, "1.15")
    assert found.state_bytes_per_slot == 48 * 1_634_304
    assert found.padding_layers == 3
    assert found.bytes_per_block == 17 * 1600 * 1024


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"--engine vllm@0.22 {QWEN_27B} {MTP_3} --kv-pool 11.01GiB", (620_944, "2.37")),
        (f"--engine vllm@0.22 {QWEN_27B} {MTP_3} --kv-pool 11.03GiB", (622_408, "2.37")),
        (f"--engine vllm@0.27 {QWEN_27B} --prefix-caching --context 131072 --kv-pool 4.99GiB", (302_921, "2.31")),
        (
            (
                "--engine vllm@0.24 --model Qwen3.6-35B-A3B --kv-dtype fp8 --prefix-caching --context 131072"
                " --max-batched-tokens 8192 --kv-pool 5.98GiB"
            ),
            (567_978, "4.33"),
        ),
    ],
    ids=["424 blocks", "425 blocks", "208 blocks", "299 blocks"],
)
def test_hybrids_with_prefix_caching_from_public_logs(line: str, expected: tuple[int, str]) -> None:
    """Threads of Qwen3.5 and later; of the first two only the tokens are printed, and the pool makes 424 and 425."""
    assert printed(served(line)) == expected


def test_a_hybrid_without_prefix_caching_in_old_semantics() -> None:
    """vllm#40691: 290,864 tokens and 33.04× at 32,768; the pool is whatever gives the 1,487 blocks of both figures."""
    pool = 1487 * 16 * 784 * 4096
    found = served(f"--engine vllm@0.19 --model Qwen3.5-27B --context 32768 --kv-pool {pool}")
    assert (found.blocks, found.blocks_per_request) == (1487, 42 + 3)
    assert printed(found) == (290_864, "33.04")


def test_alternating_windows_in_old_semantics_l11() -> None:
    found = served("--engine vllm@0.20 --model gpt-oss-120b --context 131072 --kv-pool 5.38GiB")
    assert (found.blocks, found.groups, found.kv_cache_tokens) == (9793, 2, 78_336)
    assert abs(found.kv_cache_tokens - 78_384) / 78_384 < 0.002
    exact = served("--engine vllm@0.20 --model gpt-oss-120b --context 131072 --kv-pool 5.3826GiB")
    assert exact.kv_cache_tokens == 78_384


def test_heads_of_two_shapes_and_windows_in_flight_l13() -> None:
    line = "--engine vllm@0.22 --model gemma-4-31B --gpu H200 --context 262144"
    found = served(f"{line} --max-batched-tokens 8192 --kv-pool 64.68GiB")
    assert (found.blocks, found.blocks_per_request, found.block_size) == (26_492, 11_077, 32)
    assert [(s.kind, s.groups, s.block_size, s.blocks) for s in found.shares] == [
        ("sliding_window", 5, 16, 577),
        ("full", 1, 32, 8192),
    ]
    assert printed(found) == (626_949, "2.39")


@pytest.mark.parametrize(
    ("context", "pool", "blocks", "concurrency"), [(20_000, 3.81, 1952, "1.56"), (29_000, 2.89, 1478, "0.82")]
)
def test_blocks_of_a_small_card_l15(context: int, pool: float, blocks: int, concurrency: str) -> None:
    found = served(f"--engine vllm@0.8 --model Llama-3.1-8B --gpu RTX_3090 --context {context} --kv-pool {pool}GiB")
    assert abs(present(found.blocks) - blocks) / blocks < 0.002
    assert printed(found)[1] == concurrency


def test_blocks_tokens_and_concurrency_are_one_identity_l17() -> None:
    """127,626 blocks = 2,042,016 tokens = 997.08× at 2,048; the model is not named."""
    pool = 127_626 * 16 * 131_072
    found = served(f"--engine vllm@0.8 --model Llama-3.1-8B --context 2048 --kv-pool {pool}")
    assert (found.blocks, *printed(found)) == (127_626, 2_042_016, "997.08")


def test_four_heads_on_four_ranks_l18() -> None:
    """Within 1.2 % of the 178,880 logged: the pool's GiB is all that is known, so it is not gated tightly."""
    found = served("--engine vllm@0.9 --model Qwen3-235B-A22B --tp 4 --context 131072 --kv-pool 8.11GiB")
    assert (found.kv_cache_tokens, found.bytes_per_token) == (180_928, 48_128)
    assert abs(found.kv_cache_tokens / 178_880 - 1) < 0.013


def test_the_whole_model_against_the_smallest_rank_l19() -> None:
    line = "--model Qwen3-30B-A3B --pp 2 --pp-partition 16,32 --context 262144 --kv-pool 3.18GiB"
    found = served(f"--engine vllm@0.15 {line}")
    assert found.engine_needed_bytes == 24 * GIB
    assert found.needed_bytes == 16 * GIB
    assert found.max_context == 34_720
    assert abs(found.max_context - 34_736) <= 16
    assert not found.fits
    assert any("whole model" in note and "52,096" in note for note in found.notes)
    fixed = served(f"--engine vllm@0.17 {line}")
    assert (fixed.engine_needed_bytes, fixed.max_context) == (None, 52_096)
    assert served(f"--engine vllm@0.13 {line}").max_context == 52_096


@pytest.mark.parametrize(
    ("model", "context", "pool", "needed", "estimated"),
    [
        ("Llama-3.1-8B", 131_072, "3.18GiB", "16.00", None),
        ("Qwen3-8B", 40_960, "2.40GiB", "5.62", 17_472),
        ("GLM-4.7", 202_752, "28.57GiB", "71.16", 81_392),
    ],
    ids=["L20", "L23", "L41"],
)
def test_what_a_request_needs_and_what_would_fit(
    model: str, context: int, pool: str, needed: str, estimated: int | None
) -> None:
    """The last is an eight-stage pipeline whose smallest rank has 28.57 GiB (vllm#32105)."""
    stages = "--pp 8" if model == "GLM-4.7" else ""
    version = "0.14" if stages else "0.11"
    found = served(f"--engine vllm@{version} --model {model} {stages} --context {context} --kv-pool {pool}")
    assert not found.fits
    verdict = found.engine_needed_bytes or found.needed_bytes
    assert f"{verdict / GIB:.2f}" == needed
    assert estimated is None or abs(present(found.max_context) / estimated - 1) < 0.002


def test_an_eagle_head_is_one_more_layer_l26() -> None:
    line = "--engine vllm@0.11 --model Llama-3.1-8B --draft-layers 1 --speculative-tokens 3 --context 131072"
    found = served(f"{line} --kv-pool 51.63GiB")
    assert found.bytes_per_token == 33 * 4096
    assert printed(found) == (410_128, "3.13")


def test_wide_heads_on_two_ranks_l29() -> None:
    found = served("--engine vllm@0.13 --model Ministral-3-14B --tp 2 --context 100000 --kv-pool 52.36GiB")
    assert printed(found) == (686_288, "6.86")
    assert abs(found.kv_cache_tokens - 686_320) / 686_320 < 0.002


@pytest.mark.parametrize(
    ("line", "tokens", "padding"),
    [
        ("--model Qwen3.6-27B", 784, "0.13"),
        ("--model Qwen3.6-27B --kv-dtype fp8", 1568, "0.13"),
        ("--model Qwen3.6-27B --kv-dtype fp8 --tp 2", 1568, "0.13"),
        ("--model Qwen3.6-35B-A3B --kv-dtype fp8", 2096, "0.00"),
        ("--model Qwen3.6-35B-A3B --kv-dtype fp8 --speculative-tokens 2", 2128, None),
        ("--model Qwen3.5-122B-A10B --kv-dtype fp8", 4176, None),
        ("--model Qwen3.5-122B-A10B --kv-dtype fp8 --speculative-tokens 1", 4192, None),
        ("--model Qwen3.6-27B --speculative-tokens 1", 800, None),
        ("--model Qwen3.6-27B --gpu MI300X", 784, "0.13"),
        ("--model Nemotron-3-Super-120B-A12B --kv-dtype fp8", 8320, None),
        ("--model Qwen3-Next-80B-A3B", 544, "1.49"),
    ],
)
def test_attention_blocks_that_hold_a_state_l32(line: str, tokens: int, padding: str | None) -> None:
    """The log's "Setting attention block size to N tokens" and "Padding mamba page size by x%"."""
    chosen = scenario(f"--engine vllm@0.20 {line} --context 131072 --kv-pool 40GiB")
    found = align(chosen, rules("0.20"), chosen.model.layers)
    assert found is not None
    assert found.block == vllm.serve(chosen).block_size == tokens
    assert padding is None or f"{found.padding_percent:.2f}" == padding


def test_the_block_of_a_model_outside_the_catalogue_l32() -> None:
    """Nemotron-Nano-9B-v2 (vllm#24280): 128 heads of 80 with 16-bit state, and attention of 8 heads of 128: 672."""
    chosen = scenario("--engine vllm@0.11 --model Nemotron-H-8B --context 131072 --kv-pool 40GiB")
    state = mamba2(heads=128, head_dim=80, state=128, groups=8, conv=4, state_format="bf16")
    layers = (*(Layer((state,)),) * 27, *(Layer((Attention("full", 40, 8, 128, 128),)),) * 4)
    chosen = chosen._replace(model=chosen.model._replace(layers=layers))
    found = vllm.serve(chosen)
    assert found.block_size == 672
    assert found.state_bytes_per_slot == 27 * (128 * 80 * 128 * 2 + FORMATS["bf16"].bytes((10_240 + 2048) * 3))


@pytest.mark.parametrize("blocks", [939, 1011, 556])
def test_fewer_blocks_of_state_than_sequences_refuse_to_start_l33(blocks: int) -> None:
    """The blocks are the log's; which pool gave them is not printed, so only the check itself is reproduced."""
    page = 16 * 784 * 4096
    line = f"--engine vllm@0.27 --model Qwen3.6-27B --gpu H100 --kv-pool {blocks * page} --context 32768"
    refused = served(line)
    assert refused.state_slots == blocks
    assert any(f"max_num_seqs 1,024 exceeds the {blocks:,} blocks" in text for text in refused.refusals)
    assert not served(f"{line} --max-seqs {blocks}").refusals


def test_the_priors_of_an_estimated_pool_are_near_the_log_l48() -> None:
    """Llama-3.1-8B on an H100: 54.96 GiB of cache, an estimate."""
    found = served("--engine vllm@0.14 --model Llama-3.1-8B --context 131072 --gpu H100 --max-seqs 256")
    assert found.pool_is_estimate
    assert abs(found.pool_bytes / GIB / 54.96 - 1) < 0.005
