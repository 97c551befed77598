"""A picture: for every cell a character and two colours, as numpy arrays that painters fill."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len, set_cell_size

from kvtui.canvas.palette import Ink

Codes = np.ndarray[tuple[int, int], np.dtype[np.uint32]]
Inks = np.ndarray[tuple[int, int], np.dtype[np.uint16]]

SPACE = ord(" ")


class Span(NamedTuple):
    """A piece of one line in one ink."""

    text: str
    ink: int = Ink.TEXT
    under: int = Ink.NONE


InkRow = Sequence[Span]


class Cells:
    """``height`` × ``width`` cells: ``glyph`` code points, ``ink`` and ``under`` (background) palette entries."""

    def __init__(self, width: int, height: int) -> None:
        self.glyph: Codes = np.full((height, width), SPACE, dtype=np.uint32)
        self.ink: Inks = np.full((height, width), Ink.TEXT, dtype=np.uint16)
        self.under: Inks = np.full((height, width), Ink.NONE, dtype=np.uint16)

    @property
    def width(self) -> int:
        """Columns."""
        return self.glyph.shape[1]

    @property
    def height(self) -> int:
        """Rows."""
        return self.glyph.shape[0]

    def put(self, x: int, y: int, text: str, ink: int = Ink.TEXT, under: int | None = None) -> None:
        """Write ``text`` from column ``x`` of row ``y``, cut at the edges; only single-width characters are kept."""
        height, width = self.glyph.shape
        end = x + len(text)
        if not 0 <= y < height or x >= width or end <= 0:
            return
        if x < 0 or end > width:
            text = text[max(0, -x) : width - x]
            x, end = max(0, x), min(end, width)
        self.glyph[y, x:end] = _codes(text)
        self.ink[y, x:end] = ink
        if under is not None:
            self.under[y, x:end] = under

    def put_row(self, x: int, y: int, row: InkRow) -> None:
        """Write the spans of ``row`` one after another."""
        for span in row:
            self.put(x, y, span.text, span.ink, None if span.under == Ink.NONE else span.under)
            x += len(span.text)

    def frame(self, x: int, y: int, width: int, height: int, ink: Ink, title: str = "") -> None:
        """A thin box with its ``title`` in the upper edge."""
        if width < 2 or height < 2:
            return
        self.put(x, y, "┌" + "─" * (width - 2) + "┐", ink)
        self.put(x, y + height - 1, "└" + "─" * (width - 2) + "┘", ink)
        for column in (x, x + width - 1):
            if 0 <= column < self.width:
                self.glyph[y + 1 : y + height - 1, column] = ord("│")
                self.ink[y + 1 : y + height - 1, column] = ink
        if title and width > len(title) + 4:
            self.put(x + 2, y, f" {title} ", Ink.DIM)

    def row_text(self, y: int) -> str:
        """The characters of row ``y``."""
        return str(self.glyph[y].tobytes(), "utf-32-le")

    def text(self) -> str:
        """All characters, one line per row."""
        return "\n".join(self.row_text(y) for y in range(self.height))


@lru_cache(maxsize=4096)
def _codes(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def single_width(text: str) -> str:
    """``text`` with every double- or zero-width character replaced, so that one character is one cell."""
    return (
        text
        if cell_len(text) == len(text) and text.isprintable()
        else "".join(c if cell_len(c) == 1 and c.isprintable() else "?" for c in text)
    )


def fit(text: str, width: int) -> str:
    """``text`` in exactly ``width`` single-width cells, an ellipsis where it was cut."""
    text = single_width(text)
    if len(text) > width:
        text = text[: max(0, width - 1)] + "…" if width > 0 else ""
    return set_cell_size(text, max(0, width))
