"""Sizes of released checkpoints: index files, cards and loaders' logs against the bytes that the formats come to."""

from __future__ import annotations

from typing import Any

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.checkpoint.format import CheckpointFormat
from kvtui.engine.checkpoint.hf.named import named_format
from kvtui.engine.checkpoint.weights import file_bytes
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.quantization import format_from_config
from tests.engine.checkpoint.checkpoints import CONFIGS, FP8_BLOCKS, awq, gptq, model, released

GB = 10**9
EXACT = 0.0
ROUNDED = 0.005

QWEN3_VL_TOWER = 576_388_336


def read(quantization: dict[str, Any]) -> CheckpointFormat:
    return format_from_config({"quantization_config": quantization}, "config.json")


# checkpoint, model, format by name or as a config.json has it, published bytes, allowed relative difference. Two of the
# recipes were chosen so that they agree, and are no evidence of their own: that of Nemotron (which Mamba layers stay in
# 16 bits) and that of MiniMax (symmetric int4, where its name says AWQ).
PUBLISHED_SIZES: list[tuple[str, ModelSpec, str | dict[str, Any], float, float]] = [
    ("gpt-oss-20b", model("gpt-oss-20b"), "mxfp4", 13_761_264_768, EXACT),
    ("gpt-oss-20b, by a config", model("gpt-oss-20b"), CONFIGS["gpt-oss"], 13_761_264_768, EXACT),
    ("gpt-oss-120b", model("gpt-oss-120b"), CONFIGS["gpt-oss"], 65_248_815_744, EXACT),
    ("Llama-3.1-70B AWQ", model("Llama-3.1-70B"), awq(), 39_767_785_472, EXACT),
    ("Qwen3.5-9B MLX 8-bit", model("Qwen3.5-9B"), CONFIGS["MLX 8-bit"], 10_426_433_504, 1e-6),
    ("DeepSeek-V3", model("DeepSeek-V3"), "fp8", 688_586_727_753, 0.0001),
    ("DeepSeek-V3, by a config", released("DeepSeek-V3"), FP8_BLOCKS, 688_586_727_753, 0.0001),
    ("DeepSeek-V4-Flash", released("DeepSeek-V4-Flash"), "mxfp4", 148.66 * GIB, ROUNDED),
    ("Qwen2.5-7B-AWQ", model("Qwen2.5-7B"), "awq", 5.19 * GIB, ROUNDED),
    ("Qwen3-8B-AWQ", model("Qwen3-8B"), awq(), 5.68 * GIB, ROUNDED),
    ("Qwen3-VL-8B NVFP4", model("Qwen3-8B", QWEN3_VL_TOWER), CONFIGS["Qwen3-VL NVFP4"], 7.04 * GIB, ROUNDED),
    ("Qwen3-VL-8B FP8", model("Qwen3-8B", QWEN3_VL_TOWER), CONFIGS["Qwen3-VL FP8"], 9.87 * GIB, ROUNDED),
    ("Qwen3.6-35B-A3B NVFP4", model("Qwen3.6-35B-A3B"), CONFIGS["Qwen3.6-35B NVFP4"], 23.32 * GIB, ROUNDED),
    ("Qwen3.6-27B-Text-NVFP4-MTP", model("Qwen3.6-27B", 0), CONFIGS["Qwen3.6-27B NVFP4"], 18.29 * GIB, ROUNDED),
    ("Qwen3.6-27B-FP8", model("Qwen3.6-27B"), "fp8", 28.75 * GIB, ROUNDED),
    ("Qwen3.6-27B-FP8, by a config", model("Qwen3.6-27B"), CONFIGS["Qwen3.6-27B FP8"], 28.75 * GIB, ROUNDED),
    ("gemma-4-26B-A4B NVFP4", model("gemma-4-26B-A4B"), CONFIGS["gemma-4-26B NVFP4"], 15.30 * GIB, ROUNDED),
    ("gemma-4-26B-A4B NVFP4, experts only", model("gemma-4-26B-A4B"), "nvfp4-experts", 17.50 * GIB, ROUNDED),
    ("gemma-4-26B-A4B FP8", model("gemma-4-26B-A4B"), CONFIGS["gemma-4-26B FP8"], 25.33 * GIB, ROUNDED),
    ("gemma-4-31B NVFP4, MLP only", model("gemma-4-31B"), CONFIGS["gemma-4-31B NVFP4 (MLP)"], 32.7 * GB, ROUNDED),
    ("gemma-4-31B", model("gemma-4-31B"), "bf16", 58.25 * GIB, ROUNDED),
    ("Nemotron-Cascade-2-30B NVFP4", model("Nemotron-3-Nano-30B-A3B"), "nvfp4", 18.01 * GIB, ROUNDED),
    (
        "Nemotron-Cascade-2-30B NVFP4, by a config",
        model("Nemotron-3-Nano-30B-A3B"),
        CONFIGS["Nemotron NVFP4"],
        18.01 * GIB,
        ROUNDED,
    ),
    ("MiniMax-M2.7 W4A16 g32", model("MiniMax-M2"), CONFIGS["MiniMax W4A16"], 121.53 * GIB, ROUNDED),
    ("Qwen3-32B", model("Qwen3-32B"), "bf16", 61.02 * GIB, ROUNDED),
]


@pytest.mark.parametrize(
    ("model", "form", "published", "allowed"),
    [pytest.param(*row[1:], id=row[0]) for row in PUBLISHED_SIZES],
)
def test_a_checkpoint_has_its_published_size(
    model: ModelSpec, form: str | dict[str, Any], published: float, allowed: float
) -> None:
    found = named_format(form, model) if isinstance(form, str) else read(form)
    assert file_bytes(model, found) == pytest.approx(published, rel=allowed)


# Sizes worked out by hand from shapes and methods, with no independently published figure behind them.
WORKED_OUT: list[tuple[str, ModelSpec, str | dict[str, Any], float]] = [
    ("Mixtral-8x7B AWQ", model("Mixtral-8x7B"), CONFIGS["Mixtral AWQ"], 24.654 * GB),
    ("Llama-3-8B GPTQ", model("Llama-3.1-8B"), gptq(), 5.339 * GIB),
    ("QwQ-32B-AWQ", model("Qwen2.5-32B"), awq(), 18.00 * GIB),
    ("Mistral-7B GPTQ", model("Mistral-7B"), "gptq", 3.88 * GIB),
    ("Qwen3-30B-A3B GPTQ", model("Qwen3-30B-A3B"), gptq(), 15.76 * GIB),
    ("Qwen3-30B-A3B-FP8", model("Qwen3-30B-A3B"), "fp8", 29.03 * GIB),
    ("Qwen3-235B-A22B-FP8", model("Qwen3-235B-A22B"), "fp8", 236.42 * GB),
    ("Llama-3.3-70B NVFP4", model("Llama-3.3-70B"), CONFIGS["Llama-3.3-70B NVFP4"], 42.71 * GB),
]


@pytest.mark.parametrize(("model", "form", "size"), [pytest.param(*row[1:], id=row[0]) for row in WORKED_OUT])
def test_a_checkpoint_has_the_size_worked_out_by_hand(
    model: ModelSpec, form: str | dict[str, Any], size: float
) -> None:
    found = named_format(form, model) if isinstance(form, str) else read(form)
    assert file_bytes(model, found) == pytest.approx(size, rel=0.001)
