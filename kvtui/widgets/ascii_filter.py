"""``--ascii`` for everything on screen: each line is put into ASCII as it leaves for the terminal."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from kvtui.canvas.palette import ASCII

_BOX, _BLOCKS, _BRAILLE = range(0x2500, 0x2580), range(0x2580, 0x25A0), range(0x2801, 0x2900)


class AsciiFilter(LineFilter):
    """Puts ASCII characters of the same width in place of all others."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The ``segments`` in ASCII."""
        return [
            segment if segment.text.isascii() else Segment(in_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


@lru_cache(maxsize=4096)
def in_ascii(text: str) -> str:
    """``text`` in ASCII, taking as many cells."""
    return "".join(_nearest(c) for c in text.translate(ASCII))


def _nearest(c: str) -> str:
    if c.isascii():
        return c
    code = ord(c)
    if code in _BOX:
        return "|" if c in "│┃╎╏┆┇┊┋║" else "-" if c in "─━╌╍┄┅┈┉═" else "+"
    if code in _BLOCKS or code in _BRAILLE:
        return "#"
    plain = unicodedata.normalize("NFKD", c)[:1]
    cells = cell_len(c)
    return plain if plain.isascii() and cells == 1 else "?" * cells
