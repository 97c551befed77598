"""The board: memory modules full of banks around the die, painted from a bank map at a moment of the film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kvtui.canvas.cells import Cells
from kvtui.canvas.memory import motion
from kvtui.canvas.memory.layout import GAP, Board, Rect
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.palette import WASHED, Ink
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, BankCodes, Code, place

_INKS = np.full(256, Ink.FREE, dtype=np.uint8)
_GLYPHS = np.full(256, ord("·"), dtype=np.uint32)
_PLAIN = np.full(256, ord("."), dtype=np.uint32)
for _code, _ink, _glyph, _plain in (
    (Code.WEIGHTS, Ink.WEIGHTS, "▉", "█"),
    (Code.STATE, Ink.STATE, "▓", "░"),
    (Code.RESERVED, Ink.RESERVED, "░", "▒"),
    (Code.PADDING, Ink.PADDING, "▫", "▫"),
    (Code.WORKING, Ink.ACTIVATION, "▒", "▞"),
    (Code.PREFIX, Ink.BRIGHT, "▇", "P"),
    (Code.OVERFLOW, Ink.OVERFLOW, "▉", "!"),
    (Code.SAVED, Ink.FRAME, "▯", "/"),
    (Code.FREED, Ink.KV, "▱", "\\"),
    (Code.FREE, Ink.FREE, "·", "·"),
):
    _INKS[_code], _GLYPHS[_code], _PLAIN[_code] = _ink, ord(_glyph), ord(_plain)
_INKS[FIRST_SEQUENCE:] = Ink.SEQUENCE + np.arange(256 - FIRST_SEQUENCE) % 16
_GLYPHS[FIRST_SEQUENCE:] = ord("▇")
_PLAIN[FIRST_SEQUENCE:] = np.array([ord(c) for c in "0123456789abcdef"], dtype=np.uint32)[
    np.arange(256 - FIRST_SEQUENCE) % 16
]

BOX_ROWS = 3
UNUSED = (Code.FREE, Code.SAVED, Code.FREED)
"""What a bank holds that nothing is in."""

CellArray = np.ndarray[tuple[int, ...], np.dtype[Any]]


def paint(board: Board, width: int, height: int, scene: Scene) -> Cells:
    """The picture of ``scene`` on ``board`` in ``width`` × ``height`` cells; empty where the modules have no room."""
    cells = Cells(width, height)
    if scene.moving and not scene.plain:
        motion.waves(cells, scene.now, scene.fill, scene.alarmed)
    if not all(rect.fits(width, height) for rect in board.modules):
        return cells
    for number, rect in enumerate(board.modules):
        _module(cells, rect, number, len(board.modules), scene)
    if board.ram is not None and scene.ram_codes is not None:
        paint_ram(cells, board.ram, scene.ram_codes, scene.ram_words, scene.plain)
    if board.beyond is not None and scene.beyond is not None:
        paint_beyond(cells, board.beyond, scene.beyond, scene.beyond_words, scene.plain)
    _mark(cells, board, scene)
    if board.die is not None:
        _paths(cells, board, scene)
        _die(cells, board.die, scene, apart="above" not in board.sides)
    if scene.alarm:
        _alarm(cells, scene, 0 if board.beyond is None else board.beyond.y + 1)
    return cells


def glyphs_of(codes: CellArray, plain: bool) -> CellArray:
    """The character of each bank; without colour, sequences are hexadecimal digits."""
    return (_PLAIN if plain else _GLYPHS)[codes]


def inks_of(codes: CellArray) -> CellArray:
    """The ink of each bank."""
    return _INKS[codes]


def bank_at(board: Board, x: int, y: int) -> int | None:
    """The bank under a cell, or None. Banks are interleaved: neighbours in number lie on neighbouring modules.

    Behind the device's last one are those beyond it, as many as there is room for.
    """
    modules = len(board.modules)
    for number, rect in enumerate(board.modules):
        if rect.holds(x, y):
            cell = (y - rect.y) * rect.width + x - rect.x
            return cell * modules + (number - cell) % modules
    if board.beyond is not None and board.beyond.holds(x, y):
        return board.banks + (y - board.beyond.y) * board.beyond.width + x - board.beyond.x
    return None


def bank_place(board: Board, bank: int) -> tuple[int, int]:
    """The cell of ``bank``."""
    if bank >= board.banks and board.beyond is not None:
        y, x = divmod(bank - board.banks, board.beyond.width)
        return board.beyond.x + x, board.beyond.y + y
    module, cell = place(bank, len(board.modules))
    rect = board.modules[module]
    return rect.x + cell % rect.width, rect.y + cell // rect.width


def _codes_of(codes: BankCodes, number: int, modules: int) -> BankCodes:
    """The codes of one module's cells, in the order of ``bank_place``."""
    cells = np.arange(len(codes) // modules)
    found: BankCodes = codes[cells * modules + (number - cells) % modules]
    return found


def _module(cells: Cells, rect: Rect, number: int, modules: int, scene: Scene) -> None:
    codes = _codes_of(scene.codes, number, modules).reshape(rect.height, rect.width)
    area = np.s_[rect.y : rect.y + rect.height, rect.x : rect.right]
    cells.glyph[area] = glyphs_of(codes, scene.plain)
    cells.ink[area], cells.under[area] = inks_of(codes), Ink.NONE
    used = np.count_nonzero(~np.isin(codes, UNUSED)) / codes.size
    _label(cells, rect, number, used, scene)


def paint_ram(cells: Cells, rect: Rect, codes: bytes, texts: Sequence[str], plain: bool) -> None:
    """The banks of the RAM, row by row, and the first of ``texts`` that fits above them; what is not drawn is blank."""
    shown = np.frombuffer(codes, dtype=np.uint8)[: rect.width * rect.height]
    _row_by_row(cells, rect, shown, inks_of(shown), plain)
    words = next((text for text in texts if len(text) <= rect.width), "")
    cells.put(rect.x, rect.y - 1, words.ljust(rect.width), Ink.DIM)


def paint_beyond(cells: Cells, rect: Rect, codes: BankCodes, texts: Sequence[str], plain: bool) -> None:
    """The banks that a device has no room for, all in one ink, under a line with the first of ``texts`` that fits."""
    shown = codes[: rect.width * rect.height]
    _row_by_row(cells, rect, shown, np.full(len(shown), Ink.OVERFLOW, dtype=np.uint8), plain)
    words = next((f" {text} " for text in texts if len(text) + 4 <= rect.width), "") if len(shown) else ""
    line = f"──{words}".ljust(rect.width, "─") if len(shown) else ""
    cells.put(rect.x, rect.y - 1, line.ljust(rect.width), Ink.OVERFLOW)


def _row_by_row(cells: Cells, rect: Rect, codes: BankCodes, inks: CellArray, plain: bool) -> None:
    rows, columns = np.divmod(np.arange(len(codes)), rect.width)
    area = rows + rect.y, columns + rect.x
    cells.glyph[area] = glyphs_of(codes, plain)
    cells.ink[area], cells.under[area] = inks, Ink.NONE


def _alarm(cells: Cells, scene: Scene, y: int) -> None:
    """A tint over everything where ``alarmed``, and the message in a box at row ``y``."""
    if scene.alarmed and not scene.plain:
        cells.under[cells.under == Ink.NONE] = WASHED + Ink.OVERFLOW
    text = next((text for text in scene.alarm if len(text) + 4 <= cells.width), "")
    if text and cells.height >= BOX_ROWS:
        box(cells, cells.width // 2, y, text, Ink.BAD if scene.alarmed else Ink.ACCENT)


def box(cells: Cells, middle: int, y: int, text: str, ink: Ink) -> None:
    """``text`` in a box of three rows from ``y`` on, around column ``middle``."""
    width = len(text) + 4
    x = min(max(0, middle - width // 2), max(0, cells.width - width))
    cells.frame(x, y, width, BOX_ROWS, ink)
    cells.put(x + 1, y + 1, f" {text} ", ink)


def _mark(cells: Cells, board: Board, scene: Scene) -> None:
    """The bank being filled, and the one that is selected."""
    for bank, ink in ((scene.filling, Ink.PULSE), (scene.selected, Ink.BRIGHT)):
        beyond = 0 if scene.beyond is None else len(scene.beyond)
        if bank is not None and bank < board.banks + beyond:
            x, y = bank_place(board, bank)
            cells.ink[y, x] = ink
            if bank == scene.selected:
                cells.under[y, x] = Ink.SELECT
                if scene.plain:
                    cells.glyph[y, x] = ord("X")


def _label(cells: Cells, rect: Rect, number: int, used: float, scene: Scene) -> None:
    full = f"{scene.module_gib:.3g} GiB {used:4.0%}"
    name = f"{scene.memory_name} {number + 1}"
    y = rect.y - 1
    cells.put(rect.x, y, " " * rect.width)
    if rect.width >= len(name) + len(full) + 1:
        cells.put(rect.x, y, name, Ink.DIM)
        cells.put(rect.right - len(full), y, full, Ink.FAINT)
    elif rect.width >= len(name):
        cells.put(rect.x, y, name, Ink.DIM)
    else:
        cells.put(rect.x, y, str(number + 1)[: rect.width], Ink.DIM)


def _paths(cells: Cells, board: Board, scene: Scene) -> None:
    """Dashed lines from modules to die, with bytes on their way."""
    die = board.die
    if die is None:
        return
    for number, (rect, side) in enumerate(zip(board.modules, board.sides, strict=True)):
        if side == "above":
            continue
        y = min(max(rect.middle, die.y), die.y + die.height - 1)
        start, end = (rect.right, die.x) if side == "left" else (die.right, rect.x)
        if end - start > 2 * (board.modules[0].width + 2) or end <= start:
            start, end = (die.x - 4, die.x) if side == "left" else (die.right, die.right + 4)
        cells.put(start, y, "┄" * (end - start), Ink.PATH)
        if scene.moving:
            motion.particles(cells, start, end, y, number, side == "left", scene)


def _die(cells: Cells, die: Rect, scene: Scene, apart: bool) -> None:
    """The die with its name and captions; what FlashAttention saves in a box above it where it stands ``apart``."""
    area = np.s_[die.y : die.y + die.height, die.x : die.right]
    cells.glyph[area] = ord(" ")
    cells.under[area] = Ink.NONE if scene.plain else Ink.DIE
    cells.frame(die.x, die.y, die.width, die.height, Ink.FRAME)
    cells.under[area] = Ink.NONE if scene.plain else Ink.DIE
    inner = Rect(die.x + 1, die.y + 1, die.width - 2, die.height - 2)
    motion.compute_units(cells, inner, scene)
    if scene.flash_attention and scene.progress > 0:
        motion.tiles(cells, inner, scene)
    motion.diagonal(cells, inner, scene)
    name = scene.die_name[: die.width]
    cells.put(die.x + (die.width - len(name)) // 2, die.y - 1, name, Ink.TEXT)
    below, aside = die.y + die.height, GAP - 1 if die.x >= GAP and die.right + GAP <= cells.width else 0
    room = die.width + 2 * aside
    lines = [(next((text for text in scene.captions if len(text) <= room), ""), Ink.DIM)]
    saved = next((text for text in scene.saved_texts if len(text) + 4 <= room), "")
    if saved and apart and die.y > BOX_ROWS:
        box(cells, die.x + die.width // 2, max(0, die.y - 2 - BOX_ROWS), saved, Ink.SAVED)
    else:
        lines.append((next((text for text in scene.saved_texts if len(text) <= room), ""), Ink.SAVED))
    for text, ink in lines:
        if text and below < cells.height:
            x = die.x + (die.width - len(text)) // 2
            cells.put(min(max(0, x), cells.width - len(text)), below, text, ink)
            below += 1
