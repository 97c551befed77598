"""Rows of text for panels: clean, cut, wrapped, and pairs of label and value, all counted in terminal cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kvtui.canvas.cells import InkRow, Span, single_width
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.basis.untrusted import plain

_PIECE = re.compile(r"[^ ·]+·?|·| +")

TextBlock = tuple[int, Sequence[InkRow]]


def clean(text: str, limit: int = 80) -> str:
    """Untrusted ``text`` as at most ``limit`` harmless characters of one cell each."""
    return single_width(plain(text, limit))


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, with an ellipsis where it was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"[: max(0, width)]


def first_fit(texts: Sequence[str], width: int) -> str:
    """The first of ``texts`` that fits ``width`` cells, else the shortest, cut."""
    return next((text for text in texts if len(text) <= width), cut(min(texts, key=len), width))


def pair(label: str, values: Sequence[str], width: int, ink: Ink = Ink.BRIGHT, label_ink: Ink = Ink.DIM) -> InkRow:
    """``label`` on the left and, right-aligned, the first of ``values`` that fits; a cramped label gives way."""
    value = first_fit(values, width - len(label) - 1)
    shortest = min(values, key=len)
    if len(value) < len(shortest):
        value = cut(shortest, width)
        label = cut(label, width - len(value) - 1)
    gap = " " * (width - len(label) - len(value))
    return Span(label, label_ink), Span(gap), Span(value, ink)


def named(label: str, name: str, width: int, ink: Ink = Ink.BRIGHT, label_ink: Ink = Ink.DIM) -> InkRow:
    """``label`` and, right-aligned, an untrusted ``name``, which is cut where it does not fit."""
    return pair(label, (cut(clean(name), width - len(label) - 1),), width, ink, label_ink)


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken at blanks and after ``·``, or within longer pieces.

    All lines but the first begin with ``indent`` blanks. A column without any room, as one is that is only just being
    shown, is taken for one of a single cell.
    """
    width = max(1, width)
    lines, line, margin = [], "", ""
    for found in _PIECE.findall(text):
        piece = found
        if len(line) + len(piece.rstrip(" ")) > width and line.strip():
            lines.append(line.rstrip())
            line = margin = " " * min(indent, width - 1)
        if piece.isspace() and line == margin and lines:
            continue
        while len(line) + len(piece.rstrip(" ")) > width:
            room = width - len(line)
            lines.append(line + piece[:room])
            piece = piece[room:]
            line = margin = " " * min(indent, width - 1)
        line += piece
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def wrapped(text: str, width: int, ink: Ink = Ink.TEXT, indent: int = 0) -> list[InkRow]:
    """``text`` as wrapped rows in one ink."""
    return [(Span(line, ink),) for line in wrap(text, width, indent)]


def packed(items: Sequence[str], width: int, ink: Ink = Ink.FAINT) -> list[InkRow]:
    """Short ``items`` in rows, two blanks apart; none is broken, one that is too long is cut."""
    lines: list[str] = []
    for item in (cut(item, width) for item in items):
        if lines and len(lines[-1]) + 2 + len(item) <= width:
            lines[-1] += f"  {item}"
        else:
            lines.append(item)
    return [(Span(line, ink),) for line in lines]


def marked(glyph: str, glyph_ink: Ink, text: str, width: int, ink: Ink = Ink.TEXT) -> list[InkRow]:
    """``text`` as wrapped rows behind a ``glyph`` that hangs in a margin of its own."""
    margin = len(glyph) + 1
    lines = wrap(text, max(1, width - margin))
    return [
        (Span(glyph if number == 0 else " " * len(glyph), glyph_ink), Span(" "), Span(line, ink))
        for number, line in enumerate(lines)
    ]


def squeeze(blocks: Iterable[TextBlock], height: int | None) -> list[InkRow]:
    """The rows of ``blocks`` in order; where ``height`` rows cannot hold all, those of lowest rank come first.

    A block (rank and rows) is kept whole or left out; the one that comes first is cut where even it does not fit.
    """
    listed = list(blocks)
    if height is None:
        return [row for _, rows in listed for row in rows]
    room = height
    kept: set[int] = set()
    for number in sorted(range(len(listed)), key=lambda n: listed[n][0]):
        size = len(listed[number][1])
        if size <= room or not kept:
            kept.add(number)
            room -= size
    return [row for number in range(len(listed)) if number in kept for row in listed[number][1]][: max(0, height)]


def percent(share: float) -> str:
    """A share with one decimal; less than a whole never shows as 100 %."""
    return f"{min(99.9, 100 * share) if share < 1 else 100 * share:,.1f} %"


def of_whole(part: int, whole: int, between: str) -> str:
    """Two byte counts in one unit, with ``between`` between them: ``38.20 ÷ 79.65 GiB``."""
    size, unit = (GIB, "GiB") if whole >= GIB else (MIB, "MiB")
    return f"{part / size:,.2f} {between} {whole / size:,.2f} {unit}"
