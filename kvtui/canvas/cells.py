"""A picture: for every cell a character and two colours, in flat arrays that painters fill.

They are arrays of the standard library, since the first picture of the app comes before numpy is loaded. Painters that
work on whole areas take the same memory as arrays of numpy.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import compress
from operator import ne
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size

from kvtui.canvas.palette import Ink

if TYPE_CHECKING:
    import numpy as np

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
    """``height`` × ``width`` cells, row after row: ``glyphs`` (code points), ``inks`` and ``unders`` (behind them).

    ``glyph``, ``ink`` and ``under`` are the same as arrays of numpy of that shape.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.glyphs = array("I", (SPACE,)) * (width * height)
        self.inks = array("H", (Ink.TEXT,)) * (width * height)
        self.unders = array("H", (Ink.NONE,)) * (width * height)

    @cached_property
    def glyph(self) -> Codes:
        """The code points, as numpy has them."""
        import numpy as np

        return np.frombuffer(self.glyphs, dtype=np.uint32).reshape(self.height, self.width)

    @cached_property
    def ink(self) -> Inks:
        """The palette entries of the characters, as numpy has them."""
        import numpy as np

        return np.frombuffer(self.inks, dtype=np.uint16).reshape(self.height, self.width)

    @cached_property
    def under(self) -> Inks:
        """The palette entries behind them, as numpy has them."""
        import numpy as np

        return np.frombuffer(self.unders, dtype=np.uint16).reshape(self.height, self.width)

    def place(self, x: int, y: int) -> int:
        """Where a cell is in the flat arrays."""
        return y * self.width + x

    def put(self, x: int, y: int, text: str, ink: int = Ink.TEXT, under: int | None = None) -> None:
        """Write ``text`` from column ``x`` of row ``y``, cut at the edges; only single-width characters are kept."""
        width = self.width
        end = x + len(text)
        if not text or not 0 <= y < self.height or x >= width or end <= 0:
            return
        if x < 0 or end > width:
            text = text[max(0, -x) : width - x]
            x, end = max(0, x), min(end, width)
        at = slice(y * width + x, y * width + end)
        self.glyphs[at] = _codes(text)
        self.inks[at] = _alike(ink, end - x)
        if under is not None:
            self.unders[at] = _alike(under, end - x)

    def put_area(self, x: int, y: int, width: int, glyphs: array[int], inks: array[int]) -> None:
        """Fill an area of ``width`` columns row by row, with nothing behind it; cut at the right and lower edge.

        The last row may be shorter.
        """
        shown = min(width, self.width - x)
        for start in range(0, min(len(glyphs), width * (self.height - y)) if shown > 0 else 0, width):
            at, end = self.place(x, y + start // width), min(start + shown, len(glyphs))
            over = slice(at, at + end - start)
            self.glyphs[over], self.inks[over] = glyphs[start:end], inks[start:end]
            self.unders[over] = _alike(Ink.NONE, end - start)

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
        for row in range(y + 1, y + height - 1):
            self.put(x, row, "│", ink)
            self.put(x + width - 1, row, "│", ink)
        if title and width > len(title) + 4:
            self.put(x + 2, y, f" {title} ", Ink.DIM)

    def row(self, y: int) -> slice:
        """Where row ``y`` is in the flat arrays."""
        return slice(y * self.width, (y + 1) * self.width)

    def row_text(self, y: int) -> str:
        """The characters of row ``y``."""
        return self.glyphs[self.row(y)].tobytes().decode("utf-32-le")

    def text(self) -> str:
        """All characters, one line per row."""
        return "\n".join(self.row_text(y) for y in range(self.height))

    def changed(self, before: Cells) -> dict[int, list[int]]:
        """The columns of each row in which there is something else than in ``before``, which has the same size."""
        found = {}
        layers = ((self.glyphs, before.glyphs), (self.inks, before.inks), (self.unders, before.unders))
        differing = [(now, old) for now, old in layers if now != old]
        for y in range(self.height if differing else 0):
            at = self.row(y)
            rows = [(now[at], old[at]) for now, old in differing]
            places = {x for now, old in rows if now != old for x in compress(range(self.width), map(ne, now, old))}
            if places:
                found[y] = sorted(places)
        return found


@lru_cache(maxsize=4096)
def _codes(text: str) -> array[int]:
    return codes_of(text)


@lru_cache(maxsize=4096)
def _alike(ink: int, many: int) -> array[int]:
    return array("H", (ink,)) * many


def codes_of(text: str) -> array[int]:
    """The code points of ``text``."""
    return array("I", text.encode("utf-32-le"))


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
