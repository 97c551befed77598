"""A pool of blocks, and the strips of the last minutes, as widgets."""

from __future__ import annotations

from collections.abc import Sequence

from kvtui.canvas.blocks import BlockPicture, grid, paint_blocks
from kvtui.canvas.cells import Cells, InkRow
from kvtui.canvas.palette import Ink
from kvtui.canvas.strips import Strip, paint_strips
from kvtui.canvas.widget import Canvas
from kvtui.state.host import host_of


class BlocksView(Canvas):
    """Shows a pool in a frame, or rows of text where there is none."""

    def each(self, blocks: int) -> int:
        """How many of so many ``blocks`` a bank stands for here."""
        width, height = self.size
        place = grid(blocks, width - 4, height - 4)
        return 1 if place is None else place.each

    def show(self, title: str, picture: BlockPicture | None, rows: Sequence[InkRow] = ()) -> None:
        """Paint ``picture`` under ``title``; ``rows`` stand in its place."""
        width, height = self.size
        if width < 3 or height < 3:
            return
        cells = Cells(width, height)
        cells.frame(0, 0, width, height, Ink.FRAME, title)
        if picture is not None:
            host = host_of(self.app)
            plain = host.canvas_ascii or host.canvas_depth == "none"
            inner = paint_blocks(picture, max(1, width - 4), max(1, height - 2), plain=plain)
            cells.glyph[1:-1, 2:-2], cells.ink[1:-1, 2:-2] = inner.glyph, inner.ink
        for number, row in enumerate(rows[: height - 2]):
            cells.put_row(2, 1 + number, row)
            cells.put(width - 2, 1 + number, " │", Ink.FRAME)
        self.paint(cells)


class StripsView(Canvas):
    """Shows strips in a frame, in as many columns as there is room for."""

    def show(self, title: str, strips: Sequence[Strip], cursor: float | None) -> None:
        """Paint ``strips`` under ``title``, and the moment that is looked at, 0 to 1."""
        width, height = self.size
        if width < 3 or height < 3:
            return
        cells = Cells(width, height)
        cells.frame(0, 0, width, height, Ink.FRAME, title)
        room, rows = width - 4, height - 2
        columns = 1 if room < 100 and len(strips) <= rows else 2
        inner = paint_strips(strips[: columns * rows], room, rows, columns, cursor)
        cells.glyph[1:-1, 2:-2], cells.ink[1:-1, 2:-2] = inner.glyph, inner.ink
        self.paint(cells)
