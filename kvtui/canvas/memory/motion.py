"""What moves on the board, each a function of time; rows are given different phases so that few change at once."""

from __future__ import annotations

from functools import lru_cache
from math import floor, sin

from kvtui.canvas.braille import curve
from kvtui.canvas.cells import Cells
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.palette import Ink

WAVES = (Ink.WAVE_1, Ink.WAVE_2, Ink.WAVE_3)
WAVE_STEPS_PER_SECOND = 1.5
DIE_STEPS_PER_SECOND = 1.5
TILE_STEPS_PER_SECOND = 2.5
PATH_CELLS_PER_SECOND = 9
SPLIT_MIX = 0x9E3779B97F4A7C15


def waves(cells: Cells, now: float, fill: float, alarmed: bool) -> None:
    """Three thin sine lines behind everything, faster as memory fills; red in an apocalypse."""
    pace = 0.25 + 1.5 * round(min(1.0, fill), 1)
    for number, ink in enumerate(WAVES):
        phase = int(now * WAVE_STEPS_PER_SECOND + number / len(WAVES)) * pace / WAVE_STEPS_PER_SECOND
        shown = Ink.OVERFLOW if alarmed else ink
        for at, glyph in _wave(cells.width, cells.height, number, phase):
            cells.glyphs[at], cells.inks[at] = glyph, shown


@lru_cache(maxsize=16)
def _wave(width: int, height: int, number: int, phase: float) -> tuple[tuple[int, int], ...]:
    """The cells of a wave by their place in the flat arrays, with their code points."""
    swing = 0.06 + 0.02 * number
    level = 0.10 + 0.05 * number + swing
    moved, start = phase * (1 + 0.4 * number), 2 * number
    line = [level + swing * sin(x / 2 / (8 + 4 * number) + moved + start) for x in range(2 * width)]
    return tuple((y * width + x, glyph) for (x, y), glyph in curve(height, line).items())


def particles(cells: Cells, start: int, end: int, y: int, number: int, rightwards: bool, scene: Scene) -> None:
    """Bytes on one path: as many as the traffic asks for, gold with FlashAttention, faster when ludicrous."""
    length = end - start
    count = max(1, round(scene.traffic * length / 2)) if scene.progress > 0 else 0
    pace = PATH_CELLS_PER_SECOND * (3 if scene.ludicrous else 1) * (0.5 if scene.flash_attention else 1)
    offset = floor(scene.now * pace) + 3 * number
    for index in range(count):
        at = int(offset + index * length / count) % length
        x = start + at if rightwards else end - 1 - at
        head, tail = (Ink.GOLD, Ink.GOLD_TAIL) if scene.flash_attention else (Ink.PARTICLE, Ink.PATH)
        cells.put(x, y, "•", head)
        behind = x - 1 if rightwards else x + 1
        if start <= behind < end and cells.glyphs[cells.place(behind, y)] != ord("•"):
            cells.put(behind, y, "·", tail)


def compute_units(cells: Cells, area: Rect, scene: Scene) -> None:
    """The die's processors: more of them light up the fuller the memory, warmer above 50 and 80 percent."""
    lit = Ink.DIE_LIT if scene.fill < 0.5 else Ink.DIE_WARM if scene.fill < 0.8 else Ink.DIE_HOT
    activity = 0.12 + 0.75 * scene.traffic if scene.progress > 0 else 0.05
    columns = range(area.x + 1, area.right - 2, 4)
    idle, busy = ("▂▂", "▪▪") if scene.plain else ("━━", "━━")
    for y in range(area.y + 1, area.y + area.height, 2):
        phase = (y * 0.37) % 1
        step = int(scene.now * DIE_STEPS_PER_SECOND + phase) if scene.moving else 0
        for x, chance in zip(columns, _chances(len(columns), y, step), strict=True):
            works = chance < activity
            cells.put(x, y, busy if works else idle, lit if works else Ink.FRAME)


def tiles(cells: Cells, area: Rect, scene: Scene) -> None:
    """FlashAttention's tiles: a diagonal front of blocks that moves over the die and never leaves it."""
    columns, rows = max(1, (area.width - 2) // 4), max(1, area.height // 2)
    ramp = (Ink.TILE_3, Ink.TILE_2, Ink.TILE_1)
    for row in range(rows):
        phase = (row * 0.61) % 1
        front = int(scene.now * TILE_STEPS_PER_SECOND + phase) if scene.moving else 4
        y = area.y + 2 * row
        for column in range(columns):
            age = (front - column - row) % (columns + 4)
            if age < len(ramp):
                cells.put(area.x + 1 + 4 * column, y, "▄▄▄", ramp[age])


def diagonal(cells: Cells, area: Rect, scene: Scene) -> None:
    """Memory against context, a straight line, with the film's place on it."""
    passed = Ink.TILE_3 if scene.flash_attention else Ink.DIAGONAL
    for (x, y), glyph in _line(area.width, area.height):
        at = cells.place(area.x + x, area.y + y)
        cells.glyphs[at], cells.inks[at] = glyph, passed if x <= scene.progress * area.width else Ink.FAINT
    x = area.x + min(area.width - 1, int(scene.progress * area.width))
    y = area.y + area.height - 1 - min(area.height - 1, int(scene.progress * area.height))
    cells.put(x, y, "●", Ink.DOT)


@lru_cache(maxsize=16)
def _line(width: int, height: int) -> tuple[tuple[tuple[int, int], int], ...]:
    last = max(1, 2 * width - 1)
    return tuple(curve(height, [x / last for x in range(2 * width)]).items())


@lru_cache(maxsize=256)
def _chances(count: int, y: int, step: int) -> tuple[float, ...]:
    """Fixed pseudo-random numbers from 0 to 1 for a row at a step: SplitMix64 (Steele, Lea and Flood, 2014)."""
    start, found = (step << 40 | y << 20) * SPLIT_MIX, []
    for number in range(1, count + 1):
        mixed = (number * SPLIT_MIX + start) % 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ mixed >> shift) * factor % 2**64
        found.append((mixed ^ mixed >> 31) / 2.0**64)
    return tuple(found)
