"""The table of the Bench screen: filled anew where rows or their order changed, cell by cell where values did."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import on
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import DataTable

from kvtui.canvas.cells import fit
from kvtui.screens import bindings
from kvtui.screens.bench.state import TableOrder
from kvtui.screens.bench.table import MARKS, TableCell, TableColumn, TableLine, TableLines
from kvtui.widgets.ink import ink

SCROLLBAR = 1


class ResultTable(DataTable[Text]):
    """Shows a ``TableLines`` with the columns that fit; says by ``Described`` which line the cursor is on."""

    BINDINGS: ClassVar[list[BindingType]] = bindings.TABLE

    class Described(Message):
        """The cursor is on ``line``, or on none."""

        def __init__(self, line: TableLine | None) -> None:
            super().__init__()
            self.line = line

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0)
        self.columns_shown: tuple[TableColumn, ...] = ()
        self._lines: dict[str, TableLine] = {}
        self._heads: tuple[str, ...] = ()
        self._texts: dict[tuple[str, str], TableCell] = {}

    def fill(self, table: TableLines, order: TableOrder, under_way: str | None) -> None:
        """Show ``table`` in ``order``; lines of the case ``under_way`` are marked."""
        columns = table.fitting(self.size.width - SCROLLBAR)
        if not columns:
            return
        lines = {line.key: line for line in table.sorted(order)}
        heads = tuple(_head(column, order) for column in columns)
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
        self, columns: tuple[TableColumn, ...], heads: tuple[str, ...], lines: dict[str, TableLine], case: str | None
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

    def _text(self, cell: TableCell, column: TableColumn) -> Text:
        style = ink(self.app, cell.ink) if cell.ink else Style()
        return Text(_placed(cell.text, column), style=style, no_wrap=True)

    def _current(self) -> TableLine | None:
        keys = list(self._lines)
        return self._lines[keys[self.cursor_row]] if 0 <= self.cursor_row < len(keys) else None

    @on(DataTable.RowHighlighted)
    def _describe(self) -> None:
        self.post_message(self.Described(self._current()))


def _placed(text: str, column: TableColumn) -> str:
    """``text`` in the column's width, beside a blank; padded here, since Rich takes blanks at an end away."""
    shown = fit(text, min(len(text), column.width - 1))
    return shown.rjust(column.width) if column.right else shown


def _head(column: TableColumn, order: TableOrder) -> str:
    if column.key != order.key:
        return column.title
    return f"{column.title.rstrip()}{'▼' if order.descending else '▲'}"


def _marked(line: TableLine, column: TableColumn, case: str | None) -> TableCell:
    cell = line.cells[column.key]
    if case is None or line.case != case:
        return cell
    mark, colour = MARKS["under way"]
    if column.key == "mark":
        return cell._replace(text=mark, ink=colour)
    return cell._replace(text=" under way", ink=colour) if column.key == "status" else cell
