"""The table of the Bench screen: filled anew where rows or their order changed, cell by cell where values did."""

from __future__ import annotations

from rich.style import Style
from rich.text import Text
from textual import on
from textual.message import Message
from textual.widgets import DataTable

from kvtui.canvas.cells import fit
from kvtui.screens.bench.table import MARKS, Cell, Column, Line, Table
from kvtui.widgets.ink import ink

SCROLLBAR = 1


class ResultTable(DataTable[Text]):
    """Shows a ``Table`` with the columns that fit; says by ``Described`` which line the cursor is on."""

    class Described(Message):
        """The cursor is on ``line``, or on none."""

        def __init__(self, line: Line | None) -> None:
            super().__init__()
            self.line = line

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0)
        self.columns_shown: tuple[Column, ...] = ()
        self._lines: dict[str, Line] = {}
        self._heads: tuple[str, ...] = ()
        self._texts: dict[tuple[str, str], Cell] = {}

    def fill(self, table: Table, sort: str | None, descending: bool, under_way: str | None) -> None:
        """Show ``table`` sorted by the column ``sort``; lines of the case ``under_way`` are marked."""
        columns = table.fitting(self.size.width - SCROLLBAR)
        if not columns:
            return
        lines = {line.key: line for line in table.sorted(sort, descending)}
        heads = tuple(_head(column, sort, descending) for column in columns)
        if heads != self._heads or list(lines) != list(self._lines):
            self._rebuild(columns, heads, lines, under_way)
        self._lines = lines
        for key, line in lines.items():
            for column in columns:
                cell = _marked(line, column, under_way)
                if self._texts.get((key, column.key)) != cell:
                    self._texts[key, column.key] = cell
                    self.update_cell(key, column.key, self._text(cell, column))
        self._describe()

    def _rebuild(
        self, columns: tuple[Column, ...], heads: tuple[str, ...], lines: dict[str, Line], case: str | None
    ) -> None:
        current, top = self._current(), self.scroll_y
        if heads != self._heads:
            self.clear(columns=True)
            for column, head in zip(columns, heads, strict=True):
                self.add_column(Text(_placed(head, column)), width=column.width, key=column.key)
            self.columns_shown, self._heads = columns, heads
        else:
            self.clear()
        self._texts = {}
        for key, line in lines.items():
            cells = [_marked(line, column, case) for column in columns]
            self._texts |= {(key, column.key): cell for column, cell in zip(columns, cells, strict=True)}
            self.add_row(*(self._text(cell, column) for cell, column in zip(cells, columns, strict=True)), key=key)
        if current is not None and current.key in lines:
            self.move_cursor(row=list(lines).index(current.key), scroll=False)
            self.call_after_refresh(self.scroll_to, y=top, animate=False)

    def _text(self, cell: Cell, column: Column) -> Text:
        style = ink(self.app, cell.ink) if cell.ink else Style()
        return Text(_placed(cell.text, column), style=style, no_wrap=True)

    def _current(self) -> Line | None:
        keys = list(self._lines)
        return self._lines[keys[self.cursor_row]] if 0 <= self.cursor_row < len(keys) else None

    @on(DataTable.RowHighlighted)
    def _describe(self) -> None:
        self.post_message(self.Described(self._current()))


def _placed(text: str, column: Column) -> str:
    """``text`` in the column's width, beside a blank; padded here, since Rich takes blanks at an end away."""
    shown = fit(text, min(len(text), column.width - 1))
    return shown.rjust(column.width) if column.right else shown


def _head(column: Column, sort: str | None, descending: bool) -> str:
    if column.key != sort:
        return column.title
    return f"{column.title.rstrip()}{'▼' if descending else '▲'}"


def _marked(line: Line, column: Column, case: str | None) -> Cell:
    cell = line.cells[column.key]
    if case is None or line.case != case:
        return cell
    mark, colour = MARKS["under way"]
    if column.key == "mark":
        return cell._replace(text=mark, ink=colour)
    return cell._replace(text=" under way", ink=colour) if column.key == "status" else cell
