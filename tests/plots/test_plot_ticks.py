"""Axes as arithmetic: positions, ends, ticks on round values, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import log2, log10

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.units import parse_bytes, parse_tokens
from kvtui.figures.figure import Axis, Rule, Scale, Ticks, floats
from kvtui.plots.ticks import AxisSpan, position, short_text, span, ticks, value_text

numbers = st.floats(allow_nan=False, allow_infinity=False)
scales = st.sampled_from(["linear", "log2", "log10"])
kinds = st.sampled_from(["number", "tokens", "bytes"])


@given(st.lists(st.floats(), max_size=6), scales, kinds, st.booleans(), st.booleans(), st.integers(1, 30))
def test_any_values_make_an_axis_with_ticks_inside(
    values: list[float], scale: Scale, kind: Ticks, zero: bool, pad: bool, most: int
) -> None:
    axis = Axis("x", "", scale, kind)
    found = span(axis, [floats(values)], zero=zero, pad=pad)
    assert found.low < found.high
    shown = ticks(found, most)
    assert len(shown) <= most
    assert all(found.low <= tick.value <= found.high for tick in shown)
    assert [tick.value for tick in shown] == sorted({tick.value for tick in shown})
    labels = [tick.label for tick in shown]
    assert all(a != b for a, b in pairwise(labels))
    units = found.unit(floats([tick.value for tick in shown]))
    assert (units >= -1e-9).all()
    assert (units <= 1 + 1e-9).all()


@given(st.lists(st.floats(1e-3, 1e9), min_size=2, max_size=8, unique=True), scales)
def test_every_value_lies_on_the_axis_in_order(values: list[float], scale: Scale) -> None:
    ordered = floats(sorted(values))
    units = span(Axis("x", "", scale), [ordered]).unit(ordered)
    assert units[0] == pytest.approx(0, abs=1e-9)
    assert units[-1] == pytest.approx(1, abs=1e-9)
    assert (np.diff(units) >= 0).all()


@given(st.floats(0, 1), scales)
def test_a_value_is_found_again_from_its_place(unit: float, scale: Scale) -> None:
    axis = AxisSpan(Axis("x", "", scale), 3.0, 3e6)
    assert axis.unit(np.array([axis.value(unit)]))[0] == pytest.approx(unit, abs=1e-9)


def test_places_are_those_of_the_scale() -> None:
    assert AxisSpan(Axis("x"), 10, 30).unit(floats([10, 15, 30])).tolist() == [0, 0.25, 1]
    assert AxisSpan(Axis("x", "", "log2"), 2, 32).unit(floats([2, 4, 32])).tolist() == [0, 0.25, 1]
    assert AxisSpan(Axis("x", "", "log10"), 1, 1e4).unit(floats([10, 1e4])).tolist() == pytest.approx([0.25, 1])
    assert np.isnan(position("log2", floats([0, -1, None]))).all()


@pytest.mark.parametrize(
    ("axis", "low", "high", "most", "labels"),
    [
        (Axis("x"), 0, 1, 6, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Axis("x"), 0, 5e6, 6, ["0", "1M", "2M", "3M", "4M", "5M"]),
        (Axis("x"), -3, 3, 4, ["-2", "0", "2"]),
        (Axis("x", "", "log2", "tokens"), 256, 131072, 5, ["256", "1K", "4K", "16K", "64K"]),
        (Axis("x", ticks="tokens"), 0, 131072, 5, ["0", "32K", "64K", "96K", "128K"]),
        (Axis("x", ticks="bytes"), 0, 95e9, 6, ["0", "20 GiB", "40 GiB", "60 GiB", "80 GiB"]),
        (Axis("x", ticks="bytes"), 0, 2.2 * 2**30, 6, ["0", "512 MiB", "1 GiB", "1.5 GiB", "2 GiB"]),
        (Axis("x", "", "log10", "bytes"), 2**20, 2**40, 3, ["1 MiB", "1 GiB", "1 TiB"]),
        (Axis("x", "", "log10"), 1, 1e6, 8, ["1", "10", "100", "1,000", "10,000", "100,000", "1M"]),
        (Axis("x", "", "log10"), 0.002, 0.5, 9, ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]),
    ],
)
def test_ticks_are_round_and_carry_their_unit(
    axis: Axis, low: float, high: float, most: int, labels: list[str]
) -> None:
    assert [tick.label for tick in ticks(AxisSpan(axis, float(low), float(high)), most)] == labels


@given(st.integers(1, 2**40), st.integers(1, 20))
def test_byte_and_token_ticks_say_exactly_their_value(high: int, most: int) -> None:
    readers: tuple[tuple[Ticks, Callable[[str], int]], ...] = (
        ("bytes", lambda text: parse_bytes(text, "x")),
        ("tokens", parse_tokens),
    )
    for kind, parse in readers:
        for tick in ticks(AxisSpan(Axis("x", ticks=kind), 0.0, float(high)), most):
            if tick.value > 0:
                written = parse(tick.label.replace(",", "").replace(" ", ""))
                assert written == pytest.approx(tick.value, rel=1e-3 if kind == "bytes" else 1e-12)


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6), st.integers(4, 12))
def test_logarithmic_ticks_are_powers_or_round(low: float, factor: float, most: int) -> None:
    high = low * factor
    scales: tuple[tuple[Scale, Callable[[float], float]], ...] = (("log2", log2), ("log10", log10))
    for scale, base in scales:
        shown = ticks(AxisSpan(Axis("x", "", scale), low, high), most)
        if base(high) - base(low) > 3:
            assert len(shown) >= 2
            mantissas = {round(10 ** (log10(tick.value) % 1), 6) for tick in shown}
            powers = all(abs(log2(tick.value) - round(log2(tick.value))) < 1e-9 for tick in shown)
            assert powers if scale == "log2" else mantissas <= {1, 2, 5, 10}


def test_a_near_rule_is_taken_in_and_a_far_one_is_not() -> None:
    values = [floats([10, 20])]
    near = span(Axis("y"), values, rules=[Rule("y", 25, "near")])
    assert near.high >= 25
    assert span(Axis("y"), values, rules=[Rule("y", 500, "far")]).high < 25
    fixed = span(Axis("y", low=0, high=12), values, rules=[Rule("y", 25, "near")])
    assert (fixed.low, fixed.high) == (0, 12)


def test_values_are_written_with_their_units() -> None:
    assert value_text(Axis("t", "ms"), 0.25) == "0.25 ms"
    assert value_text(Axis("t", "tok/s"), 12345) == "12,345 tok/s"
    assert value_text(Axis("c", "tokens", ticks="tokens"), 131072) == "128K tokens"
    assert value_text(Axis("m", ticks="bytes"), 3 * 2**29) == "1.50 GiB"
    assert value_text(Axis("m"), float("nan")) == "–"
    assert short_text(Axis("t", "ms"), 0.25) == "0.25"
    assert short_text(Axis("m", ticks="bytes"), 70272) == "68.625 KiB"


@given(numbers, numbers.filter(lambda v: v != 0))
def test_any_value_can_be_written(value: float, other: float) -> None:
    for kind in ("number", "bytes", "tokens"):
        for scale in ("linear", "log10"):
            axis = Axis("x", "u", scale, kind)
            assert value_text(axis, value)
            assert short_text(axis, other)
