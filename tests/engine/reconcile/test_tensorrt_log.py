"""TensorRT-LLM's log: the lines of its releases, and the caches that they tell of."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.reconcile.reconcile import Reconciliation, overheads_of, reconcile
from tests.engine.reconcile.log_files import told
from tests.present import present

P = "[12/20/2025-04:21:51] [TRT-LLM] [I] "
C = "[TensorRT-LLM][INFO] "


def of(*lines: str, **given: str | bool) -> Reconciliation:
    return reconcile(told("\n".join(lines)), given)


@pytest.mark.parametrize(
    ("line", "sizes"),
    [
        (f"{C}[MemUsageChange] Allocated 16.05 GiB for max tokens in paged KV cache (263008)", {"pool": 16.05}),
        (f"{C}Allocate 69524783104 bytes for k/v cache. ", {"pool": 64.75}),
        (
            f"{C}Memory usage when calculating max tokens in paged kv cache: total: 39.39 GiB, available: 21.89 GiB",
            {"total": 39.39, "free": 21.89},
        ),
        (f"{P}Rank 0 uses 8.46 GB for model weights.", {"weights": 8.46}),
        (f"{P}Use 63.32 GB for model weights.", {"weights": 63.32}),
        (
            f"{P}Memory used after loading model weights (inside torch) in memory usage profiling: 63.52 GiB",
            {"weights": 63.52},
        ),
        (f"{P}Memory used after loading model weights (outside torch) in memory usage profiling: 49.78 GiB", {}),
        (
            f"{P}Memory dynamically allocated during inference (inside torch) in memory usage profiling: 0.85 GiB",
            {"activation": 0.85},
        ),
        (
            f"{P}Memory used outside torch (e.g., NCCL and CUDA graphs) in memory usage profiling: 49.28 GiB",
            {"non_torch": 49.28},
        ),
        (
            (
                f"{P}Peak memory during memory usage profiling (torch + non-torch): 113.65 GiB, available KV cache "
                "memory when calculating max tokens: 5.95 GiB, fraction is set 0.8999999761581421, kv size is 73728. "
                "device total memory 119.70 GiB, , tmp kv_mem 0.56 GiB"
            ),
            {"pool": 5.95, "total": 119.7},
        ),
    ],
)
def test_sizes(line: str, sizes: dict[str, float]) -> None:
    log = told(f"{C}TensorRT-LLM version: 1.1.0rc3\n{line}")
    assert {name: round(present(log.most(name)).bytes / GIB, 2) for name in log.sizes} == sizes


def test_the_last_cache_counts() -> None:
    """A small one is allocated to measure with."""
    log = told(
        f"[TensorRT-LLM] TensorRT-LLM version: 1.1.0rc3\n{C}Number of tokens per block: 32.\n"
        f"{C}[MemUsageChange] Allocated 0.56 GiB for max tokens in paged KV cache (8224).\n"
        f"{P}max_seq_len=8224, max_num_requests=64, max_num_tokens=8192, max_batch_size=64\n"
        f"{C}[MemUsageChange] Allocated 5.95 GiB for max tokens in paged KV cache (86720).\n"
        f"{P}max_seq_len=86720, max_num_requests=64, max_num_tokens=8192, max_batch_size=64\n"
    )
    assert (log.engine, log.words["version"]) == ("tensorrt-llm", "1.1.0rc3")
    assert log.counts == {"kv_cache_tokens": 86_720}
    assert log.options == {"block_size": "32", "context": "86720", "max_seqs": "64", "max_batched_tokens": "8192"}
    assert round(present(log.least("pool")).bytes / GIB, 2) == 5.95


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Starting trtllm-serve for model openai/gpt-oss-120b on port 8355...", "openai/gpt-oss-120b"),
        ("trtllm-serve meta-llama/Llama-3.1-8B --tp_size 2 --max_seq_len 8192", "meta-llama/Llama-3.1-8B"),
        ("+ mpirun -n 1 trtllm-serve serve /models/Qwen3-8B --kv_cache_dtype fp8", "/models/Qwen3-8B"),
        (
            "/root/.cache/huggingface/hub/models--openai--gpt-oss-120b/snapshots/b5c939de",
            "models--openai--gpt-oss-120b",
        ),
    ],
)
def test_the_model_is_named_in_many_ways(line: str, name: str) -> None:
    assert told(f"{line}\n{C}Number of tokens per block: 32.\n{C}TensorRT-LLM version: 1.0").words["model"] == name


def test_a_command_line() -> None:
    log = told(
        "trtllm-serve Qwen/Qwen3-8B --tp_size 2 --max_seq_len 8192 --max_num_tokens=4096 --max_batch_size 16 "
        f"--kv_cache_free_gpu_memory_fraction 0.85 --kv_cache_dtype fp8\n{C}TensorRT-LLM version: 1.0"
    )
    assert log.options == {
        "tp": "2",
        "context": "8192",
        "max_batched_tokens": "4096",
        "max_seqs": "16",
        "gpu_memory_utilization": "0.85",
        "kv_dtype": "fp8",
    }


def test_a_fraction_of_32_bits_is_the_one_that_was_given() -> None:
    found = told(
        f"{C}fraction is set\n{P}available KV cache memory when calculating max tokens: 5.95 GiB, fraction is set "
        "0.8999999761581421, kv size is 73728"
    )
    assert found.options["gpu_memory_utilization"] == "0.9"


def test_plain_attention_is_predicted_to_the_token() -> None:
    """T1: 69,524,783,104 bytes are 132,608 tokens of 524,288."""
    found = of(
        f"{C}Allocate 69524783104 bytes for k/v cache. ",
        f"{C}Using 132608 tokens in paged KV cache.",
        model="Llama-2-7B",
    )
    assert found.agrees
    assert {row.id: row.predicted for row in found.rows if row.exact} == {"kv_cache_tokens": 132_608}


FP8 = (
    f"{C}Number of blocks in KV cache primary pool: 8219",
    f"{C}Number of tokens per block: 32.",
    f"{C}[MemUsageChange] Allocated 16.05 GiB for max tokens in paged KV cache (263008)",
)


def test_blocks_and_tokens_of_an_fp8_cache() -> None:
    found = of(*FP8, model="Llama-3.1-8B", kv_dtype="fp8")
    assert found.agrees
    assert {row.id for row in found.rows if row.exact} == {"kv_cache_tokens", "blocks"}
    assert not of(*FP8, model="Llama-3.1-8B").agrees


def test_the_cache_of_a_token_tells_the_model() -> None:
    line = "available KV cache memory when calculating max tokens: 5.95 GiB, fraction is set 0.9, kv size is 147456"
    weights = f"{P}Memory used after loading model weights (inside torch) in memory usage profiling: 15.27 GiB"
    assert of(f"{P}{line}", weights).scenario.model.name == "Qwen3-8B"


def test_what_was_measured_leaves_the_logged_cache() -> None:
    weights = f"{P}Memory used after loading model weights (inside torch) in memory usage profiling: 8.49 GiB"
    found = of(*FP8, weights, model="Llama-3.1-8B", kv_dtype="fp8", weight_dtype="fp8", gpu="RTX 5090")
    kept = overheads_of(found.scenario, found.measured, "rig")
    scenario = found.scenario._replace(kv_pool=None, serving=found.scenario.serving._replace(measured=kept))
    printed = present(found.log.least("pool"))
    assert printed.low <= present(tightest_budget(scenario)).pool <= printed.high
