"""Cells as text: plain, or with escape codes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from rich.color import ColorSystem
from rich.style import Style

from kvtui.canvas.cells import Cells
from kvtui.canvas.palette import ASCII, Depth, Ink, Look, style

_BOLD = Style(bold=True)
_PLAIN = Style()


def to_text(cells: Cells, system: ColorSystem | None = None, look: Look = "dark", ascii_only: bool = False) -> str:
    """``cells`` as lines that end in newlines, with escape codes for ``system`` and none without one.

    Plain text keeps the terminal's own colour, since its background is not known; spaces at the end are left out.
    """
    depth: Depth = "ansi" if system is ColorSystem.STANDARD else "rgb"
    lines = []
    for y in range(cells.height):
        runs = list(_runs(cells, y, ascii_only))
        while runs and not runs[-1][0].strip(" ") and not runs[-1][2]:
            runs.pop()
        if runs and not runs[-1][2]:
            runs[-1] = (runs[-1][0].rstrip(" "), *runs[-1][1:])
        if system is None:
            lines.append("".join(text for text, _, _ in runs))
        else:
            lines.append(
                "".join(_own(ink, under, look, depth).render(t, color_system=system) for t, ink, under in runs)
            )
    return "".join(f"{line}\n" for line in lines)


def _runs(cells: Cells, y: int, ascii_only: bool) -> Iterator[tuple[str, int, int]]:
    """Pieces of row ``y`` in one ink and one background each."""
    text = cells.row_text(y)
    if ascii_only:
        text = text.translate(ASCII).encode("ascii", "replace").decode()
    ink, under = cells.ink[y], cells.under[y]
    ends = np.flatnonzero((np.diff(ink) != 0) | (np.diff(under) != 0)) + 1
    for start, end in pairwise([0, *ends.tolist(), cells.width]):
        yield text[start:end], int(ink[start]), int(under[start])


def _own(ink: int, under: int, look: Look, depth: Depth) -> Style:
    if under == Ink.NONE and ink in {Ink.TEXT, Ink.BRIGHT}:
        return _BOLD if ink == Ink.BRIGHT else _PLAIN
    return style(ink, under, look, depth)
