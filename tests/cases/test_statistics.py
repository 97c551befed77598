"""The figures of timings, against numpy, the standard library and their definitions."""

from __future__ import annotations

import math
import statistics as stdlib
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cases.statistics import Summary, entropy_bits, median, percentile, settled, summary, without_outliers

timings = st.lists(st.floats(0.001, 1e4), min_size=1, max_size=300)


@given(timings, st.floats(0, 100))
def test_percentiles_are_numpys(samples: list[float], q: float) -> None:
    assert percentile(sorted(samples), q) == pytest.approx(np.percentile(samples, q), rel=1e-9)


@given(timings)
def test_every_figure_by_its_definition(samples: list[float]) -> None:
    found = summary(samples)
    middle = stdlib.median(samples)
    low, high = np.percentile(samples, [25, 75])
    inside = [s for s in samples if low - 1.5 * (high - low) <= s <= high + 1.5 * (high - low)]
    assert found.n == len(samples)
    assert found.min == min(samples)
    assert found.p50 == pytest.approx(middle)
    assert found.mad == pytest.approx(stdlib.median(abs(s - middle) for s in samples), abs=1e-9)
    assert found.min is not None
    assert found.p20 is not None
    assert found.p50 is not None
    assert found.p80 is not None
    assert found.min <= found.p20 <= found.p50 <= found.p80 <= max(samples)
    assert found.outliers == len(samples) - len(inside)
    assert found.p50_filtered == pytest.approx(stdlib.median(inside))


@given(timings)
def test_tails_are_given_only_where_two_samples_lie_beyond_them(samples: list[float]) -> None:
    found = summary(samples)
    assert (found.p95 is None) == (len(samples) < 40)
    assert (found.p99 is None) == (len(samples) < 200)


@pytest.mark.parametrize(
    ("n", "p95", "p99"), [(39, False, False), (40, True, False), (199, True, False), (200, True, True)]
)
def test_the_counts_at_which_tails_appear(n: int, p95: bool, p99: bool) -> None:
    found = summary([float(i) for i in range(n)])
    assert (found.p95 is not None, found.p99 is not None) == (p95, p99)


@given(timings, st.randoms())
def test_order_does_not_matter(samples: list[float], random: Random) -> None:
    shuffled = random.sample(samples, len(samples))
    assert summary(shuffled) == summary(samples)


def test_a_stall_is_reported_and_moves_no_median() -> None:
    steady = [1.0, 1.01, 0.99, 1.02, 0.98] * 10
    found, stalled = summary(steady), summary([*steady, 50.0, 55.0])
    assert (found.outliers, stalled.outliers) == (0, 2)
    assert stalled.n == 52
    assert stalled.p50 == pytest.approx(found.p50, rel=0.01)
    assert stalled.p50_filtered == found.p50


@given(timings)
def test_fences_drop_only_from_the_ends(samples: list[float]) -> None:
    kept = without_outliers(sorted(samples))
    rest = sorted(samples)
    assert all(a in rest for a in kept)
    assert kept == [s for s in rest if kept[0] <= s <= kept[-1]]


def test_no_samples_no_figures() -> None:
    assert summary([]) == Summary(0, None, None, None, None, None, None, None, 0, None)
    with pytest.raises(ValueError, match="no samples"):
        median([])


def test_one_sample_is_every_figure_it_supports() -> None:
    assert summary([2.5]) == Summary(1, 2.5, 2.5, 2.5, 2.5, None, None, 0.0, 0, 2.5)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([9, 9, 9, 1, 1, 1], False),
        ([9, 1, 1, 1, 1, 1, 1], True),
        ([1, 1, 1, 1, 1], False),
        ([100, 100, 100, 104, 104, 104], True),
        ([100, 100, 100, 106, 106, 106], False),
        ([100, 100, 500, 100, 100, 900], True),
    ],
)
def test_settled_compares_the_last_two_windows(samples: list[int], expected: bool) -> None:
    assert settled(samples, 3) is expected


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=64).filter(any))
def test_entropy_lies_between_one_bin_and_all_bins(counts: list[int]) -> None:
    assert -1e-9 <= entropy_bits(counts) <= math.log2(len(counts)) + 1e-9


@pytest.mark.parametrize(("counts", "bits"), [([8], 0), ([5, 0, 0], 0), ([3, 3, 3, 3], 2), ([2, 1, 1], 1.5)])
def test_entropy_of_known_histograms(counts: list[int], bits: float) -> None:
    assert entropy_bits(counts) == pytest.approx(bits)
