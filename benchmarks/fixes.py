"""What it takes to find what makes a scenario fit: ``python benchmarks/fixes.py [ROUNDS]``.

Budget: 150 ms of one core for any scenario, also when it is asked for the first time. The catalogues and the engines'
folders are read before, as at a start.
"""

from __future__ import annotations

import sys
import time
from statistics import median

from kvtui.engine.advice.fixes import Fix, fixes
from kvtui.engine.scenario.values import scenario_from

BUDGET_MS = 150
CASES: tuple[dict[str, str | bool], ...] = (
    {"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"},
    {"model": "Llama-3.1-8B", "gpu": "RTX 4090", "context": "128K", "batch": "4"},
    {"model": "Qwen3-Next-80B-A3B", "context": "1M", "batch": "8"},
    {"model": "DeepSeek-R1", "context": "32K", "batch": "8"},
    {"model": "Llama-3.3-70B", "engine": "vllm", "context": "32K", "batch": "35"},
    {"model": "DeepSeek-R1", "engine": "vllm", "context": "32K", "batch": "8"},
    {"model": "Llama-3.3-70B", "engine": "sglang", "context": "32K", "batch": "8"},
    {"model": "Llama-3.3-70B", "engine": "tensorrt-llm", "context": "32K", "batch": "8"},
    {"model": "gemma-3-27b", "gpu": "RTX 4090", "engine": "llama.cpp", "weight_dtype": "q8_0", "context": "128K"},
    {"model": "Llama-3.3-70B", "gpu": "RTX 3090", "engine": "llama.cpp", "weight_dtype": "q4_k_m", "context": "32K"},
    {"model": "Qwen3-Next-80B-A3B", "gpu": "RTX 4090", "engine": "llama.cpp", "weight_dtype": "q4_k_m"},
    {"model": "gpt-oss-120b", "gpu": "RTX 4090", "engine": "llama.cpp", "context": "64K"},
)


def main(rounds: int = 7) -> int:
    """Print a table; return 1 when the budget is missed."""
    missed = 0
    for engine in dict.fromkeys(str(values.get("engine", "none")) for values in CASES):
        fixes(scenario_from({"model": "Qwen3-8B", "gpu": "RTX 3060", "weight_dtype": "bf16", "engine": engine}))
    print(f"{'case':<44}{'fixes':>6}{'first ms':>10}{'median ms':>11}")
    for values in CASES:
        scenario = scenario_from(values)
        times: list[float] = []
        found: tuple[Fix, ...] = ()
        for _ in range(1 + rounds):
            start = time.process_time()
            found = fixes(scenario)
            times.append(1e3 * (time.process_time() - start))
        first, again = times[0], median(times[1:])
        name = f"{scenario.model.name} on {scenario.device.name}, {scenario.engine}"
        late = first > BUDGET_MS
        missed += late
        print(f"{name:<44}{len(found):>6}{first:>10.0f}{again:>11.0f}{'  MISSED' if late else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
