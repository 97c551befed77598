"""Legends as rows of text: what each series looks like and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvtui.canvas.cells import InkRow, Span, fit, single_width
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Bars, HeatMap, Histogram, Line, Mark, Panel
from kvtui.plots.cells import BAND
from kvtui.plots.style import Style

GAP = 2
_DASHES = {"solid": "─", "dashed": "╌", "dotted": "┈"}


def clean(text: str, limit: int = 120) -> str:
    """``text`` without anything that could move the cursor or take more or less than one cell a character."""
    return single_width(plain(text, max(1, limit)))


def entries(panel: Panel, styles: Mapping[str, Style]) -> tuple[InkRow, ...]:
    """One entry for each named series; none where a single series says no more than the titles do."""
    marks = {mark.name: mark for mark in reversed(panel.marks) if mark.name and not isinstance(mark, HeatMap)}
    if len(marks) == 1 and next(iter(marks)).casefold() in {panel.title.casefold(), panel.y.label.casefold()}:
        return ()
    return tuple(
        (Span(f"{_sample(mark, styles[name])} ", styles[name].ink), Span(clean(name)))
        for name, mark in reversed(marks.items())
    )


def wrapped(entries: Sequence[InkRow], width: int, most: int) -> tuple[InkRow, ...]:
    """``entries`` in at most ``most`` rows of ``width`` cells; the last row says how many are left out."""
    rows: list[list[Span]] = []
    for number, entry in enumerate(_cut(entry, width) for entry in entries):
        if rows and _size(rows[-1]) + GAP + _size(entry) <= width:
            rows[-1] += [Span(" " * GAP), *entry]
        elif len(rows) < most:
            rows.append(list(entry))
        else:
            return (*map(tuple, rows[:-1]), _with_rest(rows[-1], width, len(entries) - number))
    return tuple(map(tuple, rows))


def _sample(mark: Mark, style: Style) -> str:
    match mark:
        case Bars():
            return 2 * style.fill
        case Line():
            band = BAND if mark.low is not None and mark.high is not None else ""
            return f"{style.point}{_DASHES[mark.dash]}{band}"
        case Histogram():
            return f"{style.point}{BAND}"
    return style.point


def _cut(entry: InkRow, width: int) -> InkRow:
    """``entry`` with its last piece cut to ``width`` cells."""
    room = width - _size(entry[:-1])
    last = entry[-1]
    return entry if len(last.text) <= room else (*entry[:-1], Span(fit(last.text, max(1, room)), last.ink))


def _with_rest(row: list[Span], width: int, left_out: int) -> InkRow:
    """``row`` with a count of what is left out at its end, in place of as many entries as it needs."""
    while True:
        rest = f"+{left_out} more"
        if _size(row) + GAP + len(rest) <= width or len(row) < 3:
            return (*row, Span(f"{' ' * GAP}{rest}" if row else rest, Ink.DIM))
        row = row[: max(0, len(row) - 3)]
        left_out += 1


def _size(row: Sequence[Span]) -> int:
    return sum(len(piece.text) for piece in row)
