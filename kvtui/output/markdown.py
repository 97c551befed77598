"""GitHub-flavoured Markdown: text made literal, blocks of code, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~!&$])")
_BACKTICKS = re.compile(r"`+")


def escape(text: str) -> str:
    """``text`` with all that Markdown would interpret made literal, for running text and table cells."""
    return _SPECIAL.sub(r"\\\1", text)


def fence(text: str) -> str:
    """``text`` as a block of code, in a fence that does not occur in it."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}sh\n{text}\n{marks}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], aligns: Sequence[str] | None = None) -> str:
    """A table of escaped cells. ``aligns`` are "left" or "right" by column; without it all but the first are right."""
    sides = aligns or ["left", *["right"] * (len(heads) - 1)]
    marks = ["---:" if side == "right" else "---" for side in sides]
    shown = [[escape(text) for text in row] for row in (heads, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (shown[0], marks, *shown[1:]))
