"""Facts: short, sourced, in turn, and with figures that the catalogues give again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import cache_bytes
from kvtui.engine.planning.estimate import Estimate, estimate
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.saying.factoids import (
    LIVE_SOURCE,
    MAX_LENGTH,
    SECONDS_EACH,
    factoid_at,
    live_factoids,
    stored_factoids,
)
from kvtui.engine.scenario.values import scenario_from

BF16 = FORMATS["bf16"]


def planned(**values: str | bool) -> tuple[Plan, Estimate]:
    found = plan(scenario_from(values))
    return found, estimate(found)


def per_token(model: str) -> int:
    return find_model(model).bytes_per_token(BF16)


def at(model: str, context: int) -> int:
    return cache_bytes(find_model(model).caches, context, BF16).kv


def test_there_are_enough_and_each_is_short_and_sourced() -> None:
    facts = stored_factoids()
    assert len(facts) >= 28
    assert len({fact.text for fact in facts}) == len(facts)
    for fact in facts:
        assert 40 <= len(fact.text) <= MAX_LENGTH
        assert fact.source


def test_figures_of_models_are_those_of_the_catalogue() -> None:
    kinds = {name: find_model(name).layer_kinds for name in ("Qwen3-Next-80B-A3B", "gemma-3-27b", "Hunyuan-Large")}
    v3 = find_model("DeepSeek-V3")
    plain_heads = 61 * 128 * (128 + 64 + 128) * 2
    scout = find_model("Llama-4-Scout-17B-16E")
    state = find_model("Nemotron-H-8B").state_bytes()
    spark, h100 = find_device("DGX Spark").bandwidth_gbs, find_device("H100 SXM").bandwidth_gbs
    weights = 2 * (find_model("Llama-3.1-8B").parameters or 0)
    h200 = find_device("H200 SXM")
    figures = [
        (
            f"{per_token('Llama-3.1-8B'):,} bytes per token, exactly {per_token('Llama-3.1-8B') // 1024} KiB. "
            f"One 128K context is {at('Llama-3.1-8B', 131_072) // GIB} GiB"
        ),
        f"{per_token('c4ai-command-r-v01') / MIB:.2f} MiB of cache per token",
        f"caches {v3.bytes_per_token(BF16):,} bytes per token. Llama-3.1-8B caches {per_token('Llama-3.1-8B'):,}",
        f"cache {plain_heads:,} bytes per token, {plain_heads // v3.bytes_per_token(BF16)} times",
        f"caches exactly {at('Llama-3.1-405B', 131_072) // GIB} GiB, four fifths",
        f"costs {find_model('gpt-oss-120b').bounded_bytes(BF16) / MIB:.1f} MiB per sequence",
        (
            f"{kinds['gemma-3-27b']['sliding_window']} of gemma-3-27b's {len(find_model('gemma-3-27b').layers)} layers "
            f"see only 1,024 tokens: a 128K context takes {at('gemma-3-27b', 131_072) / GIB:.1f} GiB"
        ),
        (
            f"in {kinds['Qwen3-Next-80B-A3B']['full']} of its 48 layers. The other "
            f"{kinds['Qwen3-Next-80B-A3B']['gated_deltanet']} hold "
            f"{find_model('Qwen3-Next-80B-A3B').state_bytes() / MIB:.1f} MiB"
        ),
        f"in 7 of its 27 layers: {per_token('Kimi-Linear-48B-A3B'):,} bytes per token",
        (
            f"{per_token('Llama-4-Scout-17B-16E') * 10 * 2**20 // GIB} GiB for its 12 full layers, "
            f"but {scout.bounded_bytes(BF16) / GIB:.1f} GiB for the 36"
        ),
        f"weighs {state / MIB:.1f} MiB per sequence, exactly as much as {state // per_token('Nemotron-H-8B'):,} tokens",
        f"of 80 and {per_token('MiniMax-M1'):,} bytes per token, M2 has 62 of 62 and {per_token('MiniMax-M2'):,}",
        f"{kinds['Hunyuan-Large']['full']} of 64 layers own a cache",
        f"{find_model('whisper-large-v3').bounded_bytes(BF16) / MIB:.0f} MiB, before the first word",
        (
            f"{(find_model('Mixtral-8x7B-v0.1').parameters or 0) / 1e9:.1f} billion parameters and the "
            f"{per_token('Mixtral-8x7B-v0.1'):,} bytes per token"
        ),
        f"all {2 * (find_model('Qwen3-Next-80B-A3B').parameters or 0) / GIB:.0f} GiB stay resident",
        f"{16_384 // 1024 * 1024:,} tokens and 32 heads fill {16_384**2 * 32 * 2 // GIB} GiB",
        (
            f"reports {find_device('H100 SXM').usable_bytes // MIB:,} MiB: "
            f"{find_device('H100 SXM').usable_bytes / 1e9:.1f} billion bytes"
        ),
        (
            f"L40S of 48 GB reports {find_device('L40S').usable_bytes // MIB:,} MiB, a T4 of 16 GB "
            f"{find_device('T4').usable_bytes // MIB:,}"
        ),
        f"needs {h200.usable_bytes / h200.bandwidth_gbs / 1e6:.0f} ms to read all",
        (
            f"reports {find_device('Instinct MI300X').usable_bytes // MIB:,} MiB, "
            f"{192 * 1024 - find_device('Instinct MI300X').usable_bytes // MIB} MiB short"
        ),
        f"takes {weights / h100 / 1e6:.1f} ms on an H100 SXM and {weights / spark / 1e6:.0f} ms on a DGX Spark",
        f"would hold {230_000_000 // per_token('Llama-3.1-8B'):,} tokens",
        f"a step that drafts four yields {(1 - 0.8**5) / (1 - 0.8):.2f} tokens",
        f"Of a 1,000-token system prompt in blocks of 16, {1000 // 16 * 16} tokens",
    ]
    texts = "\n".join(fact.text for fact in stored_factoids())
    assert [figure for figure in figures if figure not in texts] == []


def test_ratios_that_facts_state_in_words() -> None:
    assert per_token("Llama-2-7B") == 4 * per_token("Llama-3.1-8B")
    assert per_token("c4ai-command-r-v01") == 8 * per_token("c4ai-command-r-08-2024")
    assert per_token("Mixtral-8x7B-v0.1") == per_token("Llama-3.1-8B")
    assert at("Kimi-Linear-48B-A3B", 1_000_000) < 8 * GIB
    assert at("Llama-3.1-8B", 131_072) > 2 * (find_model("Llama-3.1-8B").parameters or 0)
    assert at("Llama-3.1-405B", 131_072) / find_device("H100 SXM").usable_bytes == pytest.approx(0.8, abs=0.015)
    every = find_model("gemma-3-27b").bytes_per_token(BF16) + 52 * 16 * 256 * 2
    assert every * 131_072 == 62 * GIB


def test_one_fact_every_twelve_seconds_and_at_least_twenty_in_turn() -> None:
    found, times = planned(model="Llama-3.1-8B", context="32K", batch="8", cb=True, fill="average")
    turns = [factoid_at(found, times, SECONDS_EACH * turn + 0.5) for turn in range(90)]
    assert turns[:3] == [factoid_at(found, times, SECONDS_EACH * turn + 11.9) for turn in range(3)]
    assert all(first != second for first, second in pairwise(turns))
    assert len(set(turns)) > len(stored_factoids())
    assert set(stored_factoids()) <= set(turns)
    assert set(live_factoids(found, times)) <= set(turns)
    assert {turn.source == LIVE_SOURCE for turn in turns[2::3]} == {True}


def test_the_time_alone_chooses_among_the_stored_facts() -> None:
    scenarios = planned(model="gemma-3-27b"), planned(model="Llama-3.1-8B", batch="4")
    stored = stored_factoids()
    for turn in range(-3, 3 * len(stored), 3):
        for place in (0, 1):
            begin = SECONDS_EACH * (turn + place)
            shown = {factoid_at(*found, begin + late) for found in scenarios for late in (0.0, 3.7, SECONDS_EACH - 0.1)}
            assert shown == {stored[(turn // 3 * 2 + place) % len(stored)]}
        for found in scenarios:
            assert factoid_at(*found, SECONDS_EACH * (turn + 2)) in live_factoids(*found)


def live(**values: str | bool) -> str:
    return "\n".join(fact.text for fact in live_factoids(*planned(**values)))


def test_live_facts_of_a_dense_model() -> None:
    text = live(model="Llama-3.1-8B", context="128K", batch="8", cb=True, fill="average")
    tokens = sum(131_072 * percent // 100 for percent in (10, 20, 30, 40, 15, 45, 25, 55))
    weights = 8_030_261_248 * 2
    unread_embedding = 128_256 * 4096 * 2
    read = weights - unread_embedding + tokens * 131_072
    assert f"reads {read / GIB:.2f} GiB; at 3,350 GB/s that is at least {read / 3.35e9:.3g} ms" in text
    assert "adds 128.00 KiB to its sequence's cache: a GiB holds 8,192 tokens" in text
    assert f"for 8 sequences takes 128.00 GiB; their tokens fill {tokens * 131_072 / GIB:.2f} GiB" in text
    assert f"At {-(-weights // 131_072):,} tokens, the cache of one sequence weighs as much as all 14.96 GiB" in text
    assert "Its 32 query heads share 8 KV heads: full multi-head attention would cache 4 times" in text
    assert "in fp8 a token would take 64.00 KiB instead of 128.00 KiB in bf16" in text
    assert "Windows" not in text
    assert "state" not in text


def test_live_facts_follow_the_scenario() -> None:
    assert "8 × 4,800 GB/s" in live(model="DeepSeek-V3", gpu="H200 SXM", tp="8", weight_dtype="fp8")
    assert "Only 3.87 B of 79.7 B parameters" in live(model="Qwen3-Next-80B-A3B", gpu="B200")
    assert "73.69 MiB per sequence at any length, as much as the K and V of 3,144 tokens" in live(
        model="Qwen3-Next-80B-A3B", gpu="B200"
    )
    spared = 425_984 * (131_072 - 1024)
    windows = live(model="gemma-3-27b", gpu="H200 SXM", context="128K")
    assert f"Windows spare {spared / GIB:.2f} GiB here: 52 layers keep no more than 1,024 tokens" in windows
    assert "in bf16 a token would take 128.00 KiB instead of 64.00 KiB in fp8" in live(
        model="Llama-3.1-8B", kv_dtype="fp8"
    )
    assert "FlashAttention keeps" not in live(model="Llama-3.1-8B", fa=False)
    assert "beyond its maximum" in live(model="Llama-3.1-70B", gpu="H200 SXM")
    too_large = live(model="Llama-3.1-405B")
    assert "decode step" not in too_large
    assert "takes 25.5 ms at 3,350 GB/s" in too_large


def test_live_facts_are_short_for_every_model_and_device() -> None:
    devices = all_devices()
    for number, model in enumerate(all_models()):
        values: dict[str, str | bool]
        values = {
            "model": model.name,
            "skip_weights": model.parameters is None,
            "batch": "128",
            "cb": True,
            "fill": "average",
        }
        facts = live_factoids(*planned(**values, gpu=devices[number % len(devices)].name))
        assert len(facts) >= 2
        assert max(len(fact.text) for fact in facts) <= MAX_LENGTH
