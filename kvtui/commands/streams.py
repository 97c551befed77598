"""The standard streams as the shell left them: closed, full, a pipe that ended, or in an encoding that lacks signs."""

from __future__ import annotations

import io
import os
import sys

from kvtui.engine.basis.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SIGNS = "█▓≈✓⣿"
"""Of every kind of sign that text uses, one: an encoding that lacks one of them gets ASCII."""


class ClosedOutput(io.TextIOBase):
    """Stdout where the shell closed it (``>&-``): nothing can be written, and who tries hears why."""

    encoding = "utf-8"

    def write(self, _: str) -> NoReturn:
        """Raises InputError."""
        raise InputError("standard output is closed; -o FILE writes to a file")


def open_streams() -> None:
    """Put something where a standard stream was closed, so that no file that is opened later takes its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def has_signs() -> bool:
    """Whether stdout can show the signs that text uses."""
    try:
        SIGNS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def put(text: str, *, data: bool) -> None:
    """Write ``text`` to stdout: for people in the terminal's encoding, ``data`` in UTF-8 wherever it goes.

    So a JSON report has the same bytes in every locale, in a pipe and in a file.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8" if data else None, errors="replace")
    sys.stdout.write(text)


def drop_output() -> None:
    """Let go of what could not be written to stdout, which Python would otherwise complain of at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:
        sys.stdout = ClosedOutput()
