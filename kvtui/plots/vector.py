"""A figure as SVG, with nothing but this package: laid out as in the terminal, its data drawn as lines and areas.

Where everything stands is what ``draw`` says, in cells; text stays text. Curves, bars, points, bands and tiles of flat
panels are geometry at any enlargement; a panel in space is drawn from its cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kvtui.canvas.braille import BLANK
from kvtui.canvas.cells import SPACE, Cells
from kvtui.canvas.palette import Ink, Look, hex_color
from kvtui.figures.figure import Figure, Floats, HeatMap, Scatter
from kvtui.output.markup import Markup, tag
from kvtui.plots.cells import edges, ramp, sorted_tiles
from kvtui.plots.draw import draw
from kvtui.plots.shapes import LARGEST_RADIUS, Boxes, Points, Stroke, Wash, radii, shapes
from kvtui.plots.style import FILLS, POINTS, Style, styles
from kvtui.plots.surroundings import Frame

if TYPE_CHECKING:
    from kvtui.canvas.cells import Codes, Inks

WIDTH = 112
"""Cells across of a picture whose width nobody gave."""

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, BASE = 8, 17, 13.2, 12.6
FINER = 6
LINE, THIN, POINT = 1.8, 1.0, 3.2
MARGIN = 16
FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
GROUNDS: Mapping[Look, str] = {"light": "#ffffff", "dark": "#0a0e17", "wafer": "#0a0e17"}
_DATA = frozenset(map(ord, "┄┊┤┬░" + POINTS + FILLS)) | frozenset(range(0x2580, 0x25A0))
_HALVES = {ord("█"): (0.0, 1.0), ord("▀"): (0.0, 0.5), ord("▄"): (0.5, 1.0)}
_DOTS = ((0, 0, 0), (1, 0, 1), (2, 0, 2), (3, 1, 0), (4, 1, 1), (5, 1, 2), (6, 0, 3), (7, 1, 3))
_RUN = re.compile(r"\S+(?: \S+)*")


def render(figure: Figure, look: Look = "light", width: int = WIDTH, height: int | None = None) -> str:
    """``figure`` as an SVG file with all panels that have room, and its notes; sizes are in cells."""
    content, across, down = picture(figure, look, width, height)
    across, down = across + 2 * MARGIN, down + 2 * MARGIN
    svg = tag(
        "svg",
        tag("title", figure.title),
        tag("rect", width=across, height=down, fill=GROUNDS[look]),
        tag("g", content, transform=f"translate({MARGIN},{MARGIN})"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {across} {down}",
        width=across,
        height=down,
        font_family=FONTS,
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg}\n'


def picture(figure: Figure, look: Look, width: int, height: int | None = None) -> tuple[Markup, int, int]:
    """``figure`` as a group to put into a picture, and its size in units of that picture."""
    drawn = draw(figure, width, height)
    frames = (_frame(one, figure, look) for one in drawn.frames)
    content = tag("g", _text_and_blocks(drawn.cells, drawn.frames, look), frames, font_size=f"{FONT_SIZE:g}")
    return content, drawn.cells.width * CELL_WIDTH, drawn.cells.height * CELL_HEIGHT


def _text_and_blocks(cells: Cells, frames: tuple[Frame, ...], look: Look) -> Iterator[Markup]:
    """Everything but the data of flat panels: backgrounds, blocks and dots of panels in space, and all text."""
    glyph, under = cells.glyph.copy(), cells.under.copy()
    for one in frames:
        plot = one.plot
        inside = slice(plot.y, plot.y + plot.height), slice(plot.x, plot.right)
        data = np.isin(glyph[inside], list(_DATA)) | (glyph[inside] >= BLANK) & (glyph[inside] < BLANK + 256)
        glyph[inside][data] = SPACE
        under[inside] = Ink.NONE
        glyph[plot.y : plot.y + plot.height, plot.x - 1] = SPACE
        glyph[plot.y + plot.height, plot.x - 1 : plot.right] = SPACE
        for label in one.labels[: len(one.across) + len(one.up)]:
            glyph[label.y, label.x : label.right] = SPACE
    yield from _painted(under, cells.ink, glyph, look)
    for y in range(cells.height):
        text = "".join(chr(code) if not _is_block(code) else " " for code in glyph[y].tolist())
        for run in _RUN.finditer(text):
            yield from _pieces(run.group(), run.start(), y, cells.ink, look)


def _pieces(text: str, x: int, y: int, inks: Inks, look: Look) -> Iterator[Markup]:
    """One element for each ink of a run of text."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or (inks[y, x + end] != inks[y, x + start] and text[end] != " "):
            piece = text[start:end].rstrip()
            left, down, length = (x + start) * CELL_WIDTH, f"{y * CELL_HEIGHT + BASE:g}", len(piece) * CELL_WIDTH
            bold = "bold" if inks[y, x + start] == Ink.BRIGHT else ""
            fill = hex_color(int(inks[y, x + start]), look)
            yield tag("text", piece, x=left, y=down, textLength=length, fill=fill, font_weight=bold)
            start = end


def _is_block(code: int) -> bool:
    return code in _HALVES or BLANK <= code < BLANK + 256


def _painted(under: Inks, ink: Inks, glyph: Codes, look: Look) -> Iterator[Markup]:
    """Backgrounds, half blocks and braille dots, one path for each colour."""
    paths: dict[tuple[int, bool], list[str]] = {}
    for y, x in zip(*np.nonzero(under != Ink.NONE), strict=True):
        paths.setdefault((int(under[y, x]), True), []).append(_box(x, y, 0.0, 1.0))
    for y, x in zip(*np.nonzero(np.isin(glyph, list(_HALVES))), strict=True):
        paths.setdefault((int(ink[y, x]), True), []).append(_box(x, y, *_HALVES[int(glyph[y, x])]))
    for y, x in zip(*np.nonzero((glyph > BLANK) & (glyph < BLANK + 256)), strict=True):
        bits = int(glyph[y, x]) - BLANK
        dots = (
            f"M{x * CELL_WIDTH + right * 4 + 1:g} {y * CELL_HEIGHT + down * 4.25 + 1:g}h2v2h-2z"
            for bit, right, down in _DOTS
            if bits >> bit & 1
        )
        paths.setdefault((int(ink[y, x]), False), []).extend(dots)
    for (color, crisp), parts in paths.items():
        edge = "crispEdges" if crisp else ""
        yield tag("path", d="".join(parts), fill=hex_color(color, look), shape_rendering=edge)


def _box(x: int, y: int, top: float, bottom: float) -> str:
    height = (bottom - top) * CELL_HEIGHT
    return f"M{x * CELL_WIDTH} {(y + top) * CELL_HEIGHT:g}h{CELL_WIDTH}v{height:g}h-{CELL_WIDTH}z"


def _frame(one: Frame, figure: Figure, look: Look) -> Markup:
    """Axes, reference lines and data of a flat panel."""
    plot, looks = one.plot, styles(figure)
    left, top = plot.x * CELL_WIDTH, plot.y * CELL_HEIGHT
    width, height = plot.width * CELL_WIDTH, plot.height * CELL_HEIGHT
    faint = hex_color(Ink.FAINT, look)
    axes = [f"M{left} {top}v{height}h{width}"]
    axes += [f"M{left} {top + (1 - unit) * height:.1f}h-4" for unit in one.up]
    axes += [f"M{left + unit * width:.1f} {top + height}v4" for unit in one.across]
    drawn = [
        *_tiles(one, look, width, height),
        *_rules(one, look, width, height),
        *_data(one, looks, look, width, height),
    ]
    return tag(
        "g",
        tag("g", drawn, transform=f"translate({left},{top})"),
        tag("path", d="".join(axes), stroke=faint, fill="none"),
        _tick_labels(one, look),
    )


def _tick_labels(one: Frame, look: Look) -> Iterator[Markup]:
    """What stands at the ticks, at their exact places; the lower edge's labels come first."""
    plot, count = one.plot, len(one.across)
    color = hex_color(Ink.TEXT, look)
    for unit, label in zip(one.across, one.labels[:count], strict=True):
        middle = (label.x + len(label.text) / 2) * CELL_WIDTH
        exact = (plot.x + unit * plot.width) * CELL_WIDTH
        x = exact if abs(exact - middle) <= CELL_WIDTH else middle
        y = f"{label.y * CELL_HEIGHT + BASE:g}"
        yield tag("text", label.text, x=f"{x:.1f}", y=y, fill=color, text_anchor="middle")
    for unit, label in zip(one.up, one.labels[count : count + len(one.up)], strict=True):
        down = (plot.y + (1 - unit) * plot.height) * CELL_HEIGHT + FONT_SIZE / 3
        yield tag("text", label.text, x=label.right * CELL_WIDTH, y=f"{down:.1f}", fill=color, text_anchor="end")


def _rules(one: Frame, look: Look, width: int, height: int) -> Iterator[Markup]:
    for rule, _ in one.rules:
        span = {"x": one.place.x, "y": one.place.y}[rule.axis]
        unit = float(span.unit(np.array([rule.value]))[0])
        upright = (rule.axis == "x") != one.place.horizontal
        d = f"M{unit * width:.1f} 0v{height}" if upright else f"M0 {(1 - unit) * height:.1f}h{width}"
        yield tag("path", d=d, stroke=hex_color(Ink.WARN, look), stroke_dasharray="5 4", fill="none")


def _tiles(one: Frame, look: Look, width: int, height: int) -> Iterator[Markup]:
    """A heat map's tiles, one path for each colour."""
    for mark in one.panel.marks:
        if not isinstance(mark, HeatMap) or one.z is None:
            continue
        us, vs, field = sorted_tiles(mark, one.place.x, one.place.y, one.z)
        if not field.size:
            continue
        xs = np.clip(edges(us), 0, 1) * width
        ys = (1 - np.clip(edges(vs), 0, 1)) * height
        inks, paths = ramp(field), dict[int, list[str]]()
        for row, column in zip(*np.nonzero(np.isfinite(field)), strict=True):
            x, y = xs[column], ys[row + 1]
            box = f"M{x:.1f} {y:.1f}h{xs[column + 1] - x:.1f}v{ys[row] - y:.1f}h-{xs[column + 1] - x:.1f}z"
            paths.setdefault(int(inks[row, column]), []).append(box)
        for color, parts in paths.items():
            yield tag("path", d="".join(parts), fill=hex_color(color, look), shape_rendering="crispEdges")


def _data(one: Frame, looks: Mapping[str, Style], look: Look, width: int, height: int) -> Iterator[Markup]:
    """Curves, bands, bars and points, worked out finer than cells are."""
    fine = one.place._replace(width=one.place.width * FINER, height=one.place.height * FINER)
    flat = replace(one.panel, marks=tuple(mark for mark in one.panel.marks if not isinstance(mark, Scatter)))
    for shape in shapes(flat, fine, looks):
        match shape:
            case Wash():
                yield _wash(shape, look, width, height)
            case Boxes():
                yield _bars(shape, look, width, height)
            case Stroke():
                ends = shape.pieces * np.array([width, -height] * 2) + np.array([0, height] * 2)
                color = hex_color(shape.ink, look)
                yield tag("path", d=_pieces_path(ends), stroke=color, stroke_width=f"{LINE:g}", fill="none")
            case Points():
                sizes = np.full(shape.u.size, POINT)
                yield _circles(shape.u * width, (1 - shape.v) * height, sizes, hex_color(shape.ink, look), 1.0)
    for mark in one.panel.marks:
        if isinstance(mark, Scatter):
            u, v = one.place.x.unit(mark.x), one.place.y.unit(mark.y)
            sizes = np.full(u.size, POINT) if mark.sizes is None else radii(mark.sizes) / LARGEST_RADIUS * 12 + 2
            inside = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
            color = looks[mark.name].color(look)
            yield _circles(u[inside] * width, (1 - v[inside]) * height, sizes[inside], color, 0.75)


def _pieces_path(ends: Floats) -> str:
    """Straight pieces as one path; a piece that begins where the last ended goes on from there."""
    parts, last = [], (np.nan, np.nan)
    for x0, y0, x1, y1 in ends.tolist():
        begins = (round(x0, 1), round(y0, 1))
        parts.append(f"L{x1:.1f} {y1:.1f}" if begins == last else f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}")
        last = (round(x1, 1), round(y1, 1))
    return "".join(parts)


def _wash(shape: Wash, look: Look, width: int, height: int) -> Markup:
    """A band as one area for each run of columns without a gap."""
    shown = np.isfinite(shape.low) & np.isfinite(shape.high)
    step = width / max(1, shape.low.size)
    low, high = (np.clip((1 - side) * height, 0, height) for side in (shape.low, shape.high))
    parts = []
    for run in np.split(np.arange(shown.size), np.flatnonzero(np.diff(shown)) + 1):
        if run.size and shown[run[0]]:
            there = [f"{(i + 0.5) * step:.1f} {high[i]:.1f}" for i in run.tolist()]
            back = [f"{(i + 0.5) * step:.1f} {low[i]:.1f}" for i in reversed(run.tolist())]
            parts.append(f"M{'L'.join(there + back)}z")
    return tag("path", d="".join(parts), fill=hex_color(shape.ink, look), fill_opacity="0.22")


def _bars(shape: Boxes, look: Look, width: int, height: int) -> Markup:
    parts = []
    places = zip(shape.start, shape.end, shape.at / FINER, shape.thickness / FINER, strict=True)
    for start, end, at, thickness in places:
        low, high = sorted((float(start), float(end)))
        if shape.upright:
            across, tall = thickness * CELL_WIDTH, (high - low) * height
            parts.append(f"M{at * CELL_WIDTH:.1f} {(1 - high) * height:.1f}h{across:.1f}v{tall:.1f}h-{across:.1f}z")
        else:
            across, tall = (high - low) * width, thickness * CELL_HEIGHT
            parts.append(f"M{low * width:.1f} {at * CELL_HEIGHT:.1f}h{across:.1f}v{tall:.1f}h-{across:.1f}z")
    return tag("path", d="".join(parts), fill=hex_color(shape.ink, look))


def _circles(x: Floats, y: Floats, sizes: Floats, color: str, opacity: float) -> Markup:
    parts = (
        f"M{left - r:.1f} {down:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 -{2 * r:.1f} 0z"
        for left, down, r in zip(x.tolist(), y.tolist(), sizes.tolist(), strict=True)
    )
    return tag("path", d="".join(parts), fill=color, fill_opacity=f"{opacity:g}")
