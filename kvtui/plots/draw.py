"""A figure in cells: a heading, its panels laid out for the size at hand, and its notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from kvtui.canvas.braille import BLANK
from kvtui.canvas.cells import SPACE, Cells, InkRow, Span, fit
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink, Look
from kvtui.canvas.pixels.raster import PixelInks
from kvtui.figures.figure import Figure, HeatMap, Panel
from kvtui.output.lines import wrap
from kvtui.plots import surroundings as frame
from kvtui.plots.cells import heat, heat_inks
from kvtui.plots.cells import paint as paint_cells
from kvtui.plots.legend import clean, entries, wrapped
from kvtui.plots.shapes import Boxes, PanelShape, Side, Words, shapes
from kvtui.plots.style import Style, styles
from kvtui.plots.surroundings import Frame, bar_rows, layout, least_width
from kvtui.plots.text import to_text

if TYPE_CHECKING:
    from rich.color import ColorSystem

Painter = Literal["plotext", "cells"]
Paint = Callable[[Sequence[PanelShape], int, int], Cells]

PANEL_WIDTH, PANEL_HEIGHT = 36, 13
"""A panel that would be smaller than this stands alone in the picture."""

_TILES = [ord("▀"), ord("▄")]
_GAP = 3
_ASPECT = 3.5
_NATURAL_WIDTH, _NATURAL_HEIGHTS, _NATURAL_LEGEND = 64, (17, 30), 6
_AROUND_BARS = 6
_NOTE_SHARE, _LEAST_QUESTION_HEIGHT, _LEAST_AIRY_HEIGHT = 6, 16, 30
_NOTHING, _TOO_SMALL = "no values to show", f"no room: a figure takes {frame.LEAST_WIDTH}×{frame.LEAST_HEIGHT} cells"


@dataclass(frozen=True, slots=True, eq=False)
class DrawnFigure:
    """A drawn figure: the frames of its two-dimensional panels, and the others with their places.

    ``shown`` are the numbers of the panels that are in the picture.
    """

    cells: Cells
    frames: tuple[Frame, ...]
    spaces: tuple[tuple[Panel, Rect], ...]
    shown: tuple[int, ...]


class _Arrangement(NamedTuple):
    heading: tuple[InkRow, ...]
    rects: tuple[Rect, ...]
    notes: tuple[str, ...]
    height: int
    legends: bool
    fair: bool = True


def draw(
    figure: Figure,
    width: int,
    height: int | None = None,
    *,
    painter: Painter = "cells",
    shaded: bool = False,
    panel: int | None = None,
    bare: bool = False,
) -> DrawnFigure:
    """``figure`` in ``width`` × ``height`` cells, or as tall as it needs without ``height``.

    With ``panel`` only that one is drawn; where not all have room beside each other, the first. ``shaded`` shows values
    by characters, for where colours do not show. ``bare`` heat maps have only what is written on them, and leave the
    rest to ``tiles``.
    """
    looks = styles(figure)
    width, height = max(1, width), None if height is None else max(1, height)
    shown, plan = _fitting(figure, panel, width, height, looks, figure.notes)
    frames, spaces = _frames(figure, shown, plan, looks)
    found = dict.fromkeys(note for one in frames for note in one.notes)
    if found:
        shown, plan = _fitting(figure, panel, width, height, looks, (*figure.notes, *found))
        frames, spaces = _frames(figure, shown, plan, looks)
    cells = Cells(width, plan.height)
    for y, row in enumerate(plan.heading):
        cells.put_row(0, y, row)
    paint = _paint(painter)
    for one in frames:
        _draw_frame(cells, one, looks, paint, shaded, bare)
    for space, rect in spaces:
        _draw_space(cells, space, rect, shaded, looks)
    for y, line in enumerate(plan.notes, plan.height - len(plan.notes)):
        cells.put(0, y, line, Ink.DIM)
    return DrawnFigure(cells, frames, spaces, shown)


def tiles(one: Frame, across: float, down: float) -> PixelInks | None:
    """The heat maps of a frame in so many pixels ``across`` and ``down`` a cell of its plot; None if it has none."""
    width, height = ceil(one.plot.width * across), ceil(one.plot.height * down)
    inks: PixelInks | None = None
    for mark in one.panel.marks:
        if isinstance(mark, HeatMap) and one.z is not None:
            found = heat_inks(mark, _levels(one), (one.place.x, one.place.y, one.z), width, height)
            inks = found if inks is None else np.where(found != Ink.NONE, found, inks)
    return inks


def _levels(one: Frame) -> tuple[float, ...]:
    """The values of a panel's heat maps at which there is a line."""
    return tuple(rule.value for rule in one.panel.rules if rule.axis == "z")


def render_text(
    figure: Figure,
    width: int,
    height: int | None = None,
    *,
    system: ColorSystem | None = None,
    look: Look = "dark",
    ascii_only: bool = False,
) -> str:
    """``figure`` as lines of text, with escape codes for ``system`` and none without one."""
    picture = draw(figure, width, height, painter="plotext", shaded=ascii_only or system is None)
    return to_text(picture.cells, system, look, ascii_only)


def _fitting(
    figure: Figure,
    panel: int | None,
    width: int,
    height: int | None,
    looks: Mapping[str, Style],
    notes: Sequence[str],
) -> tuple[tuple[int, ...], _Arrangement]:
    """The panels that are shown, and where: only ``panel``, all of them, or the first where they have no room."""
    count = len(figure.panels)
    shown = tuple(range(count)) if panel is None or not count else (min(max(panel, 0), count - 1),)
    plan = _plan(figure, shown, width, height, looks, notes)
    if plan.fair:
        return shown, plan
    return (0,), _plan(figure, (0,), width, height, looks, notes)


def _plan(
    figure: Figure,
    shown: Sequence[int],
    width: int,
    height: int | None,
    looks: Mapping[str, Style],
    notes: Sequence[str],
) -> _Arrangement:
    panels = [figure.panels[i] for i in shown]
    heading: list[InkRow] = [(Span(fit(clean(figure.title), width).rstrip(), Ink.BRIGHT),)]
    if figure.question and (height is None or height >= _LEAST_QUESTION_HEIGHT):
        heading += [(Span(line, Ink.DIM),) for line in _wrapped([figure.question], width)[:2]]
    if len(shown) < len(figure.panels):
        heading.append((Span(f"panel {shown[0] + 1} of {len(figure.panels)}", Ink.DIM),))
    if height is None or height >= _LEAST_AIRY_HEIGHT:
        heading.append(())
    shared = _shared_legend(panels, looks)
    heading += wrapped(shared, width, 3)
    lines = _wrapped(notes, width)
    if height is None:
        rects, bottom = _natural(panels, width, len(heading))
        return _Arrangement(tuple(heading), rects, tuple(lines), bottom + len(lines), not shared)
    most = max(1, height // _NOTE_SHARE)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1][: width - 1]}…"]
    room = height - len(heading) - len(lines)
    grid = _grid(panels, width, room)
    rects = _rects(Rect(0, len(heading), width, room), len(panels), *(grid or (1, max(1, len(panels)))))
    return _Arrangement(tuple(heading), rects, tuple(lines), height, not shared, grid is not None or len(panels) < 2)


def _grid(panels: Sequence[Panel], width: int, height: int) -> tuple[int, int] | None:
    """Columns and rows that make ``panels`` largest; None where they would be too small, or their titles not whole."""
    count, least = len(panels), max((PANEL_WIDTH, *map(least_width, panels)))
    best: tuple[float, int, int] | None = None
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        each, tall = (width - _GAP * (columns - 1)) // columns, height // rows
        rows_of_bars = max((bar_rows(panel, each) for panel in panels), default=0)
        fair = count == 1 or (each >= least and tall >= max(PANEL_HEIGHT, rows_of_bars + _AROUND_BARS))
        size = min(each / _ASPECT, tall)
        if fair and (best is None or size > best[0]):
            best = size, columns, rows
    return None if best is None else best[1:]


def _rects(area: Rect, count: int, columns: int, rows: int) -> tuple[Rect, ...]:
    lefts = [area.x + i * (area.width + _GAP) // columns for i in range(columns + 1)]
    tops = [area.y + i * area.height // rows for i in range(rows + 1)]
    return tuple(
        Rect(lefts[c], tops[r], lefts[c + 1] - lefts[c] - _GAP, tops[r + 1] - tops[r] - int(r < rows - 1))
        for r, c in (divmod(i, columns) for i in range(count))
    )


def _natural(panels: Sequence[Panel], width: int, top: int) -> tuple[tuple[Rect, ...], int]:
    """Panels as tall as they need, side by side as far as they keep a good width, and the row below them."""
    columns = max(1, min(len(panels), (width + _GAP) // (_NATURAL_WIDTH + _GAP)))
    each = (width + _GAP) // columns - _GAP
    rects: list[Rect] = []
    for start in range(0, len(panels), columns):
        group = panels[start : start + columns]
        height = max(_natural_height(panel, each) for panel in group)
        rects += [Rect(i * (each + _GAP), top, each, height) for i in range(len(group))]
        top += height + 1
    return tuple(rects), top


def _natural_height(panel: Panel, width: int) -> int:
    least, most = _NATURAL_HEIGHTS
    height = min(max(round(width / _ASPECT), least), most)
    rows = bar_rows(panel, width)
    if not rows:
        return height
    gaps = len(panel.categories) if rows > len(panel.categories) else 0
    return max(least, rows + gaps + _NATURAL_LEGEND)


def _frames(
    figure: Figure, shown: Sequence[int], plan: _Arrangement, looks: Mapping[str, Style]
) -> tuple[tuple[Frame, ...], tuple[tuple[Panel, Rect], ...]]:
    frames: list[Frame] = []
    spaces: list[tuple[Panel, Rect]] = []
    for i, rect in zip(shown, plan.rects, strict=True):
        panel = figure.panels[i]
        if panel.spatial or rect.width < frame.LEAST_WIDTH or rect.height < frame.LEAST_HEIGHT:
            spaces.append((panel, rect))
        else:
            title = "" if clean(panel.title) == clean(figure.title) else panel.title
            frames.append(layout(panel, rect, looks, title, plan.legends))
    return tuple(frames), tuple(spaces)


def _shared_legend(panels: Sequence[Panel], looks: Mapping[str, Style]) -> tuple[InkRow, ...]:
    """The legend that all of several panels have; empty where they differ."""
    found = {entries(panel, looks) for panel in panels} if not any(panel.spatial for panel in panels) else set()
    return next(iter(found)) if len(panels) > 1 and len(found) == 1 else ()


def _paint(painter: Painter) -> Paint:
    """The painter that was asked for; where plotext has no kernel for this system, our own."""
    if painter == "plotext":
        try:
            from kvtui.plots import plotext as plotext_
        except ImportError:
            return paint_cells
        return plotext_.paint
    return paint_cells


def _draw_frame(cells: Cells, one: Frame, looks: Mapping[str, Style], paint: Paint, shaded: bool, bare: bool) -> None:
    plot, place = one.plot, one.place
    for mark in one.panel.marks:
        if isinstance(mark, HeatMap) and one.z is not None:
            _lay(cells, plot, heat(mark, _levels(one), (place.x, place.y, one.z), plot.width, plot.height, shaded))
    below = deepcopy(cells) if bare else None
    found = shapes(one.panel, place, looks)
    _lay(cells, plot, paint([shape for shape in found if not isinstance(shape, Words)], plot.width, plot.height))
    for shape in found:
        if isinstance(shape, Boxes):
            _back(cells, plot, shape, shaded)
    if _blank(cells, plot):
        middle = plot.x + (plot.width - len(_NOTHING)) // 2
        cells.put(middle, plot.y + plot.height // 2, _NOTHING[: plot.width], Ink.DIM)
    frame.draw_rules(cells, one)
    for shape in found:
        if isinstance(shape, Words):
            _write(cells, one, shape)
    frame.draw(cells, one, shaded)
    if below is not None:
        _empty(cells, below, plot)


def _empty(cells: Cells, below: Cells, plot: Rect) -> None:
    """Take the tiles and contours that lie ``below`` out of the plot area, and leave what is written there."""
    here = slice(plot.y, plot.y + plot.height), slice(plot.x, plot.right)
    glyph = cells.glyph[here]
    drawn = np.isin(glyph, _TILES) | (glyph >= BLANK) & (glyph < BLANK + 256)
    same = drawn & (glyph == below.glyph[here]) & (cells.ink[here] == below.ink[here])
    cells.glyph[here][same], cells.ink[here][same], cells.under[here][same] = SPACE, Ink.TEXT, Ink.NONE


def _draw_space(cells: Cells, panel: Panel, rect: Rect, shaded: bool, looks: Mapping[str, Style]) -> None:
    if not panel.spatial or rect.width < frame.LEAST_WIDTH or rect.height < frame.LEAST_HEIGHT:
        cells.put(rect.x, rect.y, fit(_TOO_SMALL, rect.width), Ink.DIM)
        return
    from kvtui.plots import surface
    from kvtui.plots.camera import Camera

    cells.put(rect.x, rect.y, fit(clean(panel.title), rect.width), Ink.BRIGHT)
    below = Rect(rect.x, rect.y + 1, rect.width, rect.height - 1)
    _lay(cells, below, surface.render(panel, below.width, below.height, Camera(), shaded=shaded, looks=looks))


def _lay(cells: Cells, plot: Rect, layer: Cells) -> None:
    """Put what ``layer`` has over the plot area; a background stays where the layer has none."""
    rows, columns = slice(plot.y, plot.y + plot.height), slice(plot.x, plot.right)
    drawn = (layer.glyph != SPACE) | (layer.under != Ink.NONE)
    cells.glyph[rows, columns][drawn] = layer.glyph[drawn]
    cells.ink[rows, columns][drawn] = layer.ink[drawn]
    colored = layer.under != Ink.NONE
    cells.under[rows, columns][colored] = layer.under[colored]


def _back(cells: Cells, plot: Rect, boxes: Boxes, shaded: bool) -> None:
    """Put the bar behind what stands on it, as its whisker does; where colours do not show, the bar itself."""
    glyph, ink, under = (
        layer[plot.y : plot.y + plot.height, plot.x : plot.right] for layer in (cells.glyph, cells.ink, cells.under)
    )
    if boxes.upright:
        glyph, ink, under = glyph[::-1].T, ink[::-1].T, under[::-1].T
    for start, end, at, thickness in zip(boxes.start, boxes.end, boxes.at, boxes.thickness, strict=True):
        first, last = (int(float(side) * glyph.shape[1]) for side in sorted((start, end)))
        bar = slice(int(at), int(at + thickness)), slice(first, last)
        covered = (glyph[bar] > BLANK) & (ink[bar] != boxes.ink)
        if shaded:
            glyph[bar][covered], ink[bar][covered] = ord(boxes.fill), boxes.ink
        else:
            under[bar][covered] = boxes.ink


def _write(cells: Cells, one: Frame, words: Words) -> None:
    """Each text beside its place on the first side that is free; all or none where they belong together."""
    spots = []
    for u, v, text in zip(words.u, words.v, map(clean, words.texts), strict=True):
        if not text:
            continue
        at = one.column(float(u)), one.row(float(v))
        around = (_beside(at, text, side) for side in words.sides)
        spot = next((near for near in around if _free(cells, one.plot, *near, text)), None)
        if spot is None and words.together:
            return
        if spot is not None:
            spots.append((spot, text))
            if not words.together:
                cells.put(*spot, text, words.ink)
    if words.together and not _overlapping(spots):
        for (x, y), text in spots:
            cells.put(x, y, text, words.ink)


def _beside(at: tuple[int, int], text: str, side: Side) -> tuple[int, int]:
    x, y = at
    match side:
        case "right":
            return x + 2, y
        case "left":
            return x - 1 - len(text), y
        case "above":
            return x - len(text) // 2, y - 1
        case "above left" | "far above left":
            return x - len(text) + 1, y - 1 - side.startswith("far")
        case "below left" | "far below left":
            return x - len(text) + 1, y + 1 + side.startswith("far")
    return x - len(text) // 2, y + 1


def _free(cells: Cells, plot: Rect, x: int, y: int, text: str) -> bool:
    if not (plot.holds(x, y) and x + len(text) <= plot.right):
        return False
    here = slice(max(plot.x, x - 1), x + len(text) + 1)
    return bool(
        np.isin(cells.glyph[y, x : x + len(text)], frame.EMPTY).all() and (cells.under[y, here] == Ink.NONE).all()
    )


def _overlapping(spots: Sequence[tuple[tuple[int, int], str]]) -> bool:
    ranked = sorted(((y, x), text) for (x, y), text in spots)
    return any(
        first[0][0] == second[0][0] and first[0][1] + len(first[1]) >= second[0][1]
        for first, second in pairwise(ranked)
    )


def _blank(cells: Cells, plot: Rect) -> bool:
    rows, columns = slice(plot.y, plot.y + plot.height), slice(plot.x, plot.right)
    return bool((cells.glyph[rows, columns] == SPACE).all())


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    """``texts`` in lines of at most ``width`` cells, broken at spaces."""
    return [line for text in texts for line in wrap(clean(text, len(text)), width)]
