"""Figures from files: an exported figure, a benchmark's results, or any table of numbers.

A table becomes a plain figure: its first column of numbers is x and the others are lines over it. What had to be left
out or thinned stands in the figure's notes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import (
    Axis,
    Bars,
    Cloud,
    Figure,
    Floats,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Panel,
    Scatter,
    floats,
)
from kvtui.figures.figure import Surface as SurfaceMark
from kvtui.figures.files import CSV_COLUMNS, from_json
from kvtui.plots.shapes import thin

MOST_BYTES = 2**28
MOST_POINTS = 20_000
MOST_SERIES = 64
_BINS = MOST_POINTS // 4
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "–"}


def read(path: Path) -> dict[str, Figure]:
    """The figures that ``path`` has, by id.

    It is a figure's JSON or CSV, a results folder or its CSV, the table of a trained-checkpoint benchmark, or any CSV
    with numbers. Raises InputError when it cannot be read, or there is nothing in it to draw.
    """
    try:
        return _read(path)
    except OSError as error:
        raise InputError(f"{plain(str(path))}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{plain(str(path))}: {plain(str(error))}") from None


def _read(path: Path) -> dict[str, Figure]:
    shown = plain(str(path))
    if path.is_dir():
        return _results(path)
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{shown}: larger than {MOST_BYTES // 2**20} MiB")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{shown}: not a text file") from None
    if path.suffix.casefold() == ".json" or text.lstrip()[:1] == "{":
        figure = from_json(text, shown)
        return {figure.id: figure}
    heads, rows = _table(text, shown)
    if _is_sweep(heads):
        return _results(path)
    makers = _trained(heads)
    if makers:
        values = [{head: _value(cell) for head, cell in zip(heads, row, strict=False)} for row in rows]
        return {name: make(values) for name, make in makers.items()}
    figure = _exported(heads, rows, path) if _is_export(heads) else _plain_figure(heads, rows, path)
    return {figure.id: figure}


def _results(path: Path) -> dict[str, Figure]:
    """The figures of a benchmark's run, or of the newest sweep and the newest decode comparison in a folder of runs."""
    from kvtui.bench import store
    from kvtui.figures import decode, sweep

    figures: dict[str, Figure] = {}
    for run in map(store.read, store.newest_of_each_kind(path)):
        if not run.rows:
            continue
        if run.about.get("what") == "decode":
            figures["decode"] = decode.panels(decode.results_of(run.rows, run.measured))
        else:
            figures |= {name: make(run.rows) for name, make in sweep.FIGURES.items()}
    if not figures:
        raise InputError(f"{plain(str(path))}: no measured rows yet")
    return figures


def _is_sweep(heads: Sequence[str]) -> bool:
    from kvtui.cases.columns import REFERENCE_COLUMNS

    return set(heads) >= set(REFERENCE_COLUMNS) - {"attn_variant"}


def _trained(heads: Sequence[str]) -> Mapping[str, Callable[[Sequence[Mapping[str, Any]]], Figure]]:
    """The figures of a trained-checkpoint benchmark's tables, by the columns that only they have."""
    from kvtui.figures import quality

    if {"val_loss", "theoretical_cache_mb"} <= set(heads):
        return quality.TRAINED
    return quality.BATCHES if {"batch_size", "tps", "theoretical_cache_mb"} <= set(heads) else {}


def _value(text: str) -> Any:
    """A cell as a truth value, a number or text; None for an empty one."""
    if text.casefold() in {"true", "false"}:
        return text.casefold() == "true"
    number = _number(text)
    return number if number is not None else plain(text) or None


def _table(text: str, shown: str) -> tuple[list[str], list[list[str]]]:
    """The heading and the other lines of a CSV text, which may be separated by commas, semicolons or tabs."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if any(line)]
    except csv.Error as error:
        raise InputError(f"{shown}: not a CSV file: {plain(str(error))}") from None
    if not lines:
        raise InputError(f"{shown}: empty")
    if all(_number(cell) is not None for cell in lines[0] if cell):
        lines.insert(0, [f"column {i}" for i in range(1, len(lines[0]) + 1)])
    if len(lines) == 1:
        raise InputError(f"{shown}: has a heading and no rows")
    return [plain(head.strip()) for head in lines[0]], lines[1:]


def _plain_figure(heads: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> Figure:
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
        values = [_number(cell) for cell in cells]
    missing = {cell.strip().casefold() for value, cell in zip(values, cells, strict=True) if value is None}
    return floats(values) if missing <= _MISSING else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_export(heads: Sequence[str]) -> bool:
    return tuple(head.partition(":")[0] for head in heads) == CSV_COLUMNS


def _exported(heads: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> Figure:
    """The figure of an exported CSV. Axes have the titles of the heading and linear scales: JSON keeps them whole."""
    shown = plain(str(path))
    titles = {name: head.partition(": ")[2] for name, head in zip(CSV_COLUMNS, heads, strict=True)}
    panels: dict[str, dict[tuple[str, str], list[Sequence[str]]]] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(CSV_COLUMNS):
            raise InputError(f"{shown}: line {number} has {len(row)} cells, expected {len(CSV_COLUMNS)}")
        title, mark, series = map(plain, row[:3])
        panels.setdefault(title, {}).setdefault((mark, series), []).append(row)
    return Figure(
        plain(path.stem) or "table",
        plain(path.name),
        "",
        tuple(_panel(title, groups, titles, shown) for title, groups in panels.items()),
        ("From a CSV file: scales are linear, and reference lines are not kept.",),
    )


def _panel(
    title: str, groups: Mapping[tuple[str, str], list[Sequence[str]]], titles: Mapping[str, str], shown: str
) -> Panel:
    marks = [_mark(kind, name, rows, shown) for (kind, name), rows in groups.items()]
    spatial = any(isinstance(mark, HeatMap | SurfaceMark | Cloud) for mark in marks)
    bars = [rows for (kind, _), rows in groups.items() if kind == "bars"]
    categories = tuple(plain(row[3]) for row in bars[0]) if bars else ()
    z = Axis(titles["z"] or "z") if spatial else None
    return Panel(title, Axis(titles["x"]), Axis(titles["y"]), tuple(marks), z=z, categories=categories)


def _mark(kind: str, name: str, rows: Sequence[Sequence[str]], shown: str) -> Mark:
    columns = {head: floats([_number(row[i]) for row in rows]) for i, head in enumerate(CSV_COLUMNS) if i > 3}
    x, y, z = columns["x"], columns["y"], columns["z"]
    low, high, sizes = (None if np.isnan(columns[head]).all() else columns[head] for head in ("low", "high", "size"))
    match kind:
        case "line":
            return Line(name, x, y, low, high)
        case "bars":
            return Bars(name, y, low, high)
        case "scatter":
            labels = tuple(plain(row[3]) for row in rows)
            return Scatter(name, x, y, sizes, labels if any(labels) else ())
        case "histogram":
            return Histogram(name, x)
        case "cloud":
            return Cloud(name, x, y, z, sizes)
        case "heat_map" | "surface":
            across, columns_at = np.unique(x, return_inverse=True)
            up, rows_at = np.unique(y, return_inverse=True)
            grid = np.full((up.size, across.size), np.nan)
            grid[rows_at, columns_at] = z
            return HeatMap(name, across, up, grid) if kind == "heat_map" else SurfaceMark(name, across, up, grid)
    raise InputError(f"{shown}: '{plain(kind)}' is not a mark of a figure")
