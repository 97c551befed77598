"""What happened between two snapshots: rates, hit rates and times, from differences of counters and histograms.

A counter that became smaller began anew with the server, and then its value is what was counted since. Example: 900
tokens at one moment and 1,400 ten seconds later are 50 tokens/s; 900 and then 100 are 10 tokens/s of a new server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from kvtui.engine.live.snapshot import Latencies, ServerRank, Snapshot

SHARES = (0.5, 0.95)
TIMES = ("ttft", "itl", "tpot", "queue", "e2e")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The median and the 95th percentile of seconds, and how many were observed.

    ``beyond`` says that the 95th lies above the histogram's last bound, which then stands for it.
    """

    p50: float
    p95: float
    count: float
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """``seconds`` of a server's life; None is what it does not count, or what did not happen in that time.

    ``hit_rate`` is of the prompt tokens that were looked up. ``restarted`` says that the server began anew in between.
    """

    seconds: float
    tokens_per_second: float | None = None
    prompt_tokens_per_second: float | None = None
    hit_rate: float | None = None
    preemptions: float | None = None
    finished: float | None = None
    accepted: float | None = None
    step_tokens: float | None = None
    ttft: Percentiles | None = None
    itl: Percentiles | None = None
    tpot: Percentiles | None = None
    queue: Percentiles | None = None
    e2e: Percentiles | None = None
    watts: float | None = None
    joules_per_token: float | None = None
    restarted: bool = False


def between(before: Snapshot, after: Snapshot, rank: int | None = None) -> Interval:
    """What happened from ``before`` to ``after``: on all ranks, or on one."""
    seconds = after.counters_at - before.counters_at
    if seconds <= 0 or not before.ranks or not after.ranks:
        return Interval(0.0, watts=_watts(after))
    restarted = has_restarted(before, after)
    earlier = None if restarted else before
    return _interval(earlier, after, seconds, rank, restarted, before)


def lifetime(snapshot: Snapshot, rank: int | None = None) -> Interval:
    """The figures since the server's start; without its length, nothing that is per second."""
    started = snapshot.started
    seconds = max(0.0, snapshot.counters_at - started) if started else 0.0
    return _interval(None, snapshot, seconds, rank, False, None)


def has_restarted(before: Snapshot, after: Snapshot) -> bool:
    """Whether ``after`` is of another process: it began at another time, or its counters became smaller."""
    if before.started and after.started and abs(before.started - after.started) > 1:
        return True
    for rank in before.ranks:
        later = _rank(after, rank.number)
        if later is not None and any(later.totals.get(name, inf) < value for name, value in rank.totals.items()):
            return True
    return False


def changes(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """What changed of the server itself, in words; empty between two snapshots of one that goes on."""
    said = []
    if before.state != after.state:
        said.append(
            {"up": "it answers again" if before.state != "asleep" else "it woke up"}.get(after.state, after.state)
        )
    if before.ranks and after.ranks and has_restarted(before, after):
        said.append("it restarted")
    if before.model and after.model and before.model != after.model:
        said.append(f"its model changed from {before.model} to {after.model}")
    if before.ranks and after.ranks and before.pool.size and after.pool.size and before.pool.size != after.pool.size:
        said.append(f"its pool changed from {before.pool.size:,} to {after.pool.size:,} {after.pool.unit}s")
    return tuple(said)


def percentiles(found: Latencies | None) -> Percentiles | None:
    """The percentiles of a histogram, as Prometheus' ``histogram_quantile`` gives them; None for an empty one.

    Within a bucket observations are taken to be spread evenly. Example: 10 in the bucket up to 1 s and 10 in that up to
    2 s have a median of 1 s and a 95th percentile of 1.9 s.
    """
    if found is None or found.observed <= 0:
        return None
    (p50, _), (p95, beyond) = (_quantile(found, share) for share in SHARES)
    return Percentiles(p50, p95, found.observed, beyond)


def share_within(found: Latencies | None, seconds: float) -> float | None:
    """The share of what was observed that took at most so many ``seconds``; None where nothing was.

    Within a bucket observations are taken to be spread evenly. Example: 10 in the bucket up to 1 s and 10 in that up to
    2 s are 75 % within 1.5 s.
    """
    if found is None or found.observed <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, count in zip(found.bounds, found.counts, strict=True):
        if seconds < bound:
            inside = 0.0 if bound == inf else (count - below) * (seconds - low) / (bound - low)
            return (below + inside) / found.observed
        low, below = bound, count
    return 1.0


class InTime(NamedTuple):
    """Shares of 0 to 1 that met their objectives; None for what has none, or was not observed.

    ``first_token`` is of requests. ``per_token`` is of requests too where a server tells each one's time per token,
    else of tokens after the first (``of_tokens``). ``goodput`` are the least and the most requests that met both.
    """

    first_token: float | None = None
    per_token: float | None = None
    of_tokens: bool = False
    goodput: tuple[float, float] | None = None


def met(before: Snapshot | None, after: Snapshot, first_token: float | None, per_token: float | None) -> InTime:
    """What met objectives of so many seconds since ``before``; of the server's whole life without ``before``.

    Histograms do not say which requests were late in both, so goodput is a band (Fréchet's bounds): of 90 % and 80 %
    in time at least 70 % and at most 80 % were so in both.
    """
    earlier = None if before is not None and has_restarted(before, after) else before
    first, request, token = (
        None if limit is None else share_within(_histogram(earlier, after.ranks, name), limit)
        for name, limit in (("ttft", first_token), ("tpot", per_token), ("itl", per_token))
    )
    both = None if first is None or request is None else (max(0.0, first + request - 1), min(first, request))
    return InTime(first, token if request is None else request, request is None and token is not None, both)


def _quantile(found: Latencies, share: float) -> tuple[float, bool]:
    wanted = share * found.observed
    low, below = 0.0, 0.0
    for bound, count in zip(found.bounds, found.counts, strict=True):
        if count >= wanted:
            if bound == inf:
                return low, True
            inside = count - below
            return (bound if inside <= 0 else low + (bound - low) * (wanted - below) / inside), False
        low, below = bound, count
    return low, True


def _interval(
    before: Snapshot | None, after: Snapshot, seconds: float, rank: int | None, restarted: bool, power: Snapshot | None
) -> Interval:
    ranks = [one for one in after.ranks if rank in (None, one.number)]

    def counted(name: str) -> float | None:
        told = [_gained(before, one, name) for one in ranks if name in one.totals]
        return sum(told) if told else None

    def rate(name: str) -> float | None:
        count = counted(name)
        return None if count is None or seconds <= 0 else count / seconds

    queries, hits, drafted = counted("query_tokens"), counted("hit_tokens"), counted("drafted_tokens")
    accepted, steps = counted("accepted_tokens"), _histogram(before, ranks, "step_tokens")
    tokens, joules = counted("generation_tokens"), _joules(power, after)
    times = {name: percentiles(_histogram(before, ranks, name)) for name in TIMES}
    return Interval(
        seconds=seconds,
        tokens_per_second=rate("generation_tokens"),
        prompt_tokens_per_second=rate("prompt_tokens"),
        hit_rate=None if not queries or hits is None else min(1.0, hits / queries),
        preemptions=counted("preemptions"),
        finished=counted("finished"),
        accepted=None if not drafted or accepted is None else accepted / drafted,
        step_tokens=None if steps is None or not steps.observed else steps.sum / steps.observed,
        watts=_watts(after),
        joules_per_token=None if joules is None or not tokens else joules / tokens,
        restarted=restarted,
        **times,
    )


def _rank(snapshot: Snapshot, number: int) -> ServerRank | None:
    return next((rank for rank in snapshot.ranks if rank.number == number), None)


def _gained(before: Snapshot | None, rank: ServerRank, name: str) -> float:
    earlier = None if before is None else _rank(before, rank.number)
    old = 0.0 if earlier is None else earlier.totals.get(name, 0.0)
    value = rank.totals[name]
    return value - old if value >= old else value


def _histogram(before: Snapshot | None, ranks: Sequence[ServerRank], name: str) -> Latencies | None:
    """The histogram of what was observed since ``before`` on all ``ranks``."""
    whole: Latencies | None = None
    for rank in ranks:
        found = rank.latencies.get(name)
        if found is None:
            continue
        earlier = None if before is None else _rank(before, rank.number)
        found = _less(found, None if earlier is None else earlier.latencies.get(name))
        if whole is None:
            whole = found
        elif whole.bounds == found.bounds:
            counts = tuple(a + b for a, b in zip(whole.counts, found.counts, strict=True))
            whole = Latencies(whole.bounds, counts, whole.sum + found.sum)
    return whole


def _less(found: Latencies, old: Latencies | None) -> Latencies:
    """``found`` without what was in it before; all of it where it began anew."""
    if old is None or old.bounds != found.bounds:
        return found
    counts = tuple(now - then for now, then in zip(found.counts, old.counts, strict=True))
    if any(count < 0 for count in counts):
        return found
    return Latencies(found.bounds, counts, found.sum - old.sum)


def _watts(snapshot: Snapshot) -> float | None:
    told = [device.watts for device in snapshot.devices if device.watts is not None]
    return sum(told) if told else None


def _joules(before: Snapshot | None, after: Snapshot) -> float | None:
    """Energy of all devices since ``before``; from their power where no energy is told."""
    if before is None or not after.devices or len(before.devices) != len(after.devices):
        return None
    pairs = list(zip(before.devices, after.devices, strict=True))
    energies = [
        new.joules - old.joules
        for old, new in pairs
        if new.joules is not None and old.joules is not None and new.joules >= old.joules
    ]
    if len(energies) == len(pairs):
        return sum(energies)
    watts = _watts(after)
    return None if watts is None else watts * (after.time - before.time)
