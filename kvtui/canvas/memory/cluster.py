"""Many devices: a grid of small boards, the links between them, and how busy those are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import numpy as np

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.memory.board import glyphs_of, inks_of, paint_ram, unders_of
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, SEQUENCE_CODES, BankCodes, Code
from kvtui.engine.picture.banks import bank_counts
from kvtui.engine.planning.parts import Parts

WARM, HOT = 0.7, 0.9
LINK_WARM, LINK_HOT = 0.5, 0.8
FLOW_CELLS_PER_SECOND = 8
LEAST_TILE_ROWS = 8
METER_CELLS, LEAST_METER_CELLS = 20, 8


class Tile(NamedTuple):
    """One device: its name, what it holds in words, its fill (0 to 1 and above), and the codes of its banks."""

    name: str
    amount: str
    fill: float
    codes: BankCodes


class ClusterScene(NamedTuple):
    """All devices at one moment.

    ``utilization`` is the busier end of the link's band; None when no rate is known. ``selected`` is a device. Below
    the first ``upper`` rows, unless it is 0, the machine's RAM is drawn, under the first of ``ram_words`` that fits.
    """

    tiles: Sequence[Tile]
    columns: int
    link: str
    utilization: float | None
    now: float
    moving: bool = True
    plain: bool = False
    selected: int | None = None
    upper: int = 0
    ram_codes: bytes = b""
    ram_words: Sequence[str] = ()


def tile_codes(parts: Parts, sequences: int, capacity: int, banks: int) -> BankCodes:
    """The banks of a small board, in order: weights, state, KV of each of ``sequences``, reserved, free, working."""
    sizes = {
        "weights": parts.weights,
        "state": parts.state,
        "kv": parts.kv,
        "reserved": parts.reserved_unused + parts.pool_free,
        "working": parts.activation + parts.overhead,
    }
    counts = bank_counts(sizes, capacity, banks)
    owners = np.arange(counts["kv"]) * max(1, sequences) // max(1, counts["kv"])
    kv = FIRST_SEQUENCE + owners % SEQUENCE_CODES
    runs = (
        (Code.WEIGHTS, counts["weights"]),
        (Code.STATE, counts["state"]),
        (Code.RESERVED, counts["reserved"]),
        (Code.FREE, counts["free"]),
        (Code.WORKING, counts["working"]),
    )
    weights, state, *rest = (np.full(count, code, dtype=np.uint8) for code, count in runs)
    codes: BankCodes = np.concatenate((weights, state, kv.astype(np.uint8), *rest))
    return codes


def tile_rects(width: int, height: int, devices: int, columns: int) -> list[Rect]:
    """The frames of ``devices`` small boards in ``columns`` columns; at least 4 × 2 cells each."""
    rows = -(-devices // columns)
    gap = 3 if width // columns > 16 else 1
    tile_width = max(4, (width - gap * (columns - 1)) // columns)
    tile_height = max(2, (height - 1) // rows - (1 if (height - 1) // rows > 5 else 0))
    pitch = max(tile_height, (height - 1) // rows)
    return [
        Rect((n % columns) * (tile_width + gap), (n // columns) * pitch, tile_width, tile_height)
        for n in range(devices)
    ]


def above_ram(width: int, height: int, devices: int, columns: int, ram: float) -> int:
    """Rows for the boards of ``devices`` where RAM of ``ram`` times a device's capacity is drawn below them.

    All ``height`` where it is none, or where boards and banks of one size leave no room for it.
    """
    for rows in range(1, height - LEAST_TILE_ROWS if ram else 0):
        upper = height - 1 - rows
        tiles = tile_rects(width, upper, devices, columns)
        grid = inner(tiles[0])
        if max(tile.y + tile.height for tile in tiles) > upper:
            break
        if ceil(grid.width * grid.height * ram) <= rows * width:
            return upper
    return height


def inner(rect: Rect) -> Rect:
    """The bank grid inside a tile's frame; the frame falls away where there is no room for it."""
    if rect.height < 4 or rect.width < 6:
        return Rect(rect.x, rect.y + 1, rect.width, max(1, rect.height - 1))
    return Rect(rect.x + 1, rect.y + 1, rect.width - 2, rect.height - 2)


def paint_cluster(width: int, height: int, scene: ClusterScene) -> Cells:
    """The picture of ``scene`` in ``width`` × ``height`` cells; the last row has the link and a meter of its load."""
    cells = Cells(width, height)
    rects = tile_rects(width, scene.upper or height, len(scene.tiles), scene.columns)
    if scene.upper:
        below = Rect(0, scene.upper, width, height - 1 - scene.upper)
        paint_ram(cells, below, scene.ram_codes, scene.ram_words, scene.plain)
    _links(cells, rects, scene)
    for number, (rect, tile) in enumerate(zip(rects, scene.tiles, strict=True)):
        _tile(cells, rect, tile, scene.plain, number == scene.selected)
    cells.put(0, height - 1, fit(scene.link, width), _load_ink(scene.utilization))
    _meter(cells, width, height - 1, len(scene.link) + 2, scene.utilization)
    return cells


def device_at(width: int, height: int, devices: int, columns: int, x: int, y: int) -> int | None:
    """The device whose tile is at a cell, or None."""
    rects = tile_rects(width, height, devices, columns)
    return next((number for number, rect in enumerate(rects) if rect.holds(x, y)), None)


def _meter(cells: Cells, width: int, y: int, taken: int, utilization: float | None) -> None:
    """The link's load at the end of the row, where the words leave room for it."""
    room = min(METER_CELLS, width - taken)
    if utilization is None or room < LEAST_METER_CELLS:
        return
    busy = min(room, ceil(utilization * room))
    cells.put(width - room, y, "━" * busy, _load_ink(utilization))
    cells.put(width - room + busy, y, "─" * (room - busy), Ink.FRAME)


def _tile(cells: Cells, rect: Rect, tile: Tile, plain: bool, selected: bool) -> None:
    grid = inner(rect)
    ink = Ink.BRIGHT if selected else Ink.BAD if tile.fill > HOT else Ink.WARN if tile.fill > WARM else Ink.FRAME
    if grid.width < rect.width:
        cells.frame(rect.x, rect.y, rect.width, rect.height, ink)
    name = f">{tile.name}" if selected else tile.name
    title = f"{name} {tile.amount}" if len(name) + len(tile.amount) + 3 <= rect.width else name
    cells.put(
        rect.x + (1 if grid.width < rect.width else 0),
        rect.y,
        title[: grid.width],
        Ink.BRIGHT if selected else Ink.TEXT,
    )
    codes = tile.codes[: grid.width * grid.height].reshape(grid.height, grid.width)
    area = np.s_[grid.y : grid.y + grid.height, grid.x : grid.right]
    seen = cells.glyph[area].shape
    codes = codes[: seen[0], : seen[1]]
    cells.glyph[area] = glyphs_of(codes, plain)
    cells.ink[area], cells.under[area] = inks_of(codes), unders_of(codes)


def _links(cells: Cells, rects: Sequence[Rect], scene: ClusterScene) -> None:
    """Short links between neighbours in a row, with traffic on them."""
    ink = _load_ink(scene.utilization)
    for left, right in pairwise(rects):
        if left.y != right.y:
            continue
        start, end, y = left.right, right.x, left.middle
        cells.put(start, y, "═" * (end - start), Ink.PATH)
        if scene.moving and scene.utilization:
            step = int(scene.now * FLOW_CELLS_PER_SECOND + left.x)
            cells.put(start + step % (end - start), y, "•", ink)


def _load_ink(utilization: float | None) -> Ink:
    if utilization is None:
        return Ink.DIM
    return Ink.BAD if utilization > LINK_HOT else Ink.WARN if utilization > LINK_WARM else Ink.GOOD
