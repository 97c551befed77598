"""A listing of many things in columns, for the catalogues: text, CSV, Markdown and JSON of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kvtui.engine.basis.errors import UnknownName
from kvtui.output.harmless import clean

if TYPE_CHECKING:
    from kvtui.output.lines import StyledLine

FORMATS = ("text", "csv", "markdown", "json")
GAP = 2
NONE = "–"

TableRows = Sequence[Mapping[str, object]]
"""Rows with a value under the key of every column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its ``key`` (with unit) for programs, its ``title`` and ``format`` for people.

    Columns with the largest ``priority`` are the first to go where the terminal is too narrow, those of 0 always stay.
    """

    key: str
    title: str
    align: Literal["left", "right"] = "left"
    priority: int = 0
    format: Callable[[Any], str] | None = None

    def show(self, value: object) -> str:
        """``value`` as text for people; a dash for None."""
        if value is None:
            return NONE
        return str(clean(self.format(value) if self.format else str(value)))


def render(
    columns: Sequence[Column],
    rows: TableRows,
    format: str,
    width: int = 80,
    color: bool = False,
    ascii_only: bool = False,
) -> str:
    """``rows`` in one of FORMATS, each value under the column with its key.

    Text never wraps: columns are dropped, largest ``priority`` first, until a line is at most ``width`` cells; those of
    priority 0 are never cut, whatever their width. CSV and JSON hold values, not their formatted text.
    Raises UnknownName for another format.
    """
    match format:
        case "text":
            from kvtui.output.lines import write

            return write(lines(columns, rows, width, ascii_only), color)
        case "csv":
            from kvtui.output.csv import csv_text

            return csv_text([[c.key for c in columns], *([clean(row[c.key]) for c in columns] for row in rows)])
        case "markdown":
            from kvtui.output import markdown

            shown = [[c.show(row[c.key]) for c in columns] for row in rows]
            return markdown.table([c.title for c in columns], shown, [c.align for c in columns]) + "\n"
        case "json":
            from kvtui.output.json import json_text

            return json_text([{c.key: row[c.key] for c in columns} for row in rows])
    raise UnknownName("format", format, FORMATS)


def lines(columns: Sequence[Column], rows: TableRows, width: int, ascii_only: bool = False) -> list[StyledLine]:
    """The text of ``render``, before colours: a line of heads, and one for each row."""
    from rich.cells import cell_len

    from kvtui.output.lines import to_ascii

    say = to_ascii if ascii_only else str
    heads = {column.key: say(column.title) for column in columns}
    cells = [{column.key: say(column.show(row[column.key])) for column in columns} for row in rows]
    sizes = {key: max(cell_len(line[key]) for line in (heads, *cells)) for key in heads}
    kept = _kept(columns, sizes, width)

    def line(texts: Mapping[str, str], style: str | None) -> StyledLine:
        spans = []
        for place, column in enumerate(kept):
            text = texts[column.key]
            own = style if style is not None else "strong" if place == 0 else "dim" if text == say(NONE) else ""
            blank = " " * (sizes[column.key] - cell_len(text))
            padded = blank + text if column.align == "right" else text + blank
            spans.append((padded if place == 0 else " " * GAP + padded, own))
        return tuple(spans)

    return [line(heads, "dim"), *(line(row, None) for row in cells)]


def _kept(columns: Sequence[Column], sizes: Mapping[str, int], width: int) -> list[Column]:
    """The columns that fit: the largest priority goes first, of equal ones the last."""
    kept = list(columns)
    while sum(sizes[column.key] + GAP for column in kept) - GAP > width:
        place = max(range(len(kept)), key=lambda i: (kept[i].priority, i))
        if kept[place].priority == 0:
            break
        del kept[place]
    return kept
