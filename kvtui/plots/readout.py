"""What a panel shows at a cell: the values nearest to it, with their units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kvtui.figures.figure import Bars, Floats, HeatMap, Histogram, Line, Mark, Scatter
from kvtui.plots.density import distribution
from kvtui.plots.shapes import bar_places
from kvtui.plots.surroundings import Frame
from kvtui.plots.ticks import AxisSpan, value_text

_CELL_ASPECT = 2.0


class Reading(NamedTuple):
    """A series and what it says."""

    name: str
    text: str


def read_out(frame: Frame, column: int, row: int) -> tuple[Reading, ...]:
    """For every series its value nearest to a cell of the picture; empty outside the plot area.

    Lines and heat maps are read at the cell's x, bars at its category, scattered points by their distance.
    """
    if not frame.plot.holds(column, row):
        return ()
    u, v = frame.unit(column, row)
    found = ((mark.name, _text(frame, mark, u, v)) for mark in frame.panel.marks)
    return tuple(Reading(name, text) for name, text in found if text)


def _text(frame: Frame, mark: Mark, u: float, v: float) -> str:
    x, y, place = frame.place.x, frame.place.y, frame.place
    match mark:
        case Line():
            i = _nearest(np.where(np.isfinite(y.unit(mark.y)), np.abs(x.unit(mark.x) - u), np.nan))
            return "" if i is None else _pair(x, mark.x[i], y, mark.y[i]) + _band(y, mark.low, mark.high, i)
        case Scatter():
            across = (x.unit(mark.x) - u) * place.width
            i = _nearest(np.hypot(across, (y.unit(mark.y) - v) * place.height * _CELL_ASPECT))
            return "" if i is None else _pair(x, mark.x[i], y, mark.y[i])
        case Bars():
            i = _category(frame, u, v)
            value = value_text(y.axis, float(mark.values[i])) if i >= 0 else ""
            return f"{frame.panel.categories[i]}  {value}{_band(y, mark.low, mark.high, i)}" if value else ""
        case Histogram():
            edges, density, _, _ = distribution(mark)
            i = int(np.searchsorted(edges, x.value(u))) - 1
            if not 0 <= i < density.size:
                return ""
            return f"{value_text(x.axis, edges[i])} to {value_text(x.axis, edges[i + 1])}  {density[i]:.4g}"
        case HeatMap() if frame.z is not None:
            i, j = _nearest(np.abs(y.unit(mark.y) - v)), _nearest(np.abs(x.unit(mark.x) - u))
            if i is None or j is None:
                return ""
            return f"{_pair(x, mark.x[j], y, mark.y[i])}  {value_text(frame.z.axis, float(mark.z[i, j]))}"
    return ""


def _category(frame: Frame, u: float, v: float) -> int:
    """The category whose group of bars is nearest; −1 when there is none."""
    place, count = frame.place, len(frame.panel.categories)
    length, share = (place.height, 1 - v) if place.horizontal else (place.width, u)
    starts, thickness = bar_places(count, 1, 0, length)
    return int(np.abs(starts + thickness / 2 - share * length).argmin()) if count else -1


def _pair(x: AxisSpan, at: float, y: AxisSpan, value: float) -> str:
    return f"{value_text(x.axis, float(at))}  {value_text(y.axis, float(value))}"


def _band(y: AxisSpan, low: Floats | None, high: Floats | None, i: int) -> str:
    if low is None or high is None or not (np.isfinite(low[i]) and np.isfinite(high[i])):
        return ""
    return f" ({value_text(y.axis, float(low[i]))} to {value_text(y.axis, float(high[i]))})"


def _nearest(distances: Floats) -> int | None:
    return None if not np.isfinite(distances).any() else int(np.nanargmin(distances))
