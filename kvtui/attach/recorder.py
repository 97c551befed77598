"""A recording on disk: one line for every snapshot, added at once, so that a kill loses at most the last line."""

from __future__ import annotations

import os
import stat
from types import TracebackType

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import unreadable
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.recording import FORMAT, header, line
from kvtui.engine.live.snapshot import Snapshot


class Recorder:
    """The recording in the file ``path``, which is begun, or gone on with where it is one.

    Raises InputError for a file that is something else, or cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file = open(path, "a+", encoding="utf-8", newline="\n")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"--record: {unreadable(path, error)}") from None
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.close()
            raise InputError(f"--record: '{plain(path)}' is no file")
        self._file.seek(0)
        try:
            first = self._file.readline(4096)
        except UnicodeDecodeError:
            first = "?"
        if first and FORMAT not in first:
            self._file.close()
            raise InputError(f"--record: '{plain(path)}' is there already, and is no recording")
        if not first:
            self._put(header())
        elif not self._ends_a_line():
            self._put("")

    def add(self, snapshot: Snapshot) -> None:
        """Write ``snapshot``. Raises OSError."""
        self._put(line(snapshot))

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ends_a_line(self) -> bool:
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _put(self, text: str) -> None:
        self._file.write(text + "\n")
        self._file.flush()
