"""Starts of vLLM 0.32.0 on a server's CPU, with small shapes: what the logs print, from the same configurations."""

from __future__ import annotations

import re

import pytest

from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm.releases import rules
from kvtui.engine.serving.vllm.serve import layered, serve
from tests.paths import DATA

PRINTED = re.compile(r"CPU KV cache size: ([0-9,]+) tokens, Maximum concurrency for [0-9,]+ tokens .*: ([0-9.]+)x")


@pytest.mark.parametrize(
    ("name", "tokens", "concurrency"),
    [
        ("llama", 1_048_576, "1024.00"),
        ("deepseek", 310_688, "303.41"),
        ("gemma3", 813_440, "794.38"),
        ("gptoss", 844_123, "824.34"),
        ("qwen3next", 1_315_840, "1285.00"),
        ("gemma4", 1_056_832, "1032.06"),
        ("falconh1", 883_011, "862.32"),
        ("lfm2", 1_864_135, "1820.44"),
        ("cohere2", 729_444, "712.35"),
    ],
)
def test_a_start_on_a_cpu(name: str, tokens: int, concurrency: str) -> None:
    values = {"context": "1024", "block_size": "32", "max_batched_tokens": "512", "kv_pool": "1GiB", "gpu": "CPU"}
    config = str(DATA / "vllm" / "cpu" / f"{name}.config.json")
    scenario = scenario_from({"engine": "vllm@0.32", "model": config, **values})
    found = serve(scenario)
    assert (found.kv_cache_tokens, f"{float(found.max_concurrency):.2f}") == (tokens, concurrency)
    printed = PRINTED.search((DATA / "vllm" / "cpu" / f"vllm-0.32-{name}.log").read_text())
    assert printed is not None
    assert printed.groups() == (f"{tokens:,}", concurrency)
    alignment = layered(scenario, rules("0.32")).alignment
    pages = {"qwen3next": (96, "37.14"), "falconh1": (64, "79.02"), "lfm2": (32, "1500.00")}
    if name in pages:
        assert alignment is not None
        assert (alignment.block, f"{alignment.padding_percent:.2f}") == pages[name]
