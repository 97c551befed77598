"""Marks as geometry: cutting, dashing, thinning, bars on whole cells, densities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.figures.figure import Axis, Bars, Dash, Panel, floats, largest_first
from kvtui.figures.polyline import thin
from kvtui.plots.density import histogram, kernel_density
from kvtui.plots.shapes import bar_places, clip, dashed, joined, radii
from kvtui.plots.surroundings import bar_rows, spans

near = st.floats(-3, 3)


@given(near, near, near, near)
def test_a_cut_piece_is_what_of_the_piece_lies_inside(u0: float, v0: float, u1: float, v1: float) -> None:
    cut = clip(np.array([[u0, v0, u1, v1]]))
    shares = np.linspace(0, 1, 2001)
    u, v = u0 + shares * (u1 - u0), v0 + shares * (v1 - v0)
    inside = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    step = 2 * np.hypot(u1 - u0, v1 - v0) / 2000 + 1e-9
    if inside.sum() < 2:
        assert np.hypot(*(cut[:, 2:] - cut[:, :2]).T).sum() <= step
    else:
        first, last = np.flatnonzero(inside)[[0, -1]]
        assert len(cut) == 1
        assert np.hypot(*(cut[0, :2] - [u[first], v[first]])) <= step
        assert np.hypot(*(cut[0, 2:] - [u[last], v[last]])) <= step
    assert ((cut >= 0) & (cut <= 1)).all()


def test_gaps_interrupt_a_line_and_lone_points_stay() -> None:
    nan = np.nan
    pieces = joined(floats([0, 0.1, nan, 0.3, nan, 0.5, 0.6]), floats([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    assert pieces[:2].tolist() == [[0, 0, 0.1, 0.1], [0.5, 0.5, 0.6, 0.6]]
    assert pieces[2:].tolist() == [[0.3, 0.3, 0.3, 0.3]]


@pytest.mark.parametrize(("dash", "share"), [("solid", 1.0), ("dashed", 7 / 12), ("dotted", 0.3)])
def test_a_dash_draws_its_share_of_the_line(dash: Dash, share: float) -> None:
    line = joined(np.linspace(0, 1, 50), np.linspace(0, 0.5, 50))
    drawn = dashed(line, dash, 400, 100)
    lengths = np.hypot((drawn[:, 2] - drawn[:, 0]) * 800, (drawn[:, 3] - drawn[:, 1]) * 400)
    whole = np.hypot(800, 200)
    assert lengths.sum() / whole == pytest.approx(share, abs=0.02)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 0.01, 0.6]), st.booleans(), st.integers(1, 8))
def test_a_thinned_line_shows_the_same_columns(seed: int, missing: float, rising: bool, columns: int) -> None:
    rng = np.random.default_rng(seed)
    v = np.where(rng.random(2000) < missing, np.nan, rng.random(2000))
    u = np.linspace(0, 1, v.size, endpoint=False)
    u = u if rising else u[::-1]
    kept_u, kept_v = thin(u, v, columns)
    assert kept_u.size <= (v.size if missing else 4 * (columns + 1))
    for column in range(columns):
        here, there = np.floor(u * columns) == column, np.floor(kept_u * columns) == column
        if np.isfinite(v[here]).any():
            assert np.nanmin(v[here]) == np.nanmin(kept_v[there])
            assert np.nanmax(v[here]) == np.nanmax(kept_v[there])


@given(st.integers(1, 40), st.integers(1, 5), st.integers(5, 300))
def test_bars_are_equally_thick_and_never_overlap(categories: int, series: int, length: int) -> None:
    taken = np.zeros(length, dtype=int)
    sizes = set()
    for number in range(series):
        at, thickness = bar_places(categories, series, number, length)
        for start, size in zip(at, thickness, strict=True):
            sizes.add(int(size))
            if size:
                assert start >= 0
                assert start + size <= length
                taken[start : start + size] += 1
    assert len(sizes) == 1
    assert taken.max() <= 1
    assert (min(sizes) >= 1) == (length >= categories * series)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 50))
def test_a_histogram_encloses_one(samples: list[float], bins: int) -> None:
    edges, density = histogram(floats(samples), bins)
    assert (density * np.diff(edges)).sum() == pytest.approx(1)
    assert edges[0] <= min(samples)
    assert edges[-1] >= max(samples)


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50), st.floats(0.01, 100))
def test_a_kernel_density_encloses_one(seed: int, middle: float, spread: float) -> None:
    samples = np.random.default_rng(seed).normal(middle, spread, 200)
    at, density = kernel_density(samples)
    assert np.trapezoid(density, at) == pytest.approx(1, abs=0.005)
    assert abs(at[density.argmax()] - middle) < spread
    width = 0.9 * min(samples.std(), np.ptp(np.percentile(samples, [25, 75])) / 1.34) * 200**-0.2
    middle_at = at[128]
    exact = np.exp(-0.5 * ((middle_at - samples) / width) ** 2).sum() / (200 * width * np.sqrt(2 * np.pi))
    assert density[128] == pytest.approx(exact, rel=0.01)


def test_samples_without_spread_have_no_smooth_density() -> None:
    assert kernel_density(np.full(9, 3.0))[0].size == 0
    assert kernel_density(floats([None]))[0].size == 0
    assert histogram(floats([None]), 5)[0].size == 0


def test_areas_are_in_proportion_to_sizes() -> None:
    found = radii(floats([1, 4, 16, 0, -3, None]))
    assert (found**2 / found[0] ** 2).tolist() == pytest.approx([1, 4, 16, 0, 0, 0])


def test_stacked_bars_are_parts_of_one_bar_and_their_axis_reaches_the_whole() -> None:
    parts = Bars("weights", floats([60.0])), Bars("KV cache", floats([20.0]))
    panel = Panel("memory", Axis("model"), Axis("bytes"), parts, categories=("a model",), stacked=True)
    assert [tuple(end.tolist() for end in panel.ends(bars)) for bars in parts] == [([0.0], [60.0]), ([60.0], [80.0])]
    _, y, _, _ = spans(panel)
    assert y.high >= 80
    assert bar_rows(panel, 60) == 3


def test_single_bars_stand_by_value_and_several_series_as_they_are() -> None:
    alone = Panel("", Axis("case"), Axis("ms"), (Bars("a", floats([1.0, np.nan, 3.0])),), categories=("x", "y", "z"))
    ordered = largest_first(alone)
    assert ordered.categories == ("z", "x", "y")
    several = replace(alone, marks=(*alone.marks, Bars("b", floats([3.0, 2.0, 1.0]))))
    assert largest_first(several) is several


def test_an_axis_follows_the_medians_not_the_far_ends_of_their_spans() -> None:
    bars = Bars("a", floats([10.0, 12.0]), low=floats([9.0, 11.0]), high=floats([11.0, 900.0]))
    _, y, _, _ = spans(Panel("", Axis("case"), Axis("ms"), (bars,), categories=("x", "y")))
    assert y.high < 40
