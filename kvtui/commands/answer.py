"""Where the answer of a command goes: stdout or a file, and what the one who reads it can show."""

from __future__ import annotations

import os
import sys

from kvtui.commands.parser import COLORS, choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

FILE_CELLS, LEAST_CELLS = 80, 60


class Answer:
    """The place of an answer by ``--output``, ``--color`` and ``--ascii``, and the look that suits it there.

    A terminal gets its own width and colours; a file and a pipe get neither. Raises UnknownName for another WHEN of
    ``--color``.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        choose("color", args.color, COLORS)
        self._color, self._ascii = args.color, args.ascii
        self.output: str | None = None if args.output == "-" else args.output

    @property
    def width(self) -> int:
        """Cells of a line."""
        if self.output is not None:
            return FILE_CELLS
        from shutil import get_terminal_size

        return max(LEAST_CELLS, get_terminal_size((FILE_CELLS, 24)).columns)

    @property
    def color(self) -> bool:
        """Whether to add escape codes: as told, or for a terminal that did not ask for none."""
        if self._color != "auto":
            return bool(self._color == "always")
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return self.output is None and not plain and sys.stdout.isatty()

    @property
    def ascii_only(self) -> bool:
        """Whether text must be ASCII: as told, or because stdout has no blocks in its encoding."""
        if self._ascii or self.output is not None:
            return bool(self._ascii)
        try:
            "█≈".encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return True
        return False

    def write(self, text: str) -> None:
        """Write ``text`` to stdout, or to a file that appears whole or not at all. Raises OSError."""
        if self.output is None:
            sys.stdout.write(text)
            return
        from pathlib import Path

        from kvtui.engine.basis.files import write_whole

        write_whole(Path(self.output), text)
