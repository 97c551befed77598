"""Data in cells: where they are, what they look like, and that both painters agree."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvtui.canvas.braille import BLANK
from kvtui.canvas.palette import RAMP, RAMP_STEPS, WASHED, Ink, style
from kvtui.figures.figure import Axis, Bars, Figure, HeatMap, Line, Panel, Scale, Scatter, floats
from kvtui.plots import cells as cells_
from kvtui.plots import plotext as plotext_
from kvtui.plots.draw import DrawnFigure, Painter, draw, tiles
from kvtui.plots.readout import read_out
from kvtui.plots.shapes import Stroke, clip, joined
from kvtui.plots.style import ROLES, styles
from tests.plots.gallery import BARS, GALLERY, HEAT, line_figure

PAINTERS = (cells_.paint, plotext_.paint)
UNIT = {"x": Axis("x", low=0.0, high=1.0), "y": Axis("y", low=0.0, high=1.0)}
BITS = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]]


def dots(glyph: NDArray[Any]) -> NDArray[Any]:
    """Rows and columns of the braille dots among code points."""
    bits = np.where((glyph >= BLANK) & (glyph < BLANK + 256), glyph - BLANK, 0)
    grid = np.zeros((4 * glyph.shape[0], 2 * glyph.shape[1]), dtype=bool)
    for row in range(4):
        for column in range(2):
            grid[row::4, column::2] = bits & BITS[row][column] > 0
    return np.argwhere(grid)


def area(picture: DrawnFigure, layer: str = "glyph") -> NDArray[Any]:
    """The glyphs, or another layer, of the first panel's plot area."""
    plot = picture.frames[0].plot
    values: NDArray[Any] = getattr(picture.cells, layer)
    return values[plot.y : plot.y + plot.height, plot.x : plot.right]


@given(st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)), min_size=2, max_size=6))
def test_both_painters_draw_the_same_line(points: list[tuple[float, float]]) -> None:
    u, v = floats([p[0] for p in points]), floats([p[1] for p in points])
    stroke = Stroke(clip(joined(u, v)), 41)
    ours, theirs = (dots(paint([stroke], 30, 12).glyph) for paint in PAINTERS)
    for some, other in ((ours, theirs), (theirs, ours)):
        for dot in some:
            assert len(other)
            assert np.abs(other - dot).max(axis=1).min() <= 1


@given(st.floats(-1, 2), st.floats(-1, 2), st.floats(-1, 2), st.floats(-1, 2))
def test_every_dot_lies_on_the_line(u0: float, v0: float, u1: float, v1: float) -> None:
    pieces = clip(np.array([[u0, v0, u1, v1]]))
    found = dots(cells_.paint([Stroke(pieces, 41)], 40, 20).glyph)
    assert bool(len(found)) == bool(len(pieces))
    start, step = np.array([u0 * 80, v0 * 80]), np.array([(u1 - u0) * 80, (v1 - v0) * 80])
    for row, column in found:
        at = np.array([column + 0.5, 79.5 - row])
        share = 0.0 if not step @ step else np.clip((at - start) @ step / (step @ step), 0, 1)
        assert np.abs(at - start - share * step).max() <= 1.01


@pytest.mark.parametrize("painter", ["cells", "plotext"])
@pytest.mark.parametrize(("scale", "at"), [("linear", 0.5), ("log10", 0.5), ("log2", 0.5)])
def test_a_line_passes_where_its_axes_say(painter: Painter, scale: Scale, at: float) -> None:
    low, high = (0.0, 100.0) if scale == "linear" else (1.0, 4096.0)
    xs = np.linspace(low, high, 50) if scale == "linear" else np.geomspace(low, high, 50)
    axis = Axis("x", "", scale, low=low, high=high)
    picture = draw(line_figure(Line("a", xs, xs), x=axis, y=axis), 60, 24, painter=painter)
    glyph = area(picture)
    height, width = glyph.shape
    for share in (0.1, at, 0.9):
        column, row = int(share * width), height - 1 - int(share * height)
        assert (glyph[row - 1 : row + 2, column] > BLANK).any()
        assert (np.delete(glyph[:, column], slice(max(0, row - 1), row + 2)) <= BLANK).all()


@pytest.mark.parametrize("painter", ["cells", "plotext"])
def test_missing_values_leave_a_gap(painter: Painter) -> None:
    ys = np.full(101, 0.5)
    ys[40:61] = [np.nan, np.inf, -np.inf] * 7
    picture = draw(line_figure(Line("a", np.linspace(0, 1, 101), ys), **UNIT), 80, 20, painter=painter)
    filled = np.any(area(picture) > BLANK, axis=0)
    width = filled.size
    assert not filled[int(0.41 * width) : int(0.59 * width)].any()
    assert filled[: int(0.38 * width)].all()
    assert filled[int(0.62 * width) :].all()


def test_bars_are_as_high_as_their_values_to_an_eighth_of_a_cell() -> None:
    values = floats([1, 2, 3.3, 7.25, 8])
    panel = Panel("", Axis("x"), Axis("y", low=0.0, high=8.0), (Bars("a", values),), categories=tuple("abcde"))
    picture = draw(Figure("b", "b", "", (panel,)), 60, 30)
    glyph = area(picture)
    eighths = {ord(c): i for i, c in enumerate(" ▁▂▃▄▅▆▇█")}
    heights = [
        max(sum(eighths.get(int(c), 0) for c in glyph[:, column]) for column in range(*slot))
        for slot in ((int(i * glyph.shape[1] / 5), int((i + 1) * glyph.shape[1] / 5)) for i in range(5))
    ]
    assert heights == [int(value / 8 * glyph.shape[0] * 8 + 1e-9) for value in values]


@pytest.mark.parametrize("painter", ["cells", "plotext"])
def test_bars_of_two_series_keep_their_ratio_and_differ_without_colour(painter: Painter) -> None:
    picture = draw(BARS, 100, 44, painter=painter)
    glyph = area(picture)
    heights = {fill: (glyph == ord(fill)).sum(axis=0) for fill in "█▓"}
    first, second = (np.unique(heights[fill][heights[fill] > 0]) for fill in "█▓")
    assert first.max() / second.max() == pytest.approx(400 / 300, abs=0.1)


def test_bars_below_zero_hang_from_it() -> None:
    panel = Panel("", Axis("x"), Axis("y", low=-4.0, high=4.0), (Bars("a", floats([-4, 4])),), categories=("a", "b"))
    glyph = area(draw(Figure("b", "b", "", (panel,)), 60, 24))
    half, full = glyph.shape[0] // 2, ord("█")
    left, right = np.split(glyph == full, [glyph.shape[1] // 2], axis=1)
    assert left[half:].any()
    assert not left[: half - 1].any()
    assert right[:half].any()
    assert not right[half + 1 :].any()


def test_a_bar_that_is_not_zero_can_be_seen() -> None:
    panel = Panel("", Axis("x"), Axis("y"), (Bars("a", floats([1, 1e6, 0])),), categories=tuple("abc"))
    glyph = area(draw(Figure("b", "b", "", (panel,)), 60, 24))
    third = glyph.shape[1] // 3
    assert (glyph[-1, :third] == ord("▁")).any()
    assert not np.isin(glyph[-1, 2 * third :], [ord("▁"), ord("█")]).any()


@pytest.mark.parametrize("painter", ["cells", "plotext"])
def test_a_band_covers_what_lies_between_and_no_line(painter: Painter) -> None:
    xs = np.linspace(0, 1, 21)
    lines = (Line("a", xs, np.full(21, 0.5)), Line("b", xs, np.full(21, 0.6), np.full(21, 0.25), np.full(21, 0.75)))
    picture = draw(line_figure(*lines, **UNIT), 60, 30, painter=painter)
    glyph, under = area(picture), area(picture, "under")
    washed = (under >= WASHED).sum(axis=0)
    assert abs(washed - glyph.shape[0] / 2).max() <= 1.5
    drawn = (~np.isin(glyph, [ord(" "), ord("░")])).sum(axis=0)
    assert (drawn >= 2).all(), "both lines are seen on the band"
    for depth, seen in (("rgb", True), ("ansi", False), ("none", False)):
        assert (style(WASHED + Ink.SEQUENCE, WASHED + Ink.SEQUENCE, "dark", depth).bgcolor is not None) == seen


def test_larger_sizes_cover_more() -> None:
    panel = Panel("", UNIT["x"], UNIT["y"], (Scatter("a", floats([0.2, 0.8]), floats([0.5, 0.5]), floats([1, 25])),))
    glyph = area(draw(Figure("s", "s", "", (panel,)), 80, 24))
    left, right = np.split(glyph != ord(" "), [glyph.shape[1] // 2], axis=1)
    assert 1 <= left.sum() < right.sum()


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_each_half_cell_has_the_colour_of_the_nearest_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.cumsum(rng.uniform(0.1, 1, rng.integers(2, 8))), np.cumsum(rng.uniform(0.1, 1, rng.integers(2, 6)))
    z = rng.uniform(1, 100, (y.size, x.size))
    z[rng.random(z.shape) < 0.2] = np.nan
    picture = draw(
        Figure("h", "h", "", (Panel("", Axis("x"), Axis("y"), (HeatMap("a", x, y, z),), z=Axis("z")),)), 50, 20
    )
    frame = picture.frames[0]
    plot = frame.plot
    for row in range(plot.height):
        for column in range(0, plot.width, 3):
            at = frame.place.x.value((column + 0.5) / plot.width)
            for half, share in enumerate((0.25, 0.75)):
                up = frame.place.y.value(1 - (row + share) / plot.height)
                far = [np.sort(np.abs(values - here)) for values, here in ((y, up), (x, at))]
                if any(one[1] - one[0] < 1e-9 for one in far):
                    continue
                value = z[np.abs(y - up).argmin(), np.abs(x - at).argmin()]
                cell = plot.y + row, plot.x + column
                glyph, ink, under = (
                    layer[cell] for layer in (picture.cells.glyph, picture.cells.ink, picture.cells.under)
                )
                first = half == 0
                shown = (ink if glyph == ord("▀") else 0) if first else (ink if glyph == ord("▄") else under)
                if np.isnan(value):
                    assert shown < RAMP
                    continue
                share_of_z = (value - np.nanmin(z)) / (np.nanmax(z) - np.nanmin(z))
                assert abs(int(shown) - RAMP - min(int(share_of_z * RAMP_STEPS), RAMP_STEPS - 1)) <= 1


@given(st.integers(0, 2**32 - 1))
def test_tiles_in_pixels_are_those_in_cells(seed: int) -> None:
    """With two pixels to a cell they have its inks; what is written on a map stays when its tiles are left out."""
    rng = np.random.default_rng(seed)
    x, y, z = np.arange(1.0, 9), np.arange(1.0, 7), rng.uniform(1, 100, (6, 8))
    z[rng.random(z.shape) < 0.2] = np.nan
    figure = Figure("h", "h", "", (Panel("", Axis("x"), Axis("y"), (HeatMap("a", x, y, z),), z=Axis("z")),))
    whole, bare = draw(figure, 60, 20), draw(figure, 60, 20, bare=True)
    inks = tiles(whole.frames[0], 1, 2)
    assert inks is not None
    glyph, ink, under = (area(whole, layer) for layer in ("glyph", "ink", "under"))
    upper, lower = glyph == ord("▀"), glyph == ord("▄")
    assert np.array_equal(inks[0::2], np.where(upper, ink, Ink.NONE))
    assert np.array_equal(inks[1::2], np.where(lower, ink, under))
    assert (area(bare) == ord(" ")).all()
    assert re.findall(r"[\w.]+", bare.cells.text()) == re.findall(r"[\w.]+", whole.cells.text())


def test_contours_in_pixels_run_where_the_value_is() -> None:
    x = y = np.linspace(0, 10, 11)
    panel = Panel("", Axis("x"), Axis("y"), (HeatMap("a", x, y, np.tile(x, (11, 1)), (2.5,)),), z=Axis("z"))
    frame = draw(Figure("h", "h", "", (panel,)), 70, 24).frames[0]
    with_line = tiles(frame, 8, 16)
    without = tiles(replace(frame, panel=replace(panel, marks=(HeatMap("a", x, y, np.tile(x, (11, 1))),))), 8, 16)
    assert with_line is not None
    assert without is not None
    rows, columns = np.nonzero(with_line != without)
    assert np.array_equal(np.unique(rows), np.arange(rows.min(), rows.max() + 1))
    assert np.ptp(rows) > 0.8 * with_line.shape[0]
    expected = frame.place.x.unit(floats([2.5]))[0] * with_line.shape[1]
    assert np.abs(columns - expected).max() <= 2


def test_a_contour_runs_where_the_value_is() -> None:
    x = y = np.linspace(0, 10, 11)
    z = np.tile(x, (11, 1))
    panel = Panel("", Axis("x"), Axis("y"), (HeatMap("a", x, y, z, (2.5,)),), z=Axis("z"))
    picture = draw(Figure("h", "h", "", (panel,)), 70, 24, shaded=True)
    found = dots(area(picture))
    expected = picture.frames[0].place.x.unit(floats([2.5]))[0] * 2 * picture.frames[0].plot.width
    assert len(found) > 20
    assert np.abs(found[:, 1] - expected).max() <= 1


def test_hover_reads_the_values_nearest_to_the_cell() -> None:
    picture = draw(line_figure(Line("a", floats([0, 50, 100]), floats([1, None, 3])), y=Axis("y", "ms")), 80, 24)
    frame = picture.frames[0]
    last = frame.plot.right - 1, frame.plot.y + 3
    assert read_out(frame, *last)[0].text == "100  3 ms"
    assert read_out(frame, frame.plot.x, frame.plot.y)[0].text == "0  1 ms"
    assert read_out(frame, frame.plot.x - 1, frame.plot.y) == ()


def test_hover_reads_bars_and_heat_maps() -> None:
    picture = draw(BARS, 80, 24)
    plot = picture.frames[0].plot
    readings = dict(read_out(picture.frames[0], plot.x + plot.width * 5 // 8, plot.y + 5))
    assert readings == {"prompt 128": "MQA  400 tok/s (390 tok/s to 430 tok/s)", "prompt 512": "MQA  300 tok/s"}
    heat = draw(HEAT, 80, 24)
    frame = heat.frames[0]
    text = read_out(frame, frame.plot.x, frame.plot.y)[0].text
    assert text == "256 tokens  128 sequences  4.00 GiB"


@pytest.mark.parametrize("figure", GALLERY, ids=lambda figure: figure.id)
def test_every_plot_area_can_be_read(figure: Figure) -> None:
    picture = draw(figure, 120, 36)
    for frame in picture.frames:
        for column in range(frame.plot.x, frame.plot.right, 7):
            for row in range(frame.plot.y, frame.plot.y + frame.plot.height, 3):
                for reading in read_out(frame, column, row):
                    assert reading.text


def test_variants_keep_their_look_on_all_figures() -> None:
    looks = [styles(figure) for figure in GALLERY]
    for name, role in (("MHA", "mha"), ("MLA", "mla"), ("MQA", "mqa")):
        found = {look[name].ink for look in looks if name in look}
        assert len(found) <= 1
        assert all(look[name].place == ROLES[role] for look in looks if name in look)
    forty = styles(line_figure(*(Line(f"GQA {i}", floats([1]), floats([1])) for i in range(40))))
    assert len({(look.ink, look.point) for look in forty.values()}) == 16
    assert len({look.place for look in forty.values()}) == 40


@pytest.mark.parametrize("painter", ["cells", "plotext"])
def test_a_whisker_does_not_shorten_its_bar_where_colours_do_not_show(painter: Painter) -> None:
    values, low, high = floats([8]), floats([2]), floats([10])
    panel = Panel("", Axis("x"), Axis("y", low=0.0, high=12.0), (Bars("a", values, low, high),), categories=("a",))
    figure = Figure("b", "b", "", (panel,))
    for shaded in (True, False):
        picture = draw(figure, 60, 30, painter=painter, shaded=shaded)
        plot = picture.frames[0].plot
        middle = picture.frames[0].columns[0]
        column = slice(plot.y, plot.y + plot.height), slice(middle - 1, middle + 2)
        glyph, under = picture.cells.glyph[column], picture.cells.under[column]
        barred = ((glyph == ord("█")) | (under == styles(figure)["a"].ink)).sum(axis=0)
        assert abs(barred - plot.height * 8 / 12).max() <= 1
        assert (glyph[: plot.height // 3] > BLANK).any()
