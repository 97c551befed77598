"""The board's painter: geometry for any size, cells that mirror the codes, and motion that is a function of time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.canvas.braille import curve
from kvtui.canvas.cells import Cells, fit, single_width
from kvtui.canvas.memory.board import bank_at, bank_place, paint
from kvtui.canvas.memory.cluster import (
    LINK_ROWS,
    ClusterScene,
    LinkWords,
    Tile,
    above_ram,
    device_at,
    grid_of,
    paint_cluster,
    tile_codes,
    tiles_of,
)
from kvtui.canvas.memory.layout import arrange
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.palette import ASCII, WASHED, Ink, hex_color, style
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.planning.parts import Parts
from kvtui.engine.scenario.scenario import Layout
from tests.present import present

sizes = st.tuples(st.integers(1, 220), st.integers(1, 70))
module_counts = st.sampled_from(sorted({device.memory.modules for device in all_devices()}))


def scene_of(banks: int, **changes: Any) -> Scene:
    sequences = bytes(FIRST_SEQUENCE + number % 8 for number in range(banks // 2 - banks // 4))
    codes = (bytes([Code.WEIGHTS]) * (banks // 4) + sequences).ljust(banks, bytes([Code.FREE]))
    scene = Scene(codes, "die", "HBM3", 16.0, 0.5, 0.4, 0.5, 3.0, flash_attention=True)
    return replace(scene, **changes)


@given(sizes, module_counts)
def test_modules_are_alike_disjoint_and_inside(size: tuple[int, int], modules: int) -> None:
    width, height = size
    board = arrange(width, height, modules)
    assert len(board.modules) == modules == len(board.sides)
    assert len({(rect.width, rect.height) for rect in board.modules}) == 1
    assert board.banks >= modules
    if width >= 60 and height >= 14 and modules <= 32:
        taken = np.zeros((height, width), dtype=int)
        for rect in board.modules:
            assert rect.x >= 0
            assert rect.y >= 1
            assert rect.right <= width
            assert rect.y + rect.height <= height
            taken[rect.y : rect.y + rect.height, rect.x : rect.right] += 1
        if board.die is not None:
            taken[board.die.y : board.die.y + board.die.height, board.die.x : board.die.right] += 1
        assert taken.max() == 1


@given(sizes, module_counts, st.booleans(), st.booleans(), st.floats(0, 1e6))
def test_painting_never_fails(size: tuple[int, int], modules: int, flash: bool, plain: bool, now: float) -> None:
    board = arrange(*size, modules)
    scene = scene_of(
        board.banks, flash_attention=flash, plain=plain, now=now, ludicrous=flash, alarmed=plain, alarm=("x",)
    )
    assert paint(board, *size, scene).glyph.shape == (size[1], size[0])


@given(sizes, module_counts, st.data())
def test_every_bank_is_found_where_it_is_drawn(size: tuple[int, int], modules: int, data: DataObject) -> None:
    board = arrange(*size, modules)
    bank = data.draw(st.integers(0, board.banks - 1))
    assert bank_at(board, *bank_place(board, bank)) == bank


def test_cells_mirror_the_codes() -> None:
    board = arrange(110, 40, 5)
    scene = scene_of(board.banks, moving=False)
    cells = paint(board, 110, 40, scene)
    first, last = (FIRST_SEQUENCE, Ink.SEQUENCE), (FIRST_SEQUENCE + 7, Ink.SEQUENCE + 7)
    for code, ink in ((Code.WEIGHTS, Ink.WEIGHTS), first, last):
        assert np.count_nonzero(cells.ink == ink) == scene.codes.count(code)


def test_all_modules_fill_alike() -> None:
    board = arrange(110, 40, 6)
    cells = paint(board, 110, 40, scene_of(board.banks, moving=False))
    purple = [np.count_nonzero(cells.ink[r.y : r.y + r.height, r.x : r.right] == Ink.WEIGHTS) for r in board.modules]
    assert max(purple) - min(purple) <= 1


def test_what_is_avoided_is_an_outline() -> None:
    board = arrange(100, 30, 4)
    scene = scene_of(board.banks)
    assert "▯" not in paint(board, 100, 30, scene).text()
    codes = scene.codes[:-20] + bytes([Code.SAVED]) * 20
    assert paint(board, 100, 30, replace(scene, codes=codes)).text().count("▯") == 20


@given(sizes, module_counts, st.floats(0.01, 30), st.sampled_from([0.0, 0.5]))
def test_what_is_beyond_the_device_has_banks_of_its_size_below_it(
    size: tuple[int, int], modules: int, over: float, ram: float
) -> None:
    board = arrange(*size, modules, ram, over)
    if board.beyond is None:
        assert size[1] < 12
        return
    assert board.beyond.fits(*size)
    if board.beyond.width * board.beyond.height < board.banks * over:
        assert board.ram is None
    for rect in (*board.modules, *((board.die,) if board.die else ())):
        assert rect.y + rect.height < board.beyond.y
    last = board.banks + board.beyond.width * board.beyond.height - 1
    for bank in (board.banks, last):
        assert bank_at(board, *bank_place(board, bank)) == bank


def test_only_what_is_beyond_the_device_is_red() -> None:
    board = arrange(100, 40, 6, 0.0, 1.0)
    rect = present(board.beyond)
    beyond = bytes([FIRST_SEQUENCE]) * 250
    scene = scene_of(board.banks, beyond=beyond, beyond_words=("9 GiB more",), moving=False)
    cells = paint(board, 100, 40, scene)
    red = cells.ink == Ink.OVERFLOW
    assert red[rect.y - 1].all()
    assert np.count_nonzero(red[rect.y :]) == 250
    assert np.count_nonzero(red[: rect.y - 1]) == 0
    assert "── 9 GiB more ──" in cells.row_text(rect.y - 1)


def test_a_hundred_million_tokens_are_tinted_and_said() -> None:
    board = arrange(100, 30, 4)
    scene = scene_of(board.banks, alarm=("x" * 200, "memory apocalypse"), alarmed=True)
    cells = paint(board, 100, 30, scene)
    assert "memory apocalypse" in cells.text()
    assert np.count_nonzero(cells.under == WASHED + Ink.OVERFLOW) > 1000
    assert np.count_nonzero(paint(board, 100, 30, replace(scene, alarmed=False)).under == WASHED + Ink.OVERFLOW) == 0


def test_nothing_moves_when_frozen_and_rows_change_a_few_at_a_time() -> None:
    board = arrange(110, 40, 5)
    still = scene_of(board.banks, moving=False)
    first, later = paint(board, 110, 40, still), paint(board, 110, 40, replace(still, now=9.0))
    assert (first.glyph == later.glyph).all()
    changed = []
    for frame in range(60):
        a = paint(board, 110, 40, scene_of(board.banks, now=20 + frame / 30))
        c = paint(board, 110, 40, scene_of(board.banks, now=20 + (frame + 1) / 30))
        changed.append(int(((a.glyph != c.glyph) | (a.ink != c.ink)).any(axis=1).sum()))
    assert max(changed) > 0
    assert sum(changed) / len(changed) < 12


def test_flash_attention_turns_particles_gold_and_lights_tiles() -> None:
    board = arrange(110, 40, 5)
    with_it = paint(board, 110, 40, scene_of(board.banks))
    without = paint(board, 110, 40, scene_of(board.banks, flash_attention=False))
    assert np.count_nonzero(with_it.ink == Ink.GOLD) > 0
    assert np.count_nonzero(without.ink == Ink.GOLD) == 0
    assert np.count_nonzero(without.ink == Ink.PARTICLE) > 0
    assert np.count_nonzero(with_it.ink == Ink.TILE_2) > 0
    assert np.count_nonzero(without.ink == Ink.TILE_2) == 0


def test_the_dot_stands_at_the_films_place() -> None:
    board = arrange(110, 40, 5)
    assert board.die is not None
    places = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        cells = paint(board, 110, 40, scene_of(board.banks, progress=progress))
        y, x = np.argwhere(cells.ink == Ink.DOT)[0]
        places.append((int(x), -int(y)))
    assert places == sorted(places)
    assert places[0][0] == board.die.x + 1


def test_plain_pictures_tell_sequences_apart_by_digits() -> None:
    board = arrange(110, 40, 5)
    text = paint(board, 110, 40, scene_of(board.banks, plain=True)).text()
    assert all(digit in text for digit in "01234567")
    assert "█" in text
    assert text.translate(ASCII).encode("ascii", "replace")


LAYOUTS = [
    Layout(2),
    Layout(8),
    Layout(4, 2),
    Layout(1, 8),
    Layout(4, 2, 2),
    Layout(8, 1, 9),
    Layout(8, 2, 8),
    Layout(1, 1, 3),
]


def shown(tiles: list[Tile], layout: Layout, **changes: Any) -> ClusterScene:
    titles = [(f"replica {number}", str(number)) for number in range(layout.dp)]
    return ClusterScene(tiles, layout, titles, LinkWords("NVLink", "9 MB/s"), 0.4, 1.0)._replace(**changes)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 20), (110, 34), (180, 55)])
def test_devices_stand_in_their_groups(layout: Layout, width: int, height: int) -> None:
    found = tiles_of(width, height, layout)
    assert (len(found.frames), len(found.stages), len(found.tiles)) == (
        layout.dp,
        layout.dp * layout.pp,
        layout.devices,
    )
    taken = np.zeros((height, width), dtype=int)
    for number, rect in enumerate(found.tiles):
        stage, frame = found.stages[number // layout.tp], found.frames[number // (layout.tp * layout.pp)]
        assert stage.holds(rect.x, rect.y)
        assert stage.holds(rect.right - 1, rect.y + rect.height - 1)
        assert frame.holds(stage.x, stage.y)
        assert frame.holds(stage.right - 1, stage.y + stage.height - 1)
        assert device_at(found, rect.x, rect.y) == number
        assert device_at(found, rect.right, rect.middle) != number
        taken[rect.y : rect.y + rect.height, rect.x : rect.right] += 1
    assert taken.max() == 1
    grid = grid_of(found.tiles[0], 0)
    codes = bytes([Code.WEIGHTS]) * grid.width * grid.height
    tiles = [Tile(f"{number}", "70.1 of 79.6 GiB", 0.5, codes) for number in range(layout.devices)]
    cells = paint_cluster(width, height, shown(tiles, layout, moving=False))
    assert np.count_nonzero(cells.ink == Ink.WEIGHTS) >= layout.devices
    text = cells.text()
    for replica in range(layout.dp):
        assert f" {replica} " in text
    assert (layout.tp > 1) == any(link in text for link in "═║")
    assert (layout.pp > 1) == any(arrow in text for arrow in "▼▶")


def empty_tiles(width: int, height: int, layout: Layout) -> list[Tile]:
    grid = grid_of(tiles_of(width, height, layout).tiles[0], 0)
    codes = bytes([Code.FREE]) * grid.width * grid.height
    return [Tile(str(number), "", 0, codes) for number in range(layout.devices)]


@pytest.mark.parametrize("utilization", [None, 0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize(("width", "room"), [(80, 20), (16, 8), (15, 0)])
def test_the_meter_of_the_link(utilization: float | None, width: int, room: int) -> None:
    scene = shown(empty_tiles(width, 20, Layout(2)), Layout(2), utilization=utilization)
    row = paint_cluster(width, 20, scene).row_text(20 - LINK_ROWS)
    assert row.startswith("NVLink")
    busy = 0 if utilization is None else math.ceil(utilization * room)
    assert (row.count("━"), row.count("─")) == (busy, 0 if utilization is None else room - busy)


def test_a_selected_device_is_marked_without_colour_too() -> None:
    scene = shown(empty_tiles(80, 20, Layout(4)), Layout(4), plain=True, selected=2)
    text = paint_cluster(80, 20, scene).text()
    assert ">2" in text
    assert text.count(">") == 1


def test_what_a_device_of_many_has_no_room_for_is_red_below_it() -> None:
    parts = Parts(weights=150, kv=50, state=0, activation=0, overhead=0, reserved_unused=0)
    codes, beyond = tile_codes(parts, 2, 100, 40)
    assert (len(codes), beyond) == (40, 40)
    assert set(codes) == {Code.WEIGHTS}
    layout = Layout(2)
    grid = grid_of(tiles_of(80, 24, layout).tiles[0], 1.0)
    banks = grid.width * grid.height
    codes, beyond = tile_codes(parts, 2, 100, banks)
    cells = paint_cluster(80, 24, shown([Tile("0", "2 of 1 GiB", 2.0, codes, beyond)] * 2, layout, over=1.0))
    red = np.count_nonzero(cells.ink == Ink.OVERFLOW) - 2 * grid.width
    assert red == 2 * beyond == 2 * banks


@given(st.integers(1, 80), st.integers(1, 30), st.data())
def test_a_curve_has_no_gaps(width: int, height: int, data: DataObject) -> None:
    values = data.draw(st.lists(st.floats(-0.5, 1.5), min_size=2 * width, max_size=2 * width))
    places = curve(height, values).keys()
    assert {x for x, _ in places} == set(range(width))
    assert {y for _, y in places} <= set(range(height))


def test_text_is_cut_at_the_edges_and_stays_single_width() -> None:
    cells = Cells(10, 2)
    cells.put(-2, 0, "abcdefghijklmnop")
    cells.put(0, 5, "nowhere")
    cells.put(20, 0, "nowhere")
    assert cells.row_text(0) == "cdefghijkl"
    assert single_width("漢字ok\x1b") == "??ok?"
    assert fit("漢字 and more", 6) == "?? an…"


@given(sizes, st.data())
def test_changes_are_the_cells_that_differ_as_numpy_sees_them(size: tuple[int, int], data: DataObject) -> None:
    width, height = size
    before, now = Cells(width, height), Cells(width, height)
    for _ in range(data.draw(st.integers(0, 4))):
        x, y = data.draw(st.integers(-3, width)), data.draw(st.integers(0, height))
        now.put(
            x, y, data.draw(st.sampled_from(("", "ab", " ", "▉" * 9))), Ink.KV, data.draw(st.sampled_from((None, 3)))
        )
    now.ink[-1, 0] = Ink.BAD
    differ = (now.glyph != before.glyph) | (now.ink != before.ink) | (now.under != before.under)
    assert now.changed(before) == {y: np.flatnonzero(row).tolist() for y, row in enumerate(differ) if row.any()}
    assert now.inks[now.place(0, height - 1)] == Ink.BAD


def test_every_ink_has_a_colour_in_every_look() -> None:
    for ink in Ink:
        if ink != Ink.NONE:
            for look in ("dark", "light", "wafer"):
                assert hex_color(ink, look).startswith("#")
    assert len({hex_color(Ink.SEQUENCE + n, "dark") for n in range(16)}) == 16
    assert style(Ink.TEXT, Ink.NONE, "dark", "none").color is None


@given(sizes, module_counts, st.floats(0.01, 30))
def test_the_ram_has_room_for_its_banks_below_the_device(size: tuple[int, int], modules: int, ram: float) -> None:
    """As many banks as its bytes need, of the device's size each; without room for all of them none is drawn."""
    board = arrange(*size, modules, ram)
    if board.ram is None:
        assert board == arrange(*size, modules)
        return
    assert board.ram.fits(*size)
    assert board.ram.width * board.ram.height >= board.banks * ram
    for rect in (*board.modules, *((board.die,) if board.die else ())):
        assert rect.y + rect.height < board.ram.y


def test_the_ram_is_painted_row_by_row_under_its_words() -> None:
    board = arrange(100, 40, 6, 1.5)
    rect = present(board.ram)
    held = bytes([Code.WEIGHTS] * (rect.width + 1) + [Code.STATE])
    cells = paint(
        board, 100, 40, scene_of(board.banks, ram_codes=held, ram_words=("x" * 101, "RAM 9 GiB"), moving=False)
    )
    assert "".join(map(chr, cells.glyph[rect.y - 1, rect.x : rect.x + 9])) == "RAM 9 GiB"
    assert set(cells.ink[rect.y, rect.x : rect.right]) == {Ink.WEIGHTS}
    assert list(cells.ink[rect.y + 1, rect.x : rect.x + 2]) == [Ink.WEIGHTS, Ink.STATE]
    assert chr(cells.glyph[rect.y + 1, rect.x + 2]) == " "


@given(sizes, st.sampled_from(LAYOUTS), st.floats(0, 20))
def test_the_ram_below_many_devices_has_room_for_its_banks(size: tuple[int, int], layout: Layout, ram: float) -> None:
    width, height = size
    upper = above_ram(width, height, layout, 0.0, ram)
    if upper == height:
        return
    grid = grid_of(tiles_of(width, height, layout, upper).tiles[0], 0.0)
    assert (height - LINK_ROWS - upper) * width >= grid.width * grid.height * ram
    tile = Tile("0", "", 0.5, bytes(grid.width * grid.height))
    banks = bytes([Code.WEIGHTS]) * math.ceil(grid.width * grid.height * ram)
    scene = shown([tile] * layout.devices, layout, moving=False, upper=upper, ram_codes=banks)
    below = paint_cluster(width, height, scene).ink[upper : height - LINK_ROWS].reshape(-1)
    assert np.count_nonzero(below == Ink.WEIGHTS) == len(banks)
