"""Any table of numbers as a figure: its first column of numbers is x, and the others are lines over it.

What had to be left out or thinned stands in the figure's notes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from math import isfinite
from pathlib import Path

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Axis, Figure, Floats, Line, Mark, Panel, Scatter, floats
from kvtui.figures.polyline import thin

MOST_POINTS = 20_000
MOST_SERIES = 64
_BINS = MOST_POINTS // 4
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "–"}


def split(text: str, shown: str) -> tuple[list[str], list[list[str]]]:
    """The heading and the other lines of a CSV ``text``, whose cells commas, semicolons or tabs may separate.

    Columns without a heading are numbered. Raises InputError, which names the file as ``shown``, where there are none.
    """
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if any(line)]
    except csv.Error as error:
        raise InputError(f"{shown}: not a CSV file: {plain(str(error))}") from None
    if not lines:
        raise InputError(f"{shown}: empty")
    if all(number(cell) is not None for cell in lines[0] if cell):
        lines.insert(0, [f"column {i}" for i in range(1, len(lines[0]) + 1)])
    if len(lines) == 1:
        raise InputError(f"{shown}: has a heading and no rows")
    return [plain(head.strip()) for head in lines[0]], lines[1:]


def number(text: str) -> float | None:
    """``text`` as a number; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def from_table(heads: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> Figure:
    """The figure of the table in the file ``path``. Raises InputError without two columns of numbers."""
    shown, notes = plain(str(path)), []
    columns = dict(_numeric(heads, rows))
    if len(columns) < 2:
        found = " and ".join(columns) or "none"
        raise InputError(f"{shown}: two columns of numbers are needed, x and y; found {found}")
    (x_name, x), *others = columns.items()
    if len(others) > MOST_SERIES:
        notes.append(f"the first {MOST_SERIES} of {len(others)} columns are shown")
        others = others[:MOST_SERIES]
    gaps = sum(int(np.isnan(values).sum()) for _, values in others) + int(np.isnan(x).sum())
    if gaps:
        notes.append(f"{gaps:,} values are missing or not finite, and left out" if gaps > 1 else "1 value is left out")
    left_out = [head for head in heads if head not in columns]
    if left_out:
        notes.append(f"no numbers: {', '.join(left_out[:8])}{' …' if len(left_out) > 8 else ''}")
    rising = bool((np.diff(x[np.isfinite(x)]) >= 0).all())
    marks: list[Mark] = []
    for name, y in others:
        if rising:
            marks.append(Line(name, *_thinned(x, y), points=len(rows) <= MOST_SERIES))
        else:
            marks.append(Scatter(name, x, y))
    if rising and len(rows) > MOST_POINTS:
        notes.append(
            f"{len(rows):,} rows are drawn as the first, least, largest and last of each of {_BINS:,} bins of x"
        )
    y_label = others[0][0] if len(others) == 1 else "value"
    panel = Panel("", Axis(x_name), Axis(y_label), tuple(marks))
    return Figure(plain(path.stem) or "table", plain(path.name), "", (panel,), tuple(notes))


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """No more than MOST_POINTS points: of each bin of x the first, the least, the largest and the last."""
    finite = x[np.isfinite(x)]
    if x.size <= MOST_POINTS or not finite.size:
        return x, y
    low, high = float(finite.min()), float(finite.max())
    length = high - low
    if not (length > 0 and isfinite(length)):
        return x, y
    unit, thinned = thin((x - low) / length, y, _BINS)
    return low + unit * length, thinned


def _numeric(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, Floats]]:
    """Columns that hold numbers or nothing, at least one number, under names that differ."""
    names: dict[str, int] = {}
    for i, head in enumerate(heads):
        values = _numbers([row[i] if i < len(row) else "" for row in rows])
        names[head] = names.get(head, 0) + 1
        if values is not None and np.isfinite(values).any():
            yield head if names[head] == 1 else f"{head} ({names[head]})", values


def _numbers(cells: Sequence[str]) -> Floats | None:
    """``cells`` as numbers, NaN for missing and infinite ones; None when there is something else in them."""
    try:
        return floats(np.array(list(map(float, cells))))
    except ValueError:
        values = [number(cell) for cell in cells]
    missing = {cell.strip().casefold() for value, cell in zip(values, cells, strict=True) if value is None}
    return floats(values) if missing <= _MISSING else None
