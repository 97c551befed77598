"""Styled lines of a terminal: spans of text with a meaning, wrapped, padded and set side by side by display width.

A style is a name from STYLES. Colour is only added when the lines are written out, so that layout and colour never
meet, and a report without colour contains no escape code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.cells import cell_len, chop_cells

StyledText = tuple[str, str]
StyledLine = tuple[StyledText, ...]

STYLES = {
    "": "none",
    "heading": "bold",
    "strong": "bold",
    "dim": "bright_black",
    "ok": "bold #1faf7a",
    "bad": "bold #e5484d",
    "warning": "bold #d98e04",
    "info": "#3d9be9",
    "weights": "#8b6cf6",
    "kv": "#3d9be9",
    "state": "#16a596",
    "activation": "#d98e04",
    "overhead": "#b07d55",
    "reserved_unused": "bright_black",
    "pool_free": "bright_black",
    "free": "bright_black",
    "over": "#e5484d",
    "saved": "#e5484d",
}

WORDS_TO_ASCII = str.maketrans(
    {
        "×": "x",
        "÷": "/",
        "−": "-",
        "–": "-",
        "—": "-",
        "≈": "~",
        "≤": "<=",
        "≥": ">=",
        "⌈": "ceil(",
        "⌉": ")",
        "⌊": "floor(",
        "⌋": ")",
        "²": "^2",
        "⁶": "^6",
        "½": "1/2",
        "…": "...",
        "·": "|",
        "→": "->",
        "’": "'",
        "Σ": "sum",
        "µ": "u",
        "─": "-",
        "├": "|",
        "┤": "|",
        "│": "|",
        "✓": "v",
        "✗": "X",
        "◀": "<",
        "█": "#",
        "▓": "%",
    }
)


def to_ascii(text: str) -> str:
    """``text`` in ASCII: signs by their nearest spelling, letters without accents, the rest as question marks."""
    if text.isascii():
        return text
    from unicodedata import normalize

    found = normalize("NFKD", text.translate(WORDS_TO_ASCII))
    return "".join(c if c.isascii() else "?" for c in found if not "\u0300" <= c <= "\u036f")


def width_of(line: StyledLine) -> int:
    """Terminal cells that ``line`` takes."""
    return sum(cell_len(text) for text, _ in line)


def fill(line: StyledLine, cells: int) -> StyledLine:
    """``line`` with spaces to the right, up to ``cells``."""
    return (*line, (" " * max(0, cells - width_of(line)), ""))


def wrap(text: str, cells: int, indent: int = 0) -> list[str]:
    """``text`` in lines of at most ``cells``, broken at spaces, or within words that are too long.

    All lines but the first leave room for ``indent`` cells and start with that many spaces.
    """
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        room = cells - (indent if lines else 0)
        joined = f"{current} {word}" if current else word
        if cell_len(joined) <= room:
            current = joined
            continue
        if current:
            lines.append(current)
            room = cells - indent
        *full, current = chop_cells(word, max(1, room)) or [""]
        lines.extend(full)
    lines.append(current)
    return [line if not i else " " * indent + line for i, line in enumerate(lines)]


def rule(title: str, cells: int, right: str = "") -> StyledLine:
    """A heading with a thin line to the end, and words at the end of it."""
    tail = f" {right}" if right else ""
    dashes = cells - cell_len(title) - 1 - cell_len(tail)
    return (title, "heading"), (" ", ""), ("─" * max(0, dashes), "dim"), (tail, "dim")


def stack(blocks: Iterable[Sequence[StyledLine]]) -> list[StyledLine]:
    """Blocks under each other, an empty line between; empty blocks vanish."""
    stacked: list[StyledLine] = []
    for block in blocks:
        if block and stacked:
            stacked.append(())
        stacked.extend(block)
    return stacked


def beside(blocks: Sequence[tuple[Sequence[StyledLine], int]], gap: int) -> list[StyledLine]:
    """Blocks next to each other, each with its width in cells, ``gap`` cells between."""
    lines = []
    for row in range(max(len(block) for block, _ in blocks)):
        line: StyledLine = ()
        for i, (block, cells) in enumerate(blocks):
            part = block[row] if row < len(block) else ()
            line += fill(part, cells + (gap if i < len(blocks) - 1 else 0))
        lines.append(line)
    return lines


def write(lines: Iterable[StyledLine], color: bool, ascii_only: bool = False) -> str:
    """``lines`` as text that ends in a newline, without trailing spaces; with escape codes only if ``color``.

    With ``ascii_only`` every text is put in ASCII.
    """
    if ascii_only:
        lines = [tuple((to_ascii(text), style) for text, style in line) for line in lines]
    trimmed = [_trim(line) for line in lines]
    if not color:
        return "".join("".join(text for text, _ in line) + "\n" for line in trimmed)
    from rich.console import Console
    from rich.text import Text

    out = StringIO()
    console = Console(
        file=out, force_terminal=True, no_color=False, markup=False, highlight=False, emoji=False, legacy_windows=False
    )
    for line in trimmed:
        shown = Text.assemble(*((text, STYLES[style]) for text, style in line), no_wrap=True, overflow="ignore", end="")
        console.print(shown, crop=False, soft_wrap=True)
    return out.getvalue()


def _trim(line: StyledLine) -> StyledLine:
    spans = list(line)
    while spans and not spans[-1][0].rstrip(" "):
        spans.pop()
    if spans:
        spans[-1] = (spans[-1][0].rstrip(" "), spans[-1][1])
    return tuple(spans)
