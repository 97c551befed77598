"""A pool of blocks as banks: who owns them, in runs, drawn so that every bank stands for the same number of blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from kvtui.canvas.cells import Cells, InkRow, Span
from kvtui.canvas.palette import SEQUENCES, SHADED, SHADES, Ink

BlockOwner = Literal["null", "request", "shared", "chosen", "held", "out", "lost", "unsure", "cached", "left", "empty"]
SIZES = ((18, 7), (15, 6), (12, 5), (10, 4), (8, 3), (6, 3), (5, 2), (4, 2), (3, 2), (2, 2), (3, 1), (2, 1), (1, 1))
"""Columns and rows of a bank; all but the least have a gap beside and below."""

_INKS = {
    "null": Ink.RESERVED,
    "chosen": Ink.BRIGHT,
    "held": Ink.KV,
    "out": Ink.BAD,
    "lost": Ink.WARN,
    "unsure": Ink.PADDING,
    "cached": Ink.STATE,
    "empty": Ink.FREE,
}
_GLYPHS = {
    "null": "╱",
    "request": "▇",
    "shared": "◆",
    "chosen": "█",
    "held": "▇",
    "out": "▼",
    "lost": "×",
    "unsure": "▫",
    "cached": "▒",
    "left": "▒",
    "empty": "·",
}
_OF_REQUESTS = {"request", "shared", "left"}
_FADED = 2
_DIGITS = "0123456789abcdef"
WORDS = {
    "null": "the engine's own",
    "request": "held, a colour for each request",
    "shared": "shared by several",
    "chosen": "of the chosen request",
    "held": "held by requests",
    "out": "put out just now",
    "lost": "evicted just now",
    "unsure": "cached or empty",
    "cached": "cached, can be evicted",
    "left": "left by a request, cached",
    "empty": "empty",
}
FEW_WORDS = {
    "null": "own",
    "request": "held",
    "shared": "shared",
    "chosen": "chosen",
    "held": "held",
    "out": "put out",
    "lost": "evicted",
    "unsure": "either",
    "cached": "cached",
    "left": "cached",
    "empty": "empty",
}


class BlockRun(NamedTuple):
    """So many neighbouring ``blocks`` of one ``owner``; what is of a request has its ``number``."""

    owner: BlockOwner
    blocks: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class BlockPicture:
    """The blocks of a pool in order, as runs; ``unit`` is what a block is called (block, token, page).

    Where runs are rounded to whole banks, ``counts`` are the blocks that each kind of owner has in truth.
    """

    runs: tuple[BlockRun, ...]
    unit: str = "block"
    counts: Mapping[BlockOwner, int] | None = None

    @property
    def blocks(self) -> int:
        """All blocks."""
        return sum(run.blocks for run in self.runs)

    @property
    def owners(self) -> tuple[BlockOwner, ...]:
        """The kinds of owners there are, in the order of WORDS."""
        return tuple(owner for owner in _owners() if self.count(owner))

    def count(self, owner: BlockOwner) -> int:
        """The blocks of this kind of owner."""
        if self.counts is not None:
            return self.counts.get(owner, 0)
        return sum(run.blocks for run in self.runs if run.owner == owner)


class BlockGrid(NamedTuple):
    """Where banks stand: ``columns`` × ``rows`` of them, each ``width`` × ``height`` cells with a ``gap`` beside.

    Each bank stands for ``each`` blocks.
    """

    columns: int
    rows: int
    width: int
    height: int
    gap: int
    each: int


def _owners() -> tuple[BlockOwner, ...]:
    return tuple(WORDS)  # type: ignore[arg-type]  # its keys are the owners


def grid(blocks: int, width: int, height: int) -> BlockGrid | None:
    """The grid with the largest banks for ``blocks`` in ``width`` × ``height`` cells; None where there is no room.

    A bank stands for one block where there is room for all, else for the fewest blocks of 1, 2, 5, 10, 20, … that fit.
    Example: 32 blocks in 60 × 12 cells are banks of 6 × 3 cells in 4 rows.
    """
    if blocks < 1 or width < 1 or height < 1:
        return None
    for bank, tall in SIZES:
        gap = 1 if bank > 1 else 0
        columns, rows = (width + gap) // (bank + gap), height // (tall + (1 if tall > 1 else 0))
        if tall > 1:
            rows = (height + 1) // (tall + 1)
        if columns * rows >= blocks:
            return BlockGrid(columns, -(-blocks // columns), bank, tall, gap, 1)
    each, step = 1, 0
    while -(-blocks // each) > width * height:
        step += 1
        each = (1, 2, 5)[step % 3] * 10 ** (step // 3)
    needed = -(-blocks // each)
    return BlockGrid(width, -(-needed // width), 1, 1, 0, each)


def banks(picture: BlockPicture, each: int) -> list[BlockRun]:
    """The owner of each bank of ``each`` blocks; a bank that several share goes to where most of its run lies.

    The ends of runs are rounded, so that a run has as many banks as its blocks fill, to within one; the very last
    bank may not be full.
    Example: runs of 3, 3 and 4 blocks in banks of 2 are 2, 1 and 2 banks.
    """
    ends, total = [0], 0
    for run in picture.runs:
        total += run.blocks
        ends.append((2 * total + each) // (2 * each))
    whole = -(-total // each)
    found: list[BlockRun] = []
    for run, (start, end) in zip(picture.runs, pairwise(ends), strict=True):
        found += [run] * (min(end, whole) - min(start, whole))
    return found + [picture.runs[-1]] * (whole - len(found)) if picture.runs else []


def paint_blocks(picture: BlockPicture, width: int, height: int, *, plain: bool) -> Cells:
    """The pool in ``width`` × ``height`` cells, what its banks mean in the last row; ``plain`` is without colours."""
    cells = Cells(width, height)
    place = grid(picture.blocks, width, height - 2)
    if place is None:
        return cells
    for number, run in enumerate(banks(picture, place.each)):
        x = number % place.columns * (place.width + place.gap)
        y = number // place.columns * (place.height + (1 if place.height > 1 else 0))
        glyph = _DIGITS[run.number % SEQUENCES] if plain and run.owner == "request" else _GLYPHS[run.owner]
        for row in range(place.height):
            cells.put(x, y + row, glyph * place.width, ink_of(run))
    rows = legend(picture, place.each, width, plain=plain)
    for row, spans in enumerate(rows):
        cells.put_row(0, height - len(rows) + row, spans)
    return cells


def ink_of(run: BlockRun) -> int:
    """The ink of a bank; what a request left behind has a faded form of its colour."""
    if run.owner not in _OF_REQUESTS:
        return _INKS[run.owner]
    number = run.number % SEQUENCES
    return SHADED + number * SHADES + _FADED if run.owner == "left" else Ink.SEQUENCE + number


def legend(picture: BlockPicture, each: int, width: int, *, plain: bool) -> Sequence[InkRow]:
    """What a bank is, and what each kind of bank means, in two rows at most: in few words where many do not fit."""
    unit = picture.unit
    bank = f"a bank is {each:,} {unit}s" if each > 1 else f"a bank is one {unit}"
    for words in (WORDS, FEW_WORDS):
        rows: list[list[Span]] = [[Span(bank, Ink.DIM)]]
        room = width - len(bank)
        for owner in picture.owners:
            glyph = _DIGITS[0] if plain and owner == "request" else _GLYPHS[owner]
            text = f" {words[owner]} {picture.count(owner):,}"
            if len(text) + 4 > room:
                rows.append([])
                room = width
            lead = "  " if rows[-1] else ""
            rows[-1] += [Span(f"{lead}{glyph * 2}", ink_of(BlockRun(owner, 1))), Span(text, Ink.DIM)]
            room -= len(text) + 4
        if len(rows) <= 2:
            break
    return rows[:2]
