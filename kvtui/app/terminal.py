"""The terminal while the app has it: whether there is one, and keeping other voices off it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

SHOWN_BYTES = 2000


def is_terminal() -> bool:
    """Whether there is a terminal to draw on and to read keys from."""
    screen = sys.__stderr__
    return bool(sys.stdin.isatty() and screen is not None and screen.isatty() and os.environ.get("TERM") != "dumb")


@contextmanager
def own_screen() -> Iterator[None]:
    """Keep what native libraries write to file descriptor 2 off the screen, and show the end of it afterwards.

    The app draws on stderr, so a warning written there in the middle of it would ruin the picture. Python's own
    ``sys.stderr`` goes to the terminal as before. Does nothing on systems that are not POSIX.
    """
    if os.name != "posix":
        yield
        return
    before = sys.stderr, sys.__stderr__
    with tempfile.TemporaryFile() as noise, os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace") as screen:
        os.dup2(noise.fileno(), 2)
        sys.stderr = sys.__stderr__ = screen  # type: ignore[misc]
        try:
            yield
        finally:
            screen.flush()
            os.dup2(screen.fileno(), 2)
            sys.stderr, sys.__stderr__ = before  # type: ignore[misc]
            noise.seek(0, os.SEEK_END)
            noise.seek(max(0, noise.tell() - SHOWN_BYTES))
            heard = noise.read().decode("utf-8", "replace")
    if heard.strip():
        from kvtui.engine.basis.untrusted import plain

        for line in heard.strip().splitlines():
            print(plain(line, limit=400), file=sys.stderr)
