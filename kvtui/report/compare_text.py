"""The comparison for a terminal: a column per scenario, or the scenarios below each other where it is too narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from kvtui.output.lines import StyledLine, StyledText, fill, rule, stack, width_of, wrap, write
from kvtui.report.compared import NONE, ComparedValue

NARROWEST, READABLE, WIDEST_COLUMN = 40, 18, 32
GAP = 3
STRONG = {"model", "total, GiB ≈"}

ComparedRows = Sequence[tuple[str, Sequence[ComparedValue]]]


def text(rows: ComparedRows, width: int, color: bool, ascii_only: bool) -> str:
    """``lines`` as text, with escape codes only if ``color``."""
    return write(lines(rows, width), color, ascii_only)


def lines(rows: ComparedRows, width: int) -> list[StyledLine]:
    """Label and cells of each field in at most ``width`` cells (no less than 40 are used)."""
    cells = max(NARROWEST, width)
    label = max(cell_len(name) for name, _ in rows)
    count = len(rows[0][1])
    column = min(WIDEST_COLUMN, (cells - label) // count - GAP)
    if column < READABLE:
        return stack(_scenario(rows, i, label, cells) for i in range(count))
    found = [_heads(count, label, column)]
    return found + [line for name, shown in rows for line in _row(name, shown, label, column)]


def _heads(count: int, label: int, column: int) -> StyledLine:
    line: StyledLine = ((" " * label, ""),)
    for i in range(1, count + 1):
        line += ((" " * GAP, ""), *rule(f"scenario {i}", column))
    return line


def _row(name: str, cells: Sequence[ComparedValue], label: int, column: int) -> Iterator[StyledLine]:
    parts = [_block(name, cell, column) for cell in cells]
    for i in range(max(map(len, parts))):
        line = fill(((name if not i else "", "dim"),), label)
        for part in parts:
            line += ((" " * GAP, ""), *fill(part[i] if i < len(part) else (), column))
        yield line


def _block(name: str, cell: ComparedValue, column: int) -> list[StyledLine]:
    """The value to the left and its change to the right of a column; below each other where they do not fit."""
    value: StyledText = cell.text, _style(name, cell)
    blank = column - cell_len(cell.text) - cell_len(cell.change)
    if blank >= 1:
        return [(value, (" " * blank, ""), (cell.change, "dim"))]
    lines: list[StyledLine] = [((words, value[1]),) for words in wrap(cell.text, column)]
    if cell.change:
        lines.append(((" " * (column - cell_len(cell.change)), ""), (cell.change, "dim")))
    return lines


def _scenario(rows: ComparedRows, i: int, label: int, width: int) -> list[StyledLine]:
    lines: list[StyledLine] = [rule(f"scenario {i + 1}", width)]
    for name, cells in rows:
        cell = cells[i]
        style = _style(name, cell)
        first, *rest = wrap(cell.text, width - label - GAP)
        head = fill(((name, "dim"),), label + GAP)
        found: list[StyledLine] = [
            (*head, (first, style)),
            *((*fill((), label + GAP), (words, style)) for words in rest),
        ]
        change = (f"  {cell.change}" if cell.change else "", "dim")
        if width_of((*found[-1], change)) <= width:
            found[-1] += (change,)
        else:
            found.append((*fill((), label + GAP), (cell.change, "dim")))
        lines += found
    return lines


def _style(name: str, cell: ComparedValue) -> str:
    if cell.text == NONE:
        return "dim"
    return cell.style or ("strong" if name in STRONG else "")
