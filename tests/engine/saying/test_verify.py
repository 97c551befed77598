"""The commands that measure an estimate: each engine's own, with the scenario's formats, context and batch."""

from __future__ import annotations

import pytest

from kvtui.engine.saying.verify import OWN, verifying
from kvtui.engine.scenario.values import scenario_from

EIGHT = {"model": "Llama-3.1-8B", "context": "32K"}
COMMANDS = (
    ({"engine": "none"}, OWN),
    ({"engine": "tensorrt-llm"}, OWN),
    (
        {"engine": "llama.cpp", "weight_dtype": "Q4_K_M", "kv_dtype": "q8_0"},
        "llama-bench -m Llama-3.1-8B-Q4_K_M.gguf -ngl 99 -fa 1 -p 0 -n 128 -d 32640 -ctk q8_0 -ctv q8_0",
    ),
    (
        {"engine": "llama.cpp", "weight_dtype": "Q4_K_M", "kv_dtype": "fp16", "batch": "4"},
        "llama-batched-bench -m Llama-3.1-8B-Q4_K_M.gguf -ngl 99 -fa on -c 131072 -npp 32640 -ntg 128 -npl 4",
    ),
    (
        {"engine": "llama.cpp", "model": "Qwen3-30B-A3B", "weight_dtype": "Q4_K_M", "gpu": "RTX 3060", "cpu_moe": "31"},
        "llama-bench -m Qwen3-30B-A3B-Q4_K_M.gguf -ngl 99 -ncmoe 31 -fa 1 -p 0 -n 128 -d 32640",
    ),
    (
        {"engine": "llama.cpp", "model": "Qwen3-8B-Q8_0", "pp": "2", "gpu_layers": "30", "tensor_split": "3,1"},
        "llama-bench -m Qwen3-8B-Q8_0.gguf -ngl 30 -ts 23/7 -fa 1 -p 0 -n 128 -d 32640",
    ),
    (
        {"engine": "vllm", "tp": "2", "dp": "2", "batch": "6", "kv_dtype": "fp8"},
        (
            "vllm bench latency --model meta-llama/Llama-3.1-8B --batch-size 3 --input-len 32640 --output-len 128"
            " --tensor-parallel-size 2 --kv-cache-dtype fp8 --max-model-len 32768"
        ),
    ),
    (
        {"engine": "vllm", "model": "gemma-3-27b"},
        (
            "vllm bench latency --model google/gemma-3-27b-it --batch-size 1 --input-len 32640 --output-len 128"
            " --kv-cache-dtype bfloat16 --max-model-len 32768"
        ),
    ),
    (
        {"engine": "sglang"},
        (
            "python -m sglang.bench_one_batch --model-path meta-llama/Llama-3.1-8B --batch-size 1 --input-len 32640"
            " --output-len 128 --kv-cache-dtype bfloat16 --context-length 32768"
        ),
    ),
)


@pytest.mark.parametrize(("values", "command"), COMMANDS)
def test_the_command_is_the_engines_own(values: dict[str, str], command: str) -> None:
    assert verifying(scenario_from({**EIGHT, **values})) == command
