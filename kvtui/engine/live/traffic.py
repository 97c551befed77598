"""The traffic that a watched server had, as a trace: what its counters and histograms tell of its requests.

How many requests came between two snapshots is told: those that ended in between, and as many as are under way more
than before. When exactly is not, so they are spread evenly. How long prompts and answers were is told of all together,
in histograms; which prompt had which answer is not, so they are mixed, always in the same way. Nothing is
told of prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.interval import has_restarted
from kvtui.engine.live.snapshot import Latencies, Snapshot

MOST_REQUESTS = 1_000_000
MOST_TOKENS = 2**24

_GOLDEN, _SILVER = 5**0.5 / 2 + 0.5, 2**0.5
"""Irrational, and of no ratio to each other: neither order follows the other."""
_PROMPT, _ANSWER = "prompt_length", "answer_length"


class SeenRequest(NamedTuple):
    """A request that came at ``time``, in seconds since 1970, with so many tokens of prompt and answer."""

    time: float
    prompt: int
    answer: int


def traffic(snapshots: Iterable[Snapshot], where: str) -> list[SeenRequest]:
    """The requests that came while ``snapshots`` were taken.

    Raises InputError, which names ``where``, for a server that does not count them or their lengths, or had none.
    """
    shots = [one for one in snapshots if one.ranks]
    times, lengths = list[float](), {_PROMPT: list[Latencies](), _ANSWER: list[Latencies]()}
    owed = 0.0  # a part of a request that came
    for before, after in pairwise(shots):
        if has_restarted(before, after):
            continue
        owed = min(owed + max(0.0, _came(after) - _came(before)), 2.0 * MOST_REQUESTS)
        count, span = int(owed + 1e-9), after.counters_at - before.counters_at
        if len(times) + count > MOST_REQUESTS:
            raise InputError(f"{where}: has more than {MOST_REQUESTS:,} requests")
        times += [before.counters_at + span * (at + 0.5) / count for at in range(count)]
        owed -= count
        for name, found in lengths.items():
            found.extend(_more(before, after, name))
    if not times or not all(lengths.values()):
        told = "no request came" if not times else "its server tells no lengths of requests"
        raise InputError(f"{where}: is a recording of a server's counters, of which no trace can be made: {told}")
    prompts, answers = (_lengths(lengths[name], len(times)) for name in (_PROMPT, _ANSWER))
    return list(map(SeenRequest, times, _mixed(prompts, _GOLDEN), _mixed(answers, _SILVER)))


def _mixed(values: Sequence[int], step: float) -> list[int]:
    """``values`` in an order that has large and small ones everywhere: by the fractions of multiples of ``step``."""
    return [value for _, value in sorted((at * step % 1.0, value) for at, value in enumerate(values))]


def _came(snapshot: Snapshot) -> float:
    """Requests that have ended or are under way."""
    under_way = sum(snapshot.summed(name) or 0 for name in ("running", "waiting", "paused"))
    return (snapshot.total("finished") or 0.0) + under_way


def _more(before: Snapshot, after: Snapshot, name: str) -> list[Latencies]:
    """What was added to a histogram of each rank."""
    found = []
    earlier = {rank.number: rank.latencies[name] for rank in before.ranks if name in rank.latencies}
    for rank in after.ranks:
        now = rank.latencies.get(name)
        if now is None or not now.observed:
            continue
        then = earlier.get(rank.number)
        if then is None or then.bounds != now.bounds:
            found.append(now)
        elif now.observed > then.observed:
            counts = tuple(late - early for late, early in zip(now.counts, then.counts, strict=True))
            found.append(Latencies(now.bounds, counts, now.sum - then.sum))
    return found


def _lengths(found: Sequence[Latencies], count: int) -> list[int]:
    """``count`` lengths that are spread as in ``found``, and of the same mean."""
    pieces = [
        (low, high, part)
        for one in found
        for (low, high), part in zip(_buckets(one.bounds), _parts(one.counts), strict=True)
        if part > 0
    ]
    pieces.sort()
    total, mean = sum(part for *_, part in pieces), sum(one.sum for one in found) / sum(one.observed for one in found)
    spread, at, below = list[float](), 0, 0.0
    for number in range(count):
        wanted = total * (number + 0.5) / count
        while at < len(pieces) - 1 and below + pieces[at][2] < wanted:
            below += pieces[at][2]
            at += 1
        low, high, part = pieces[at]
        spread.append(low + (high - low) * min(1.0, (wanted - below) / part))
    factor = mean * count / sum(spread) if sum(spread) else 1.0
    return [max(1, min(MOST_TOKENS, round(one * factor))) for one in spread]


def _buckets(bounds: Sequence[float]) -> list[tuple[float, float]]:
    """From where to where each bucket goes; the last, which has no end, is taken to be at its start."""
    edges = [0.0, *bounds[:-1], bounds[-2] if len(bounds) > 1 else 1.0]
    return list(pairwise(edges))


def _parts(counts: Sequence[float]) -> list[float]:
    return [high - low for low, high in zip([0.0, *counts], counts, strict=False)]
