"""Painting in cells: curves in braille, bars in eighths of a cell, heat maps in half blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvtui.canvas.braille import BLANK, DOTS
from kvtui.canvas.cells import Cells
from kvtui.canvas.palette import RAMP, RAMP_STEPS, WASHED, Ink
from kvtui.canvas.pixels.raster import PixelInks
from kvtui.figures.figure import Floats, HeatMap
from kvtui.plots.raster import Mask, Places
from kvtui.plots.shapes import DOTS_ACROSS, DOTS_DOWN, Boxes, PanelShape, Points, Stroke, Wash
from kvtui.plots.ticks import AxisSpan, short_text

BAND = "░"
SHADES = "·░▒▓█"
_UP, _RIGHT = "▁▂▃▄▅▆▇", "▏▎▍▌▋▊▉"
_UPPER, _LOWER = ord("▀"), ord("▄")
_DOTS = np.array(DOTS, dtype=np.uint32)

Pixels = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Glyphs = np.ndarray[tuple[int], np.dtype[np.uint32]]
Dots = np.ndarray[tuple[int, int], np.dtype[np.uint32]]
Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


def paint(shapes: Sequence[PanelShape], width: int, height: int) -> Cells:
    """The shapes in a plot area of ``width`` × ``height`` cells; spaces where there is nothing."""
    cells = bands(shapes, width, height)
    for shape in shapes:
        match shape:
            case Boxes():
                _boxes(cells, shape)
            case Stroke():
                _stroke(cells, shape)
            case Points():
                columns = _floor(shape.u * width, width)
                rows = height - 1 - _floor(shape.v * height, height)
                cells.glyph[rows, columns] = ord(shape.glyph)
                cells.ink[rows, columns] = shape.ink
    return cells


def bands(shapes: Sequence[PanelShape], width: int, height: int) -> Cells:
    """The bands among ``shapes``, over which everything else is drawn."""
    cells = Cells(width, height)
    for shape in shapes:
        if isinstance(shape, Wash):
            _band(cells, shape)
    return cells


def _band(cells: Cells, band: Wash) -> None:
    """Every cell that the band touches: a wash of its ink, or its character where a wash does not show."""
    columns = np.flatnonzero(np.isfinite(band.low) & np.isfinite(band.high))
    low, high = (np.fmin(band.low, band.high)[columns], np.fmax(band.low, band.high)[columns])
    shown = (high >= 0) & (low <= 1)
    columns, low, high = columns[shown], low[shown], high[shown]
    height = cells.height
    top = height - 1 - _floor(np.clip(high, 0, 1) * height, height)
    bottom = height - 1 - _floor(np.clip(low, 0, 1) * height, height)
    lengths = bottom - top + 1
    rows = np.repeat(top, lengths) + _counted(lengths)
    at = np.repeat(columns, lengths)
    cells.glyph[rows, at] = ord(BAND)
    cells.ink[rows, at] = cells.under[rows, at] = WASHED + band.ink


def _boxes(cells: Cells, boxes: Boxes) -> None:
    along = cells.height if boxes.upright else cells.width
    glyph = cells.glyph[::-1].T if boxes.upright else cells.glyph
    ink = cells.ink[::-1].T if boxes.upright else cells.ink
    partial = _UP if boxes.upright else _RIGHT
    for start, end, at, thickness in zip(boxes.start, boxes.end, boxes.at, boxes.thickness, strict=True):
        first, last = float(min(start, end)) * along, float(max(start, end)) * along
        if first == last:
            continue
        across = slice(int(at), int(at + thickness))
        grows = end > start and boxes.fill == "█"
        whole = int(last) if grows else round(last)
        filled = slice(round(first), max(whole, round(first)))
        glyph[across, filled], ink[across, filled] = ord(boxes.fill), boxes.ink
        eighths = int((last - whole) * 8) if grows else 0
        tiny = whole <= round(first) and not eighths
        if (eighths or tiny) and whole < along:
            glyph[across, whole], ink[across, whole] = ord(partial[max(eighths, 1) - 1]), boxes.ink


def _stroke(cells: Cells, stroke: Stroke) -> None:
    width, height = cells.width, cells.height
    pieces = stroke.pieces * np.array([width * DOTS_ACROSS, height * DOTS_DOWN] * 2)
    u0, v0, u1, v1 = pieces.T
    steps = np.ceil(np.maximum(np.abs(u1 - u0), np.abs(v1 - v0))).astype(np.int64) + 1
    share = _counted(steps) / np.repeat(np.maximum(steps - 1, 1), steps)
    columns = _floor(np.repeat(u0, steps) + share * np.repeat(u1 - u0, steps), width * DOTS_ACROSS)
    rows = height * DOTS_DOWN - 1 - _floor(np.repeat(v0, steps) + share * np.repeat(v1 - v0, steps), height * DOTS_DOWN)
    dots = _from_dots(width, height, columns, rows)
    drawn = dots > 0
    before = np.where((cells.glyph > BLANK) & (cells.glyph < BLANK + 256), cells.glyph - BLANK, 0)
    cells.glyph[drawn] = (dots - BLANK | before)[drawn] + BLANK
    cells.ink[drawn] = stroke.ink


def _from_dots(width: int, height: int, columns: Indices, rows: Indices) -> Dots:
    """Code points of single dots in ``height`` × ``width`` cells; 0 where there is none.

    ``columns`` count dots from the left (two per cell), ``rows`` from the top (four per cell); all lie inside.
    """
    cells = np.zeros((height, width), dtype=np.uint32)
    np.bitwise_or.at(cells, (rows // 4, columns // 2), _DOTS[rows % 4, columns % 2])
    return np.where(cells > 0, cells + BLANK, 0).astype(np.uint32)


def heat(
    heat_map: HeatMap,
    levels: Sequence[float],
    axes: tuple[AxisSpan, AxisSpan, AxisSpan],
    width: int,
    height: int,
    shaded: bool = False,
) -> Cells:
    """A heat map in a plot area of ``width`` × ``height`` cells, two values in each cell, and contours in braille.

    ``axes`` are x, y and z; ``levels`` get lines of equal value besides the heat map's own contours. A value fills the
    tile around its place, up to half way to its neighbours; cells without a value stay empty. ``shaded`` puts one of
    SHADES into each cell in place of colours. Contours run where the values between the places would cross,
    interpolated along the axes as they are drawn.
    """
    cells = Cells(width, height)
    x, y, z = axes
    us, vs, field = sorted_tiles(heat_map, x, y, z)
    if not field.size:
        return cells
    pixels = _tile_pixels(us, vs, field, width, 2 * height)
    upper, lower = pixels[0::2], pixels[1::2]
    if shaded:
        _shade(cells, np.where(np.isfinite(upper), upper, lower))
    else:
        _blocks(cells, upper, lower)
    values = [*heat_map.contours, *levels]
    for number, (value, level) in enumerate(zip(values, z.unit(np.array(values, dtype=np.float64)), strict=True)):
        crossed = _contour(cells, us, vs, field, float(level))
        _contour_label(cells, crossed, short_text(z.axis, value), (number + 1) / (len(values) + 1))
    return cells


def heat_inks(
    heat_map: HeatMap, levels: Sequence[float], axes: tuple[AxisSpan, AxisSpan, AxisSpan], width: int, height: int
) -> PixelInks:
    """The tiles and contours that ``heat`` draws, in ``width`` × ``height`` pixels; without a value there is no ink."""
    x, y, z = axes
    us, vs, field = sorted_tiles(heat_map, x, y, z)
    if not field.size:
        return np.zeros((height, width), dtype=np.uint16)
    pixels = _tile_pixels(us, vs, field, width, height)
    inks = np.where(np.isfinite(pixels), ramp(pixels), Ink.NONE).astype(np.uint16)
    far = np.where(inks < RAMP + RAMP_STEPS // 2, RAMP + RAMP_STEPS - 1, RAMP)
    for level in z.unit(np.array([*heat_map.contours, *levels], dtype=np.float64)).tolist():
        line = _crossed(us, vs, field, level, width, height)
        line[:, 1:] |= line[:, :-1].copy()
        line[1:] |= line[:-1].copy()
        line &= inks != Ink.NONE
        inks[line] = far[line]
    return inks


def _tile_pixels(us: Floats, vs: Floats, field: Pixels, width: int, height: int) -> Pixels:
    """The values of ``width`` × ``height`` pixels, each its tile's; NaN beside the tiles."""
    columns = (np.arange(width) + 0.5) / width
    rows = 1 - (np.arange(height) + 0.5) / height
    found: Pixels = field[_tiles(vs, rows)[:, None], _tiles(us, columns)[None, :]]
    found[_outside(vs, rows)] = np.nan
    found[:, _outside(us, columns)] = np.nan
    return found


def ramp(unit: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The inks of values between 0 and 1."""
    return RAMP + np.clip(np.nan_to_num(unit) * RAMP_STEPS, 0, RAMP_STEPS - 1).astype(np.int64)


def shade(unit: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    """The code points of SHADES for values between 0 and 1."""
    table = np.array([ord(c) for c in SHADES], dtype=np.uint32)
    return table[np.clip(np.nan_to_num(unit) * len(SHADES), 0, len(SHADES) - 1).astype(np.int64)]


def tile_ends(units: Floats) -> tuple[float, float]:
    """Where the first tile begins and the last ends; ``units`` are the sorted places of the values."""
    found = edges(units)
    return float(found[0]), float(found[-1])


def _blocks(cells: Cells, upper: Pixels, lower: Pixels) -> None:
    has_upper, has_lower = np.isfinite(upper), np.isfinite(lower)
    cells.glyph[has_upper] = _UPPER
    cells.ink[has_upper] = ramp(upper)[has_upper]
    both, only_lower = has_upper & has_lower, has_lower & ~has_upper
    cells.under[both] = ramp(lower)[both]
    cells.glyph[only_lower] = _LOWER
    cells.ink[only_lower] = ramp(lower)[only_lower]


def _shade(cells: Cells, values: Pixels) -> None:
    shown = np.isfinite(values)
    cells.glyph[shown] = shade(values)[shown]
    cells.ink[shown] = ramp(values)[shown]


def _contour(cells: Cells, us: Floats, vs: Floats, field: Pixels, level: float) -> Mask:
    """Draw dots where the interpolated field crosses ``level``; gives the cells that have some."""
    width, height = cells.width, cells.height
    rows, columns = np.nonzero(_crossed(us, vs, field, level, width * DOTS_ACROSS, height * DOTS_DOWN))
    dots = _from_dots(width, height, columns, rows)
    drawn = dots > 0
    _over(cells, drawn, dots[drawn])
    return drawn


def _crossed(us: Floats, vs: Floats, field: Pixels, level: float, width: int, height: int) -> Mask:
    """Which of ``width`` × ``height`` pixels the interpolated field crosses ``level`` before."""
    crossing = np.zeros((height, width), dtype=bool)
    if not np.isfinite(level) or min(field.shape) < 2:
        return crossing
    smooth = _bilinear(us, vs, field, (np.arange(width) + 0.5) / width, 1 - (np.arange(height) + 0.5) / height)
    above = smooth >= level
    known = np.isfinite(smooth)
    crossing[:, 1:] |= (above[:, 1:] != above[:, :-1]) & known[:, 1:] & known[:, :-1]
    crossing[1:] |= (above[1:] != above[:-1]) & known[1:] & known[:-1]
    return crossing


def _contour_label(cells: Cells, crossed: Mask, text: str, share: float) -> None:
    """Write ``text`` on a contour, as near to ``share`` of the width as the contour comes."""
    rows, columns = np.nonzero(crossed)
    if not rows.size or len(text) > cells.width:
        return
    nearest = int(np.argmin(np.abs(columns - share * cells.width)))
    start = min(max(0, int(columns[nearest]) - len(text) // 2), cells.width - len(text))
    here = np.zeros(crossed.shape, dtype=bool)
    here[rows[nearest], start : start + len(text)] = True
    _over(cells, here, np.array([ord(c) for c in text], dtype=np.uint32))


def _over(cells: Cells, where: Mask, glyphs: Glyphs) -> None:
    """Put characters over tiles, in the end of the ramp that is farther from the tile's own colour."""
    tiles = where & (cells.glyph == _UPPER)
    cells.under[tiles] = cells.ink[tiles]
    cells.glyph[where] = glyphs
    colored = cells.under >= RAMP
    far = np.where(cells.under < RAMP + RAMP_STEPS // 2, RAMP + RAMP_STEPS - 1, RAMP)
    cells.ink[where] = np.where(colored, far, Ink.BRIGHT)[where]


def _bilinear(us: Floats, vs: Floats, field: Pixels, across: Floats, down: Floats) -> Pixels:
    """``field`` between its places; NaN outside of them and beside a value that is missing."""
    column = np.clip(np.searchsorted(us, across) - 1, 0, us.size - 2)
    row = np.clip(np.searchsorted(vs, down) - 1, 0, vs.size - 2)
    right = ((across - us[column]) / (us[column + 1] - us[column]))[None, :]
    up = ((down - vs[row]) / (vs[row + 1] - vs[row]))[:, None]
    low = field[row][:, column] * (1 - right) + field[row][:, column + 1] * right
    high = field[row + 1][:, column] * (1 - right) + field[row + 1][:, column + 1] * right
    smooth = low * (1 - up) + high * up
    inside = ((right >= 0) & (right <= 1)) & ((up >= 0) & (up <= 1))
    return np.where(inside, smooth, np.nan)


def sorted_tiles(heat_map: HeatMap, x: AxisSpan, y: AxisSpan, z: AxisSpan) -> tuple[Floats, Floats, Pixels]:
    """Places and values in units of their axes, in rising order, each place once, without places off the axes."""
    us, columns = np.unique(x.unit(heat_map.x), return_index=True)
    vs, rows = np.unique(y.unit(heat_map.y), return_index=True)
    columns, rows = columns[np.isfinite(us)], rows[np.isfinite(vs)]
    field = z.unit(heat_map.z[np.ix_(rows, columns)].ravel()).reshape(rows.size, columns.size)
    return us[np.isfinite(us)], vs[np.isfinite(vs)], field


def edges(units: Floats) -> Floats:
    """The edges of the tiles around sorted places, half way between them; without bounds around a single place."""
    if units.size == 1:
        return np.array([-np.inf, np.inf])
    middles = (units[:-1] + units[1:]) / 2
    return np.concatenate(([2 * units[0] - middles[0]], middles, [2 * units[-1] - middles[-1]]))


def _tiles(units: Floats, at: Floats) -> Places:
    return np.clip(np.searchsorted(edges(units), at) - 1, 0, units.size - 1)


def _outside(units: Floats, at: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    first, last = tile_ends(units)
    return (at < first) | (at > last)


def _counted(lengths: Places) -> Places:
    """0, 1, … within each of the runs of ``lengths``."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _floor(values: Floats, most: int) -> Places:
    return np.clip(np.floor(values), 0, most - 1).astype(np.int64)
