"""The board: memory modules full of banks around the die, painted from a bank map at a moment of the film."""

from __future__ import annotations

from array import array
from codecs import charmap_decode
from collections.abc import Sequence

from kvtui.canvas.cells import Cells, codes_of
from kvtui.canvas.memory import motion
from kvtui.canvas.memory.layout import GAP, Board, Rect
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.palette import SEQUENCES, WASHED, Ink
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code, place

_LOOKS = {
    Code.WEIGHTS: (Ink.WEIGHTS, "▉", "█"),
    Code.STATE: (Ink.STATE, "▓", "░"),
    Code.RESERVED: (Ink.RESERVED, "░", "▒"),
    Code.PADDING: (Ink.PADDING, "▫", "▫"),
    Code.WORKING: (Ink.ACTIVATION, "▒", "▞"),
    Code.PREFIX: (Ink.BRIGHT, "▇", "P"),
    Code.OVERFLOW: (Ink.OVERFLOW, "▉", "!"),
    Code.SAVED: (Ink.FRAME, "▯", "/"),
    Code.FREED: (Ink.KV, "▱", "\\"),
    Code.FREE: (Ink.FREE, "·", "·"),
} | {
    FIRST_SEQUENCE + number: (Ink.SEQUENCE + number % SEQUENCES, "▇", f"{number % SEQUENCES:x}")
    for number in range(256 - FIRST_SEQUENCE)
}
_LOOK_OF = [_LOOKS.get(code, _LOOKS[Code.FREE]) for code in range(256)]
_INKS = "".join(chr(ink) for ink, _, _ in _LOOK_OF)
_GLYPHS = "".join(glyph for _, glyph, _ in _LOOK_OF)
_PLAIN = "".join(glyph for _, _, glyph in _LOOK_OF)
"""The ink (as a character), the glyph, and the glyph without colour of every code."""

BOX_ROWS = 3
UNUSED = (Code.FREE, Code.SAVED, Code.FREED)
"""What a bank holds that nothing is in."""


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


def look_of(code: int, plain: bool) -> tuple[str, int]:
    """The character and the ink of a bank; without colour, sequences are hexadecimal digits."""
    return (_PLAIN if plain else _GLYPHS)[code], ord(_INKS[code])


def paint_banks(cells: Cells, x: int, y: int, width: int, codes: bytes, plain: bool, ink: Ink | None = None) -> None:
    """The banks of ``codes`` row by row, all in one ``ink`` or each in its own."""
    glyphs, _ = charmap_decode(codes, "strict", _PLAIN if plain else _GLYPHS)
    inks, _ = charmap_decode(codes, "strict", _INKS) if ink is None else (chr(ink) * len(codes), 0)
    cells.put_area(x, y, width, codes_of(glyphs), array("H", inks.encode("utf-16-le")))


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


def _codes_of(codes: bytes, number: int, modules: int) -> bytes:
    """The codes of one module's cells, in the order of ``bank_place``: every so many cells they are as far apart."""
    found = bytearray(len(codes) // modules)
    for cell in range(min(modules, len(found))):
        found[cell::modules] = codes[cell * modules + (number - cell) % modules :: modules * modules]
    return bytes(found)


def _module(cells: Cells, rect: Rect, number: int, modules: int, scene: Scene) -> None:
    codes = _codes_of(scene.codes, number, modules)
    paint_banks(cells, rect.x, rect.y, rect.width, codes, scene.plain)
    used = (len(codes) - sum(map(codes.count, UNUSED))) / len(codes)
    _label(cells, rect, number, used, scene)


def paint_ram(cells: Cells, rect: Rect, codes: bytes, texts: Sequence[str], plain: bool) -> None:
    """The banks of the RAM, row by row, and the first of ``texts`` that fits above them; what is not drawn is blank."""
    paint_banks(cells, rect.x, rect.y, rect.width, codes[: rect.width * rect.height], plain)
    words = next((text for text in texts if len(text) <= rect.width), "")
    cells.put(rect.x, rect.y - 1, words.ljust(rect.width), Ink.DIM)


def paint_beyond(cells: Cells, rect: Rect, codes: bytes, texts: Sequence[str], plain: bool) -> None:
    """The banks that a device has no room for, all in one ink, under a line with the first of ``texts`` that fits."""
    shown = codes[: rect.width * rect.height]
    paint_banks(cells, rect.x, rect.y, rect.width, shown, plain, Ink.OVERFLOW)
    words = next((f" {text} " for text in texts if len(text) + 4 <= rect.width), "") if shown else ""
    line = f"──{words}".ljust(rect.width, "─") if shown else ""
    cells.put(rect.x, rect.y - 1, line.ljust(rect.width), Ink.OVERFLOW)


def _alarm(cells: Cells, scene: Scene, y: int) -> None:
    """A tint over everything where ``alarmed``, and the message in a box at row ``y``."""
    if scene.alarmed and not scene.plain:
        wash = WASHED + Ink.OVERFLOW
        cells.unders[:] = array("H", [wash if under == Ink.NONE else under for under in cells.unders])
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
            at = cells.place(*bank_place(board, bank))
            cells.inks[at] = ink
            if bank == scene.selected:
                cells.unders[at] = Ink.SELECT
                if scene.plain:
                    cells.glyphs[at] = ord("X")


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
    under = Ink.NONE if scene.plain else Ink.DIE
    for y in range(die.y, die.y + die.height):
        cells.put(die.x, y, " " * die.width, under=under)
    cells.frame(die.x, die.y, die.width, die.height, Ink.FRAME)
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
