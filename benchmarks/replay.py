"""What a replay costs: ``python benchmarks/replay.py TRACE...`` with traces of Mooncake or of the same form.

Prints for each trace how many requests per second the cache alone takes (all sizes at once), what a step of the whole
server costs, and how that grows with the requests and the pool. Times are of this process, not of the clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kvtui.engine.replay.groups import Full
from kvtui.engine.replay.reuse import reuse
from kvtui.engine.replay.run import run
from kvtui.engine.replay.scheduling import SchedulerStep
from kvtui.engine.replay.traces import Trace, read_trace
from kvtui.engine.replay.vllm import Limits, Scheduler

T = TypeVar("T")
POOL_BLOCKS = 85_129
"""Llama-3.1-70B on eight H100."""


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What ``work`` gives, and its seconds of this process."""
    start = time.process_time()
    return work(), time.process_time() - start


def pace(step: SchedulerStep) -> float:
    """A step of 20 ms, and 20 µs for each of its tokens."""
    return 0.02 + 20e-6 * step.computed


def served(trace: Trace, requests: int, blocks: int) -> str:
    """One row: the trace's first ``requests`` with a pool of ``blocks``."""
    limits = Limits(blocks, (Full(16),), 1024, 8192, 200_000)
    outcome, seconds = timed(lambda: run(trace.requests[:requests], Scheduler(limits), pace))
    each, step = seconds / requests * 1e3, seconds / outcome.steps * 1e6
    return f"{requests:>9,}{blocks:>10,}{outcome.steps:>9,}{seconds:>9.1f}{each:>12.2f}{step:>9.0f}"


def main(paths: list[str]) -> int:
    """A table for each trace."""
    for path in paths:
        with Path(path).open(encoding="utf-8") as lines:
            trace, reading = timed(lambda lines=lines, path=path: read_trace(lines, path))
        count = len(trace.requests)
        print(f"{Path(path).name}: {count:,} requests, read in {reading:.2f} s")
        found, seconds = timed(lambda trace=trace: reuse(trace.requests))
        if found is not None:
            print(f"the cache alone, every size: {count / seconds:,.0f} requests per second")
        print(f"{'requests':>9}{'blocks':>10}{'steps':>9}{'s':>9}{'ms/request':>12}{'µs/step':>9}")
        for share in (8, 4, 2, 1):
            print(served(trace, count // share, POOL_BLOCKS))
        for blocks in (POOL_BLOCKS * 4, POOL_BLOCKS * 16):
            print(served(trace, count, blocks))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
