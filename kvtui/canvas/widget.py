"""The canvas widget: shows an array of cells, and repaints only the rows that changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import compress, pairwise
from operator import ne

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from kvtui.canvas.cells import Cells
from kvtui.canvas.palette import ASCII, Depth, Look, style

JUMP_CELLS = 6
"""Cells that a jump of the cursor costs as many bytes as."""

_How = tuple[Look, Depth, bool, Style]


class Canvas(Widget):
    """A picture of cells. ``paint`` compares with what is shown, row by row, and refreshes the rows that differ.

    The app's ``canvas_look``, ``canvas_depth`` and ``canvas_ascii`` say how inks and glyphs are shown.
    """

    class Outgrown(Message):
        """The ``canvas`` has another size than its picture, or has none yet, and is blank until it is painted."""

        def __init__(self, canvas: Canvas) -> None:
            super().__init__()
            self.canvas = canvas

    ALLOW_SELECT = False
    DEFAULT_CSS = "Canvas { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._cells: Cells | None = None
        self._strips: list[Strip] = []
        self._shown_as: _How | None = None
        self._changed: list[int] = []

    @property
    def cells(self) -> Cells | None:
        """The picture last painted."""
        return self._cells

    @property
    def dirty_rows(self) -> int:
        """Rows that the last ``paint`` changed."""
        return len(self._changed)

    @property
    def dirty_bytes(self) -> int:
        """Bytes that the last ``paint`` sends to the terminal, without cursor movements."""
        return sum(len(self._strips[y].render(self.app.console)) for y in self._changed)

    def paint(self, cells: Cells) -> None:
        """Show ``cells``; their size should be the widget's."""
        shown_as = self._how()
        old = self._cells
        if old is None or (old.width, old.height) != (cells.width, cells.height) or shown_as != self._shown_as:
            self._strips = [_strip(cells, y, *shown_as) for y in range(cells.height)]
            self._cells, self._shown_as = cells, shown_as
            self._changed = list(range(cells.height))
            self.refresh()
            return
        changed = cells.changed(old)
        self._cells = cells
        self._changed = list(changed)
        for y in changed:
            self._strips[y] = _strip(cells, y, *shown_as)
        if changed:
            spans = ((y, *span) for y, columns in changed.items() for span in _spans(columns))
            self.refresh(*(Region(first, y, last - first, 1) for y, first, last in spans))

    @property
    def is_outgrown(self) -> bool:
        """Whether there is no picture of the size that the widget has where it is shown."""
        width, height = self.size
        return bool(width and height) and not self._fits(width, height)

    def on_resize(self) -> None:
        """Ask for another picture, unless the one for this size came before the news of it."""
        if self.is_outgrown:
            self.post_message(self.Outgrown(self))

    def _fits(self, width: int, height: int) -> bool:
        return self._cells is not None and (self._cells.width, self._cells.height) == (width, height)

    def render_line(self, y: int) -> Strip:
        """The strip of row ``y``; blank while the picture does not match the widget's size."""
        width, height = self.size
        if y >= height or not self._fits(width, height):
            return Strip.blank(width, self.rich_style)
        return self._strips[y]

    def notify_style_update(self) -> None:
        """Colours behind the picture changed: build every row anew."""
        super().notify_style_update()
        if self._cells is not None and self.is_attached:
            self.paint_again(self._cells)

    def paint_again(self, cells: Cells) -> None:
        """Show the ``cells`` that are shown, in the colours of now."""
        self.paint(cells)

    def _how(self) -> _How:
        app = self.app
        return (
            getattr(app, "canvas_look", "dark"),
            getattr(app, "canvas_depth", "rgb"),
            getattr(app, "canvas_ascii", False),
            self.rich_style,
        )


def _spans(columns: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and behind the last of the changed cells of a row; what is left alone between two spans is worth a jump."""
    begin = columns[0]
    for before, after in pairwise(columns):
        if after - before > JUMP_CELLS:
            yield begin, before + 1
            begin = after
    yield begin, columns[-1] + 1


def _strip(cells: Cells, y: int, look: Look, depth: Depth, ascii_only: bool, base: Style) -> Strip:
    """Row ``y`` as a strip, one segment per run of equal colours."""
    text = cells.row_text(y)
    if ascii_only:
        text = text.translate(ASCII).encode("ascii", "replace").decode()
    row = cells.row(y)
    inks, unders = cells.inks[row], cells.unders[row]
    inner = range(1, cells.width)
    changes = {at for colors in (inks, unders) for at in compress(inner, map(ne, colors, colors[1:]))}
    bounds = [0, *sorted(changes), cells.width]
    segments = [
        Segment(text[start:end], _blended(inks[start], unders[start], look, depth, base))
        for start, end in pairwise(bounds)
    ]
    return Strip(segments, cells.width)


@lru_cache(maxsize=8192)
def _blended(ink: int, under: int, look: Look, depth: Depth, base: Style) -> Style:
    """The style of a cell over the widget's own; the same object every time, so that strips render from caches."""
    return base + style(ink, under, look, depth)
