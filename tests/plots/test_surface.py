"""Pictures of panels in space: what is drawn where, labels that stay whole, and the cursor."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvtui.canvas.cells import Cells
from kvtui.canvas.palette import ASCII, SHADED, SHADED_RAMP, SHADES, VEILED, Ink, hex_color
from kvtui.canvas.pixels.detail import PixelDetail
from kvtui.engine.basis.units import GB, GIB
from kvtui.figures.figure import Axis, AxisName, Cloud, Figure, Floats, HeatMap, Panel, Rule, Surface, floats
from kvtui.plots.camera import Camera
from kvtui.plots.cursor import Cursor, middle, move_cursor, pick, words
from kvtui.plots.panes import axis_ticks
from kvtui.plots.raster import NONE
from kvtui.plots.scene import in_cells, in_sight, scene_of
from kvtui.plots.style import styles
from kvtui.plots.surface import pixels, render
from tests.nightly import sampled

pytestmark = sampled(3)

CONTEXT = Axis("context", "tokens", "log2", "tokens")
BATCH = Axis("sequences", scale="log2")
KV = Axis("KV cache", scale="log2", ticks="bytes")
TOKENS = floats([2.0**e for e in range(9, 18)])
COUNTS = floats([2.0**e for e in range(7)])
PLAIN = Axis("x"), Axis("y"), Axis("z")
HOME = Camera()
FROM_ABOVE = HOME.along("z")

sizes = st.tuples(st.integers(1, 170), st.integers(1, 60))
turns = st.builds(
    Camera, st.integers(-36, 36).map(lambda n: n * 5.0), st.integers(-18, 18).map(lambda n: n * 5.0), st.just(1.0)
)
slanted = st.builds(
    Camera, st.integers(-36, 35).map(lambda n: n * 5.0 + 1), st.integers(3, 8).map(lambda n: n * 5.0), st.just(1.0)
)
values = st.one_of(st.floats(-1e3, 1e3), st.sampled_from((np.nan, np.inf, -np.inf, 0.0, 1e300, -1e-300)))


def kv_panel(*rules: Rule, z: Axis = KV) -> Panel:
    """KV cache bytes of Llama-3.1-8B as it is, and as it would be with a KV head for each query head."""
    each = COUNTS[:, None] * TOKENS[None, :] * 32 * 2 * 128 * 2
    marks = tuple(Surface(name, TOKENS, COUNTS, each * heads) for name, heads in (("MHA", 32), ("GQA", 8)))
    return Panel("KV cache", CONTEXT, BATCH, marks, z, rules)


def sheet(z: Floats, *, axes: tuple[Axis, Axis, Axis] = PLAIN, rules: tuple[Rule, ...] = (), **more: Any) -> Panel:
    """One surface over 0, 1, 2 … of x and y."""
    rows, columns = z.shape
    mark = Surface("sheet", np.arange(columns, dtype=float), np.arange(rows, dtype=float), z, **more)
    return Panel("sheet", axes[0], axes[1], (mark,), axes[2], rules)


def cloud(*points: tuple[float, float, float], sizes: Floats | None = None) -> Panel:
    """One series of points."""
    x, y, z = (floats([point[i] for point in points]) for i in range(3))
    return Panel("cloud", *PLAIN[:2], (Cloud("runs", x, y, z, sizes),), PLAIN[2])


def owners(panel: Panel, width: int, height: int, camera: Camera = HOME) -> np.ndarray:
    """The mark that each pixel shows."""
    scene = scene_of(panel, width, height, camera, False)
    return scene.image.owner.reshape(scene.image.height, scene.image.width)


def rows_of(cells: Cells) -> list[str]:
    return cells.text().split("\n")


@st.composite
def wild_panels(draw: st.DrawFn) -> Panel:
    """Panels with any values, on any scales, with rules anywhere."""
    axes = [Axis(name, "unit", draw(st.sampled_from(("linear", "log2", "log10")))) for name in "xyz"]
    marks: list[Surface | Cloud] = []
    for number in range(draw(st.integers(0, 3))):
        rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        if draw(st.booleans()):
            x, y, z = (floats(draw(st.lists(values, min_size=n, max_size=n))) for n in (columns, rows, rows * columns))
            floor = draw(st.booleans())
            marks.append(Surface(f"s{number}", x, y, z.reshape(rows, columns), contours=(1.0, np.nan), floor=floor))
        else:
            x, y, z, size = (floats(draw(st.lists(values, min_size=rows, max_size=rows))) for _ in range(4))
            marks.append(Cloud(f"c{number}", x, y, z, draw(st.sampled_from((None, size)))))
    over: list[AxisName] = ["x", "y", "z"]
    names = draw(st.lists(st.tuples(st.sampled_from(over), values), max_size=3))
    rules = tuple(Rule(name, value, f"rule {value}") for name, value in names)
    return Panel("wild", axes[0], axes[1], tuple(marks), axes[2], rules)


RISING_FROM_THE_SIDE = """
    z
 10 ⡏⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉████
    ⡇              ▓██   ⢸
    ⡇           ▓▓▓      ⢸
    ⡇         ▒▓         ⢸
    ⡇      ▒▒▒           ⢸
    ⡇   ░░▒              ⢸
  0 ░░░░⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣸
    0                    1
y: y           x
"""
RISING_FROM_ABOVE = """
   y
 1 ░░░░░▒▒▒▒▒▒▓▓▓▓▓▓██████
   ░░░░░░▒▒▒▒▒▓▓▓▓▓▓██████
   ░░░░░░▒▒▒▒▒▓▓▓▓▓▓██████
   ░░░░░░▒▒▒▒▒▓▓▓▓▓▓██████
   ░░░░░░▒▒▒▒▒▓▓▓▓▓▓██████
   ░░░░░░▒▒▒▒▒▓▓▓▓▓▓██████
 0 ░░░░░▒▒▒▒▒▒▓▓▓▓▓▓██████
   0
z: z          x
"""
POINTS_FROM_THE_SIDE = """
● runs
    z
 10 ⡏⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉█
    ⡇                    ⢸
    ⡇                    ⢸
    ⡇          █         ⢸
    ⡇                    ⢸
  0 █⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣸
    0                    10
y: y           x
"""


@pytest.mark.parametrize(
    ("panel", "camera", "expected"),
    [
        (sheet(np.array([[0.0, 10.0], [0.0, 10.0]])), HOME.along("y"), RISING_FROM_THE_SIDE),
        (sheet(np.tile(np.arange(0.0, 50, 10), (2, 1))), HOME.along("z"), RISING_FROM_ABOVE),
        (cloud((0, 0, 0), (10, 10, 10), (5, 5, 5)), HOME.along("y"), POINTS_FROM_THE_SIDE),
    ],
)
def test_small_scenes(panel: Panel, camera: Camera, expected: str) -> None:
    cells = render(panel, 30, 10, camera, shaded=True)
    assert [row.rstrip() for row in rows_of(cells)] == expected.strip("\n").split("\n")


@given(wild_panels(), sizes, st.builds(Camera, st.floats(-400, 400), st.floats(-100, 100), st.floats(0.1, 9)))
def test_anything_is_drawn_at_any_size(panel: Panel, size: tuple[int, int], camera: Camera) -> None:
    width, height = size
    cursor = middle(panel)
    for shaded in (False, True):
        cells = render(panel, width, height, camera, cursor, shaded=shaded)
        assert cells.glyph.shape == (height, width)
        assert all(line.isprintable() for line in cells.text().split("\n"))
        for ink in np.unique(np.concatenate((cells.ink, cells.under))):
            assert ink == Ink.NONE or hex_color(int(ink), "light").startswith("#")
    if cursor is not None:
        assert words(panel, cursor)
        pick(panel, width, height, camera, (0, 0))
        move_cursor(panel, cursor, 1, 0, camera)


@pytest.mark.parametrize("width", [*range(1, 40, 3), 57, 63, 64, 65])
@pytest.mark.parametrize("height", [1, 2, 5, 8, 9, 12, 23])
def test_small_pictures_are_drawn(width: int, height: int) -> None:
    for panel in (kv_panel(Rule("z", GIB, "1 GiB")), sheet(np.arange(12.0).reshape(3, 4))):
        assert render(panel, width, height, HOME).glyph.shape == (height, width)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 36), (200, 60)])
@pytest.mark.parametrize("shaded", [False, True])
def test_axes_have_titles_and_whole_ticks_with_units(width: int, height: int, shaded: bool) -> None:
    panel = kv_panel(Rule("z", 80 * GB, "80 GB"))
    scene = scene_of(panel, width, height, HOME, shaded)
    text = render(panel, width, height, HOME, shaded=shaded).text()
    for found in ("context (tokens)", "sequences", "KV cache", "80 GB"):
        assert found in text
    named = {f" {words} " for words in re.split(r"\s{2,}|[^ -~]+", text)}
    for axis, least in enumerate((3, 2, 4)):
        labels = [tick.label for tick in axis_ticks(scene.space.axes[axis], axis, scene.area)]
        shown = [label for label in labels if any(f" {label} " in one for one in named)]
        assert len(shown) >= least
    assert "● MHA  ■ GQA" in text.split("\n")[0]


@given(turns)
def test_titles_are_shown_from_all_sides(camera: Camera) -> None:
    text = render(kv_panel(Rule("z", 80 * GB, "80 GB")), 100, 30, camera).text()
    for found in ("context (tokens)", "sequences", "KV cache", "80 GB"):
        assert found in text


def test_ticks_of_a_logarithmic_axis_stand_evenly() -> None:
    rows = rows_of(render(kv_panel(), 120, 36, HOME.along("y")))
    labels = next(row for row in rows if " 4K " in row)
    at = [labels.index(f" {name} ") + len(name) / 2 for name in ("1K", "4K", "16K", "64K")]
    steps = [b - a for a, b in pairwise(at)]
    assert max(steps) - min(steps) <= 1.5
    heights = [i for name in ("128 MiB", "1 GiB", "8 GiB", "64 GiB") for i, row in enumerate(rows) if f"{name} " in row]
    steps = [a - b for a, b in pairwise(heights)]
    assert len(steps) == 3
    assert max(steps) - min(steps) <= 1


def test_the_legend_is_outside_the_picture() -> None:
    panel = kv_panel()
    scene = scene_of(panel, 100, 30, HOME, False)
    cells = render(panel, 100, 30, HOME)
    assert scene.area.y == 1
    assert (cells.under[0] == Ink.NONE).all()
    assert cells.row_text(0).split() == ["●", "MHA", "■", "GQA"]


def test_series_have_their_colours_and_a_single_surface_its_heights() -> None:
    panel = kv_panel()
    looks = styles(Figure("", "", "", (panel,)))
    found = set(np.unique(render(panel, 100, 30, HOME).under).tolist())
    for mark in panel.marks:
        first = SHADED + looks[mark.name].place * SHADES
        assert found & set(range(first, first + SHADES))
    assert not any(SHADED_RAMP <= ink < VEILED for ink in found)
    rising = render(sheet(np.arange(25.0).reshape(5, 5)), 100, 30, HOME)
    ramp = {(int(ink) - SHADED_RAMP) // SHADES for ink in np.unique(rising.under) if SHADED_RAMP <= ink < VEILED}
    assert max(ramp) - min(ramp) > 20
    assert " 20" in rising.text().split("\n")[5][-12:]


def test_seen_from_above_the_colours_are_those_of_the_colour_bar() -> None:
    panel = sheet(np.arange(400.0).reshape(20, 20))
    area = scene_of(panel, 100, 40, FROM_ABOVE, False).area
    cells = render(panel, 100, 40, FROM_ABOVE)
    bar = {*cells.ink[1:-1, area.right + 1].tolist(), *cells.under[1:-1, area.right + 1].tolist()}
    found = cells.under[5:-6, 20:70]
    assert len(bar) == 32
    assert np.isin(found, list(bar)).mean() > 0.6
    assert ((found >= SHADED_RAMP) & (found < VEILED)).all()


def test_each_surface_of_several_carries_the_character_of_its_series() -> None:
    low, high = np.zeros((4, 4)), np.full((4, 4), 10.0)
    marks = tuple(Surface(name, np.arange(4.0), np.arange(4.0), z) for name, z in (("MHA", low), ("GQA", high)))
    for shaded in (False, True):
        text = render(Panel("two", *PLAIN[:2], marks, PLAIN[2]), 100, 30, Camera(-60, 35), shaded=shaded).text()
        assert text.count("●") > 1
        assert text.count("■") > 4


def test_the_nearer_surface_hides_the_other() -> None:
    low, high = np.zeros((4, 4)), np.full((4, 4), 10.0)
    marks = tuple(Surface(name, np.arange(4.0), np.arange(4.0), z) for name, z in (("low", low), ("high", high)))
    panel = Panel("two", *PLAIN[:2], marks, PLAIN[2])
    assert set(np.unique(owners(panel, 60, 20, FROM_ABOVE))) == {NONE, 1}
    assert set(np.unique(owners(panel, 60, 20, Camera(-90, -90)))) == {NONE, 0}


def test_cells_without_a_value_are_holes() -> None:
    z = np.zeros((5, 5))
    whole = owners(sheet(z), 60, 24, FROM_ABOVE)
    z[2, 2] = np.nan
    found = owners(sheet(z), 60, 24, FROM_ABOVE)
    rows, columns = np.nonzero(whole == 0)
    top, left = rows.min(), columns.min()
    high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    hole = np.zeros_like(whole, dtype=bool)
    hole[top + high // 4 + 2 : top + 3 * high // 4 - 2, left + wide // 4 + 2 : left + 3 * wide // 4 - 2] = True
    assert (found[hole] == NONE).all()
    outside = (whole == 0) & ~hole
    assert (found[outside] == 0).mean() > 0.9


@pytest.mark.parametrize("z", [np.ones((1, 6)), np.ones((6, 1)), np.ones((1, 1)), np.array([[1.0, np.nan, 2.0]])])
@pytest.mark.parametrize("camera", [HOME, FROM_ABOVE, HOME.along("x"), HOME.along("y")])
def test_rows_and_points_alone_are_seen(z: NDArray[Any], camera: Camera) -> None:
    panel = sheet(z)
    assert (owners(panel, 60, 20, camera) == 0).any()
    cursor = middle(panel)
    assert cursor is not None
    assert np.isfinite(z[cursor.row, cursor.column])


@pytest.mark.parametrize("camera", [HOME.along("x"), HOME.along("y")])
def test_a_level_sheet_is_seen_edge_on(camera: Camera) -> None:
    assert (owners(sheet(np.ones((4, 4))), 60, 20, camera) == 0).any(axis=0).sum() > 30


def test_without_values_the_picture_says_so() -> None:
    for panel in (sheet(np.full((3, 3), np.nan)), Panel("none", *PLAIN[:2], (), PLAIN[2])):
        assert "no values to show" in render(panel, 60, 20, HOME).text()
        assert middle(panel) is None
        assert pick(panel, 60, 20, HOME, (30, 10)) is None


def test_planes_are_shown_where_they_cut_the_box() -> None:
    inside, outside = Rule("z", 80 * GB, "80 GB"), Rule("z", 1.0, "1 B")
    panel = kv_panel(inside, outside)
    cells = render(panel, 120, 36, HOME)
    text = cells.text()
    assert (cells.under >= VEILED).any()
    assert (cells.ink == Ink.WARN).any()
    assert "80 GB" in text
    assert "beyond the axis: 1 B" in text
    bare = render(kv_panel(), 120, 36, HOME)
    assert not (bare.under >= VEILED).any()
    assert "80 GB" not in bare.text()


def test_a_plane_hides_nothing_in_front_of_it() -> None:
    z = np.tile(np.arange(5.0), (5, 1))
    panel = sheet(z, rules=(Rule("z", 2.0, "two"),))
    scene = scene_of(panel, 80, 30, Camera(-90, 40), False)
    cells = render(panel, 80, 30, Camera(-90, 40))
    for value, veiled in ((0.2, True), (3.8, False)):
        placed = scene.projection.place(np.array([[value / 4, 0.5, value / 4]]))
        x, y = in_cells(scene, placed)[0]
        assert (cells.under[y, x] >= VEILED) == veiled


@pytest.mark.parametrize(("axis", "value"), [("x", 2048.0), ("y", 8.0)])
def test_rules_of_x_and_y_are_upright_planes(axis: AxisName, value: float) -> None:
    cells = render(kv_panel(Rule(axis, value, "limit")), 100, 30, HOME)
    assert (cells.under >= VEILED).any()
    assert "limit" in cells.text()


def test_contours_are_drawn_on_the_floor_only_where_they_are_wanted_and_seen() -> None:
    z = 5 + np.hypot(*np.meshgrid(np.arange(-3.0, 4), np.arange(-3.0, 4)))
    axes = (Axis("x"), Axis("y"), Axis("z", low=0.0))
    plain, floor = (
        render(sheet(z, axes=axes, contours=(6.0, 7.0, 8.0), floor=on), 100, 36, Camera(-60, 10))
        for on in (False, True)
    )
    assert (plain.under[22:] != floor.under[22:]).sum() > 10
    below = Camera(-60, -20)
    seen = [render(sheet(z, axes=axes, floor=on), 100, 36, below).text() for on in (False, True)]
    assert seen[0] == seen[1]


def test_what_lies_beyond_the_axis_is_cut_off() -> None:
    z = np.tile(np.linspace(0.0, 100.0, 11), (4, 1))
    panel = sheet(z, axes=(Axis("x"), Axis("y"), Axis("z", low=0.0, high=50.0)))
    found = owners(panel, 60, 24, FROM_ABOVE)
    columns = np.flatnonzero((found == 0).any(axis=0))
    whole = np.flatnonzero((owners(sheet(z), 60, 24, FROM_ABOVE) == 0).any(axis=0))
    assert np.ptp(columns) / np.ptp(whole) == pytest.approx(0.5, abs=0.05)


def test_larger_points_are_larger_and_nearer_ones_hide_those_behind() -> None:
    ends = (0.0, 0.0, 0.0), (10.0, 10.0, 10.0)
    small, large = (
        (owners(cloud(*ends, (5.0, 5.0, 5.0), sizes=floats([1, 1, size])), 120, 40) == 0).sum() for size in (1, 50)
    )
    same = (owners(cloud(*ends, (5.0, 5.0, 5.0), sizes=floats([50, 50, 50])), 120, 40) == 0).sum()
    assert same > large * 1.5
    assert small > 0
    behind = Cloud("behind", floats([5.0]), floats([5.0]), floats([1.0]))
    front = Cloud("front", floats([5.0]), floats([5.0]), floats([9.0]))
    corners = Cloud("corners", floats([0.0, 10.0]), floats([0.0, 10.0]), floats([0.0, 10.0]))
    for marks in ((behind, front, corners), (front, behind, corners)):
        panel = Panel("two", *PLAIN[:2], marks, PLAIN[2])
        found = owners(panel, 81, 41, FROM_ABOVE)
        assert marks.index(front) in found
        assert marks.index(behind) not in found


def test_many_points_become_pixels_that_all_are_drawn() -> None:
    at = np.linspace(0, 1, 5000)
    panel = Panel("many", *PLAIN[:2], (Cloud("runs", at, at, at),), PLAIN[2])
    assert (owners(panel, 100, 40, HOME.along("y")) == 0).any(axis=0).sum() > 80


def test_surfaces_are_reduced_to_their_own_points() -> None:
    x = np.arange(500.0)
    panel = Panel("large", *PLAIN[:2], (Surface("s", x, x, x[:, None] + x[None, :]),), PLAIN[2])
    scene = scene_of(panel, 80, 24, HOME, False)
    mesh = scene.space.meshes[0]
    assert mesh.points.shape[:2] == (64, 64)
    assert (mesh.columns[0], mesh.columns[-1]) == (0, 499)
    cursor = pick(panel, 80, 24, HOME, (40, 12))
    assert cursor is not None
    assert f"z {cursor.row + cursor.column:,}" in words(panel, cursor)


def test_colours_are_not_needed() -> None:
    for panel in (kv_panel(Rule("z", 80 * GB, "80 GB")), sheet(np.arange(25.0).reshape(5, 5))):
        cells = render(panel, 100, 30, HOME, middle(panel), shaded=True)
        assert (cells.under == Ink.NONE).all()
        assert len(set(cells.text()) & set("░▒▓█")) >= 3
        assert cells.text().translate(ASCII).isascii()


def test_names_cannot_reach_the_terminal_raw() -> None:
    evil = "\x1b[31m[red]名\u200b"
    mark = Surface(evil, np.arange(3.0), np.arange(3.0), np.ones((3, 3)))
    axis, cloud = Axis(evil, evil), Cloud(evil + "2", np.ones(2), np.ones(2), np.ones(2))
    panel = Panel(evil, axis, axis, (mark, cloud), axis, (Rule("z", 1.0, evil),))
    cells = render(panel, 100, 30, HOME, middle(panel))
    assert not set(cells.text()) & set("\x1b\u200b名")
    assert not set(words(panel, Cursor(0, 0, 0))) & set("\x1b\u200b名")


def test_marks_without_a_place_in_space_are_named() -> None:
    panel = kv_panel()
    flat = HeatMap("flat", TOKENS, COUNTS, np.ones((7, 9)))
    text = render(Panel("", panel.x, panel.y, (*panel.marks, flat), panel.z), 100, 30, HOME).text()
    assert "flat is not drawn in space" in text


@given(slanted, st.integers(0, 10**6))
def test_picking_inverts_projection(camera: Camera, seed: int) -> None:
    z = np.random.default_rng(seed).uniform(0, 1, (5, 5)).cumsum(axis=0)
    panel = sheet(z)
    scene = scene_of(panel, 120, 40, camera, False)
    mesh = scene.space.meshes[0]
    numbers, placed = in_sight(scene, mesh, np.arange(25))
    assert numbers.size
    cells = in_cells(scene, placed)
    for at in cells:
        found = pick(panel, 120, 40, camera, at)
        alike = [other for other, cell in zip(numbers.tolist(), cells, strict=True) if cell == at]
        assert found in [Cursor(0, *divmod(other, 5)) for other in alike]
    for at in ((0, 0), (119, 0), (60, 20), (0, 39), (119, 39)):
        found = pick(panel, 120, 40, camera, at)
        if at not in cells:
            right, down = placed[:, 0] + scene.area.x - at[0] - 0.5, placed[:, 1] / 2 + scene.area.y - at[1] - 0.5
            nearest = int(numbers[(right**2 + (2 * down) ** 2).argmin()])
            assert found == Cursor(0, *divmod(nearest, 5))


@given(slanted, st.sampled_from(((1, 0), (-1, 0), (0, 1), (0, -1))), st.booleans())
def test_the_cursor_goes_where_the_key_points(camera: Camera, step: tuple[int, int], descending: bool) -> None:
    panel = sheet(np.zeros((9, 9)))
    if descending:
        mark = panel.marks[0]
        assert isinstance(mark, Surface)
        panel = Panel("", PLAIN[0], PLAIN[1], (Surface("s", mark.x[::-1].copy(), mark.y, mark.z),), PLAIN[2])
    start = Cursor(0, 4, 4)
    moved = move_cursor(panel, start, *step, camera)
    scene = scene_of(panel, 120, 40, camera, False)
    points = scene.space.meshes[0].points
    before, after = (scene.projection.place(points[c.row, c.column]) for c in (start, moved))
    assert abs(moved.row - 4) + abs(moved.column - 4) == 1
    if step[0]:
        assert (after[0] - before[0]) * step[0] > 0
    else:
        assert (after[1] - before[1]) * step[1] < 0
    assert move_cursor(panel, moved, -step[0], -step[1], camera) == start


def test_the_cursor_stays_on_the_mesh_and_skips_holes() -> None:
    z = np.zeros((3, 5))
    z[:, 2] = np.nan
    panel = sheet(z)
    camera = HOME.along("z")
    cursor = Cursor(0, 1, 1)
    assert (cursor := move_cursor(panel, cursor, 1, 0, camera)) == (0, 1, 3)
    assert (cursor := move_cursor(panel, cursor, 1, 0, camera)) == (0, 1, 4)
    assert move_cursor(panel, cursor, 1, 0, camera) == cursor
    assert move_cursor(panel, cursor, 0, 1, camera) == (0, 2, 4)
    assert move_cursor(panel, Cursor(7, 0, 0), 1, 0, camera) == (7, 0, 0)


def test_the_cursor_goes_through_a_cloud_from_left_to_right() -> None:
    panel = cloud((3.0, 0.0, 0.0), (1.0, 0.0, 5.0), (2.0, 1.0, 1.0))
    camera = HOME.along("y")
    first = move_cursor(panel, Cursor(0, 0, 2), -1, 0, camera)
    assert first.column == 1
    assert move_cursor(panel, first, -1, 0, camera) == first
    assert move_cursor(panel, Cursor(0, 0, 2), 1, 0, camera).column == 0


def test_the_cursor_reads_out_all_surfaces_with_units() -> None:
    panel = kv_panel()
    assert words(panel, Cursor(1, 3, 4)) == "context 8K tokens · sequences 8 · MHA 32.00 GiB · GQA 8.00 GiB"
    one = Panel("", CONTEXT, BATCH, panel.marks[:1], KV)
    assert words(one, Cursor(0, 0, 0)) == "context 512 tokens · sequences 1 · KV cache 256.00 MiB"
    holes = sheet(np.array([[np.nan, 1.0]]))
    assert words(holes, Cursor(0, 0, 0)) == "x 0 · y 0 · z –"


def test_the_cursor_is_drawn_with_the_lines_through_it() -> None:
    panel = sheet(np.zeros((9, 9)))
    plain = render(panel, 80, 24, Camera(-60, 50))
    shown = render(panel, 80, 24, Camera(-60, 50), Cursor(0, 4, 4))
    assert shown.text().count("◉") == 1
    assert (shown.under == Ink.BRIGHT).sum() > 10
    again = render(panel, 80, 24, Camera(-60, 50))
    assert np.array_equal(again.glyph, plain.glyph)
    assert np.array_equal(again.under, plain.under)
    hill = np.zeros((9, 9))
    hill[2] = 5.0
    assert render(sheet(hill), 80, 24, Camera(-90, 5), Cursor(0, 6, 4)).text().count("○") == 1


@pytest.mark.parametrize("camera", [HOME, FROM_ABOVE, Camera(40, 20, 1.4)])
def test_pixels_are_what_the_cells_show(camera: Camera) -> None:
    """With two pixels to a cell, those of the cells that are half blocks have the inks of these, but for edges."""
    panel = sheet(np.outer(np.arange(12.0), np.arange(15.0)))
    cells = render(panel, 100, 30, camera)
    area, inks = pixels(panel, 100, 30, camera, PixelDetail(1, 2, 1.0, 256, lines=False))
    here = slice(area.y, area.y + area.height), slice(area.x, area.right)
    blocks = cells.glyph[here] == ord("▀")
    assert blocks.sum() > 100
    for shown, drawn in ((cells.ink[here], inks[0::2]), (cells.under[here], inks[1::2])):
        surface = blocks & (drawn != Ink.FAINT)
        assert np.array_equal(shown[surface], drawn[surface])


def test_a_bare_picture_has_the_texts_of_the_whole_one() -> None:
    panel = sheet(np.outer(np.arange(12.0), np.arange(15.0)))
    whole, bare = render(panel, 100, 30, HOME), render(panel, 100, 30, HOME, bare=True)
    words = re.findall(r"[\w.,]+", bare.text())
    assert words == re.findall(r"[\w.,]+", whole.text())
    assert len(words) > 10
    area, _ = pixels(panel, 100, 30, HOME, PixelDetail(4, 8, 1.0, 256))
    inside = bare.glyph[area.y : area.y + area.height, area.x : area.right]
    assert not np.isin(inside, [ord("▀"), ord("▄")]).any()
