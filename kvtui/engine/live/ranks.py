"""Samples of an engine's metrics as ranks: pools, requests, counters and histograms, under kvtui's own names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import inf
from typing import NamedTuple, TypeVar

from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.exposition import PromSample
from kvtui.engine.live.names import LATENCIES, METRICS, RANK_LABELS, SHARDS, SIZES, STARTED, TOTALS, MetricName, Names
from kvtui.engine.live.snapshot import Latencies, ServerPool, ServerRank

T = TypeVar("T")

MOST_RANKS = 1024
MOST_COUNT = 2**53
MOST_REASONS = 16
LONGEST_VALUE = 120
SETTINGS = (
    "block_size",
    "cache_dtype",
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "kv_cache_max_concurrency",
    "kv_cache_memory_bytes",
    "kv_cache_size_tokens",
    "mamba_cache_mode",
    "num_gpu_blocks",
    "num_gpu_blocks_override",
    "sliding_window",
)
"""Labels of the metric of settings that say something of the cache."""

GAUGES = (
    "hit_rate",
    "tokens_per_second",
    "prompt_tokens_per_second",
    "swa_used_share",
    "state_used_share",
    "cache_gb",
    "weights_gb",
    "graphs_gb",
    "host_used_tokens",
    "host_tokens",
    "most_tokens_seen",
)
"""Quantities that are kept as the engine states them."""


class Published(NamedTuple):
    """What the metrics of one server tell: its ranks, the settings in their labels, and what holds for all of it."""

    ranks: tuple[ServerRank, ...]
    config: Mapping[str, str]
    model: str
    asleep: str
    started: float | None
    context: int | None
    most_running: int | None


def whole(value: float | None) -> int | None:
    """``value`` as a count; None for one that is none, such as −1 or 10³⁰⁰."""
    if value is None or not 0 <= value <= MOST_COUNT:
        return None
    return round(value)


def published(engine: str, metrics: Iterable[PromSample]) -> Published:
    """What ``metrics`` tell of a server of ``engine``."""
    names = METRICS[engine]
    of: dict[str, list[PromSample]] = defaultdict(list)
    for metric in metrics:
        of[metric.name].append(metric)
    samples = {name: _one_shard(found) for name, found in of.items()}
    label = RANK_LABELS.get(engine, "")
    by_rank: dict[int, dict[str, list[PromSample]]] = defaultdict(lambda: defaultdict(list))
    for name, found in samples.items():
        for metric in found:
            rank = _rank(metric.labels.get(label, "0"))
            if rank is not None:
                by_rank[rank][name].append(metric)
    ranks: list[ServerRank] = []
    config: dict[str, str] = {}
    for number in sorted(by_rank)[:MOST_RANKS]:
        told = _Told(names, by_rank[number])
        own = _config(told)
        config = config or own
        found_rank = _RANKS.get(engine, _tokens_rank)(told, number, own)
        if found_rank != ServerRank(number):
            ranks.append(found_rank)
    everything = _Told(names, samples)
    started = [metric.value for metric in samples.get(STARTED, ())]
    return Published(
        tuple(ranks),
        config,
        _model(samples),
        _asleep(everything),
        min(started, default=None),
        whole(everything.first("context")),
        whole(everything.first("most_running")),
    )


class _Told:
    """The samples of one rank, asked by quantity."""

    def __init__(self, names: Names, samples: Mapping[str, list[PromSample]]) -> None:
        self._names, self._samples = names, samples

    def found(self, quantity: str, suffix: str = "") -> list[PromSample]:
        """The samples of the first name of ``quantity`` that is there."""
        for name in self._names.get(quantity, ()):
            metrics = [m for m in self._samples.get(name.name + suffix, ()) if _matches(m, name)]
            if metrics:
                return metrics
        return []

    def has(self, quantity: str) -> bool:
        return bool(self.found(quantity))

    def sum(self, quantity: str) -> float | None:
        """All samples of ``quantity`` together, such as those of every reason; None without any."""
        found = self.found(quantity)
        return sum(metric.value for metric in found) if found else None

    def first(self, quantity: str) -> float | None:
        """One sample of what is not to be added up, such as a share; None without any."""
        found = self.found(quantity)
        return found[0].value if found else None

    def histogram(self, quantity: str) -> Latencies | None:
        """The histogram of ``quantity``, over all labels; None where nothing was observed."""
        buckets: dict[float, float] = defaultdict(float)
        for metric in self.found(quantity, "_bucket"):
            try:
                bound = float(metric.labels.get("le", ""))
            except ValueError:
                continue
            if bound == bound:
                buckets[bound] += metric.value
        if not buckets.get(inf):
            return None
        bounds = tuple(sorted(buckets))
        counts, most = [], 0.0
        for bound in bounds:
            most = max(most, buckets[bound])
            counts.append(most)
        total = sum(metric.value for metric in self.found(quantity, "_sum"))
        return Latencies(_one_of_all_equal(bounds), tuple(map(_one_of_all_equal, counts)), total)


@lru_cache(maxsize=8192)
def _one_of_all_equal(value: T) -> T:
    """``value``, as the same object each time: thousands of histograms are kept, with the same bounds and counts."""
    return value


def _matches(metric: PromSample, name: MetricName) -> bool:
    return all(metric.labels.get(label) == value for label, value in name.where)


def _rank(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


def _one_shard(metrics: list[PromSample]) -> list[PromSample]:
    """``metrics`` of the first process of those that publish the same pool."""
    for label in SHARDS:
        values = {metric.labels.get(label) for metric in metrics}
        if len(values) > 1:
            first = min(values, key=lambda value: (value is None, len(value or ""), value or ""))
            metrics = [metric for metric in metrics if metric.labels.get(label) == first]
    return metrics


def _config(told: _Told) -> dict[str, str]:
    """The labels of the engine's metric of settings; a value of ``None`` is absent."""
    found = told.found("config")
    if not found:
        return {}
    labels = found[0].labels
    return {key: plain(labels[key], LONGEST_VALUE) for key in SETTINGS if labels.get(key, "None") not in ("None", "")}


def _model(samples: Mapping[str, list[PromSample]]) -> str:
    for metrics in samples.values():
        for metric in metrics:
            name = metric.labels.get("model_name") or metric.labels.get("model")
            if name:
                return plain(name)
    return ""


def _asleep(told: _Told) -> str:
    """How deep the server sleeps; empty for one that is awake, or does not tell."""
    states = [metric for metric in told.found("sleep") if metric.value == 1]
    asleep = [state for metric in states if (state := metric.labels.get("sleep_state", "awake")) != "awake"]
    return plain(asleep[0], 40) if asleep else ""


def _rank_of(told: _Told, number: int, pool: ServerPool) -> ServerRank:
    """What all engines tell alike, with the ``pool``."""
    totals = {name: value for name in TOTALS if (value := told.sum(name)) is not None and 0 <= value <= MOST_COUNT}
    reasons: dict[str, float] = defaultdict(float)
    for metric in told.found("waiting_by")[:MOST_REASONS]:
        reasons[plain(metric.labels.get("reason", "unnamed"), 40)] += metric.value
    histograms = {name: found for name in (*LATENCIES, *SIZES) if (found := told.histogram(name)) is not None}
    gauges = {name: value for name in GAUGES if (value := told.first(name)) is not None}
    return ServerRank(
        number=number,
        pool=pool,
        running=whole(told.sum("running")),
        waiting=whole(told.sum("waiting")),
        waiting_by=dict(reasons),
        paused=whole(told.sum("paused")),
        totals=totals,
        latencies=histograms,
        gauges=gauges,
    )


def _vllm_rank(told: _Told, number: int, config: Mapping[str, str]) -> ServerRank:
    """vLLM tells a share of the usable blocks; how many there are stands in labels.

    Example: 0.90625 of 33 blocks, one of which is the null block, are 29 of 32 blocks.
    """
    blocks, block_size = _number(config, "num_gpu_blocks"), _number(config, "block_size")
    override = _number(config, "num_gpu_blocks_override")
    blocks = override if blocks is None else blocks
    share = told.first("used_share")
    size = None if blocks is None or blocks < 2 else blocks - 1
    used = None if size is None or share is None or not 0 <= share <= 1.001 else min(size, round(share * size))
    pool = ServerPool(
        "block",
        size,
        used,
        block_size=block_size,
        tokens=_number(config, "kv_cache_size_tokens"),
        null=int(size is not None),
    )
    rank = _rank_of(told, number, pool)
    if size is None and share is not None:
        return _with_gauge(rank, "used_share", share)
    return rank


def _with_gauge(rank: ServerRank, name: str, value: float) -> ServerRank:
    from dataclasses import replace

    return replace(rank, gauges={**rank.gauges, name: value})


def _tokens_rank(told: _Told, number: int, config: Mapping[str, str]) -> ServerRank:
    """Engines that count tokens, or blocks, in gauges of their own."""
    block_size = whole(told.first("block_size"))
    if told.has("used_blocks"):
        size, used, empty = (whole(told.first(name)) for name in ("blocks", "used_blocks", "empty_blocks"))
        tokens = None if size is None or block_size is None else size * block_size
        pool = ServerPool("block", size, used, empty=empty, block_size=block_size, tokens=tokens)
    else:
        used, cached, empty = (whole(told.first(name)) for name in ("used_tokens", "cached_tokens", "empty_tokens"))
        size = whole(told.first("capacity_tokens"))
        pool = ServerPool("token", size, used, cached, empty, block_size=block_size, tokens=size)
    rank = _rank_of(told, number, pool)
    share = told.first("used_share")
    if share is not None and pool.used_share is None:
        rank = _with_gauge(rank, "used_share", share)
    return rank


def _sglang_rank(told: _Told, number: int, config: Mapping[str, str]) -> ServerRank:
    """SGLang counts every prompt token as looked up in its cache."""
    rank = _tokens_rank(told, number, config)
    return _with_queries(rank, rank.totals.get("prompt_tokens"))


def _llamacpp_rank(told: _Told, number: int, config: Mapping[str, str]) -> ServerRank:
    """llama.cpp counts the prompt tokens that it computed and, since 2026, those that it found in a slot."""
    rank = _tokens_rank(told, number, config)
    computed, hit = told.first("computed_tokens"), rank.totals.get("hit_tokens")
    return _with_queries(rank, None if computed is None or hit is None else computed + hit, computed)


def _with_queries(rank: ServerRank, queries: float | None, prompt: float | None = None) -> ServerRank:
    from dataclasses import replace

    more = {"query_tokens": queries, "prompt_tokens": prompt if queries is None else queries}
    return replace(rank, totals=dict(rank.totals) | {key: value for key, value in more.items() if value is not None})


def _number(config: Mapping[str, str], name: str) -> int | None:
    text = config.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


_RANKS = {"vllm": _vllm_rank, "sglang": _sglang_rank, "llama.cpp": _llamacpp_rank, "tensorrt-llm": _tokens_rank}
