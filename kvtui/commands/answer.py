"""Where the answer of a command goes: stdout or a file, and what the one who reads it can show."""

from __future__ import annotations

import os
import sys

from kvtui.commands import streams
from kvtui.commands.parser import COLORS, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

FILE_CELLS, LEAST_CELLS = 80, 60


class Answer:
    """The place of an answer by ``--output``, ``--color`` and ``--ascii``, and the look that suits it there.

    ``form`` is the format of the answer: "text" is for people, and any other is data, which is UTF-8 everywhere. A
    terminal gets its own width and colours; a file and a pipe get neither. Raises UnknownName for another WHEN of
    ``--color``, and InputError for an output that cannot be a file.
    """

    def __init__(self, args: argparse.Namespace, form: str = "text") -> None:
        choose("color", args.color, COLORS)
        self._color, self._ascii, self._data = args.color, args.ascii, form != "text"
        self.output: str | None = None if args.output == "-" else args.output
        if self.output == "":
            raise InputError("--output: needs the name of a file")
        if self.output is not None and (os.path.basename(self.output) in {"", ".", ".."} or os.path.isdir(self.output)):
            raise InputError(f"--output: '{plain(self.output)}' is a folder")

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
        refused = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return self.output is None and not refused and sys.stdout.isatty()

    @property
    def ascii_only(self) -> bool:
        """Whether text must be ASCII: as told, or because stdout lacks the signs."""
        return bool(self._ascii) or (self.output is None and not streams.has_signs())

    def write(self, text: str) -> None:
        """Write ``text`` to stdout, or to a file that appears whole or not at all. Raises OSError."""
        if self.output is None:
            streams.put(text, data=self._data)
            return
        from kvtui.engine.basis.files import write_whole

        write_whole(self.output, text)
