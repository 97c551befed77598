"""Axes as arithmetic: how a value becomes a position, which values get a tick, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil, floor, isfinite, log2, log10
from typing import NamedTuple

import numpy as np

from kvtui.engine.basis.units import EIB, GIB, KIB, MIB, PIB, TIB, format_bytes, format_tokens
from kvtui.figures.figure import Axis, Floats, Rule, Scale

MOST_EXTENSION = 1.0
"""A rule widens the axis by at most this multiple of the data's own length; further ones stay outside."""

_PAD = 0.04
_NEAR_ZERO = 0.5
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_PLAIN_BELOW = 1e6
_LEAST_PLAIN = 1e-3
_DIGITS, _WHOLE_FROM = 4, 1000
_BYTE_UNITS = (1, KIB, MIB, GIB, TIB, PIB, EIB)
_LARGEST = {"log2": 1023, "log10": 308}


class Tick(NamedTuple):
    """A value on an axis and how it is written there."""

    value: float
    label: str


class AxisSpan(NamedTuple):
    """An axis from ``low`` to ``high``, both values, ``low < high``; both above 0 on a logarithmic axis."""

    axis: Axis
    low: float
    high: float

    def unit(self, values: Floats) -> Floats:
        """Where ``values`` lie: 0 at ``low``, 1 at ``high``; NaN for what has no place on the axis."""
        low, high = (position(self.axis.scale, np.array([end]))[0] / 2 for end in (self.low, self.high))
        with np.errstate(all="ignore"):
            found = (position(self.axis.scale, values) / 2 - low) / (high - low)
        return np.where(np.isfinite(found), found, np.nan)

    def value(self, unit: float) -> float:
        """The value at ``unit``: the inverse of ``unit``."""
        low, high = (float(position(self.axis.scale, np.array([end]))[0]) for end in (self.low, self.high))
        at = low * (1 - unit) + high * unit
        match self.axis.scale:
            case "linear":
                return at
            case "log2":
                return float(np.exp2(at))
        return float(np.power(10.0, at))


def position(scale: Scale, values: Floats) -> Floats:
    """``values`` on a line where equal steps are equal distances; NaN where there are none."""
    with np.errstate(all="ignore"):
        match scale:
            case "linear":
                found = np.asarray(values, dtype=np.float64)
            case "log2":
                found = np.log2(np.where(values > 0, values, np.nan))
            case "log10":
                found = np.log10(np.where(values > 0, values, np.nan))
    return np.where(np.isfinite(found), found, np.nan)


def span(
    axis: Axis, arrays: Iterable[Floats], *, rules: Sequence[Rule] = (), zero: bool = False, pad: bool = False
) -> AxisSpan:
    """The part of ``axis`` that shows ``arrays``; its own ends win where it has them.

    ``zero`` puts 0 on a linear axis, ``pad`` leaves air around the data, and a rule that lies near is taken in.
    """
    low, high = _extent(axis, arrays)
    if axis.scale == "linear":
        near = 0 <= low <= _NEAR_ZERO * high
        if zero or (pad and near):
            low, high = min(low, 0.0), max(high, 0.0)
    first, last = (float(at) for at in position(axis.scale, np.array([low, high])))
    length = last / 2 - first / 2
    if not length > 0:
        step = 0.5 if axis.scale != "linear" else max(abs(low) * 0.1, 0.5 if low == 0 else 0.0)
        first, last, length = first - step, last + step, step
    first, last = _with_rules(axis.scale, first, last, length * 2, rules)
    if pad:
        air = (last / 2 - first / 2) * 2 * _PAD
        first, last = first if low == 0 and axis.scale == "linear" else first - air, last if high == 0 else last + air
    return _ends(axis, first, last)


def ticks(span: AxisSpan, most: int) -> tuple[Tick, ...]:
    """At most ``most`` ticks on round values within ``span``, least first; fewer where they would be alike.

    An axis that has names shows them all.
    """
    most = max(1, most)
    if span.axis.names:
        return tuple(Tick(float(at), name) for at, name in enumerate(span.axis.names) if span.low <= at <= span.high)
    values = _linear(span, most) if span.axis.scale == "linear" else _logarithmic(span, most)
    values = [value for value in values if span.low <= value <= span.high][:most]
    labels = _labels(span.axis, values)
    found = [Tick(value, label) for value, label in zip(values, labels, strict=True)]
    return tuple(tick for i, tick in enumerate(found) if i == 0 or tick.label != found[i - 1].label)


def short_text(axis: Axis, value: float) -> str:
    """One value as a tick of ``axis`` would say it: without the unit that stands in the axis's title."""
    return _labels(axis, [value])[0] if isfinite(value) else "–"


def value_text(axis: Axis, value: float) -> str:
    """One value of ``axis`` with its unit, for read-outs."""
    if not isfinite(value):
        return "–"
    if axis.names:
        return axis.names[min(max(round(value), 0), len(axis.names) - 1)]
    match axis.ticks:
        case "bytes":
            return format_bytes(round(value))
        case "tokens":
            written = format_tokens(round(value)) if abs(value - round(value)) < 1e-6 else f"{value:,.1f}"
            return f"{written} {axis.unit}".rstrip()
    return f"{_number(value)} {axis.unit}".rstrip()


def _extent(axis: Axis, arrays: Iterable[Floats]) -> tuple[float, float]:
    """The least and largest value that has a place on ``axis``, or ends to show when there is none."""
    lows, highs = [], []
    for array in arrays:
        shown = array[np.isfinite(array) & ((array > 0) | (axis.scale == "linear"))]
        if shown.size:
            lows.append(float(shown.min()))
            highs.append(float(shown.max()))
    if not lows:
        return (0.0, 1.0) if axis.scale == "linear" else (1.0, 10.0)
    return min(lows), max(highs)


def _with_rules(scale: Scale, first: float, last: float, length: float, rules: Sequence[Rule]) -> tuple[float, float]:
    at = position(scale, np.array([rule.value for rule in rules], dtype=np.float64))
    near = at[(at >= first - MOST_EXTENSION * length) & (at <= last + MOST_EXTENSION * length)]
    return (min(first, float(near.min())), max(last, float(near.max()))) if near.size else (first, last)


def _ends(axis: Axis, first: float, last: float) -> AxisSpan:
    """The span between two positions, with the axis's own ends in their place where they make sense."""
    most = _LARGEST.get(axis.scale)
    if most is not None:
        first, last = max(first, -most), min(last, most)
        base = 2.0 if axis.scale == "log2" else 10.0
        first, last = base**first, base**last
    largest = float(np.finfo(np.float64).max)
    first, last = max(first, -largest), min(last, largest)
    low, high = _chosen(axis, axis.low, first), _chosen(axis, axis.high, last)
    if low < high and high / 2 - low / 2 > 0:
        return AxisSpan(axis, low, high)
    if axis.scale != "linear":
        return AxisSpan(axis, low / 2, low * 2)
    step = max(abs(low) * 0.1, 0.5)
    return AxisSpan(axis, low - step, low + step)


def _chosen(axis: Axis, end: float | None, found: float) -> float:
    stands = end is not None and isfinite(end) and (end > 0 or axis.scale == "linear")
    return float(end) if end is not None and stands else found


def _linear(span: AxisSpan, most: int) -> list[float]:
    """Multiples of the least round step that gives at most ``most`` of them."""
    length = span.high / 2 - span.low / 2
    for step in _steps(span, length / max(1.0, most / 2)):
        first, last = ceil(span.low / step), floor(span.high / step)
        if last - first < most:
            return [_multiple(k, step) for k in range(first, last + 1)]
    return [span.low, span.high][:most]


def _multiple(k: int, step: float) -> float:
    """``k`` steps; below 1, where steps are not exact, rounded to the step's own digits."""
    if step >= 1 or not isfinite(k * step):
        return k * step
    return round(k * step, 2 - floor(log10(step))) if step > 1e-300 else k * step


def _steps(span: AxisSpan, least: float) -> Iterable[float]:
    """Round steps from about ``least`` upward.

    Powers of two for tokens and for parts of the largest unit of bytes, else 1, 2 and 5 times a power of ten.
    """
    unit = 1.0
    if span.axis.ticks == "bytes":
        largest = max(abs(span.low), abs(span.high))
        unit = float(max((size for size in _BYTE_UNITS if size <= largest), default=1))
    if span.axis.ticks == "tokens" or (span.axis.ticks == "bytes" and least < unit):
        exponent = max(0, floor(log2(least))) if least > 0 else 0
        yield from (2.0**e for e in range(exponent, min(exponent + 3, 1023)))
        return
    exponent = floor(log10(least / unit)) if least > 0 else 0
    for e in range(exponent, min(exponent + 4, 308)):
        for times in (1, 2, 5):
            step = times * 10.0**e if e >= 0 else times / 10.0**-e if e > -308 else 10.0**e
            if step > 0:
                yield step * unit


def _logarithmic(span: AxisSpan, most: int) -> list[float]:
    """Powers of the base, every so many of them; between few of them round values too.

    The base is 2 for tokens and bytes and on a ``log2`` axis, otherwise 10.
    """
    twos = span.axis.scale == "log2" or span.axis.ticks != "number"
    base = 2.0 if twos else 10.0
    low, high = (log2(end) if twos else log10(end) for end in (span.low, span.high))
    first, last = ceil(low - 1e-9), floor(high + 1e-9)
    count = last - first + 1
    if count < 2:
        return _linear(span, most)
    if not twos and 3 * count <= most:
        return [m * base**e for e in range(first - 1, last + 1) for m in (1, 2, 5)]
    stride = next((s for s in _strides(twos) if -(-count // s) <= most), count)
    return [base**e for e in range(first, last + 1) if e % stride == 0] or [base**first]


def _strides(twos: bool) -> tuple[int, ...]:
    return (1, 2, 3, 4, 5, 10, 20, 40, 100, 200) if twos else (1, 2, 3, 5, 10, 20, 50, 100)


def _labels(axis: Axis, values: Sequence[float]) -> list[str]:
    match axis.ticks:
        case "bytes":
            return [_bytes(value) for value in values]
        case "tokens":
            return [format_tokens(round(value)) if value == round(value) else f"{value:g}" for value in values]
    if axis.scale == "linear" and len(values) > 1:
        return _alike(values)
    return [_number(value) for value in values]


def _alike(values: Sequence[float]) -> list[str]:
    """Evenly spaced numbers with one prefix and as many digits as tell them apart."""
    largest = max(abs(value) for value in values)
    step = min(abs(b / 2 - a / 2) for a, b in pairwise(values)) * 2
    if not isfinite(step) or step <= 0 or largest >= 1e21 or largest < _LEAST_PLAIN:
        return [f"{value:.3g}" for value in values]
    size, prefix = _prefix(largest)
    digits = max(0, -floor(log10(step / size) + 1e-9))
    return ["0" if value == 0 else f"{value / size:,.{min(digits, 12)}f}{prefix}" for value in values]


def _number(value: float) -> str:
    """A number without unit, to four digits or to the whole: ``131,072``, ``1.5M``, ``0.25``, ``1e-05``."""
    size, prefix = _prefix(abs(value))
    if value == 0:
        return "0"
    if abs(value) >= 1e21 or abs(value) < _LEAST_PLAIN:
        return f"{value:.3g}"
    if size == 1:
        whole = abs(value) >= _WHOLE_FROM or value == round(value)
        return f"{value:,.0f}" if whole else f"{value:.{_DIGITS}g}"
    return f"{value / size:,.{_DIGITS}g}{prefix}"


def _prefix(largest: float) -> tuple[float, str]:
    if largest < _PLAIN_BELOW:
        return 1.0, ""
    return next(((size, prefix) for size, prefix in _PREFIXES if largest >= size), (1.0, ""))


def _bytes(value: float) -> str:
    """Bytes with as few digits as say them exactly, three at most."""
    if value == 0:
        return "0"
    count = round(value)
    written = [format_bytes(count, digits) for digits in range(4)]
    exact = next((i for i in range(3) if _read(written[i]) == _read(written[3])), 3)
    return written[exact]


def _read(written: str) -> float:
    return float(written.partition(" ")[0].replace(",", ""))
