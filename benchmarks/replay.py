"""What a replay costs: ``python benchmarks/replay.py TRACE...`` with traces of Mooncake or of the same form.

Prints for each trace how many requests per second the cache alone takes (all sizes at once; a public tool in C++ takes
14,000 to 20,000 for one size), what a step of the whole server costs, and how that grows with the requests and the
pool; for the traces of which vLLM's own scheduler was recorded, what it took for the same steps when it was. Times are
of this process, not of the clock; one of ``python -c pass`` is told beside them, since machines differ: on one where
vLLM was recorded at 240 µs a step, it took 90 µs another day.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kvtui.engine.replay.groups import Full
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.reuse import reuse
from kvtui.engine.replay.run import run
from kvtui.engine.replay.scheduling import SchedulerStep
from kvtui.engine.replay.traces import Trace, read_trace
from kvtui.engine.replay.vllm import Limits, Scheduler

T = TypeVar("T")
RECORDED = sorted(Path(__file__).parent.parent.glob("tests/data/replay/vllm_mooncake_*.json"))
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


def beside_vllm(trace: Trace, name: str) -> str:
    """The first 400 requests a 32nd as long through both schedulers, one row for each recorded pool."""
    found = next((path for path in RECORDED if path.stem.split("_")[2].removesuffix("400") in name), None)
    if found is None:
        return ""
    requests = [one._replace(arrival=int(one.arrival * 10 + 1e-6)) for one in trace.requests[:400].resized(1 / 32)]
    rows = [f"{'blocks':>19}{'steps':>9}{'µs/step':>9}{'recorded':>9}{'times':>7}"]
    for seen in json.loads(found.read_text())["runs"]:
        limits = Limits(seen["num_blocks"], (Full(16),), seen["max_num_seqs"], seen["max_num_batched_tokens"], 200_000)
        best = min(timed(lambda limits=limits: by_steps(requests, limits))[1] for _ in range(5))
        ours, theirs = best / seen["steps"] * 1e6, seen["wall_s"] / seen["steps"] * 1e6
        rows.append(f"{seen['num_blocks']:>19,}{seen['steps']:>9,}{ours:>9.0f}{theirs:>9.0f}{theirs / ours:>7.1f}")
    return "\n".join(rows)


def by_steps(requests: list[Request], limits: Limits) -> int:
    """All ``requests``, whose arrivals are steps; how many steps it took."""
    scheduler, coming, steps = Scheduler(limits), iter(requests), 0
    upcoming = next(coming, None)
    while upcoming is not None or not scheduler.idle:
        while upcoming is not None and upcoming.arrival <= steps:
            scheduler.add(upcoming)
            upcoming = next(coming, None)
        scheduler.finish(scheduler.schedule())
        steps += 1
    return steps


def main(paths: list[str]) -> int:
    """A table for each trace."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    print(f"python -c pass: {1e3 * (time.perf_counter() - start):.1f} ms")
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
        print(beside_vllm(trace, Path(path).name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
