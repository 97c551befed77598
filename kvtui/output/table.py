"""A listing of many things in columns, for the catalogues: text, CSV, Markdown and JSON of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kvtui.engine.basis.errors import UnknownName
from kvtui.output.harmless import clean

FORMATS = ("text", "csv", "markdown", "json")
GAP = 2
NONE = "–"

TableRows = Sequence[Sequence[object]]


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
    """``rows`` in one of FORMATS, each value under the column of its place.

    Text never wraps: columns are dropped, largest ``priority`` first, until a line is at most ``width`` cells; those of
    priority 0 are never cut, whatever their width. CSV and JSON hold values, not their formatted text.
    Raises UnknownName for another format.
    """
    match format:
        case "text":
            return _text(columns, rows, width, color, ascii_only)
        case "csv":
            from kvtui.output import csv as csv_

            return csv_.table([[column.key for column in columns], *map(clean, rows)])
        case "markdown":
            from kvtui.output import markdown

            shown = [[c.show(value) for c, value in zip(columns, row, strict=True)] for row in rows]
            return markdown.table([c.title for c in columns], shown, [c.align for c in columns]) + "\n"
        case "json":
            from kvtui.output import json as json_

            return json_.dump([{c.key: v for c, v in zip(columns, row, strict=True)} for row in rows])
    raise UnknownName("format", format, FORMATS)


def _text(columns: Sequence[Column], rows: TableRows, width: int, color: bool, ascii_only: bool) -> str:
    from rich.cells import cell_len

    from kvtui.output.lines import StyledLine, to_ascii, write

    say = to_ascii if ascii_only else str
    heads = [say(column.title) for column in columns]
    cells = [[say(c.show(value)) for c, value in zip(columns, row, strict=True)] for row in rows]
    sizes = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    kept = _kept(columns, sizes, width)

    def line(texts: Sequence[str], style: str | None) -> StyledLine:
        spans = []
        for place, i in enumerate(kept):
            blank = " " * (sizes[i] - cell_len(texts[i]))
            text = blank + texts[i] if columns[i].align == "right" else texts[i] + blank
            own = style if style is not None else "strong" if place == 0 else "dim" if texts[i] == say(NONE) else ""
            spans.append((text if place == 0 else " " * GAP + text, own))
        return tuple(spans)

    return write([line(heads, "dim"), *(line(row, None) for row in cells)], color)


def _kept(columns: Sequence[Column], sizes: Sequence[int], width: int) -> list[int]:
    """Places of the columns that fit: the largest priority goes first, of equal ones the last."""
    kept = list(range(len(columns)))
    while sum(sizes[i] + GAP for i in kept) - GAP > width:
        least = max(kept, key=lambda i: (columns[i].priority, i))
        if columns[least].priority == 0:
            break
        kept.remove(least)
    return kept
