"""A panel as geometry: its marks as strokes, bands, boxes and points in a square from 0 to 1, whoever paints them.

``u`` goes right and ``v`` goes up; 0 to 1 is the plot area. Everything is cut to the area, and long data are thinned to
what its dots can show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from kvtui.canvas.palette import Ink
from kvtui.figures.figure import (
    Bars,
    Cloud,
    Dash,
    Floats,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Panel,
    Scatter,
    Surface,
)
from kvtui.figures.polyline import thin
from kvtui.plots.density import distribution
from kvtui.plots.style import Style
from kvtui.plots.ticks import AxisSpan, short_text

Side = Literal["right", "left", "above", "below", "above left", "below left", "far above left", "far below left"]

DOTS_ACROSS, DOTS_DOWN = 2, 4
_DASHES: dict[Dash, tuple[float, float]] = {"dashed": (7, 5), "dotted": (1.5, 3.5)}
_POINTS_PER_LINE = 5
LARGEST_RADIUS = 5.0


class Stroke(NamedTuple):
    """Straight pieces, one row of ``u0, v0, u1, v1`` each; a piece without length is a dot."""

    pieces: Floats
    ink: int


class Wash(NamedTuple):
    """What lies between ``low`` and ``high``, for each column of cells; NaN where there is none."""

    low: Floats
    high: Floats
    ink: int


class Boxes(NamedTuple):
    """Bars from ``start`` to ``end``, which are 0 to 1; ``upright`` ones grow up, others to the right.

    ``at`` is the first column of each bar, or its first row from the top, and ``thickness`` its size across, in cells.
    """

    start: Floats
    end: Floats
    at: np.ndarray[tuple[int], np.dtype[np.int64]]
    thickness: np.ndarray[tuple[int], np.dtype[np.int64]]
    upright: bool
    fill: str
    ink: int


class Points(NamedTuple):
    """One character at each place."""

    u: Floats
    v: Floats
    glyph: str
    ink: int


class Words(NamedTuple):
    """A text beside each place, on the first of ``sides`` that has room; ``together`` writes all of them or none."""

    u: Floats
    v: Floats
    texts: tuple[str, ...]
    ink: int
    sides: tuple[Side, ...]
    together: bool


ALL_SIDES: tuple[Side, ...] = ("right", "left", "above", "below")
LINE_END: tuple[Side, ...] = ("right", "above left", "below left", "far above left", "far below left")
MOST_NAMED, LONGEST_NAME = 6, 24
_ORDER = (Wash, Boxes, Stroke, Points)
PanelShape = Stroke | Wash | Boxes | Points | Words


class PlotArea(NamedTuple):
    """The plot area that a panel is drawn in: its axes and its size in cells."""

    x: AxisSpan
    y: AxisSpan
    width: int
    height: int
    horizontal: bool = False


def shapes(panel: Panel, place: PlotArea, styles: Mapping[str, Style]) -> list[PanelShape]:
    """What to paint for the two-dimensional marks of ``panel``, the lowest first; heat maps are not among them."""
    found = [shape for mark in panel.marks for shape in _shapes(panel, mark, place, styles)]
    return [shape for kind in _ORDER for shape in found if isinstance(shape, kind)] + list(_words(found))


def _words(found: Sequence[PanelShape]) -> Iterator[Words]:
    """The words among ``found``; those of all bars as one, so that all of them are written or none."""
    words = [shape for shape in found if isinstance(shape, Words)]
    yield from (one for one in words if not one.together)
    together = [one for one in words if one.together]
    if together:
        u, v = (np.concatenate([one[i] for one in together]) for i in range(2))
        yield together[0]._replace(u=u, v=v, texts=tuple(text for one in together for text in one.texts))


def _shapes(panel: Panel, mark: Mark, place: PlotArea, styles: Mapping[str, Style]) -> Iterator[PanelShape]:
    style = styles[mark.name]
    match mark:
        case Line():
            yield from _line(panel, mark, place, style)
        case Bars():
            yield from _bars(panel, mark, place, style)
        case Scatter():
            yield from _scatter(mark, place, style)
        case Histogram():
            yield from _histogram(mark, place, style)
        case HeatMap() | Surface() | Cloud():
            return


def _line(panel: Panel, line: Line, place: PlotArea, style: Style) -> Iterator[PanelShape]:
    u, v = place.x.unit(line.x), place.y.unit(line.y)
    if line.low is not None and line.high is not None:
        low, high = place.y.unit(line.low), place.y.unit(line.high)
        yield Wash(*_columns(u, low, high, place.width), style.ink)
    kept_u, kept_v = thin(*_moving(u, v, place.width, place.height), place.width * DOTS_ACROSS)
    pieces = _each_dot_once(clip(joined(kept_u, kept_v)), place.width, place.height)
    yield Stroke(dashed(pieces, line.dash, place.width, place.height), style.ink)
    series = [mark.name for mark in panel.marks if isinstance(mark, Line)]
    shown = _spread(u, v, series.index(line.name), len(series), line.points)
    yield Points(u[shown], v[shown], style.point, style.ink)
    inside = np.flatnonzero((u >= 0) & (u <= 1) & (v >= 0) & (v <= 1))
    if 2 <= len(series) <= MOST_NAMED and inside.size:
        end = inside[np.argmax(u[inside])]
        name = (line.name[:LONGEST_NAME],)
        yield Words(u[end : end + 1], v[end : end + 1], name, style.ink, LINE_END, False)


def _spread(u: Floats, v: Floats, number: int, series: int, every: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Which data points carry the series' character: all, or a few that are not where the other series have theirs."""
    inside = np.flatnonzero(_inside(u) & _inside(v))
    if every or inside.size <= 1:
        return inside
    if series == 1:
        return inside[:0]
    targets = (np.arange(_POINTS_PER_LINE) + (number + 0.5) / series) / _POINTS_PER_LINE
    order = inside[np.argsort(u[inside], kind="stable")]
    sorted_u = u[order]
    right = np.clip(np.searchsorted(sorted_u, targets), 1, order.size - 1)
    nearest = np.where(targets - sorted_u[right - 1] < sorted_u[right] - targets, right - 1, right)
    return np.unique(order[nearest])


def _scatter(scatter: Scatter, place: PlotArea, style: Style) -> Iterator[PanelShape]:
    u, v = place.x.unit(scatter.x), place.y.unit(scatter.y)
    shown = np.flatnonzero(_inside(u) & _inside(v))
    cells = np.floor(u[shown] * place.width) * place.height + np.floor(v[shown] * place.height)
    _, first = np.unique(cells, return_index=True)
    once = shown[np.sort(first)]
    if scatter.sizes is not None and shown.size:
        yield Stroke(_discs(u[once], v[once], radii(scatter.sizes)[once], place.width, place.height), style.ink)
    yield Points(u[once], v[once], style.point, style.ink)
    if scatter.labels:
        words = tuple(scatter.labels[i] if i < len(scatter.labels) else "" for i in shown)
        yield Words(u[shown], v[shown], words, Ink.DIM, ALL_SIDES, False)


def radii(sizes: Floats) -> Floats:
    """Radii in dots for areas in proportion to ``sizes``, at most LARGEST_RADIUS; 0 where a size is not above 0."""
    usable = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 0.0)
    largest = usable.max(initial=0.0)
    return LARGEST_RADIUS * np.sqrt(usable / largest) if largest > 0 else np.zeros(sizes.shape)


def _discs(u: Floats, v: Floats, radii: Floats, width: int, height: int) -> Floats:
    """Filled discs as level pieces, one per row of dots."""
    rows = np.arange(-int(LARGEST_RADIUS), int(LARGEST_RADIUS) + 1)
    half = np.sqrt(np.clip(radii[:, None] ** 2 - rows[None, :] ** 2, 0, None))
    drawn = np.abs(rows)[None, :] < radii[:, None]
    du = half / (DOTS_ACROSS * width)
    at = v[:, None] + rows[None, :] / (DOTS_DOWN * height)
    pieces = np.stack([u[:, None] - du, at, u[:, None] + du, at], axis=-1)
    return clip(pieces[drawn])


def _histogram(mark: Histogram, place: PlotArea, style: Style) -> Iterator[PanelShape]:
    edges, density, at, smooth = distribution(mark)
    if density.size:
        u, v = place.x.unit(edges), place.y.unit(density)
        outline_u = np.repeat(u, 2)
        outline_v = np.concatenate(([0.0], np.repeat(v, 2), [0.0]))
        yield Wash(*_steps(u, v, place.width), style.ink)
        yield Stroke(clip(joined(outline_u, outline_v)), style.ink)
    if smooth.size:
        u, v = place.x.unit(at), place.y.unit(smooth)
        yield Stroke(clip(joined(u, v)), style.ink)
        peak = np.flatnonzero(_inside(u) & _inside(v) & (smooth == smooth.max()))[:1]
        yield Points(u[peak], v[peak], style.point, style.ink)


def _steps(edges: Floats, heights: Floats, width: int) -> tuple[Floats, Floats]:
    """The bins of a histogram as a band, the bin under the middle of each column."""
    middles = (np.arange(width) + 0.5) / width
    bin_ = np.searchsorted(edges, middles) - 1
    inside = (bin_ >= 0) & (bin_ < heights.size)
    high = np.where(inside, heights[np.clip(bin_, 0, heights.size - 1)], np.nan)
    high = np.where(high > 0, high, np.nan)
    return np.where(np.isfinite(high), 0.0, np.nan), high


def _bars(panel: Panel, bars: Bars, place: PlotArea, style: Style) -> Iterator[PanelShape]:
    group = [mark.name for mark in panel.marks if isinstance(mark, Bars)]
    length = place.height if place.horizontal else place.width
    number = 0 if panel.stacked else group.index(bars.name)
    at, thickness = bar_places(len(panel.categories), panel.bar_series, number, length)
    begins, ends_at = panel.ends(bars)
    zero = place.y.unit(begins) if place.y.axis.scale == "linear" else np.zeros(begins.shape)
    end = place.y.unit(ends_at)
    start = np.where(np.isfinite(end), np.clip(zero, 0.0, 1.0), np.nan)
    shown = np.flatnonzero(np.isfinite(end) & (thickness > 0))
    first, last = np.clip(start[shown], 0.0, 1.0), np.clip(end[shown], 0.0, 1.0)
    yield Boxes(first, last, at[shown], thickness[shown], not place.horizontal, style.fill, style.ink)
    middle = (at + thickness / 2) / length
    middle = 1 - middle if place.horizontal else middle
    if bars.low is not None and bars.high is not None:
        low, high = place.y.unit(bars.low), place.y.unit(bars.high)
        ends = (low, middle, high, middle) if place.horizontal else (middle, low, middle, high)
        yield Stroke(clip(np.stack(ends, axis=-1)[shown]), Ink.BRIGHT)
    if shown.size and not panel.stacked:
        texts = tuple(short_text(panel.y, float(value)) for value in bars.values[shown])
        tip = np.clip(end if bars.high is None else np.fmax(end, place.y.unit(bars.high)), 0, 1)
        where = (tip, middle) if place.horizontal else (middle, tip)
        side: Side = "right" if place.horizontal else "above"
        yield Words(where[0][shown], where[1][shown], texts, Ink.TEXT, (side,), True)


def bar_places(
    categories: int, series: int, number: int, length: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """First cell and thickness, in whole cells, of the bars of series ``number``, one for each category.

    All bars are equally thick and all groups equally far apart, with a gap between them where there is room. Bars that
    have no cell of their own have thickness 0.
    """
    slot = length // max(1, categories)
    each = (slot - 1) // series if slot > series else slot // series
    margin = (length - slot * categories) // 2
    start = margin + (slot - each * series) // 2 + slot * np.arange(categories)
    return start + number * each, np.full(categories, each, dtype=np.int64)


def _moving(u: Floats, v: Floats, width: int, height: int) -> tuple[Floats, Floats]:
    """The polyline without points in the same dot as the one before, but with all of its gaps and its last point."""
    if u.size <= width:
        return u, v
    across, up = np.floor(u * (width * DOTS_ACROSS)), np.floor(v * (height * DOTS_DOWN))
    kept = np.ones(u.size, dtype=bool)
    kept[1:-1] = (across[1:-1] != across[:-2]) | (up[1:-1] != up[:-2])
    return u[kept], v[kept]


def joined(u: Floats, v: Floats) -> Floats:
    """The pieces of a polyline; NaN interrupts it, and a point between two gaps is a piece without length."""
    whole = np.isfinite(u) & np.isfinite(v)
    both = whole[:-1] & whole[1:]
    pieces = np.stack([u[:-1], v[:-1], u[1:], v[1:]], axis=-1)[both]
    alone = whole.copy()
    alone[:-1] &= ~both
    alone[1:] &= ~both
    dots = np.stack([u, v, u, v], axis=-1)[alone]
    return np.concatenate((pieces, dots))


def _each_dot_once(pieces: Floats, width: int, height: int) -> Floats:
    """``pieces`` with those that have no length thinned to one for each dot of ``width`` × ``height`` cells."""
    alone = (pieces[:, :2] == pieces[:, 2:]).all(axis=1)
    places = np.floor(pieces[alone, :2] * [width * DOTS_ACROSS, height * DOTS_DOWN])
    _, first = np.unique(places, axis=0, return_index=True)
    return np.concatenate((pieces[~alone], pieces[alone][first]))


def clip(pieces: Floats) -> Floats:
    """``pieces`` cut to the square from 0 to 1 (Liang and Barsky, 1984); those wholly outside are gone."""
    if not pieces.size:
        return pieces.reshape(0, 4)
    pieces = np.clip(pieces[np.isfinite(pieces).all(axis=1)], -1e9, 1e9)
    u0, v0, u1, v1 = pieces.T
    enter, leave = np.zeros(len(pieces)), np.ones(len(pieces))
    kept = np.ones(len(pieces), dtype=bool)
    for start, step in ((u0, u1 - u0), (v0, v1 - v0)):
        level = step == 0
        kept &= ~level | ((start >= 0) & (start <= 1))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            first, second = -start / step, (1 - start) / step
        enter = np.where(level, enter, np.maximum(enter, np.minimum(first, second)))
        leave = np.where(level, leave, np.minimum(leave, np.maximum(first, second)))
    kept &= enter <= leave
    du, dv = u1 - u0, v1 - v0
    cut = np.stack([u0 + enter * du, v0 + enter * dv, u0 + leave * du, v0 + leave * dv], axis=-1)
    inside: Floats = np.clip(cut[kept], 0.0, 1.0)
    return inside


def dashed(pieces: Floats, dash: Dash, width: int, height: int) -> Floats:
    """``pieces`` with the gaps of ``dash``, measured along them in dots of ``width`` × ``height`` cells."""
    if dash == "solid" or not len(pieces):
        return pieces
    on, off = _DASHES[dash]
    u0, v0, u1, v1 = pieces.T
    lengths = np.hypot((u1 - u0) * width * DOTS_ACROSS, (v1 - v0) * height * DOTS_DOWN)
    dots = pieces[lengths == 0]
    ends = np.concatenate(([0.0], np.cumsum(lengths)))
    period = on + off
    turns = np.arange(0.0, ends[-1] + period, period)
    marks = np.unique(np.concatenate((ends, turns, turns + on)))
    marks = marks[marks <= ends[-1]]
    first, last = marks[:-1], marks[1:]
    drawn = (first + last) / 2 % period < on
    piece = np.clip(np.searchsorted(ends, (first + last) / 2) - 1, 0, len(pieces) - 1)
    first, last, piece = first[drawn], last[drawn], piece[drawn]
    with np.errstate(invalid="ignore", divide="ignore"):
        from_, to = ((at - ends[piece]) / lengths[piece] for at in (first, last))
    chosen = pieces[piece]
    step = chosen[:, 2:] - chosen[:, :2]
    cut = np.concatenate((chosen[:, :2] + from_[:, None] * step, chosen[:, :2] + to[:, None] * step), axis=1)
    return np.concatenate((cut, dots))


def _columns(u: Floats, low: Floats, high: Floats, width: int) -> tuple[Floats, Floats]:
    """A band at the middle of each column of cells, with its gaps; a lone point has its own column."""
    lows, highs = np.full(width, np.nan), np.full(width, np.nan)
    whole = np.isfinite(u) & np.isfinite(low) & np.isfinite(high)
    middles = (np.arange(width) + 0.5) / width
    edges = np.flatnonzero(np.diff(np.concatenate(([False], whole, [False])).astype(np.int8))).reshape(-1, 2)
    if len(edges) > width:
        column = np.floor(np.clip(u[whole], 0, 1) * (width - 1e-9)).astype(np.int64)
        np.fmin.at(lows, column, low[whole])
        np.fmax.at(highs, column, high[whole])
        return lows, highs
    for start, end in edges:
        order = start + np.argsort(u[start:end], kind="stable")
        at = u[order]
        reach = 0.5 / width
        within = (middles >= at[0] - reach) & (middles <= at[-1] + reach)
        lows[within] = np.interp(middles[within], at, low[order])
        highs[within] = np.interp(middles[within], at, high[order])
    return lows, highs


def _inside(unit: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (unit >= 0) & (unit <= 1)
