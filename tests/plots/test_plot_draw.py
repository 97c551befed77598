"""Whole pictures: all labels whole, legends outside the data, layouts by size, and nothing that breaks them."""

from __future__ import annotations

import sys
import threading
from itertools import pairwise
from math import floor, log2
from typing import Any

import pytest
from rich.color import ColorSystem

import kvtui.plots
from kvtui.canvas.braille import BLANK
from kvtui.figures.figure import Axis, Figure, Line, Panel, Rule, floats
from kvtui.plots.draw import PANEL_HEIGHT, PANEL_WIDTH, draw, render_text
from kvtui.plots.style import styles
from tests.nightly import sampled
from tests.plots.gallery import BARS, CURVES, FLAT, GALLERY, HEADS, HOSTILE, LONG_BARS, MANY, kv_bytes, line_figure

pytestmark = sampled(3)

SIZES = [(80, 24), (120, 36), (160, 45)]
TINY = [(1, 1), (5, 3), (23, 9), (24, 8), (24, 9), (30, 12), (300, 90)]


def by_id(figure: Figure) -> str:
    """A figure's name in test ids."""
    return figure.id


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("figure", FLAT, ids=by_id)
def test_all_labels_are_whole_and_apart(figure: Figure, size: tuple[int, int]) -> None:
    picture = draw(figure, *size)
    text = picture.cells.text().split("\n")
    assert [len(line) for line in text] == [size[0]] * size[1]
    for frame in picture.frames:
        rows: dict[int, list[Any]] = {}
        for label in frame.labels:
            assert text[label.y][label.x : label.right] == label.text
            rows.setdefault(label.y, []).append(label)
        for labels in rows.values():
            ordered = sorted(label for label in labels if label.text)
            assert all(a.right <= b.x for a, b in pairwise(ordered))
        panel = frame.panel
        for axis in (panel.x, panel.y, *([panel.z] if panel.z else [])):
            title = f"{axis.label} ({axis.unit})" if axis.unit else axis.label
            assert any(title == label.text for label in frame.labels)
        ticks = {label.text for label in frame.labels}
        assert "…" not in "".join(ticks)
        assert len(frame.rows) >= 2
        assert len(frame.columns) >= 2


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("figure", FLAT, ids=by_id)
def test_legends_name_every_series_above_the_data(figure: Figure, size: tuple[int, int]) -> None:
    picture = draw(figure, *size)
    lines = picture.cells.text().split("\n")
    for frame in picture.frames:
        assert all(y < frame.plot.y for y, _ in frame.legend)
        head = "\n".join(lines[: frame.plot.y])
        inside = "\n".join(line[frame.plot.x : frame.plot.right] for line in lines[frame.plot.y :][: frame.plot.height])
        for mark in frame.panel.marks:
            single = len(frame.panel.marks) == 1
            assert single or mark.name in head
            assert isinstance(mark, Line) or mark.name not in inside
            assert single or styles(figure)[mark.name].point in head or styles(figure)[mark.name].fill in head


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_logarithmic_ticks_and_data_stand_at_the_logarithm(size: tuple[int, int]) -> None:
    picture = draw(CURVES, *size, painter="plotext")
    frame = picture.frames[0]
    plot, x, y = frame.plot, frame.place.x, frame.place.y
    lower = {label.text: column for label, column in zip(frame.labels, frame.columns, strict=False)}
    for text, tokens in (("1K", 1024), ("16K", 16384)):
        share = (log2(tokens) - log2(x.low)) / (log2(x.high) - log2(x.low))
        assert lower[text] == plot.x + floor(share * plot.width)
    looks = styles(CURVES)
    for name, heads in HEADS.items():
        for place, held in ((2048.0, kv_bytes(heads)[3]), (65536.0, kv_bytes(heads)[8])):
            column = frame.column(float(x.unit(floats([place]))[0]))
            share = (log2(held) - log2(y.low)) / (log2(y.high) - log2(y.low))
            row = plot.y + plot.height - 1 - floor(share * plot.height)
            assert looks[name].ink in picture.cells.ink[row - 1 : row + 2, column]


def test_rules_stand_at_their_value_and_are_named() -> None:
    picture = draw(CURVES, 120, 36)
    frame = picture.frames[0]
    lines = picture.cells.text().split("\n")
    rules = {rule.label: at for rule, at in frame.rules}
    share = (log2(24 * 2**30) - log2(frame.place.y.low)) / (log2(frame.place.y.high) - log2(frame.place.y.low))
    assert rules["24 GiB"] == frame.plot.y + frame.plot.height - 1 - floor(share * frame.plot.height)
    assert lines[rules["24 GiB"]].endswith("24 GiB")
    assert lines[rules["24 GiB"]].count("┄") > 50
    assert "32K" in lines[frame.plot.y - 1]


def test_a_rule_out_of_range_is_said() -> None:
    panel = Panel(
        "", Axis("x"), Axis("y"), (Line("a", floats([1, 2]), floats([1, 2])),), rules=(Rule("y", 1e9, "80 GB"),)
    )
    assert "beyond the axis: 80 GB" in render_text(Figure("f", "f", "", (panel,)), 80)


def test_values_without_a_place_on_a_logarithmic_axis_are_said() -> None:
    figure = line_figure(Line("a", floats([1, 2, 3]), floats([0, -1, 5])), y=Axis("speed", "", "log10"))
    assert "speed: 2 values are not above 0" in render_text(figure, 80)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_panels_stand_apart_or_one_at_a_time(size: tuple[int, int]) -> None:
    picture = draw(MANY, *size)
    alone = len(picture.shown) < len(MANY.panels)
    assert alone == (size == (80, 24))
    assert ("panel 1 of 3" in picture.cells.text()) == alone
    for i, a in enumerate(picture.frames):
        assert a.rect.width >= PANEL_WIDTH
        assert a.rect.height >= PANEL_HEIGHT - 1
        for b in picture.frames[:i]:
            beside = a.rect.right <= b.rect.x or b.rect.right <= a.rect.x
            below = a.rect.y + a.rect.height <= b.rect.y or b.rect.y + b.rect.height <= a.rect.y
            assert beside or below
    assert {len(draw(MANY, *size).shown) for size in SIZES} == {1, 3}


def test_any_panel_can_be_chosen() -> None:
    assert draw(MANY, 80, 24, panel=2).shown == (2,)
    assert "decode (tok/s)" in draw(MANY, 80, 24, panel=2).cells.text()
    assert draw(MANY, 160, 45, panel=99).shown == (2,)


def test_a_common_legend_stands_once() -> None:
    panel = CURVES.panels[0]
    twice = Figure("two", "Two", "", (panel, panel))
    assert render_text(twice, 160, 40).split("one sequence")[0].count("GQA 4×") == 1
    assert render_text(MANY, 160, 45).count("MLA") >= 3


def test_long_names_lay_bars_on_their_side_and_stay_whole() -> None:
    text = render_text(LONG_BARS, 80, 24)
    for name, size in zip(LONG_BARS.panels[0].categories, ("128", "68.625", "96", "256", "36", "12"), strict=True):
        line = next(line for line in text.split("\n") if name in line)
        number = text.split("\n").index(line)
        assert any(f"{size} KiB" in near for near in text.split("\n")[number - 1 : number + 2])
    assert draw(BARS, 80, 24).frames[0].place.horizontal is False


def test_without_a_height_everything_has_room() -> None:
    text = render_text(HOSTILE["many bars"], 100)
    for i in range(200):
        assert f"category {i} " in text.replace("┤", " ")
    assert "have room" not in text
    short = render_text(HOSTILE["many bars"], 100, 40)
    assert "of 200 categories have room" in short


def test_a_long_legend_says_how_much_it_leaves_out() -> None:
    text = render_text(HOSTILE["forty"], 80, 24)
    left_out = int(text.split("more")[0].rpartition("+")[2])
    assert sum(f" series {i} " in text.replace("\n", " ") for i in range(40)) == 40 - left_out


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_figures_are_drawn_at_any_size(name: str) -> None:
    for size in [(80, 24)] if "million" in name else [*TINY, (80, 24)]:
        picture = draw(HOSTILE[name], *size)
        assert picture.cells.glyph.shape == (size[1], size[0])
    text = render_text(HOSTILE[name], 80)
    assert all(line.isprintable() for line in text.split("\n"))
    assert all(len(line) <= 80 for line in text.split("\n"))


@pytest.mark.parametrize("name", ["empty", "all missing", "no marks", "log of nothing", "no tile", "holes"])
def test_a_figure_without_values_says_so(name: str) -> None:
    assert "no values to show" in render_text(HOSTILE[name], 80)


@pytest.mark.parametrize("figure", GALLERY, ids=by_id)
def test_gallery_at_any_size(figure: Figure) -> None:
    for size in TINY:
        assert draw(figure, *size).cells.glyph.shape == (size[1], size[0])


@pytest.mark.parametrize("figure", GALLERY, ids=by_id)
def test_plain_text_has_no_escape_codes_and_ascii_nothing_else(figure: Figure) -> None:
    plain = render_text(figure, 100)
    assert "\x1b" not in plain
    ascii_text = render_text(figure, 100, ascii_only=True)
    assert ascii_text.isascii()
    assert [len(line) for line in ascii_text.split("\n")] == [len(line) for line in plain.split("\n")]
    coloured = render_text(figure, 100, system=ColorSystem.TRUECOLOR)
    assert "\x1b[38;2;" in coloured
    sixteen = render_text(figure, 100, system=ColorSystem.STANDARD)
    assert "\x1b[" in sixteen
    assert "38;2;" not in sixteen


def test_series_differ_without_colour() -> None:
    text = render_text(CURVES, 100, 30)
    for name in HEADS:
        assert text.count(styles(CURVES)[name].point) >= 4


def test_threads_may_draw_at_the_same_time() -> None:
    expected = {figure.id: render_text(figure, 90, 30) for figure in FLAT[:6]}
    found: dict[str, set[str]] = {name: set() for name in expected}

    def draw_all() -> None:
        for figure in FLAT[:6]:
            found[figure.id].add(render_text(figure, 90, 30))

    threads = [threading.Thread(target=draw_all) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: {text} for name, text in expected.items()}


def test_a_million_points_reach_every_extreme() -> None:
    picture = draw(HOSTILE["a million"], 80, 24)
    frame = picture.frames[0]
    glyph = picture.cells.glyph[frame.plot.y : frame.plot.y + frame.plot.height, frame.plot.x : frame.plot.right]
    filled = (glyph > BLANK).sum(axis=0)
    assert (filled >= frame.plot.height - 3).all()


def test_without_plotext_our_own_painter_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = draw(CURVES, 80, 24, painter="cells").cells.text()
    monkeypatch.setitem(sys.modules, "plotext", None)
    monkeypatch.delitem(sys.modules, "kvtui.plots.plotext", raising=False)
    monkeypatch.delattr(kvtui.plots, "plotext", raising=False)
    assert draw(CURVES, 80, 24, painter="plotext").cells.text() == expected


def test_lines_are_named_at_their_ends_where_there_is_room() -> None:
    x = floats([0.0, 1.0])
    lines = Line("low", x, floats([0.0, 1.0])), Line("high", x, floats([10.0, 20.0]))
    picture = draw(Figure("two", "", "", (Panel("", Axis("x"), Axis("y"), lines),)), 80, 24)
    plot = picture.frames[0].plot
    inside = [line[plot.x : plot.right] for line in picture.cells.text().split("\n")[plot.y :][: plot.height]]
    found = {name: [row for row, line in enumerate(inside) if name in line] for name in ("low", "high")}
    assert len(found["low"]) == len(found["high"]) == 1
    assert found["high"] < found["low"]
