"""The comparison for a terminal: a column per scenario, or the scenarios below each other where it is too narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from kvtui.output.lines import StyledLine, StyledText, fill, rule, stack, width_of, wrap, write
from kvtui.report.compared import NONE, ComparedValue

NARROWEST, READABLE, WIDEST_COLUMN = 40, 18, 32
GAP = 3
DIFFERENT, ALIKE = "* ", "  "
CUT = "..."
"""As wide in ASCII as it is elsewhere."""


VERDICTS = {"better": "ok", "worse": "bad", "": "dim"}

ComparedRows = Sequence[tuple[str, Sequence[ComparedValue]]]


def text(names: Sequence[str], rows: ComparedRows, width: int, color: bool, ascii_only: bool) -> str:
    """``lines`` as text, with escape codes only if ``color``."""
    return write(lines(names, rows, width), color, ascii_only)


def lines(names: Sequence[str], rows: ComparedRows, width: int) -> list[StyledLine]:
    """Label and cells of each field in at most ``width`` cells (no less than 40 are used), under the ``names``.

    What differs from the first scenario is marked before its label, and behind it what is better or worse.
    """
    cells = max(NARROWEST, width)
    rows = [(f"{_mark(shown)}{name}", shown) for name, shown in rows]
    label = max(cell_len(name) for name, _ in rows)
    count = len(rows[0][1])
    column = min(WIDEST_COLUMN, (cells - label) // count - GAP)
    if column < READABLE:
        return stack(_scenario(rows, i, names[i], label, cells) for i in range(count))
    found = [_heads(names, label, column)]
    return found + [line for name, shown in rows for line in _row(name, shown, label, column)]


def _mark(cells: Sequence[ComparedValue]) -> str:
    return DIFFERENT if any(cell.differs for cell in cells) else ALIKE


def _heads(names: Sequence[str], label: int, column: int) -> StyledLine:
    line: StyledLine = ((" " * label, ""),)
    for name in names:
        line += ((" " * GAP, ""), *_title(name, column))
    return line


def _title(name: str, width: int) -> StyledLine:
    """A rule with ``name``, which is cut where it is too long."""
    room = width - 2
    return rule(name if cell_len(name) <= room else f"{set_cell_size(name, room - len(CUT)).rstrip()}{CUT}", width)


def _row(name: str, cells: Sequence[ComparedValue], label: int, column: int) -> Iterator[StyledLine]:
    parts = [_block(cell, column) for cell in cells]
    for i in range(max(map(len, parts))):
        line = fill(((name if not i else "", _label_style(cells)),), label)
        for part in parts:
            line += ((" " * GAP, ""), *fill(part[i] if i < len(part) else (), column))
        yield line


def _block(cell: ComparedValue, column: int) -> list[StyledLine]:
    """The value to the left and its change to the right of a column; below each other where they do not fit."""
    value: StyledText = cell.text, _style(cell)
    change: StyledText = cell.marked_change, VERDICTS[cell.verdict]
    blank = column - cell_len(cell.text) - cell_len(change[0])
    if blank >= 1:
        return [(value, (" " * blank, ""), change)]
    lines: list[StyledLine] = [((words, value[1]),) for words in wrap(cell.text, column)]
    if change[0]:
        lines.append(((" " * (column - cell_len(change[0])), ""), change))
    return lines


def _scenario(rows: ComparedRows, i: int, title: str, label: int, width: int) -> list[StyledLine]:
    lines: list[StyledLine] = [_title(title, width)]
    for name, cells in rows:
        cell = cells[i]
        style = _style(cell)
        first, *rest = wrap(cell.text, width - label - GAP)
        head = fill(((name, _label_style(cells)),), label + GAP)
        found: list[StyledLine] = [
            (*head, (first, style)),
            *((*fill((), label + GAP), (words, style)) for words in rest),
        ]
        said = cell.marked_change
        change = (f"  {said}" if said else "", VERDICTS[cell.verdict])
        if width_of((*found[-1], change)) <= width:
            found[-1] += (change,)
        else:
            found.append((*fill((), label + GAP), (said, VERDICTS[cell.verdict])))
        lines += found
    return lines


def _style(cell: ComparedValue) -> str:
    if cell.text == NONE:
        return "dim"
    return cell.style or ("strong" if cell.differs else "")


def _label_style(cells: Sequence[ComparedValue]) -> str:
    return "" if any(cell.differs for cell in cells) else "dim"
