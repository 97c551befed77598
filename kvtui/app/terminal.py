"""The terminal while the app has it: whether there is one, other voices kept off it, and an end when asked for."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvtui.app.app import KvtuiApp

SHOWN_BYTES = 2000
HUNG_UP = 129
ENDING = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
PATIENCE_SECONDS, ANSWER_SECONDS = 10.0, 0.5
GIVEN_BACK = b"\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?2004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
"""No mouse, no paste marks, lines that wrap, plain keys, the first screen, a cursor, no word of focus."""


def is_terminal() -> bool:
    """Whether there is a terminal to draw on and to read keys from."""
    screen = sys.__stderr__
    return bool(sys.stdin.isatty() and screen is not None and screen.isatty() and os.environ.get("TERM") != "dumb")


def answers(questions: str, is_last: Callable[[str], bool], answer: re.Pattern[str]) -> list[str]:
    """What the terminal answers to ``questions``, as far as it does within ANSWER_SECONDS; nothing without a terminal.

    It is asked on stdout and heard on stdin, where nothing else is read meanwhile.
    """
    before = _modes()
    if before is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    import termios
    import tty

    heard, end = "", time.monotonic() + ANSWER_SECONDS
    try:
        tty.setcbreak(0, termios.TCSANOW)
        os.write(1, questions.encode())
        while (left := end - time.monotonic()) > 0 and select.select([0], [], [], left)[0]:
            heard += os.read(0, 4096).decode("ascii", "replace")
            if any(map(is_last, found := answer.findall(heard))):
                return found
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)
    return answer.findall(heard)


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


def show(app: KvtuiApp, ending: Ending) -> int:
    """Run ``app`` in the terminal, until it is left or ``ending`` ends it; the exit code."""
    with own_screen():
        ending.by(app.ask_to_end)
        app.run()
    return app.return_code or 0


class Ending:
    """Ends the app when a signal asks for it or the terminal is gone, whatever the app is doing then.

    Before ``by`` was called nothing is on screen and the process ends at once. After it the app is asked to end, and a
    second signal, or PATIENCE_SECONDS, ends it without being asked; the terminal is given back as it was.

    Signals are Python's own, not the event loop's: a loop hears of them through a pipe, and that is full, so that they
    are lost, while thousands of keys or movements of the mouse wait.
    """

    def __init__(self) -> None:
        self._ask: Callable[[int], None] | None = None
        self._asked = False
        self._modes = _modes()
        for number in ENDING:
            signal.signal(number, self._heard)

    def by(self, ask: Callable[[int], None]) -> None:
        """From here on there is an app; ``ask`` asks it to end with an exit code, from any thread and at any time."""
        self._ask = ask
        threading.Thread(target=self._see_terminal_go, daemon=True).start()

    def _heard(self, number: int, _: object) -> None:
        self._end(128 + number)

    def _end(self, code: int) -> None:
        if self._ask is None:
            os._exit(code)
        if self._asked:
            self._now(code)
        self._asked = True
        timer = threading.Timer(PATIENCE_SECONDS, partial(self._now, code))
        timer.daemon = True
        timer.start()
        self._ask(code)

    def _now(self, code: int) -> None:
        with suppress(OSError):
            os.set_blocking(0, False)
            os.write(0, GIVEN_BACK)
        with suppress(OSError):
            os.set_blocking(0, True)
        if self._modes is not None:
            import termios

            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._modes)
        os._exit(code)

    def _see_terminal_go(self) -> None:
        """Wait until there is no terminal any more; a system that cannot say so is not asked again."""
        with suppress(OSError, AttributeError):
            gone = select.poll()
            gone.register(0, 0)
            if any(event & select.POLLHUP for _, event in gone.poll()):
                self._end(HUNG_UP)


def _modes() -> list[Any] | None:
    """How the terminal is set now; None where that cannot be said."""
    try:
        import termios
    except ImportError:
        return None
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None
