"""Rows of a measured table, whoever wrote it: numbers and words by column, and the lines, bars and clouds they make.

A row is a mapping from column to value, as ``bench.store`` reads a run or another tool's CSV file. A value that is
missing or of another kind is None, and what is drawn leaves the row out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from math import isfinite
from statistics import median
from typing import Any, NamedTuple

from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Axis, Bars, Cloud, Figure, Line, Panel, Rule, Scatter, floats, largest_first

ResultRow = Mapping[str, Any]
ResultRows = Sequence[ResultRow]
ATTENTION = ("attn_variant", "attn_type")
"""The columns that series are named after."""
PART = " · "
"""What stands between the parts of a row's label."""


class ValueBand(NamedTuple):
    """A measured value with its p20–p80 band, where there is one."""

    middle: float
    low: float | None = None
    high: float | None = None


ValueOf = Callable[[ResultRow], float | None]


class MeasuredValue(NamedTuple):
    """What is drawn along ``axis``, and how a row gives it."""

    axis: Axis
    of: Callable[[ResultRow], ValueBand | None]


def number(row: ResultRow, column: str) -> float | None:
    """The finite number in ``column``; None if there is none, and for truth values."""
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None


def word(row: ResultRow, column: str) -> str:
    """The text in ``column``, harmless; empty if there is none. A count that was written as 256.0 is 256."""
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else plain(str(value), limit=60)


def value(column: str) -> ValueOf:
    """How a row gives ``column``."""
    return lambda row: number(row, column)


def measure(axis: Axis, column: str, scale: float = 1.0) -> MeasuredValue:
    """``scale`` × what stands in ``column``, without a band."""

    def of(row: ResultRow) -> ValueBand | None:
        found = number(row, column)
        return None if found is None else ValueBand(scale * found)

    return MeasuredValue(axis, of)


def of_group(rows: ResultRows, group: str) -> list[ResultRow]:
    """The rows of the sweep's ``group``, told apart by machine."""
    return [row for row in by_machine(rows) if row.get("group") == group]


def machine(row: ResultRow) -> str:
    """The machine that measured a row; empty where that is not said."""
    return word(row, "machine")


def many_machines(rows: ResultRows) -> bool:
    """Whether more than one machine measured ``rows``."""
    return len({machine(row) for row in rows} - {""}) > 1


def by_machine(rows: ResultRows) -> ResultRows:
    """``rows``, of which each attention is another on each machine, where several measured: they are not compared."""
    if not many_machines(rows):
        return rows
    return [{**row, **{name: told for name in ATTENTION if (told := _told(row, name))}} for row in rows]


def _told(row: ResultRow, column: str) -> str:
    return ", ".join(part for part in (word(row, column), machine(row)) if part)


def once(rows: ResultRows) -> list[ResultRow]:
    """Every measurement once, told apart by machine: groups share those of equal cases."""
    seen = set()
    found = []
    for row in by_machine(rows):
        key = (row.get("case"), row.get("repeat"), machine(row))
        if key[0] is None or key not in seen:
            found.append(row)
            seen.add(key)
    return found


def joined(spreads: Sequence[ValueBand]) -> ValueBand:
    """Several measurements of one thing: the median, in the widest band."""
    lows = [one.low for one in spreads if one.low is not None]
    highs = [one.high for one in spreads if one.high is not None]
    return ValueBand(median(one.middle for one in spreads), min(lows) if lows else None, max(highs) if highs else None)


def line_marks(
    rows: ResultRows,
    x: ValueOf,
    y: MeasuredValue,
    series: Callable[[ResultRow], str],
    dashed: Callable[[ResultRow], bool] = lambda row: False,
) -> tuple[Line, ...]:
    """A line for each of the ``series``, over ascending ``x``; rows of one place are joined."""
    found: dict[str, dict[float, list[ValueBand]]] = {}
    broken: dict[str, bool] = {}
    for row in rows:
        at, spread = x(row), y.of(row)
        if at is not None and spread is not None:
            found.setdefault(series(row), {}).setdefault(at, []).append(spread)
            broken[series(row)] = dashed(row)
    lines = []
    for name, places in found.items():
        across = sorted(places)
        spreads = [joined(places[one]) for one in across]
        band = any(one.low is not None for one in spreads)
        lines.append(
            Line(
                name,
                floats(across),
                floats([one.middle for one in spreads]),
                floats([one.low for one in spreads]) if band else None,
                floats([one.high for one in spreads]) if band else None,
                dash="dashed" if broken[name] else "solid",
                points=True,
            )
        )
    return tuple(lines)


def bar_panel(
    title: str,
    rows: ResultRows,
    y: MeasuredValue,
    category: Callable[[ResultRow], str],
    series: Callable[[ResultRow], str],
    rules: tuple[Rule, ...] = (),
) -> Panel:
    """Bars of the ``series`` side by side for each ``category``, as they first appear; those of one series by value."""
    found: dict[str, dict[str, list[ValueBand]]] = {}
    for row in rows:
        spread = y.of(row)
        if spread is not None:
            found.setdefault(series(row), {}).setdefault(category(row), []).append(spread)
    categories = tuple(dict.fromkeys(name for places in found.values() for name in places))
    bars = []
    for name, places in found.items():
        spreads = [joined(places[one]) if one in places else None for one in categories]
        band = any(one is not None and one.low is not None for one in spreads)
        bars.append(
            Bars(
                name,
                floats([one and one.middle for one in spreads]),
                floats([one and one.low for one in spreads]) if band else None,
                floats([one and one.high for one in spreads]) if band else None,
            )
        )
    return largest_first(Panel(title, Axis("case"), y.axis, tuple(bars), rules=rules, categories=categories))


def cloud_marks(
    rows: ResultRows,
    x: ValueOf,
    y: ValueOf,
    z: ValueOf,
    series: Callable[[ResultRow], str],
    size: ValueOf | None = None,
) -> tuple[Cloud, ...]:
    """Points in space by ``series``, as large as ``size``."""
    clouds = []
    for name, points in _points(rows, (x, y, z, *((size,) if size else ())), series).items():
        columns = [floats(column) for column in zip(*(values for values, _ in points), strict=True)]
        clouds.append(Cloud(name, *columns))
    return tuple(clouds)


def scatter_marks(
    rows: ResultRows, x: ValueOf, y: ValueOf, series: Callable[[ResultRow], str], size: ValueOf | None = None
) -> tuple[Scatter, ...]:
    """Points by ``series``, as large as ``size``, labelled with the rows' labels."""
    marks = []
    for name, points in _points(rows, (x, y, *((size,) if size else ())), series).items():
        at, up, *sizes = (floats(column) for column in zip(*(values for values, _ in points), strict=True))
        labels = tuple(label for _, label in points)
        marks.append(Scatter(name, at, up, sizes[0] if sizes else None, labels))
    return tuple(marks)


def figure(id: str, title: str, question: str, panels: Iterable[Panel], notes: Iterable[str] = ()) -> Figure:
    """A figure of those ``panels`` that have something in them; what was left out is noted."""
    every = tuple(panels)
    shown = tuple(panel for panel in every if panel.marks)
    empty = [panel.title for panel in every if panel not in shown]
    missing = (f"No data for: {'; '.join(empty)}.",) if empty and shown else ()
    return Figure(id, title, question, shown, (*notes, *missing))


def distinct(labels: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Each of ``labels`` without the parts that stand in the same place of all of them, and these parts."""
    parts = {label: label.split(PART) for label in labels}
    if len(parts) < 2 or len(set(map(len, parts.values()))) > 1:
        return {label: label for label in parts}, ()
    differs = [len(set(place)) > 1 for place in zip(*parts.values(), strict=True)]
    common = tuple(part for part, apart in zip(next(iter(parts.values())), differs, strict=True) if not apart)
    return {label: PART.join(compress(found, differs)) for label, found in parts.items()}, common


def nothing(id: str, title: str, question: str, why: str) -> Figure:
    """A figure without panels that says ``why``."""
    return Figure(id, title, question, (), (why,))


def missing_columns(rows: ResultRows, columns: Iterable[str], table: str) -> str:
    """Why ``rows`` of ``table`` cannot be drawn: there are none, or ``columns`` without a number; empty if they can."""
    if not rows:
        return f"No rows of {table}."
    absent = [name for name in columns if all(number(row, name) is None for row in rows)]
    return f"No column {', '.join(absent)} with numbers in {table}." if absent else ""


def failures(rows: ResultRows) -> tuple[str, ...]:
    """A note on rows that were not measured, with their reasons; none if all were."""
    reasons = Counter(_reason(row) for row in rows if number(row, "decode_step_ms_p50") is None)
    if not reasons:
        return ()
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    rows_were = "row was" if len(rows) == 1 else "rows were"
    return (f"{reasons.total()} of {len(rows)} {rows_were} not measured: {said}.",)


def _reason(row: ResultRow) -> str:
    status = word(row, "status") or ("oom" if row.get("oom") is True else "without a value")
    message = word(row, "message")
    return f"{status} ({message})" if message and status not in {"oom", "ok"} else status


def _points(
    rows: ResultRows, values: Sequence[ValueOf], series: Callable[[ResultRow], str]
) -> dict[str, list[tuple[tuple[float, ...], str]]]:
    found: dict[str, list[tuple[tuple[float, ...], str]]] = {}
    for row in rows:
        known = [one for of in values if (one := of(row)) is not None]
        if len(known) == len(values):
            found.setdefault(series(row), []).append((tuple(known), word(row, "label")))
    return found
