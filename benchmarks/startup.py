"""Start-up times as multiples of ``python -c pass``, interleaved in one run: ``python benchmarks/startup.py [ROUNDS]``.

Budgets: --help and --version at most 2.5 times, --report json of a catalogue model at most 5 times. The machine's clock
means little; the ratios do. Byte code is written first, as any installation does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

KVTUI = str(Path(sys.executable).with_name("kvtui"))
CASES = (
    ("python -c pass", [sys.executable, "-c", "pass"], None),
    ("--version", [KVTUI, "--version"], 2.5),
    ("--help", [KVTUI, "--help"], 2.5),
    ("--report json", [KVTUI, "--report", "json", "--model", "Llama-3.1-8B"], 5.0),
    ("--report json, hybrid", [KVTUI, "--report", "json", "--model", "Qwen3-Next-80B-A3B", "--tp", "4"], 5.0),
    ("--report text", [KVTUI, "--report"], None),
    ("models --format json", [KVTUI, "models", "--format", "json"], None),
)


def main(rounds: int = 15) -> int:
    """Print a table; return 1 when a budget is missed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name, _, _ in CASES}
    for number in range(rounds + 1):
        for name, words, _ in CASES:
            start = time.perf_counter()
            subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
            if number:
                times[name].append(time.perf_counter() - start)
    base, missed = median(times[CASES[0][0]]), 0
    print(f"{'case':<24}{'median ms':>10}{'ratio':>8}{'budget':>8}")
    for name, _, budget in CASES:
        middle = median(times[name])
        ratio = middle / base
        verdict = "" if budget is None else f"{budget:>8.1f}{'' if ratio <= budget else '  MISSED'}"
        missed += budget is not None and ratio > budget
        print(f"{name:<24}{middle * 1e3:>10.1f}{ratio:>8.2f}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
