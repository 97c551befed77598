"""What a good operator would say of a server after watching it: a finding, its number, the flag, and what it brings.

What a change brings is the planner's answer for the same server with that change, where there is a plan beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.live.beside import PlanBeside
from kvtui.engine.live.interval import Interval, between, lifetime
from kvtui.engine.live.snapshot import Latencies, Snapshot
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.scenario import Scenario

LITTLE_USED, SELDOM, ROOM = 0.5, 0.5, 0.8
FEW_HITS, MANY_QUERIES = 0.01, 1000
SKEW = 0.3
SMALLER = 0.03
LEAST_MINUTES = 1.0
MOST_FINDINGS = 6

_FLAGS = {
    "pool": {
        "vllm": "--gpu-memory-utilization",
        "sglang": "--mem-fraction-static",
        "tensorrt-llm": "--kv_cache_free_gpu_memory_fraction",
        "llama.cpp": "--ctx-size",
        "tgi": "--cuda-memory-fraction",
    },
    "context": {
        "vllm": "--max-model-len",
        "sglang": "--context-length",
        "tensorrt-llm": "--max_seq_len",
        "llama.cpp": "--ctx-size",
        "tgi": "--max-total-tokens",
    },
    "sequences": {
        "vllm": "--max-num-seqs",
        "sglang": "--max-running-requests",
        "tensorrt-llm": "--max_batch_size",
        "llama.cpp": "--parallel",
        "tgi": "--max-batch-size",
    },
    "steps": {
        "vllm": "--max-num-batched-tokens",
        "sglang": "--chunked-prefill-size",
        "tensorrt-llm": "--max_num_tokens",
        "llama.cpp": "--batch-size",
        "tgi": "--max-batch-prefill-tokens",
    },
    "prefix": {"vllm": "--enable-prefix-caching", "llama.cpp": "--cache-reuse"},
    "block": {"vllm": "--block-size", "sglang": "--page-size"},
    "cache": {
        "vllm": "--kv-cache-dtype fp8",
        "sglang": "--kv-cache-dtype fp8_e5m2",
        "llama.cpp": "--cache-type-k q8_0 --cache-type-v q8_0",
    },
    "eager": {"vllm": "--enforce-eager", "sglang": "--disable-cuda-graph"},
}
_SMALLER_CACHE = {"vllm": "fp8", "sglang": "fp8", "llama.cpp": "q8_0"}


class ServerFinding(NamedTuple):
    """What was ``seen``, with its number, the ``flag`` that changes it, and what the planner says that ``brings``."""

    id: str
    seen: str
    flag: str = ""
    brings: str = ""


def findings(history: Sequence[Snapshot], plan: PlanBeside | None) -> tuple[ServerFinding, ...]:
    """What is worth changing on the server whose snapshots, oldest first, are ``history``; the most urgent first."""
    up = [one for one in history if one.state == "up" and one.ranks]
    if not up:
        return ()
    since = between(up[0], up[-1]) if len(up) > 1 else Interval(0.0)
    looked = _Looked(up, since, lifetime(up[-1]), plan)
    found = [finding for look in _LOOKS for finding in look(looked)]
    return tuple(found[:MOST_FINDINGS])


class _Looked(NamedTuple):
    history: Sequence[Snapshot]
    since: Interval
    whole: Interval
    plan: PlanBeside | None

    @property
    def last(self) -> Snapshot:
        return self.history[-1]

    def flag(self, of: str, value: str = "") -> str:
        flag = _FLAGS[of].get(self.last.engine, "")
        return f"{flag} {value}".strip() if flag else ""

    def brings(self, words: str, **fields: Any) -> str:
        """What the planner says of the same server with other ``fields`` of its scenario."""
        if self.plan is None:
            return ""
        try:
            before, after = self.plan.serving, serve(self.plan.scenario._replace(**fields))
        except InputError:
            return ""
        if after is None or after.kv_cache_tokens == before.kv_cache_tokens:
            return ""
        return f"{words}: {before.kv_cache_tokens:,} → {after.kv_cache_tokens:,} tokens by the plan"


def _preempted(looked: _Looked) -> Iterator[ServerFinding]:
    count = looked.since.preemptions
    if not count:
        return
    minutes = max(looked.since.seconds / 60, 1 / 60)
    seen = f"{count:,.0f} requests were put out of the cache, {count / minutes:,.1f} a minute, and computed again"
    smaller = _SMALLER_CACHE.get(looked.last.engine)
    brings = looked.brings("an 8-bit cache", kv_dtype=smaller) if smaller else ""
    flags = (looked.flag("pool"), looked.flag("cache") if brings else "")
    yield ServerFinding("preemption", seen, " or ".join(filter(None, flags)), brings)


def _smaller(looked: _Looked) -> Iterator[ServerFinding]:
    plan = looked.plan
    if plan is None or not plan.known_device:
        return
    row = next((row for row in plan.rows if row.id == "pool"), None)
    if row is None or not row.predicted or row.observed is None:
        return
    missing = 1 - row.observed / row.predicted
    if missing > SMALLER:
        sizes = f"{format_bytes(int(row.observed))} instead of {format_bytes(int(row.predicted))}"
        yield ServerFinding(
            "small-pool",
            f"the pool is {float(missing):.0%} smaller than planned: {sizes}",
            looked.flag("pool"),
            "what else is on the device? another process, or graphs and activations beyond the plan",
        )


def _queue(looked: _Looked) -> Iterator[ServerFinding]:
    """Requests that wait though there is room."""
    waited = [one for one in looked.history if one.summed("waiting")]
    room = [one for one in waited if (share := one.pool.used_share) is not None and share < ROOM]
    if len(room) < max(3, len(looked.history) // 4):
        return
    share = len(room) / len(looked.history)
    most, running = looked.last.most_running, max(one.summed("running") or 0 for one in room)
    at_most = most is not None and running >= most
    seen = f"{share:.0%} of the time requests waited while a fifth of the pool or more was free"
    yield ServerFinding("queue", seen, looked.flag("sequences" if at_most else "steps"))


def _context(looked: _Looked) -> Iterator[ServerFinding]:
    """A context that no request comes near."""
    last = looked.last
    longest = [_most(rank.latencies.get("prompt_length")) for rank in last.ranks]
    answers = [_most(rank.latencies.get("answer_length")) for rank in last.ranks]
    finished = looked.whole.finished
    if last.context is None or None in longest or not longest or not finished or finished < 20:
        return
    used = max(filter(None, longest), default=0.0) + max(filter(None, answers), default=0.0)
    if not 0 < used < LITTLE_USED * last.context:
        return
    seen = f"no request had more than {used:,.0f} of the {last.context:,} tokens that each may have"
    brings = ""
    if looked.plan is not None:
        shorter = _sequences(looked.plan.scenario._replace(context=max(1, int(used))))
        now = _sequences(looked.plan.scenario)
        if shorter and now and shorter > now:
            brings = f"{now:,} → {shorter:,} full sequences by the plan"
    yield ServerFinding("context", seen, looked.flag("context", f"{int(used)}"), brings)


def _sequences(scenario: Scenario) -> int | None:
    try:
        found = serve(scenario)
    except InputError:
        return None
    return None if found is None else found.max_sequences


def _most(found: Latencies | None) -> float | None:
    """The least bound that all observations lie under; None where the histogram does not tell."""
    if found is None or not found.observed:
        return None
    bound = next(
        (bound for bound, count in zip(found.bounds, found.counts, strict=True) if count >= found.observed), inf
    )
    return None if bound == inf else bound


def _unreached(looked: _Looked) -> Iterator[ServerFinding]:
    """Sequences that are provided for and never ran together."""
    most = looked.last.most_running
    running = max((one.summed("running") or 0 for one in looked.history), default=0)
    minutes = (looked.last.time - looked.history[0].time) / 60
    if most is None or minutes < LEAST_MINUTES or not 0 < running < SELDOM * most:
        return
    seen = f"at most {running:,} of {most:,} sequences ran together in {minutes:,.0f} minutes"
    yield ServerFinding("sequences", seen, looked.flag("sequences", str(max(1, running * 2))))


def _prefix(looked: _Looked) -> Iterator[ServerFinding]:
    last = looked.last
    if last.config.get("enable_prefix_caching") == "False":
        seen = "prefix caching is off: every prompt is computed whole"
        yield ServerFinding("prefix-off", seen, looked.flag("prefix"))
        return
    queries, rate = last.total("query_tokens"), looked.whole.hit_rate
    if not queries or queries < MANY_QUERIES or rate is None or rate >= FEW_HITS:
        return
    size = last.pool.block_size
    lengths = [found for rank in last.ranks if (found := rank.latencies.get("prompt_length")) is not None]
    median = max((_median(found) for found in lengths), default=None)
    if size is not None and median is not None and median < size:
        seen = f"no prefix is ever found: half of the prompts are shorter than a block of {size:,} tokens"
        yield ServerFinding("prefix-block", seen, looked.flag("block"))
    else:
        yield ServerFinding("prefix-useless", f"{rate:.1%} of {queries:,.0f} prompt tokens were found in the cache")


def _median(found: Latencies) -> float:
    half = found.observed / 2
    bound = next((bound for bound, count in zip(found.bounds, found.counts, strict=True) if count >= half), inf)
    return bound if bound < inf else 0.0


def _eager(looked: _Looked) -> Iterator[ServerFinding]:
    if looked.last.config.get("enforce_eager") == "True":
        yield ServerFinding("eager", "steps run without CUDA graphs", f"without {looked.flag('eager')}")


def _skewed(looked: _Looked) -> Iterator[ServerFinding]:
    shares = {rank.number: share for rank in looked.last.ranks if (share := rank.pool.used_share) is not None}
    if len(shares) < 2 or max(shares.values()) - min(shares.values()) < SKEW:
        return
    full, free = max(shares, key=lambda rank: shares[rank]), min(shares, key=lambda rank: shares[rank])
    seen = f"rank {full} holds {shares[full]:.0%} of its pool, rank {free} only {shares[free]:.0%}"
    yield ServerFinding("skew", f"{seen}: requests are not spread evenly")


_LOOKS: tuple[Callable[[_Looked], Iterator[ServerFinding]], ...] = (
    _preempted,
    _smaller,
    _queue,
    _skewed,
    _prefix,
    _eager,
    _context,
    _unreached,
)
