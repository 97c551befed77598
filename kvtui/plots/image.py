"""A figure as PDF, drawn by matplotlib where it is installed (the extra ``pdf``).

Places on the axes come from the same arithmetic as in the terminal: matplotlib sees positions from 0 to 1, and the
ticks are ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from math import ceil, isfinite, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from kvtui.canvas.palette import RAMP, RAMP_STEPS, Ink, Look, hex_color
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
    Surface,
)
from kvtui.figures.polyline import thin
from kvtui.plots.cells import edges, sorted_tiles
from kvtui.plots.density import distribution
from kvtui.plots.installed import NotInstalled
from kvtui.plots.shapes import LARGEST_RADIUS, radii
from kvtui.plots.style import Style, styles
from kvtui.plots.surroundings import spans
from kvtui.plots.ticks import AxisSpan, short_text, span, ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Sheet

PANEL_INCHES = (7.0, 4.6)
_MOST_POINTS = 4000
_TICKS, _WIDE_TICKS, _SPACE_TICKS = 8, 11, 5
_AIR = 0.015
_LONG_NAME = 14
_DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}
_BAND_ALPHA, _PLANE_ALPHA, _SHEET_ALPHA = 0.2, 0.25, 0.85
_GROUP = 0.8
_LETTER, _LETTERS_HIGH = 0.0115, 0.04
"""How wide a letter of a point's label is, and how high its line, of the axes."""
_LEGEND_AREA = 30.0
_SETTINGS = {"pdf.fonttype": 42, "text.parse_math": False, "font.family": "DejaVu Sans"}


def render(figure: Figure, look: Look = "light") -> bytes:
    """``figure`` as PDF, with all panels and notes; text stays text.

    Raises NotInstalled without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        raise NotInstalled("pdf: matplotlib is not installed; pip install 'kvtui[pdf]', or take svg") from None
    out = BytesIO()
    settings: dict[Any, Any] = {**_SETTINGS, **_colors(look)}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font|constrained_layout not applied")
        _sheet(figure, look).savefig(out, format="pdf", metadata={"CreationDate": None})
    return out.getvalue()


def _colors(look: Look) -> dict[str, str]:
    text, frame = hex_color(Ink.TEXT, look), hex_color(Ink.FAINT, look)
    ground = "#ffffff" if look == "light" else "#0a0e17"
    names = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), text)
    names |= dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), frame)
    return names | dict.fromkeys(
        ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), ground
    )


def _sheet(figure: Figure, look: Look) -> Sheet:
    from matplotlib.figure import Figure as Sheet

    count = max(1, len(figure.panels))
    columns = ceil(sqrt(count)) if count != 3 else 3
    rows = ceil(count / columns)
    width, height = PANEL_INCHES
    sheet = Sheet(figsize=(width * columns, height * rows + 0.6), layout="constrained")
    sheet.suptitle("\n".join(filter(None, (_clean(figure.title), _clean(figure.question)))), fontsize=13)
    looks = styles(figure)
    notes = list(figure.notes)
    for number, panel in enumerate(figure.panels, 1):
        axes = sheet.add_subplot(rows, columns, number, projection="3d" if panel.spatial else None)
        axes.set_title(_clean(panel.title) if panel.title != figure.title else "", fontsize=11)
        notes += (_space if panel.spatial else _plane)(axes, panel, looks, look)
    sheet.supxlabel("\n".join(map(_clean, dict.fromkeys(notes))), fontsize=8, x=0.01, ha="left", wrap=True)
    return sheet


def _plane(axes: Any, panel: Panel, looks: Mapping[str, Style], look: Look) -> list[str]:
    """Draw a two-dimensional panel; gives what could not be shown."""
    x, y, z, notes = spans(panel)
    bars = [mark.name for mark in panel.marks if isinstance(mark, Bars)]
    longest = max(map(len, panel.categories), default=0)
    lying = bool(bars) and len(bars) == len(panel.marks) and (panel.stacked or longest > _LONG_NAME)
    for mark in panel.marks:
        _draw(axes, mark, panel, (x, y, z), looks[mark.name].color(look), looks[mark.name], bars, lying)
    _point_labels(axes, panel, x, y)
    for rule in panel.rules:
        axis = {"x": x, "y": y}.get(rule.axis)
        unit = float(axis.unit(np.array([rule.value]))[0]) if axis is not None else np.nan
        if 0 <= unit <= 1:
            upright = (rule.axis == "x") != lying
            (axes.axvline if upright else axes.axhline)(unit, color=hex_color(Ink.WARN, look), linestyle="--", lw=1)
            place = (unit, 1.01) if upright else (1.0, unit)
            side = {"ha": "center", "va": "bottom"} if upright else {"ha": "right", "va": "bottom"}
            color = hex_color(Ink.WARN, look)
            axes.annotate(_clean(rule.label), place, color=color, fontsize=8, annotation_clip=False, **side)
        elif rule.axis != "z":
            notes.append(f"beyond the axis: {rule.label}")
    lower, left = (y, x) if lying else (x, y)
    wide = _WIDE_TICKS if not lying else _TICKS
    _ticks(axes.set_xticks, axes.set_xlabel, axes.set_xlim, lower, panel.x if lower is x else panel.y, panel, wide)
    _ticks(axes.set_yticks, axes.set_ylabel, axes.set_ylim, left, panel.y if left is y else panel.x, panel)
    if lying:
        axes.invert_yaxis()
    if not bars and z is None:
        axes.set_xlim(-_AIR, 1 + _AIR)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(axes)
    return notes


def _draw(
    axes: Any,
    mark: Mark,
    panel: Panel,
    around: tuple[AxisSpan, AxisSpan, AxisSpan | None],
    color: str,
    style: Style,
    bars: Sequence[str],
    lying: bool,
) -> None:
    x, y, z = around
    label = _clean(mark.name)
    fill = {"markerfacecolor": "none"} if style.hollow else {}
    match mark:
        case Line():
            if mark.low is not None and mark.high is not None:
                low, high = np.clip(y.unit(mark.low), 0, 1), np.clip(y.unit(mark.high), 0, 1)
                axes.fill_between(x.unit(mark.x), low, high, color=color, alpha=_BAND_ALPHA, lw=0)
            u, v = thin(x.unit(mark.x), y.unit(mark.y), _MOST_POINTS)
            every = 1 if mark.points else max(1, u.size // 6)
            kind = _DASHES[mark.dash]
            axes.plot(u, v, kind, color=color, marker=style.marker, markevery=every, ms=5, label=label, **fill)
        case Scatter():
            areas = 36.0 if mark.sizes is None else 400 * (radii(mark.sizes) / LARGEST_RADIUS) ** 2 + 4
            u, v = x.unit(mark.x), y.unit(mark.y)
            paint = {"facecolors": "none", "edgecolors": color} if style.hollow else {"color": color}
            axes.scatter(u, v, s=areas, marker=style.marker, alpha=0.8, label=label, **paint)
        case Bars():
            _bars(axes, mark, panel, y, color, style, bars, lying)
        case Histogram():
            sides, density, at, smooth = distribution(mark)
            if density.size:
                axes.stairs(y.unit(density), x.unit(sides), fill=True, color=color, alpha=_BAND_ALPHA)
                axes.stairs(y.unit(density), x.unit(sides), color=color, lw=0.8)
            axes.plot(x.unit(at), y.unit(smooth), color=color, marker=style.marker, markevery=40, ms=4, label=label)
        case HeatMap() if z is not None:
            _heat(axes, mark, panel, (x, y, z))


def _point_labels(axes: Any, panel: Panel, x: AxisSpan, y: AxisSpan) -> None:
    """Write the labels of scattered points beside them, each only where no other one stands yet."""
    taken: list[tuple[float, float, float]] = []
    for mark in panel.marks:
        if not isinstance(mark, Scatter):
            continue
        for at, over, label in zip(x.unit(mark.x).tolist(), y.unit(mark.y).tolist(), mark.labels, strict=False):
            word = _clean(label)
            wide, left = _LETTER * len(word), at > 1 - _LETTER * len(word)
            middle = at - wide / 2 if left else at + wide / 2
            near = any(
                abs(over - other) < _LETTERS_HIGH and abs(middle - place) < (wide + length) / 2
                for other, place, length in taken
            )
            if not word or near or not isfinite(at + over):
                continue
            taken.append((over, middle, wide))
            side: dict[str, Any] = {"xytext": (-5, 3), "ha": "right"} if left else {"xytext": (5, 3)}
            axes.annotate(word, (at, over), textcoords="offset points", fontsize=7, **side)


def _bars(
    axes: Any, mark: Bars, panel: Panel, y: AxisSpan, color: str, style: Style, bars: Sequence[str], lying: bool
) -> None:
    count = max(1, len(panel.categories))
    each = _GROUP / panel.bar_series / count
    number = 0.0 if panel.stacked else bars.index(mark.name) - (len(bars) - 1) / 2
    middles = (np.arange(mark.values.size) + 0.5) / count + each * number
    begins, ends = panel.ends(mark)
    zero = y.unit(begins) if y.axis.scale == "linear" else np.zeros(begins.shape)
    tops = y.unit(ends)
    lengths = tops - zero
    edge = {"edgecolor": axes.get_facecolor(), "hatch": style.hatch, "lw": 0, "label": _clean(mark.name)}
    if lying:
        axes.barh(middles, lengths, each, left=zero, color=color, **edge)
    else:
        axes.bar(middles, lengths, each, bottom=zero, color=color, **edge)
    tips = tops if mark.high is None else np.fmax(tops, y.unit(mark.high))
    for middle, tip, value in zip(middles, tips, mark.values, strict=True):
        if np.isfinite(tip) and not panel.stacked:
            at, side = ((tip, middle), {"va": "center"}) if lying else ((middle, tip), {"ha": "center"})
            offset = (3, 0) if lying else (0, 3)
            text = short_text(panel.y, float(value))
            axes.annotate(text, at, offset, textcoords="offset points", fontsize=7, **side)
    if mark.low is not None and mark.high is not None:
        sizes = np.nan_to_num(np.clip([tops - y.unit(mark.low), y.unit(mark.high) - tops], 0, None))
        where = {"xerr": sizes} if lying else {"yerr": sizes}
        place = (tops, middles) if lying else (middles, tops)
        axes.errorbar(*place, fmt="none", ecolor=axes.xaxis.label.get_color(), capsize=2, **where)


def _heat(axes: Any, mark: HeatMap, panel: Panel, around: tuple[AxisSpan, AxisSpan, AxisSpan]) -> None:
    x, y, z = around
    us, vs, field = sorted_tiles(mark, x, y, z)
    if not field.size:
        return
    across, up = (np.clip(edges(units), 0, 1) for units in (us, vs))
    mesh = axes.pcolormesh(across, up, np.ma.masked_invalid(field), cmap=_ramp(), vmin=0, vmax=1, rasterized=True)
    bar = axes.figure.colorbar(mesh, ax=axes, label=_clean(z.axis.title))
    shown = ticks(z, _TICKS)
    bar.set_ticks(_units(z, [tick.value for tick in shown]), labels=[tick.label for tick in shown])
    levels = {value: short_text(z.axis, value) for value in mark.contours}
    levels |= {rule.value: _clean(rule.label) for rule in panel.rules if rule.axis == "z"}
    named = {float(z.unit(np.array([value]))[0]): text for value, text in levels.items()}
    named = {unit: text for unit, text in named.items() if 0 < unit < 1}
    if named and min(field.shape) > 1 and np.isfinite(field).any():
        lines = axes.contour(us, vs, field, levels=sorted(named), colors="white", linewidths=1.2)
        axes.clabel(lines, fmt=named, fontsize=8)


def _space(axes: Any, panel: Panel, looks: Mapping[str, Style], look: Look) -> list[str]:
    """Draw a panel in space; gives what could not be shown."""
    marks = [mark for mark in panel.marks if isinstance(mark, Surface | Cloud)]
    zs = [mark.z for mark in marks]
    x, y = (span(axis, [getattr(mark, name) for mark in marks]) for name, axis in (("x", panel.x), ("y", panel.y)))
    z = span(panel.z or Axis(""), zs, rules=[rule for rule in panel.rules if rule.axis == "z"])
    for mark in marks:
        color = looks[mark.name].color(look)
        if isinstance(mark, Surface):
            _surface(axes, mark, (x, y, z), color)
        else:
            areas = 30.0 if mark.sizes is None else 150 * (radii(mark.sizes) / LARGEST_RADIUS) ** 2 + 4
            kind = looks[mark.name].marker
            axes.scatter(
                x.unit(mark.x), y.unit(mark.y), z.unit(mark.z), s=areas, c=color, marker=kind, label=_clean(mark.name)
            )
    notes = []
    for rule in panel.rules:
        unit = float({"x": x, "y": y, "z": z}[rule.axis].unit(np.array([rule.value]))[0])
        if not 0 <= unit <= 1:
            notes.append(f"beyond the axis: {rule.label}")
        elif rule.axis == "z":
            corners = np.meshgrid([0.0, 1.0], [0.0, 1.0])
            flat = np.full((2, 2), unit)
            axes.plot_surface(*corners, flat, color=hex_color(Ink.WARN, look), alpha=_PLANE_ALPHA)
            axes.text(1, 0, unit, _clean(rule.label), color=hex_color(Ink.WARN, look), fontsize=8)
    for one, name in ((x, "x"), (y, "y"), (z, "z")):
        set_ticks, set_label, set_ends = (getattr(axes, f"set_{name}{what}") for what in ("ticks", "label", "lim"))
        _ticks(set_ticks, set_label, set_ends, one, one.axis, panel, _SPACE_TICKS)
    _legend(axes)
    return notes


def _surface(axes: Any, mark: Surface, around: tuple[AxisSpan, AxisSpan, AxisSpan], color: str) -> None:
    x, y, z = around
    across, up = np.meshgrid(x.unit(mark.x), y.unit(mark.y))
    heights = z.unit(mark.z.ravel()).reshape(mark.z.shape)
    if heights.size:
        axes.plot_surface(across, up, heights, color=color, alpha=_SHEET_ALPHA, lw=0, rcount=64, ccount=64)
    levels = sorted({float(unit) for unit in z.unit(np.array(mark.contours, dtype=np.float64)) if 0 < unit < 1})
    if levels and min(heights.shape) > 1 and np.isfinite(heights).any():
        axes.contour(across, up, heights, levels=levels, colors="white", linewidths=1)
        if mark.floor:
            axes.contour(across, up, heights, levels=levels, colors=color, linewidths=1, zdir="z", offset=0)
    axes.plot([], [], [], "s", color=color, label=_clean(mark.name))


def _ticks(
    set_ticks: Callable[..., Any],
    set_label: Callable[[str], Any],
    set_ends: Callable[[float, float], Any],
    axis: AxisSpan,
    named: Axis,
    panel: Panel,
    most: int = _TICKS,
) -> None:
    if panel.categories and named is panel.x:
        count = len(panel.categories)
        set_ticks((np.arange(count) + 0.5) / count, [_clean(name) for name in panel.categories])
    else:
        shown = ticks(axis, most)
        set_ticks(_units(axis, [tick.value for tick in shown]), [tick.label for tick in shown])
    set_label(_clean(named.title))
    set_ends(0.0, 1.0)


def _units(axis: AxisSpan, values: Sequence[float]) -> Floats:
    return axis.unit(np.array(values, dtype=np.float64))


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        shown = axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=8)
        for handle in shown.legend_handles:
            if hasattr(handle, "set_sizes"):
                handle.set_sizes([_LEGEND_AREA])


def _ramp() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([hex_color(RAMP + i, "light") for i in range(RAMP_STEPS)])


def _clean(text: str) -> str:
    return plain(text, max(1, len(text)))
