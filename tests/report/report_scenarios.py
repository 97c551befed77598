"""Scenarios that together show everything a report can show."""

from __future__ import annotations

from functools import cache
from typing import Any

from kvtui.engine.scenario.values import scenario_from
from kvtui.report.document import document

SCENARIOS: dict[str, dict[str, str | bool]] = {
    "overflow": {"model": "Llama-3.1-8B", "context": "128K", "batch": "8"},
    "paged": {"model": "Llama-3.1-8B", "context": "32K", "batch": "8", "cb": True, "fill": "average", "pa": True},
    "hybrid": {
        "model": "Qwen3-Next-80B-A3B",
        "gpu": "H200 SXM",
        "gpus": "2",
        "context": "128K",
        "batch": "4",
        "weight_dtype": "fp8",
    },
    "latent": {
        "model": "DeepSeek-V3.2",
        "gpu": "H200 SXM",
        "gpus": "8",
        "context": "64K",
        "batch": "8",
        "dtype": "fp8",
    },
    "pool": {
        "model": "gemma-3-27b",
        "gpu": "RTX 4090",
        "context": "32K",
        "batch": "2",
        "kv_pool": "5.33GiB",
        "skip_weights": True,
    },
    "crowded": {"model": "DeepSeek-V3.2", "context": "4K", "dtype": "fp8", "kv_pool": "1GB", "engine": "vllm"},
    "budget": {"model": "Llama-3.1-8B", "gpu": "RTX 4090", "batch": "2", "gpu_memory_utilization": "0.9"},
    "shared": {"model": "Llama-3.1-8B", "context": "8K", "batch": "20", "pa": True, "shared_prefix": "4K", "fa": False},
    "lengths": {"model": "Llama-3.1-8B", "lengths": "100,2000,3000", "context": "4K"},
    "hopeless": {"model": "DeepSeek-V3.2", "gpu": "RTX 3090", "context": "1M", "batch": "1000"},
    "engine": {
        "model": "Qwen3.5-27B",
        "gpus": "2",
        "context": "256K",
        "kv_dtype": "fp8",
        "kv_pool": "5.33GiB",
        "engine": "vllm@0.22",
        "speculative_tokens": "3",
        "prefix_caching": True,
    },
    "unserved": {"model": "gemma-3-27b", "gpu": "RTX 4090", "context": "32K", "batch": "9", "engine": "vllm"},
    "astronomic": {"model": "Llama-3.1-8B", "gpu": "RTX 3090", "context": "1048576M", "batch": "1000000"},
}
HOSTILE = (
    "<script>alert(1)</script>",
    "[red]x[/]",
    "a|b||c",
    "\x1b[31mred\x07\u202e",
    "=1+1",
    "`code` *bold* ![i](http://x)",
    '"onload="x\' & co',
    "模型 " * 40,
    "x" * 300,
    "\ud800lone",
)


@cache
def made(name: str) -> dict[str, Any]:
    """The document of a scenario; not to be changed."""
    return document(scenario_from(SCENARIOS[name]))


@cache
def hostile(name: str) -> dict[str, Any]:
    """A document whose model, source, notes and device are called ``name``; not to be changed."""
    scenario = scenario_from(SCENARIOS["hybrid"])
    model = scenario.model._replace(name=name, source=name, notes=(name,))
    device = scenario.device._replace(name=name, source=name)
    return document(scenario._replace(model=model, device=device, model_ref=name))
