"""What serving engines say that a model's weights take on a device, against the bytes that a rank holds."""

from __future__ import annotations

from typing import Any

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.checkpoint.hf.named import named_format
from kvtui.engine.checkpoint.ranks import held_bytes
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.quantization import format_from_config
from tests.engine.checkpoint.checkpoints import CONFIGS, model, released

ALLOWED = 0.015
QWEN25_72B_PADDED = released(
    "Qwen2.5-7B",
    intermediate_size=29696,
    hidden_size=8192,
    num_hidden_layers=80,
    num_attention_heads=64,
    num_key_value_heads=8,
)

# "Model loading took" of vLLM's logs in GiB: model, format, tensor parallelism, logged, what else was loaded or not.
# Whether the DeepSeek-V4 servers had loaded prediction layers is not stated; without them tp 4 is 2.4 % too light.
# Not explained, and not here: Qwen2.5-7B-AWQ 5.29 (1.9 % more), gemma-4-26B-A4B NVFP4 15.67 (2.4 % more),
# Qwen3-235B-FP8 tp 4 with expert parallelism over 8 27.72 (3.3 % less; on 8 ranks of tensor parallelism 27.66).
LOADED: list[tuple[ModelSpec, str, int, float, dict[str, Any]]] = [
    (model("Llama-3.1-8B"), "bf16", 1, 14.99, {}),
    (model("Llama-3.1-8B"), "bf16", 2, 7.51, {}),
    (model("Llama-3.1-8B"), "bf16", 4, 3.77, {}),
    (model("Qwen2.5-3B"), "bf16", 1, 5.79, {}),
    (model("Qwen2.5-7B"), "bf16", 1, 14.25, {}),
    (model("Qwen2.5-7B"), "bf16", 2, 7.12, {}),
    (model("Qwen2.5-7B"), "bf16", 4, 3.55, {}),
    (model("Qwen3-8B"), "bf16", 1, 15.27, {}),
    (model("gemma-2-2b"), "bf16", 1, 4.90, {}),
    (model("gemma-2-9b"), "bf16", 1, 17.22, {}),
    (model("gemma-2-27b"), "bf16", 1, 50.72, {}),
    (model("gemma-4-31B"), "bf16", 1, 58.33, {}),
    (model("Mistral-Small-24B"), "bf16", 1, 43.94, {}),
    (model("Mixtral-8x7B"), "bf16", 2, 43.50, {}),
    (model("whisper-large-v3"), "fp16", 1, 2.88, {}),
    (model("Qwen3-8B"), "awq", 1, 5.71, {}),
    (model("Qwen2.5-32B"), "awq", 1, 18.15, {}),
    (QWEN25_72B_PADDED, "awq", 1, 38.77, {}),
    (model("Llama-3.1-70B"), "awq", 1, 37.09, {}),
    (model("Llama-3.1-70B"), "awq", 2, 18.55, {}),
    (model("Mistral-7B"), "awq", 1, 3.89, {}),
    (model("Mistral-7B"), "gptq", 1, 3.88, {}),
    (model("Llama-3.1-8B"), "gptq", 1, 5.347, {}),
    (model("Qwen3-30B-A3B"), "gptq", 1, 15.607, {}),
    (model("Qwen3-30B-A3B"), "fp8", 1, 29.07, {}),
    (model("Qwen3-235B-A22B"), "fp8", 4, 54.91, {}),
    (model("Qwen3.6-27B"), "fp8", 1, 28.51, {}),
    (model("Qwen3.6-27B"), "fp8", 2, 14.17, {}),
    (model("Qwen3.6-27B"), "nvfp4", 1, 17.62, {"towers": False}),
    (model("Qwen3.6-27B"), "nvfp4", 1, 18.12, {"towers": False, "mtp": True}),
    (model("Qwen3.6-35B-A3B"), "Qwen3.6-35B NVFP4", 1, 21.86, {}),
    (model("Qwen3.6-35B-A3B"), "nvfp4-linear16", 1, 21.86, {}),
    (model("Qwen3-Next-80B-A3B"), "w4a16-g32-experts", 2, 22.53, {}),
    (model("Nemotron-3-Nano-30B-A3B"), "nvfp4", 1, 18.03, {}),
    (model("GLM-4.7"), "nvfp4", 4, 47.11, {}),
    (released("DeepSeek-V4-Flash"), "mxfp4", 2, 74.08, {"mtp": True}),
    (released("DeepSeek-V4-Flash"), "mxfp4", 4, 38.09, {"mtp": True}),
]


def held(model: ModelSpec, form: str, tp: int, *, mtp: bool = False, towers: bool = True) -> int:
    if form in CONFIGS:
        config = format_from_config({"quantization_config": CONFIGS[form]}, "config.json")
        return held_bytes(model, config, tp, mtp=mtp, towers=towers)
    return held_bytes(model, named_format(form, model), tp, mtp=mtp, towers=towers)


@pytest.mark.parametrize(
    ("model", "form", "tp", "logged", "what"),
    [pytest.param(*row, id=f"{row[0].name} {row[1]} tp {row[2]} {row[3]}") for row in LOADED],
)
def test_a_rank_holds_what_the_log_says(
    model: ModelSpec, form: str, tp: int, logged: float, what: dict[str, Any]
) -> None:
    assert held(model, form, tp, **what) == pytest.approx(logged * GIB, rel=ALLOWED)


# Logs that say more than the weights, and what that would be: rotary tables of cosines and sines (positions ×
# dimensions in 16 bits) which count as loaded, and kernels that pad. The numbers agree; that these are the causes is
# inferred.
LOADED_WITH_MORE: list[tuple[ModelSpec, str, int, float, int, str]] = [
    (model("gemma-3-4b"), "bf16", 1, 8.58, 2 * 256 * (8 * 131_072 + 131_072), "tables of 8 × 131,072 and 131,072"),
    (model("gemma-3-12b"), "bf16", 1, 23.31, 2 * 256 * (8 * 131_072 + 131_072), "tables of 8 × 131,072 and 131,072"),
    (model("Llama-4-Scout-17B-16E"), "bf16", 4, 52.71, 2 * 128 * 10_485_760, "a table of 10,485,760 positions"),
    (
        model("Nemotron-3-Nano-30B-A3B"),
        "nvfp4",
        1,
        18.54,
        23 * 128 * 2 * 2688 * (1920 - 1856) * 9 // 16,
        "experts of 1,856 held as 1,920 by the kernel of another device",
    ),
]


@pytest.mark.parametrize(
    ("model", "form", "tp", "logged", "more"),
    [pytest.param(*row[:5], id=f"{row[0].name}: {row[5]}") for row in LOADED_WITH_MORE],
)
def test_what_the_log_says_beyond_the_weights_has_a_likely_cause(
    model: ModelSpec, form: str, tp: int, logged: float, more: int
) -> None:
    assert held(model, form, tp) != pytest.approx(logged * GIB, rel=ALLOWED)
    assert held(model, form, tp) + more == pytest.approx(logged * GIB, rel=ALLOWED / 2)
