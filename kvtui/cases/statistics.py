"""What a list of timings may be summed up as: percentiles that the count supports, spread, outliers, and no mean.

A stall of the machine moves a mean and leaves a median where it was. A percentile near the end of the distribution
needs at least two samples beyond it, so p95 is given from 40 samples on and p99 from 200 on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

P95_SAMPLES = 40
P99_SAMPLES = 200
FENCE = 1.5
SETTLED = 0.05


class Summary(NamedTuple):
    """Figures of ``n`` samples, in the samples' unit; None where ``n`` does not support the figure.

    ``mad`` is the median absolute deviation from the median, not scaled. ``outliers`` counts the samples more than 1.5
    interquartile ranges outside the quartiles (Tukey's fences); they are part of every figure but ``p50_filtered``,
    the median without them.
    """

    n: int
    min: float | None
    p20: float | None
    p50: float | None
    p80: float | None
    p95: float | None
    p99: float | None
    mad: float | None
    outliers: int
    p50_filtered: float | None


def percentile(ordered: Sequence[float], q: float) -> float:
    """The ``q``-th percentile (0 to 100) of samples in ascending order, linear between neighbours.

    Raises ValueError without samples.
    """
    if not ordered:
        raise ValueError("no samples")
    rank = q / 100 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def median(samples: Sequence[float]) -> float:
    """The middle of the samples. Raises ValueError without samples."""
    return percentile(sorted(samples), 50)


def without_outliers(ordered: Sequence[float]) -> list[float]:
    """The samples (in ascending order) inside Tukey's fences."""
    low, high = percentile(ordered, 25), percentile(ordered, 75)
    reach = FENCE * (high - low)
    return [sample for sample in ordered if low - reach <= sample <= high + reach]


def summary(samples: Sequence[float]) -> Summary:
    """Every figure of the samples; without samples all are None."""
    if not samples:
        return Summary(0, None, None, None, None, None, None, None, 0, None)
    ordered = sorted(samples)
    n, middle = len(ordered), percentile(ordered, 50)
    kept = without_outliers(ordered)
    return Summary(
        n=n,
        min=ordered[0],
        p20=percentile(ordered, 20),
        p50=middle,
        p80=percentile(ordered, 80),
        p95=percentile(ordered, 95) if n >= P95_SAMPLES else None,
        p99=percentile(ordered, 99) if n >= P99_SAMPLES else None,
        mad=median([abs(sample - middle) for sample in ordered]),
        outliers=n - len(kept),
        p50_filtered=percentile(kept, 50),
    )


def settled(samples: Sequence[float], window: int) -> bool:
    """Whether the medians of the last two windows of ``window`` samples differ by less than 5 %."""
    if len(samples) < 2 * window:
        return False
    before, after = median(samples[-2 * window : -window]), median(samples[-window:])
    return abs(after - before) < SETTLED * before


def entropy_bits(counts: Sequence[int]) -> float:
    """Shannon entropy of a histogram in bits: 0 when one bin has everything, log2(bins) when all have the same."""
    total = sum(counts)
    shares = [count / total for count in counts if count]
    return -sum(share * math.log2(share) for share in shares) + 0.0
