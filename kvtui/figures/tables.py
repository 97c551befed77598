"""Any table of numbers as a figure: its first column of numbers is x, and the others are lines over it.

What had to be left out or thinned stands in the figure's notes.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import isfinite, nan
from pathlib import Path

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Axis, Figure, Floats, Line, Mark, Panel, Scatter, floats
from kvtui.figures.polyline import thin

MOST_POINTS = 20_000
MOST_SERIES = 64
MOST_CELLS = 2**21
_BINS = MOST_POINTS // 4
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "–"}


def heading(text: str, shown: str) -> list[str]:
    """The names of the columns of a CSV ``text``, whose cells commas, semicolons or tabs may separate.

    Columns without a heading are numbered. Raises InputError, which names the file as ``shown``, where there are none.
    """
    heads, rows = _read(text, shown)
    if next(rows, None) is None:
        raise InputError(f"{shown}: has a heading and no rows")
    return heads


def split(text: str, shown: str) -> tuple[list[str], list[list[str]]]:
    """The heading and the other lines of a CSV ``text``. Raises as ``heading`` does, and for more than MOST_CELLS."""
    heads, rows = _read(text, shown)
    found, cells = [], 0
    for row in rows:
        cells += len(row)
        if cells > MOST_CELLS:
            raise InputError(f"{shown}: has more than {MOST_CELLS:,} cells")
        found.append(row)
    return heads, found


def _read(text: str, shown: str) -> tuple[list[str], Iterator[list[str]]]:
    rows = _lines(text, shown)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{shown}: empty")
    if all(number(cell) is not None for cell in first if cell):
        return [f"column {i}" for i in range(1, len(first) + 1)], chain([first], rows)
    return [plain(head.strip()) for head in first], rows


def _lines(text: str, shown: str) -> Iterator[list[str]]:
    """The rows of ``text`` that are not empty, one after the other: all together take forty times its size."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    lines = (found[0] for found in re.finditer(r"[^\n]*\n|[^\n]+", text))
    try:
        yield from (row for row in csv.reader(lines, delimiter=delimiter) if any(row))
    except csv.Error as error:
        raise InputError(f"{shown}: not a CSV file: {plain(str(error))}") from None


def number(text: str) -> float | None:
    """``text`` as a number; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def from_table(text: str, path: Path) -> Figure:
    """The figure of the CSV ``text`` of the file ``path``. Raises InputError without two columns of numbers."""
    shown, notes = plain(str(path)), []
    heads, rows = _read(text, shown)
    columns, length = _numeric(heads, rows)
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
            marks.append(Line(name, *_thinned(x, y), points=length <= MOST_SERIES))
        else:
            marks.append(Scatter(name, x, y))
    if rising and length > MOST_POINTS:
        notes.append(f"{length:,} rows are drawn as the first, least, largest and last of each of {_BINS:,} bins of x")
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


def _numeric(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[dict[str, Floats], int]:
    """Columns that hold numbers or nothing, at least one number, under names that differ; and how many ``rows`` are.

    A cell that is empty, or says that a value is missing, is NaN; anything else makes the column one of text.
    """
    columns: list[array[float] | None] = [array("d") for _ in heads]
    length = 0
    for row in rows:
        length += 1
        for i, column in enumerate(columns):
            if column is None:
                continue
            try:
                column.append(float(row[i]))
            except IndexError:
                column.append(nan)
            except ValueError:
                if row[i].strip().casefold() in _MISSING:
                    column.append(nan)
                else:
                    columns[i] = None
    names: Counter[str] = Counter()
    found = {}
    for head, column in zip(heads, columns, strict=True):
        names[head] += 1
        values = None if column is None else floats(np.frombuffer(column))
        if values is not None and np.isfinite(values).any():
            found[head if names[head] == 1 else f"{head} ({names[head]})"] = values
    return found, length
