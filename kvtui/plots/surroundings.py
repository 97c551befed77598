"""What stands around the data: title, legend, axes with their ticks and units, reference lines and the colour bar.

``layout`` decides where everything goes, ``draw`` writes it into cells. Legends stand above the plot area, never over
the data. Whoever paints the data fills exactly ``Frame.plot``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from kvtui.canvas.cells import SPACE, Cells, InkRow, Span, fit
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.figures.figure import Axis, Bars, Floats, HeatMap, Histogram, Line, Panel, Rule, Scatter, floats
from kvtui.plots.cells import ramp, shade, tile_ends
from kvtui.plots.density import distribution
from kvtui.plots.legend import clean, entries, wrapped
from kvtui.plots.shapes import PlotArea, bar_places
from kvtui.plots.style import Style
from kvtui.plots.ticks import AxisSpan, Tick, short_text, span, ticks

LEAST_WIDTH, LEAST_HEIGHT, MOST_TITLE = 24, 9, 60
_AROUND_ROWS = 4
_MOST_GUTTER = 0.4
_MOST_LEGEND = 3
_BAR_CELLS = 2
_LEVEL, _UPRIGHT = "┄", "┊"
EMPTY = (SPACE, ord(_LEVEL), ord(_UPRIGHT))
"""What a cell of the plot area holds where there are no data."""


class Label(NamedTuple):
    """A text that begins at column ``x`` of row ``y``."""

    x: int
    y: int
    text: str
    ink: int = Ink.TEXT

    @property
    def right(self) -> int:
        """The first column after it."""
        return self.x + len(self.text)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where the parts of a panel are in the picture, and what its axes show.

    ``columns`` and ``rows`` are the cells of the ticks on the lower and the left edge, ``across`` and ``up`` their
    exact places from 0 to 1. ``labels`` are all texts but the legend, those of the lower and then of the left ticks
    first, and ``rules`` each rule with its column or row. Where bars are horizontal, the lower edge shows the panel's y
    axis. ``panel`` has only those categories that found room; ``notes`` say what could not be shown.
    """

    panel: Panel
    rect: Rect
    plot: Rect
    place: PlotArea
    z: AxisSpan | None
    legend: tuple[tuple[int, InkRow], ...]
    columns: tuple[int, ...]
    rows: tuple[int, ...]
    labels: tuple[Label, ...]
    rules: tuple[tuple[Rule, int], ...]
    notes: tuple[str, ...]
    across: tuple[float, ...] = ()
    up: tuple[float, ...] = ()

    def column(self, unit: float) -> int:
        """The column of the picture at ``unit`` of the plot area's width."""
        return self.plot.x + min(max(floor(unit * self.plot.width), 0), self.plot.width - 1)

    def row(self, unit: float) -> int:
        """The row of the picture at ``unit`` of the plot area's height, from below."""
        return _row(self.plot.y, self.plot.height, unit)

    def unit(self, column: int, row: int) -> tuple[float, float]:
        """Where the middle of a cell is in the plot area, from 0 to 1: to the right, and up."""
        plot = self.plot
        return (column - plot.x + 0.5) / plot.width, 1 - (row - plot.y + 0.5) / plot.height


def layout(panel: Panel, rect: Rect, styles: Mapping[str, Style], title: str = "", legend: bool = True) -> Frame:
    """The frame of a two-dimensional ``panel`` in ``rect``; without ``legend`` the series are named elsewhere."""
    x, y, z, notes = spans(panel)
    inside, outside = _sides(panel, {"x": x, "y": y} | ({} if z is None else {"z": z}))
    notes += [f"beyond the axis: {clean(rule.label)}" for rule in outside]
    horizontal = lies(panel, rect.width)
    upright = [rule for rule in inside if (rule.axis == "x") != horizontal and rule.axis != "z"]
    level = [rule for rule in inside if (rule.axis == "y") != horizontal and rule.axis != "z"]
    gutter = max((len(clean(rule.label)) + 1 for rule in level), default=0)
    beside = gutter <= rect.width // 4 and z is None
    contours = {value: "" for mark in panel.marks if isinstance(mark, HeatMap) for value in mark.contours}
    contours |= {rule.value: rule.label for rule in inside if rule.axis == "z"}
    listed = list(entries(panel, styles)) if legend else []
    listed += [_contour_entry(panel, value, name) for value, name in contours.items()]
    listed += [(Span(2 * _LEVEL + " ", Ink.WARN), Span(clean(rule.label))) for rule in ([] if beside else level)]
    above = int(bool(upright))
    room = rect.height - int(bool(title)) - above - _AROUND_ROWS
    rows = wrapped(listed, rect.width, max(1, min(room // _MOST_LEGEND, room - _AROUND_ROWS)))
    height = max(1, room - len(rows))
    top = rect.y + rect.height - 3 - height
    shown = _fitting(panel, height if horizontal else rect.width)
    if shown is not panel:
        notes.append(f"{len(shown.categories)} of {len(panel.categories)} categories have room")
    panel = shown
    if horizontal and panel.categories:
        height -= height % len(panel.categories)
    bar = ticks(z, max(2, height // 2)) if z is not None else ()
    right = gutter if beside else 0
    right = max(right, _BAR_CELLS + 2 + max((len(tick.label) for tick in bar), default=0)) if bar else right
    if horizontal:
        left_labels = [clean(name) for name in panel.categories]
        left_rows = [top + row for row in _category_cells(panel, height)]
        up = [1 - (row - top + 0.5) / height for row in left_rows]
    else:
        if any(isinstance(mark, Bars) for mark in panel.marks):
            y = _with_room_for_values(panel, PlotArea(x, y, 1, height)).y
        found = ticks(y, _most_rows(height))
        left_labels = [tick.label for tick in found]
        up = y.unit(floats([tick.value for tick in found])).tolist()
        left_rows = [_row(top, height, unit) for unit in up]
    left = min(max(map(len, left_labels), default=0), int(rect.width * _MOST_GUTTER))
    width = max(1, rect.width - left - 2 - right)
    place = PlotArea(x, y, width, height, horizontal)
    if horizontal:
        place = _with_room_for_values(panel, place)
    plot = Rect(rect.x + left + 2, top, width, height)
    frame = Frame(panel, rect, plot, place, z, (), (), (), (), (), ())
    lower, across = _lower_ticks(frame)
    labels = [label for _, label in lower]
    labels += [
        Label(rect.x + left - min(left, len(text)), row, fit(text, min(left, len(text))))
        for row, text in zip(left_rows, left_labels, strict=True)
    ]
    labels += _titles(frame, title)
    labels += _bar_labels(frame, bar)
    placed = tuple((rule, _cell(frame, rule)) for rule in (*upright, *level))
    rule_labels, unplaced = _rule_labels(frame, placed[: len(upright)], placed[len(upright) :] if beside else ())
    notes += [f"{_UPRIGHT if _is_upright(frame, rule) else _LEVEL} {clean(rule.label)}" for rule in unplaced]
    return replace(
        frame,
        legend=tuple((rect.y + int(bool(title)) + i, row) for i, row in enumerate(rows)),
        columns=tuple(column for column, _ in lower),
        rows=tuple(left_rows),
        labels=(*labels, *rule_labels),
        rules=placed,
        notes=tuple(notes),
        across=tuple(across),
        up=tuple(up),
    )


def draw_rules(cells: Cells, frame: Frame) -> None:
    """Write the reference lines where cells are still empty, so that data stay in front."""
    plot = frame.plot
    for rule, at in frame.rules:
        if _is_upright(frame, rule):
            _where_empty(cells, slice(plot.y, plot.y + plot.height), slice(at, at + 1), _UPRIGHT)
        else:
            _where_empty(cells, slice(at, at + 1), slice(plot.x, plot.right), _LEVEL)


def draw(cells: Cells, frame: Frame, shaded: bool = False) -> None:
    """Write everything around the plot area."""
    plot = frame.plot
    bottom = plot.y + plot.height
    for y in range(plot.y, bottom):
        cells.put(plot.x - 1, y, "┤" if y in frame.rows else "│", Ink.FAINT)
    cells.put(plot.x - 1, bottom, "└" + "─" * plot.width, Ink.FAINT)
    for column in frame.columns:
        cells.put(column, bottom, "┬", Ink.FAINT)
    for row_y, row in frame.legend:
        cells.put_row(frame.rect.x, row_y, row)
    for label in frame.labels:
        cells.put(label.x, label.y, label.text, label.ink)
    if frame.z is not None:
        _draw_bar(cells, plot, shaded)


def spans(panel: Panel) -> tuple[AxisSpan, AxisSpan, AxisSpan | None, list[str]]:
    """The spans of the axes, and notes on values that have no place on them."""
    xs, ys, zs = _values(panel)
    bars = any(isinstance(mark, Bars | Histogram) for mark in panel.marks)
    heat = any(isinstance(mark, HeatMap) for mark in panel.marks)
    scatter = any(isinstance(mark, Scatter) for mark in panel.marks)
    rules = {axis: [rule for rule in panel.rules if rule.axis == axis] for axis in ("x", "y", "z")}
    if panel.categories:
        x = AxisSpan(replace(panel.x, scale="linear", ticks="number"), -0.5, len(panel.categories) - 0.5)
    else:
        x = span(panel.x, xs, rules=rules["x"], pad=scatter and not heat)
    y = span(panel.y, ys, rules=rules["y"], zero=bars, pad=not heat)
    z = None
    if heat:
        x, y = _whole_tiles(x, xs), _whole_tiles(y, ys)
        z = span(panel.z or Axis(""), zs, rules=rules["z"])
    notes = []
    for axis, arrays in ((panel.x, xs), (panel.y, ys), *(((panel.z, zs),) if panel.z else ())):
        lost = sum(int(np.count_nonzero(array <= 0)) for array in arrays) if axis.scale != "linear" else 0
        if lost:
            values = "1 value is" if lost == 1 else f"{lost:,} values are"
            notes.append(f"{clean(axis.label)}: {values} not above 0 and not on a logarithmic axis")
    return x, y, z, notes


def _values(panel: Panel) -> tuple[list[Floats], list[Floats], list[Floats]]:
    """All values along x, y and z."""
    xs: list[Floats] = []
    ys: list[Floats] = []
    zs: list[Floats] = []
    for mark in panel.marks:
        match mark:
            case Line():
                xs.append(mark.x)
                ys += [mark.y, *_near(mark.y, mark.low, mark.high)]
            case Scatter():
                xs.append(mark.x)
                ys.append(mark.y)
            case Bars():
                ys += [panel.ends(mark)[1], *_near(mark.values, mark.low, mark.high)]
            case Histogram():
                shown = distribution(mark)
                xs += [shown.edges, shown.at]
                ys += [density[density > 0] for density in (shown.density, shown.smooth)]
            case HeatMap():
                xs.append(mark.x)
                ys.append(mark.y)
                zs.append(mark.z)
    return xs, ys, zs


def _near(middles: Floats, *ends: Floats | None) -> Iterator[Floats]:
    """The ``ends`` of spans around ``middles``, no farther from all of these than they are from zero by half.

    One slow sample in a hundred would else leave a plot with its medians in a corner.
    """
    known = np.abs(middles[np.isfinite(middles)])
    if not known.size:
        return
    least, most = known.min() / _BEYOND, np.minimum(known.max(), _LARGEST) * _BEYOND
    for one in ends:
        if one is not None:
            yield np.sign(one) * np.clip(np.abs(one), least, most)


def _whole_tiles(found: AxisSpan, arrays: Sequence[Floats]) -> AxisSpan:
    """``found`` widened to the outer edges of the tiles around the values, unless the axis has ends of its own."""
    units = np.unique(found.unit(np.concatenate(arrays)))
    units = units[np.isfinite(units)]
    if units.size < 2:
        return found
    first, last = tile_ends(units)
    return AxisSpan(
        found.axis,
        found.value(first) if found.axis.low is None else found.low,
        found.value(last) if found.axis.high is None else found.high,
    )


STACKED_ROWS = 3
_BEYOND = 1.5
_LARGEST = np.finfo(np.float64).max / 2


def least_width(panel: Panel) -> int:
    """Cells that ``panel`` needs for its titles, and for the names of lying bars, to be whole; at most MOST_TITLE."""
    above = len(panel.y.title) + 1 + (len(panel.z.title) if panel.z is not None else 0)
    names = max(map(len, panel.categories), default=0) / _MOST_GUTTER if lies(panel, MOST_TITLE) else 0
    return min(MOST_TITLE, max(LEAST_WIDTH, len(panel.title), above, len(panel.x.title), ceil(names)))


def lies(panel: Panel, width: int) -> bool:
    """Whether the bars of ``panel`` lie in ``width`` cells.

    They do when their categories' names would not fit below them, or they would have no width.
    """
    bars = [mark for mark in panel.marks if isinstance(mark, Bars)]
    if not bars or len(bars) < len(panel.marks) or not panel.categories:
        return False
    if panel.stacked:
        return True
    room = width - 12
    _, thickness = bar_places(len(panel.categories), len(bars), 0, room)
    return max(map(len, panel.categories)) + 1 > room // len(panel.categories) or not thickness[0]


def bar_rows(panel: Panel, width: int) -> int:
    """Rows that lying bars fill, one for each series of each category; 0 where the bars of ``panel`` do not lie."""
    each = STACKED_ROWS if panel.stacked else len(panel.marks)
    return len(panel.categories) * each if lies(panel, width) else 0


def _fitting(panel: Panel, length: int) -> Panel:
    """``panel`` with as many of its first categories as have room for a bar of each series."""
    bars = panel.bar_series
    most = max(1, length // max(1, bars))
    if not bars or len(panel.categories) <= most or any(not isinstance(mark, Bars) for mark in panel.marks):
        return panel
    marks = tuple(
        replace(mark, values=mark.values[:most], low=_first(mark.low, most), high=_first(mark.high, most))
        for mark in panel.marks
        if isinstance(mark, Bars)
    )
    return replace(panel, marks=marks, categories=panel.categories[:most])


def _first(values: Floats | None, most: int) -> Floats | None:
    return None if values is None else values[:most]


def _with_room_for_values(panel: Panel, place: PlotArea) -> PlotArea:
    """``place`` with its y axis stretched so that the values can stand at the ends of the bars."""
    if panel.y.high is not None or panel.stacked:
        return place
    texts = [
        short_text(panel.y, float(value)) for mark in panel.marks if isinstance(mark, Bars) for value in mark.values
    ]
    taken = max(map(len, texts), default=0) + 1 if place.horizontal else 1
    length = place.width if place.horizontal else place.height
    if taken > length // 2:
        return place
    high = place.y.value(length / (length - taken))
    return place._replace(y=place.y._replace(high=high)) if np.isfinite(high) else place


def _most_rows(height: int) -> int:
    return max(2, height // 3 + 1)


def _lower_ticks(frame: Frame) -> tuple[list[tuple[int, Label]], list[float]]:
    """Columns and labels of the lower edge's ticks, as many as stand apart, all whole; and their exact places."""
    panel, plot, place = frame.panel, frame.plot, frame.place
    y = plot.y + plot.height + 1
    if panel.categories and not place.horizontal:
        cells = _category_cells(panel, plot.width)
        named = _apart(
            _centered(clean(name), plot.x + cell, y, frame.rect)
            for name, cell in zip(panel.categories, cells, strict=True)
        )
        return named, [(column - plot.x + 0.5) / plot.width for column, _ in named]
    axis = place.y if place.horizontal else place.x
    for most in range(max(2, plot.width // 5), 0, -1):
        found = ticks(axis, most)
        units = axis.unit(floats([tick.value for tick in found]))
        labels = [
            _centered(tick.label, frame.column(float(unit)), y, frame.rect)
            for tick, unit in zip(found, units, strict=True)
        ]
        if len(_apart(labels)) == len(labels):
            return labels, units.tolist()
    return [], []


def _category_cells(panel: Panel, length: int) -> list[int]:
    """The middle cell of each category among ``length`` cells: of its bars, where it has some."""
    bars = panel.bar_series
    starts, thickness = bar_places(len(panel.categories), max(1, bars), 0, length)
    middles = starts + (thickness * max(1, bars) - 1) // 2
    return [min(max(0, int(middle)), length - 1) for middle in middles]


def _row(top: int, height: int, unit: float) -> int:
    return top + height - 1 - min(max(floor(unit * height), 0), height - 1)


def _centered(text: str, column: int, y: int, rect: Rect) -> tuple[int, Label]:
    text = fit(text, min(len(text), rect.width))
    return column, Label(min(max(rect.x, column - (len(text) - 1) // 2), rect.right - len(text)), y, text)


def _apart(labels: Iterable[tuple[int, Label]]) -> list[tuple[int, Label]]:
    """Those of ``labels``, from the left, that leave a space of two cells to the one before."""
    kept: list[tuple[int, Label]] = []
    for column, label in labels:
        if not kept or label.x >= kept[-1][1].right + 2:
            kept.append((column, label))
    return kept


def _titles(frame: Frame, title: str) -> list[Label]:
    """The panel's title, and the axes' titles: the left axis's above it, the lower axis's below."""
    rect, plot, panel = frame.rect, frame.plot, frame.panel
    left, lower = (panel.x, panel.y) if frame.place.horizontal else (panel.y, panel.x)
    above = plot.y - 1 - int(any(_is_upright(frame, rule) for rule in panel.rules if _unit(frame, rule) is not None))
    labels = []
    if title:
        labels.append(Label(rect.x, rect.y, fit(clean(title), rect.width).rstrip(), Ink.BRIGHT))
    text = clean(frame.z.axis.title) if frame.z is not None else ""
    right = Label(
        rect.right - min(len(text), rect.width // 2), above, fit(text, min(len(text), rect.width // 2)), Ink.DIM
    )
    labels.append(right)
    labels.append(Label(rect.x, above, fit(clean(left.title), rect.width - len(right.text) - 1).rstrip(), Ink.DIM))
    text = fit(clean(lower.title), min(len(clean(lower.title)), rect.width))
    x = min(max(rect.x, plot.x + (plot.width - len(text)) // 2), rect.right - len(text))
    labels.append(Label(x, plot.y + plot.height + 2, text, Ink.DIM))
    return labels


def _sides(panel: Panel, spans: Mapping[str, AxisSpan]) -> tuple[list[Rule], list[Rule]]:
    """Rules within the spans, and those without."""
    inside: list[Rule] = []
    outside: list[Rule] = []
    for rule in panel.rules:
        units = spans[rule.axis].unit(np.array([rule.value])) if rule.axis in spans else np.array([np.nan])
        (inside if 0 <= units[0] <= 1 else outside).append(rule)
    return inside, outside


def _unit(frame: Frame, rule: Rule) -> float | None:
    axis = {"x": frame.place.x, "y": frame.place.y}.get(rule.axis)
    unit = float(axis.unit(np.array([rule.value]))[0]) if axis is not None else np.nan
    return unit if 0 <= unit <= 1 else None


def _cell(frame: Frame, rule: Rule) -> int:
    unit = _unit(frame, rule) or 0.0
    return frame.column(unit) if _is_upright(frame, rule) else frame.row(unit)


def _is_upright(frame: Frame, rule: Rule) -> bool:
    return rule.axis != "z" and (rule.axis == "x") != frame.place.horizontal


def _rule_labels(
    frame: Frame, upright: Sequence[tuple[Rule, int]], level: Sequence[tuple[Rule, int]]
) -> tuple[list[Label], list[Rule]]:
    """Labels above the plot area for upright rules and beside it for level ones, and the rules without room."""
    plot = frame.plot
    over = [
        (rule, _centered(clean(rule.label), column, plot.y - 1, frame.rect))
        for rule, column in sorted(upright, key=lambda pair: pair[1])
    ]
    kept = _apart(label for _, label in over)
    labels = [label._replace(ink=Ink.WARN) for _, label in kept]
    unplaced = [rule for rule, label in over if label not in kept]
    ranked = sorted(level, key=lambda pair: pair[1])
    unplaced += [rule for rule, _ in ranked[plot.height :]]
    rows: list[int] = []
    for _, row in ranked[: plot.height]:
        rows.append(max(row, rows[-1] + 1 if rows else plot.y))
    for i in range(len(rows)):
        rows[i] = min(rows[i], plot.y + plot.height - len(rows) + i)
    labels += [
        Label(plot.right + 1, row, clean(rule.label), Ink.WARN)
        for (rule, _), row in zip(ranked[: plot.height], rows, strict=True)
    ]
    return labels, unplaced


def _contour_entry(panel: Panel, value: float, name: str) -> InkRow:
    axis = panel.z or Axis("")
    text = short_text(axis, value) if axis.ticks == "bytes" else f"{short_text(axis, value)} {axis.unit}".rstrip()
    return Span("⠒⠒ ", Ink.PULSE), Span(clean(name) or text)


def _bar_labels(frame: Frame, bar: Sequence[Tick]) -> list[Label]:
    if frame.z is None:
        return []
    units = frame.z.unit(floats([tick.value for tick in bar]))
    x = frame.plot.right + _BAR_CELLS + 2
    return [Label(x, frame.row(float(unit)), tick.label) for tick, unit in zip(bar, units, strict=True)]


def _draw_bar(cells: Cells, plot: Rect, shaded: bool) -> None:
    """The colours of the values beside the plot area, least below."""
    height = plot.height
    units = 1 - (np.arange(2 * height) + 0.5) / (2 * height)
    rows, columns = slice(plot.y, plot.y + height), slice(plot.right + 1, plot.right + 1 + _BAR_CELLS)
    if columns.stop > cells.width:
        return
    if shaded:
        cells.glyph[rows, columns] = shade(units[0::2])[:, None]
    else:
        cells.glyph[rows, columns] = ord("▀")
        cells.under[rows, columns] = ramp(units[1::2])[:, None]
    cells.ink[rows, columns] = ramp(units[0::2])[:, None]


def _where_empty(cells: Cells, rows: slice, columns: slice, glyph: str) -> None:
    glyphs, inks = cells.glyph[rows, columns], cells.ink[rows, columns]
    empty = (glyphs == SPACE) & (cells.under[rows, columns] == Ink.NONE)
    glyphs[empty] = ord(glyph)
    inks[empty] = Ink.WARN
