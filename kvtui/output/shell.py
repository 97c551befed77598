"""A long command on several lines that a shell reads as one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells

_ESCAPED = r"\$'(?:[^'\\]|\\.)*'"
_WORD = re.compile(rf"""(?:{_ESCAPED}|'[^']*'|"[^"]*"|\\.|[^\s'"\\])+""")
_SIGN = re.compile(r"\\[0-7]{3}|.")


def shell_lines(command: str, cells: int) -> list[str]:
    """``command`` in lines of at most ``cells`` that a shell reads as the same words.

    Lines end in a backslash, where possible between options; a word longer than a line goes on at the start of the
    next one, quoted piece by piece.
    """
    lines, current = [], ""
    for group in _options(_WORD.findall(command), cells - 4):
        joined = f"{current} {group}" if current else group
        if cell_len(joined) <= cells - 2:
            current = joined
            continue
        if current:
            lines.append(f"{current} \\")
        if cell_len(group) <= cells - 4:
            current = f"  {group}"
            continue
        *pieces, current = _pieces(group, cells)
        lines.extend(f"{piece}\\" for piece in pieces)
    return [*lines, current]


def _options(words: Sequence[str], cells: int) -> Iterator[str]:
    """Quoted ``words``, an option together with its value where both fit in ``cells``."""
    pending = ""
    for word in words:
        if pending and not word.startswith("--") and cell_len(f"{pending} {word}") <= cells:
            yield f"{pending} {word}"
            pending = ""
            continue
        if pending:
            yield pending
        pending = word if word.startswith("--") else ""
        if not pending:
            yield word
    if pending:
        yield pending


def _pieces(quoted: str, cells: int) -> list[str]:
    """A shell word cut into pieces that leave two of ``cells`` for a break, each quoted on its own."""
    if quoted.startswith("$'"):
        signs, room = _SIGN.findall(quoted[2:-1]), (cells - 5) // 4
        return [f"$'{''.join(signs[i : i + room])}'" for i in range(0, len(signs), room)]
    [word] = shlex.split(quoted)
    for room in (cells - 2, cells - 4, (cells - 4) // 5):
        pieces = [shlex.quote(piece) for piece in chop_cells(word, room)]
        if max(map(cell_len, pieces)) <= cells - 2:
            break
    return pieces
