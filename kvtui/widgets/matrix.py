"""A table of many rows and columns: heads that stay in sight, a cursor, marks; only what is in sight is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from textual import events
from textual.message import Message

from kvtui.canvas.cells import Cells, InkRow, Span, fit
from kvtui.canvas.memory.panels.text import cut, wrap
from kvtui.canvas.palette import Ink
from kvtui.canvas.widget import Canvas

HEAD_LINES = 3
GAP, MOST_GAP = 2, 4
CURSOR, OWN = "▶", "●"
THUMB, THUMB_ACROSS = "┃", "━"
SHORTEST_NAME, LONGEST_NAME = 12, 24

RowColumn = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Grid:
    """What a table shows.

    ``rows`` and ``columns`` are names, of columns with short ``heads``. ``cell`` gives a cell's text, ink and ground by
    its place among them, and ``width`` is the room of its text. ``own`` is the scenario's cell, ``marks`` have one
    character each, ``sorted_by`` has columns and the sign before their names. ``corner`` stands over the names,
    ``title`` and ``foot`` in the frame's edges.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    heads: Sequence[str]
    cell: Callable[[int, int], Span]
    width: int
    cursor: RowColumn
    own: RowColumn | None = None
    marks: Mapping[RowColumn, str] | None = None
    sorted_by: Mapping[int, str] | None = None
    corner: str = ""
    title: str = ""
    foot: str = ""
    empty: str = "nothing of that name"


def no_grid(reason: str) -> Grid:
    """A table that is not there, with the ``reason`` in its place."""
    return Grid(rows=(), columns=(), heads=(), cell=lambda row, column: Span(""), width=1, cursor=(0, 0), empty=reason)


@dataclass(frozen=True, slots=True)
class Sight:
    """Which part of a grid is in sight: rows and columns, and where they stand on the canvas."""

    rows: range
    columns: range
    names: int
    heads: int
    pitch: int

    def column_at(self, x: int) -> int | None:
        """The column whose cells stand at ``x`` of the canvas."""
        if x < 1 + self.names:
            return None
        column = self.columns.start + (x - 1 - self.names) // self.pitch
        return column if column in self.columns else None

    def row_at(self, y: int) -> int | None:
        """The row that stands at ``y`` of the canvas."""
        row = self.rows.start + y - 2 - self.heads
        return row if y >= 2 + self.heads and row in self.rows else None


NOTHING = Sight(range(0), range(0), 0, 0, 1)


def sight(grid: Grid, width: int, height: int, top: int, left: int) -> Sight:
    """The part of ``grid`` that ``width`` × ``height`` cells show, scrolled from ``top`` and ``left`` to the cursor."""
    longest = max((len(name) for name in grid.rows), default=0)
    names = max(SHORTEST_NAME, min(longest, LONGEST_NAME, (width - 2) // 3)) + 1
    room = width - 3 - names
    shown_columns = max(1, min(room // (grid.width + GAP), len(grid.columns)))
    pitch = min(room // shown_columns, grid.width + MOST_GAP)
    columns = _window(left, shown_columns, grid.cursor[1], len(grid.columns))
    heads = min(HEAD_LINES, max((len(_head(grid, i)) for i in columns), default=1))
    rows = _window(top, max(1, height - 3 - heads), grid.cursor[0], len(grid.rows))
    return Sight(rows, columns, names, heads, pitch)


def paint_grid(grid: Grid, width: int, height: int, seen: Sight) -> Cells:
    """``grid`` in a frame, as much as ``seen`` says."""
    cells = Cells(width, height)
    cells.frame(0, 0, width, height, Ink.FRAME, cut(grid.title, width - 6))
    if grid.foot:
        cells.put(2, height - 1, f" {cut(grid.foot, width - 6)} ", Ink.DIM)
    if not grid.rows or not grid.columns:
        cells.put(3, 2, cut(grid.empty, width - 6), Ink.DIM)
        return cells
    inner = width - 2
    cells.put(1, seen.heads, fit(grid.corner, seen.names - 1), Ink.DIM)
    cells.put(1, 1 + seen.heads, "─" * inner, Ink.FRAME)
    for column in seen.columns:
        x = 1 + seen.names + (column - seen.columns.start + 1) * seen.pitch - grid.width
        lines = _head(grid, column)
        ink = _head_ink(column == grid.cursor[1], grid.own is not None and column == grid.own[1])
        for number, line in enumerate(lines, seen.heads + 1 - len(lines)):
            cells.put(x, number, line.rjust(grid.width), ink)
        if sign := (grid.sorted_by or {}).get(column):
            cells.put(x + grid.width - len(lines[-1]) - 1, seen.heads, sign, Ink.ACCENT)
    for row in seen.rows:
        y = 2 + seen.heads + row - seen.rows.start
        ink = _head_ink(row == grid.cursor[0], grid.own is not None and row == grid.own[0])
        cells.put(1, y, fit(grid.rows[row], seen.names - 1), ink)
        for column in seen.columns:
            x = 1 + seen.names + (column - seen.columns.start + 1) * seen.pitch - grid.width - GAP
            cells.put_row(x, y, _cell(grid, row, column))
    _mark_position(cells, grid, seen)
    return cells


def _mark_position(cells: Cells, grid: Grid, seen: Sight) -> None:
    """Thumbs in the right edge and in the line below the heads: which part is in sight, where it is not all."""
    first = 2 + seen.heads
    for at in _thumb(seen.rows, len(grid.rows), cells.height - 1 - first):
        cells.put(cells.width - 1, first + at, THUMB, Ink.DIM)
    across = cells.width - 2 - seen.names
    for at in _thumb(seen.columns, len(grid.columns), across):
        cells.put(1 + seen.names + at, 1 + seen.heads, THUMB_ACROSS, Ink.DIM)


def _thumb(shown: range, count: int, room: int) -> range:
    """Where among ``room`` cells the part ``shown`` of ``count`` lies; nothing where it is all of it."""
    if len(shown) >= count or room < 2:
        return range(0)
    size = max(1, room * len(shown) // count)
    start = min(room - size, round((room - size) * shown.start / (count - len(shown))))
    return range(start, start + size)


def _window(start: int, size: int, cursor: int, count: int) -> range:
    """``size`` of ``count`` places from ``start`` on, moved along with ``cursor``, or around it where it is far off."""
    near = start - 1 <= cursor <= start + size
    start = min(max(start, cursor - size + 1), cursor) if near else cursor - size // 2
    start = max(0, min(start, count - size))
    return range(start, min(start + size, count))


def _head(grid: Grid, column: int) -> list[str]:
    """A column's name in lines of the cells' width."""
    return [cut(line, grid.width) for line in wrap(grid.heads[column], grid.width)][:HEAD_LINES]


def _head_ink(under_cursor: bool, own: bool) -> Ink:
    return Ink.BRIGHT if under_cursor else Ink.ACCENT if own else Ink.TEXT


def _cell(grid: Grid, row: int, column: int) -> InkRow:
    place = row, column
    span = grid.cell(row, column)
    text = cut(span.text, grid.width).rjust(grid.width)
    mark = (grid.marks or {}).get(place, OWN if place == grid.own else " ")
    if place != grid.cursor:
        return Span(f" {mark}", Ink.ACCENT), Span(text, span.ink, span.under)
    return Span(f"{CURSOR}{mark}", Ink.ACCENT, Ink.SELECT), Span(text, _readable(span.ink), Ink.SELECT)


def _readable(ink: int) -> int:
    """The ink of the cell under the cursor: nothing faint on its background."""
    return Ink.BRIGHT if ink in (Ink.TEXT, Ink.DIM, Ink.FAINT) else ink


class MatrixView(Canvas):
    """Shows a grid, keeps its cursor in sight, and says what was clicked."""

    class Pointed(Message):
        """The mouse chose a cell: row and column among those shown, None for the heads."""

        def __init__(self, row: int | None, column: int | None) -> None:
            super().__init__()
            self.row, self.column = row, column

    class Scrolled(Message):
        """The wheel moved by ``rows`` or ``columns``."""

        def __init__(self, rows: int, columns: int) -> None:
            super().__init__()
            self.rows, self.columns = rows, columns

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._grid: Grid | None = None
        self.sight = NOTHING

    def show(self, grid: Grid) -> None:
        """Paint ``grid`` in the widget's size."""
        width, height = self.size
        if width < 2 or height < 2:
            self.sight = NOTHING
            return
        self._grid = grid
        self.sight = sight(grid, width, height, self.sight.rows.start, self.sight.columns.start)
        self.paint(paint_grid(grid, width, height, self.sight))

    def on_click(self, event: events.Click) -> None:
        """Report the cell, or the head, that was clicked on."""
        if self._grid is not None:
            found = self.sight.row_at(event.y), self.sight.column_at(event.x)
            self.post_message(self.Pointed(*found))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move down, or with shift to the right."""
        self._scroll(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move up, or with shift to the left."""
        self._scroll(event, -1)

    def _scroll(self, event: events.MouseEvent, by: int) -> None:
        event.stop()
        self.post_message(self.Scrolled(0, by) if event.shift else self.Scrolled(3 * by, 0))
