"""How many scenario points the array formulas evaluate: ``python benchmarks/grid.py [ROUNDS]``.

Budgets: at least 5 million points per second on one core, and the matrix of every model × every device × 5 formats ×
12 contexts in under a second. The scalar plan's rate in the same run is the yardstick, since machines differ.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.planning import grid
from kvtui.engine.planning.parts import device_parts
from kvtui.engine.scenario.values import scenario_from

FORMATS = ("bf16", "fp8", "int8", "q8_0", "q4_0")
CONTEXTS = np.array([4096 << step for step in range(12)])
MODELS = ("Llama-3.1-8B", "gpt-oss-120b", "DeepSeek-V3.2", "Qwen3-Next-80B-A3B", "gemma-3-27b")
POINTS_PER_SECOND, MATRIX_SECONDS = 5e6, 1.0


def main(rounds: int = 7) -> int:
    """Print a table; return 1 when a budget is missed."""
    missed = 0
    print(f"{'case':<44}{'median ms':>10}{'points/s':>14}{'x scalar':>10}")
    for name in MODELS:
        scenario = scenario_from({"model": name, "gpu": "H200"})
        contexts, batches = np.arange(1024, 1024 * 1001, 1024)[None, :], np.arange(1, 501)[:, None]
        seconds = _median(lambda scenario=scenario, c=contexts, b=batches: grid.device_bytes(scenario, c, b), rounds)
        alone = _median(lambda scenario=scenario: [device_parts(scenario, 8192, b) for b in range(1, 51)], rounds) / 50
        rate = contexts.size * batches.size / seconds
        missed += rate < POINTS_PER_SECOND
        _print(f"bytes of a device, {name}", seconds, rate, rate * alone, rate >= POINTS_PER_SECOND)
    points = len(all_models()) * len(all_devices()) * len(FORMATS) * CONTEXTS.size
    seconds = _median(_matrix, rounds)
    missed += seconds > MATRIX_SECONDS
    _print(f"matrix, {points:,} cells", seconds, points / seconds, None, seconds <= MATRIX_SECONDS)
    return 1 if missed else 0


def _matrix() -> int:
    """How many cells of every model × device × format × context fit."""
    budgets = np.array([device.usable_bytes for device in all_devices()])
    fit, base = 0, scenario_from({"skip_weights": True})
    for model in all_models():
        for form in FORMATS:
            scenario = base._replace(
                model=model, kv_dtype=form, weight_dtype=form, skip_weights=model.parameters is None
            )
            needs = grid.device_bytes(scenario, CONTEXTS, np.array(1))
            fit += int(grid.fits(scenario, grid.Needs(needs.total[:, None], needs.cache[:, None]), budgets).sum())
    return fit


def _median(call: Callable[[], object], rounds: int) -> float:
    times = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        call()
        if number:
            times.append(time.perf_counter() - start)
    return median(times)


def _print(name: str, seconds: float, rate: float, ratio: float | None, kept: bool) -> None:
    compared = "" if ratio is None else f"{ratio:>10,.0f}"
    print(f"{name:<44}{seconds * 1e3:>10.1f}{rate:>14,.0f}{compared}{'' if kept else '  MISSED'}")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
