"""What it takes to find what makes a scenario fit: ``python benchmarks/fixes.py [ROUNDS]``.

Budget: 150 ms of one core for any scenario. The catalogues and the engines' folders are read before, as at a start.
"""

from __future__ import annotations

import sys
import time
from statistics import median

from kvtui.engine.advice.fixes import fixes
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
)


def main(rounds: int = 7) -> int:
    """Print a table; return 1 when the budget is missed."""
    missed = 0
    print(f"{'case':<44}{'fixes':>6}{'median ms':>11}")
    for values in CASES:
        scenario = scenario_from(values)
        found = fixes(scenario)
        times = []
        for _ in range(rounds):
            start = time.process_time()
            fixes(scenario)
            times.append(1e3 * (time.process_time() - start))
        name = f"{scenario.model.name} on {scenario.device.name}, {scenario.engine}"
        late = median(times) > BUDGET_MS
        missed += late
        print(f"{name:<44}{len(found):>6}{median(times):>11.0f}{'  MISSED' if late else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
