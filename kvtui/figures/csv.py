"""A figure as CSV in long form, one line for each value, for other programs; and the figure of such a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import (
    MARK_NAMES,
    Axis,
    AxisName,
    Bars,
    Cloud,
    Figure,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Panel,
    Scatter,
    Surface,
    floats,
)
from kvtui.figures.tables import number

COLUMNS = ("panel", "mark", "series", "category", "x", "y", "z", "low", "high", "size")


def to_csv(figure: Figure) -> str:
    """``figure`` as CSV: one line for each value, with the axes and their units in the heading.

    Histograms give their samples as x, bars their categories; what a mark does not have is empty, NaN too.
    """
    from kvtui.output.csv import csv_text

    names = _panel_names(figure)
    rows = (row for panel, name in zip(figure.panels, names, strict=True) for row in _panel_rows(panel, name))
    return csv_text([_heading(figure), *rows])


def is_figure(heads: Sequence[str]) -> bool:
    """Whether a table with the heading ``heads`` is one that ``to_csv`` wrote."""
    return tuple(head.partition(":")[0] for head in heads) == COLUMNS


def from_csv(heads: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> Figure:
    """The figure of the table in the file ``path`` that ``to_csv`` wrote. Raises InputError for a line that it did not.

    Axes have the titles of the heading and linear scales: JSON keeps them whole.
    """
    shown = plain(str(path))
    titles = {name: head.partition(": ")[2] for name, head in zip(COLUMNS, heads, strict=True)}
    panels: dict[str, dict[tuple[str, str], list[Sequence[str]]]] = {}
    for at, row in enumerate(rows, 2):
        if len(row) != len(COLUMNS):
            raise InputError(f"{shown}: line {at} has {len(row)} cells, expected {len(COLUMNS)}")
        title, mark, series = map(plain, row[:3])
        panels.setdefault(title, {}).setdefault((mark, series), []).append(row)
    return Figure(
        plain(path.stem) or "table",
        plain(path.name),
        "",
        tuple(_read_panel(title, groups, titles, shown) for title, groups in panels.items()),
        ("From a CSV file: scales are linear, and reference lines are not kept.",),
    )


def _panel_names(figure: Figure) -> list[str]:
    """The panels' titles, with their numbers where they do not tell the panels apart."""
    titles = [plain(panel.title) for panel in figure.panels]
    if len(set(titles)) == len(titles):
        return titles
    return [f"{number} {title}".rstrip() for number, title in enumerate(titles, 1)]


def _heading(figure: Figure) -> list[str]:
    names = []
    for column in COLUMNS:
        axes = [getattr(panel, column, None) for panel in figure.panels] if column in get_args(AxisName) else []
        titles = dict.fromkeys(_titled(axis) for axis in axes if axis is not None)
        names.append(f"{column}: {' / '.join(titles)}" if titles else column)
    return names


def _titled(axis: Axis) -> str:
    unit = axis.unit or (axis.ticks if axis.ticks != "number" else "")
    return plain(f"{axis.label} ({unit})" if unit else axis.label)


def _panel_rows(panel: Panel, name: str) -> Iterator[list[Any]]:
    for mark in panel.marks:
        start = [name, MARK_NAMES[type(mark)], plain(mark.name)]
        for category, *values in _mark_rows(panel, mark):
            yield [*start, category, *(value if value is not None and isfinite(value) else None for value in values)]


def _mark_rows(panel: Panel, mark: Mark) -> Iterator[tuple[Any, ...]]:
    """Category, x, y, z, low, high and size of every value of ``mark``."""
    none: list[None] = []
    match mark:
        case Line():
            low, high = (none if ends is None else ends.tolist() for ends in (mark.low, mark.high))
            yield from _aligned(none, mark.x.tolist(), mark.y.tolist(), none, low, high, none)
        case Bars():
            low, high = (none if ends is None else ends.tolist() for ends in (mark.low, mark.high))
            names = [plain(name) for name in panel.categories]
            yield from _aligned(names, none, mark.values.tolist(), none, low, high, none)
        case Scatter():
            sizes = none if mark.sizes is None else mark.sizes.tolist()
            labels = [plain(label) for label in mark.labels]
            yield from _aligned(labels, mark.x.tolist(), mark.y.tolist(), none, none, none, sizes)
        case Histogram():
            yield from _aligned(none, mark.samples.tolist(), none, none, none, none, none)
        case HeatMap() | Surface():
            x, y = np.meshgrid(mark.x, mark.y)
            yield from _aligned(none, *(grid.ravel().tolist() for grid in (x, y, mark.z)), none, none, none)
        case Cloud():
            sizes = none if mark.sizes is None else mark.sizes.tolist()
            yield from _aligned(none, mark.x.tolist(), mark.y.tolist(), mark.z.tolist(), none, none, sizes)


def _aligned(*columns: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for i in range(max(map(len, columns))):
        yield tuple(column[i] if i < len(column) else None for column in columns)


def _read_panel(
    title: str, groups: Mapping[tuple[str, str], list[Sequence[str]]], titles: Mapping[str, str], shown: str
) -> Panel:
    marks = [_read_mark(kind, name, rows, shown) for (kind, name), rows in groups.items()]
    spatial = any(isinstance(mark, HeatMap | Surface | Cloud) for mark in marks)
    bars = [rows for (kind, _), rows in groups.items() if kind == "bars"]
    categories = tuple(plain(row[3]) for row in bars[0]) if bars else ()
    z = Axis(titles["z"] or "z") if spatial else None
    return Panel(title, Axis(titles["x"]), Axis(titles["y"]), tuple(marks), z=z, categories=categories)


def _read_mark(kind: str, name: str, rows: Sequence[Sequence[str]], shown: str) -> Mark:
    columns = {head: floats([number(row[i]) for row in rows]) for i, head in enumerate(COLUMNS) if i > 3}
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
            return HeatMap(name, across, up, grid) if kind == "heat_map" else Surface(name, across, up, grid)
    raise InputError(f"{shown}: '{plain(kind)}' is not a mark of a figure")
