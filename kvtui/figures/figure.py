"""A figure: panels of marks over axes that have units. Every renderer and every export reads only this.

Values are float arrays in the axis's unit. NaN is a gap, and infinite values are taken as gaps too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from kvtui.engine.basis.errors import InputError

Floats = npt.NDArray[np.float64]
AxisName = Literal["x", "y", "z"]
Scale = Literal["linear", "log2", "log10"]
Ticks = Literal["number", "tokens", "bytes"]
Dash = Literal["solid", "dashed", "dotted"]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is measured along an axis. ``ticks`` says how its values are written: 128K tokens, 40 GiB, or 1.5.

    With ``names`` the axis has a row or column for each of them, at 0, 1, 2 and so on.
    """

    label: str
    unit: str = ""
    scale: Scale = "linear"
    ticks: Ticks = "number"
    low: float | None = None
    high: float | None = None
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """``y`` over ``x``, with a band from ``low`` to ``high`` where they are given."""

    name: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    dash: Dash = "solid"
    points: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """One bar for each category of the panel; several in one panel stand side by side."""

    name: str
    values: Floats
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """Points, with relative ``sizes`` (any positive unit) and a ``labels`` word for each where they are given."""

    name: str
    x: Floats
    y: Floats
    sizes: Floats | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """The density of ``samples`` in ``bins`` equal bins, with a Gaussian kernel density estimate over it."""

    name: str
    samples: Floats
    bins: int = 30


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """``z[i, j]`` at ``y[i]``, ``x[j]``, with lines of equal value at ``contours``."""

    name: str
    x: Floats
    y: Floats
    z: Floats
    contours: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A sheet of heights ``z[i, j]`` over ``y[i]``, ``x[j]``; ``floor`` draws its contours below it too."""

    name: str
    x: Floats
    y: Floats
    z: Floats
    contours: tuple[float, ...] = ()
    floor: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Points in space with relative ``sizes``."""

    name: str
    x: Floats
    y: Floats
    z: Floats
    sizes: Floats | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A reference value on an axis: a line, and in space a plane."""

    axis: AxisName
    value: float
    label: str


Mark = Line | Bars | Scatter | Histogram | HeatMap | Surface | Cloud

MARKS: dict[str, type[Mark]] = {
    "line": Line,
    "bars": Bars,
    "scatter": Scatter,
    "histogram": Histogram,
    "heat_map": HeatMap,
    "surface": Surface,
    "cloud": Cloud,
}
"""Every kind of mark by its name in files."""

MARK_NAMES = {kind: name for name, kind in MARKS.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Marks over common axes; ``z`` makes it a heat map's colour or the third dimension of surfaces and clouds.

    Bars of a ``stacked`` panel are parts of a whole: each begins where the one before ends.
    """

    title: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    z: Axis | None = None
    rules: tuple[Rule, ...] = ()
    categories: tuple[str, ...] = ()
    stacked: bool = False

    @property
    def bar_series(self) -> int:
        """How many bars stand side by side for each category."""
        count = sum(isinstance(mark, Bars) for mark in self.marks)
        return min(1, count) if self.stacked else count

    def ends(self, bars: Bars) -> tuple[Floats, Floats]:
        """Where the ``bars`` of this panel begin and end, for each category."""
        before = np.zeros(bars.values.shape)
        if self.stacked:
            for mark in self.marks:
                if mark is bars:
                    break
                if isinstance(mark, Bars):
                    before = before + np.nan_to_num(mark.values)
        return before, before + bars.values

    @property
    def spatial(self) -> bool:
        """Whether the panel has three dimensions."""
        return any(isinstance(mark, Surface | Cloud) for mark in self.marks)


def largest_first(panel: Panel) -> Panel:
    """``panel`` with the categories of its single series of bars by value, the largest first and unknown ones last.

    Panels with several series, whose orders may differ, stay as they are.
    """
    match panel.marks:
        case (Bars() as bars,):
            order = np.argsort(-np.nan_to_num(bars.values, nan=-np.inf), kind="stable")
            low, high = (None if ends is None else ends[order] for ends in (bars.low, bars.high))
            marks = (replace(bars, values=bars.values[order], low=low, high=high),)
            return replace(panel, marks=marks, categories=tuple(panel.categories[i] for i in order))
    return panel


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """Panels that answer one ``question``; ``notes`` say what a reader must know to trust them."""

    id: str
    title: str
    question: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for panel in self.panels:
            for mark in panel.marks:
                _check(f"{self.id}: {panel.title}", panel, mark)


def floats(values: Iterable[float | None] | npt.NDArray[np.generic]) -> Floats:
    """``values`` as an array of floats in which None and infinite values are NaN."""
    listed = values if isinstance(values, np.ndarray) else [np.nan if value is None else value for value in values]
    array = np.array(listed, dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def _check(where: str, panel: Panel, mark: Mark) -> None:
    expected: tuple[int, ...]
    found: tuple[int, ...]
    match mark:
        case HeatMap() | Surface():
            expected, found = (mark.y.size, mark.x.size), mark.z.shape
        case Bars():
            expected, found = (len(panel.categories),), mark.values.shape
        case Histogram():
            expected, found = (mark.samples.size,), mark.samples.shape
        case Cloud():
            expected, found = 2 * mark.x.shape, mark.y.shape + mark.z.shape
        case _:
            expected, found = mark.x.shape, mark.y.shape
    if expected != found:
        raise InputError(f"{where}: {mark.name} has values of shape {found}, expected {expected}")
    for name in ("low", "high", "sizes"):
        values = getattr(mark, name, None)
        if values is not None and values.shape != found[: values.ndim]:
            raise InputError(f"{where}: {mark.name} has {name} of shape {values.shape}, expected {found}")
