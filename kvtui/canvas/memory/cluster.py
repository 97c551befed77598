"""Many devices as the groups that they work in: replicas in frames, in each its stages, in each of those its ranks.

Links are drawn where traffic goes: between the ranks of a stage, from a stage to the next, and, where experts are
spread over replicas, between the frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from kvtui.canvas.cells import Cells, fit
from kvtui.canvas.memory.board import look_of, paint_banks, paint_ram
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import Ink
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, SEQUENCE_CODES, Code
from kvtui.engine.picture.banks import bank_counts
from kvtui.engine.planning.parts import Parts
from kvtui.engine.scenario.scenario import Layout

WARM = 0.7
LINK_WARM = 0.5
FLOW_CELLS_PER_SECOND = 8
LEAST_TILE_ROWS = 8
METER_CELLS, LEAST_METER_CELLS = 20, 8
LINK_ROWS = 2
WIDE_TILE, WIDE_GAP, STAGE_GAP = 14, 3, 3
RULED_ROWS = 5
ABREAST, ABREAST_CELLS = 4 / 3, 6


class Tile(NamedTuple):
    """One device: its name, what it holds in words, its fill (0 to 1 and above), and the codes of its banks.

    ``beyond`` are the banks that it has no room for.
    """

    name: str
    amount: str
    fill: float
    codes: bytes
    beyond: int = 0


class LinkWords(NamedTuple):
    """What goes over the links, in words: of the link itself, from stage to stage, and of all kinds of traffic.

    ``kinds`` are said one behind the other, as many as there is room for.
    """

    link: str
    stages: str = ""
    kinds: Sequence[str] = ()


class ClusterScene(NamedTuple):
    """All devices at one moment, in the order of their numbers.

    ``groups`` are the titles of the replicas, from the longest to the shortest words. ``over`` is what a device needs
    at most beyond its capacity, as a share of that. ``utilization`` is the busier end of the link's band; None when no
    rate is known. ``exchanged`` says that replicas send to each other. ``selected`` is a device. Below the first
    ``upper`` rows, unless it is 0, the machine's RAM is drawn, under the first of ``ram_words`` that fits.
    """

    tiles: Sequence[Tile]
    layout: Layout
    groups: Sequence[Sequence[str]]
    words: LinkWords
    utilization: float | None
    now: float
    moving: bool = True
    plain: bool = False
    over: float = 0.0
    exchanged: bool = False
    selected: int | None = None
    upper: int = 0
    ram_codes: bytes = b""
    ram_words: Sequence[str] = ()


class Groups(NamedTuple):
    """Where everything stands: ``frames`` of replicas, ``stages`` of all of them in order, and ``tiles`` of devices."""

    frames: tuple[Rect, ...]
    stages: tuple[Rect, ...]
    tiles: tuple[Rect, ...]


class _Shape(NamedTuple):
    """Columns of frames, of stages in a frame, and of ranks in a stage."""

    frames: int
    stages: int
    ranks: int


def tile_codes(parts: Parts, sequences: int, capacity: int, banks: int) -> tuple[bytes, int]:
    """The banks of a small board, and how many more are needed beyond it.

    In order: weights, state, KV of each of ``sequences``, reserved, free, working.
    """
    sizes = {
        "weights": parts.weights,
        "state": parts.state,
        "kv": parts.kv,
        "reserved": parts.reserved_unused + parts.pool_free,
        "working": parts.activation + parts.overhead,
    }
    beyond = -(-max(0, parts.total - capacity) * banks // capacity)
    counts = bank_counts(
        {name: size * banks for name, size in sizes.items()}, capacity * (banks + beyond), banks + beyond
    )
    kv = counts["kv"]
    owners = (number * max(1, sequences) // kv for number in range(kv))
    codes = b"".join(
        (
            bytes([Code.WEIGHTS]) * counts["weights"],
            bytes([Code.STATE]) * counts["state"],
            bytes(FIRST_SEQUENCE + owner % SEQUENCE_CODES for owner in owners),
            bytes([Code.RESERVED]) * counts["reserved"],
            bytes([Code.FREE]) * counts["free"],
            bytes([Code.WORKING]) * counts["working"],
        )
    )
    return codes[:banks], beyond


@lru_cache(maxsize=16)
def groups_of(width: int, height: int, layout: Layout) -> Groups:
    """The devices of ``layout`` in ``width`` × ``height`` cells, in the columns that give each the most banks."""
    shapes = (
        _Shape(frames, stages, ranks)
        for frames in range(1, layout.dp + 1)
        for stages in range(1, layout.pp + 1)
        for ranks in range(1, layout.tp + 1)
    )
    return _placed(width, height, layout, max(shapes, key=lambda shape: _worth(width, height, layout, shape)))


def _worth(width: int, height: int, layout: Layout, shape: _Shape) -> tuple[float, int]:
    """Banks of a tile, and a third more where all ranks of a stage stand side by side and are no strips.

    Tiles of one row have no banks below their name.
    """
    frame, stage, tile, _ = _sizes(width, height, layout, shape)
    if min(*frame, *stage, *tile) < 1:
        return -1, 0
    return tile[0] * (tile[1] - 1) * (ABREAST if shape.ranks == layout.tp and tile[0] >= ABREAST_CELLS else 1), tile[0]


def _sizes(
    width: int, height: int, layout: Layout, shape: _Shape
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
    """Width and height of a frame, a stage and a tile, and the columns between tiles."""
    frame = (width - (shape.frames - 1)) // shape.frames, height // ceil(layout.dp / shape.frames)
    stage_rows = ceil(layout.pp / shape.stages)
    stage = (
        (frame[0] - 2 - STAGE_GAP * (shape.stages - 1)) // shape.stages,
        (frame[1] - 2 - (stage_rows - 1)) // stage_rows,
    )
    gap = WIDE_GAP if stage[0] // shape.ranks > WIDE_TILE else 1
    tile = (stage[0] - gap * (shape.ranks - 1)) // shape.ranks, stage[1] // ceil(layout.tp / shape.ranks)
    return frame, stage, tile, gap


def _placed(width: int, height: int, layout: Layout, shape: _Shape) -> Groups:
    frame, stage, tile, gap = _sizes(width, height, layout, shape)
    frame, stage, tile = ((max(1, w), max(1, h)) for w, h in (frame, stage, tile))
    frames = [
        Rect((n % shape.frames) * (frame[0] + 1), (n // shape.frames) * frame[1], *frame) for n in range(layout.dp)
    ]
    stages = [
        Rect(
            one.x + 1 + (n % shape.stages) * (stage[0] + STAGE_GAP),
            one.y + 1 + (n // shape.stages) * (stage[1] + 1),
            *stage,
        )
        for one in frames
        for n in range(layout.pp)
    ]
    tiles = [
        Rect(one.x + (n % shape.ranks) * (tile[0] + gap), one.y + (n // shape.ranks) * tile[1], *tile)
        for one in stages
        for n in range(layout.tp)
    ]
    return Groups(tuple(frames), tuple(stages), tuple(tiles))


def above_ram(width: int, height: int, layout: Layout, over: float, ram: float) -> int:
    """Rows for the devices where RAM of ``ram`` times a device's capacity is drawn below them.

    All ``height`` where it is none, or where boards and banks of one size leave no room for it.
    """
    for rows in range(1, height - LEAST_TILE_ROWS if ram else 0):
        upper = height - LINK_ROWS - rows
        found = groups_of(width, upper - 1, layout)
        if max(tile.y + tile.height for tile in found.tiles) > upper:
            break
        grid = grid_of(found.tiles[0], over)
        if ceil(grid.width * grid.height * ram) <= rows * width:
            return upper
    return height


def tiles_of(width: int, height: int, layout: Layout, upper: int = 0) -> Groups:
    """Where the devices stand in a picture of ``width`` × ``height`` cells, of which they may have ``upper`` rows."""
    return groups_of(width, (upper - 1) if upper and upper < height else height - LINK_ROWS, layout)


def grid_of(tile: Rect, over: float) -> Rect:
    """The device's banks in its tile: below its name, and as few rows as leave room for ``over`` capacities more."""
    rows = max(1, tile.height - 1)
    ruled = int(over > 0 and rows >= RULED_ROWS)
    return Rect(tile.x, tile.y + 1, tile.width, max(1, int((rows - ruled) / (1 + over))))


def paint_cluster(width: int, height: int, scene: ClusterScene) -> Cells:
    """The picture of ``scene`` in ``width`` × ``height`` cells; the last rows have the link and what goes over it."""
    cells = Cells(width, height)
    found = tiles_of(width, height, scene.layout, scene.upper)
    if scene.upper:
        below = Rect(0, scene.upper, width, height - LINK_ROWS - scene.upper)
        paint_ram(cells, below, scene.ram_codes, scene.ram_words, scene.plain)
    for rect, titles in zip(found.frames, scene.groups, strict=True):
        title = next((text for text in titles if len(text) + 4 < rect.width), "")
        cells.frame(rect.x, rect.y, rect.width, rect.height, Ink.FRAME, title)
    for number, (rect, tile) in enumerate(zip(found.tiles, scene.tiles, strict=True)):
        _tile(cells, rect, tile, scene, number == scene.selected)
    _links(cells, found, scene)
    cells.put(0, height - 2, fit(scene.words.link, width), _load_ink(scene.utilization))
    _meter(cells, width, height - 2, len(scene.words.link) + 2, scene.utilization)
    kinds = list(scene.words.kinds)
    while kinds and len(" · ".join(kinds)) > width:
        kinds.pop()
    cells.put(0, height - 1, " · ".join(kinds), Ink.DIM)
    return cells


def device_at(found: Groups, x: int, y: int) -> int | None:
    """The device whose tile is at a cell, or None."""
    return next((number for number, rect in enumerate(found.tiles) if rect.holds(x, y)), None)


def _meter(cells: Cells, width: int, y: int, taken: int, utilization: float | None) -> None:
    """The link's load at the end of the row, where the words leave room for it."""
    room = min(METER_CELLS, width - taken)
    if utilization is None or room < LEAST_METER_CELLS:
        return
    busy = min(room, ceil(utilization * room))
    cells.put(width - room, y, "━" * busy, _load_ink(utilization))
    cells.put(width - room + busy, y, "─" * (room - busy), Ink.FRAME)


def _tile(cells: Cells, rect: Rect, tile: Tile, scene: ClusterScene, selected: bool) -> None:
    grid = grid_of(rect, scene.over)
    ink = Ink.BRIGHT if selected else Ink.BAD if tile.fill > 1 else Ink.WARN if tile.fill > WARM else Ink.TEXT
    name = f">{tile.name}" if selected else tile.name
    title = f"{name} · {tile.amount}"
    cells.put(rect.x, rect.y, title if len(title) <= rect.width else name[: rect.width], ink)
    paint_banks(cells, grid.x, grid.y, grid.width, tile.codes[: grid.width * grid.height], scene.plain)
    if tile.beyond:
        below = grid.y + grid.height
        if rect.height - 1 >= RULED_ROWS:
            cells.put(rect.x, below, "─" * rect.width, Ink.OVERFLOW)
            below += 1
        glyph, _ = look_of(Code.OVERFLOW, scene.plain)
        for y, many in enumerate(_rows(tile.beyond, rect.width), start=below):
            if y >= rect.y + rect.height:
                break
            cells.put(rect.x, y, glyph * many, Ink.OVERFLOW)


def _rows(count: int, width: int) -> Iterator[int]:
    while count > 0:
        yield min(count, width)
        count -= width


def _links(cells: Cells, found: Groups, scene: ClusterScene) -> None:
    """The links that carry something: between ranks, from stage to stage, and between replicas."""
    tp, pp = scene.layout.tp, scene.layout.pp
    busy = scene.moving and bool(scene.utilization)
    for number, (left, right) in enumerate(pairwise(found.tiles)):
        if left.y == right.y and (number + 1) % tp:
            _link(cells, left.right, right.x, left.middle, "═", scene, busy)
        elif (number + 1) % tp:
            cells.put(right.right - 1, right.y, "║", _load_ink(scene.utilization))
    for number, (one, other) in enumerate(pairwise(found.stages)):
        if not (number + 1) % pp:
            continue
        if one.y == other.y:
            _link(cells, one.right, other.x, one.middle, "─", scene, busy)
            cells.put(other.x - 1, one.middle, "▶", Ink.DIM)
        else:
            text = f"▼ {scene.words.stages}" if len(scene.words.stages) + 2 <= one.width else "▼"
            cells.put(other.x, other.y - 1, text.center(other.width), Ink.DIM)
    if scene.exchanged:
        for one, other in pairwise(found.frames):
            if one.y == other.y:
                cells.put(one.right, one.middle, "═", _load_ink(scene.utilization))


def _link(cells: Cells, start: int, end: int, y: int, glyph: str, scene: ClusterScene, busy: bool) -> None:
    cells.put(start, y, glyph * (end - start), _load_ink(scene.utilization))
    if busy and end > start:
        step = int(scene.now * FLOW_CELLS_PER_SECOND + start)
        cells.put(start + step % (end - start), y, "•", Ink.BRIGHT)


def _load_ink(utilization: float | None) -> Ink:
    if utilization is None:
        return Ink.DIM
    return Ink.WARN if utilization > LINK_WARM else Ink.GOOD
