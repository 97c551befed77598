"""A terminal that a test holds the other end of: the app's process in it, what it wrote, and how it left it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PATIENCE_SECONDS = 60.0
START = ("--model", "Llama-3.1-8B", "--gpu", "H100 SXM")


class Terminal:
    """``python`` with ``words`` as the leader of a session in a terminal of that size."""

    def __init__(self, words: Sequence[str], columns: int, rows: int) -> None:
        self._end, self.tty = pty.openpty()
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._before = termios.tcgetattr(self.tty)
        self.written = bytearray()
        self.code: int | None = None
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        # The first terminal that the leader of a new session opens becomes the session's own.
        name = os.ttyname(self.tty)
        opens = f'exec "$@" <{name} >{name} 2>&1'
        command = ["sh", "-c", opens, "sh", sys.executable, *words]
        self._process = subprocess.Popen(command, env=environment, start_new_session=True)
        self.pid = self._process.pid
        self._reads = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, text: str) -> None:
        """Send ``text``, as fast as the app takes it."""
        left = memoryview(text.encode())
        end = time.monotonic() + PATIENCE_SECONDS
        while left and time.monotonic() < end:
            if select.select([], [self._end], [], 1)[1]:
                left = left[os.write(self._end, left[:1000]) :]
        assert not left, "the app takes no keys"

    def until(self, text: str) -> None:
        """Wait until the app has written ``text``."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text.encode() not in self.written:
            assert time.monotonic() < end, bytes(self.written[-2000:])
            assert self.ended(0.05) is None, bytes(self.written[-2000:])

    def ended(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """The exit code, negative for a signal's death; None while the process lives after so many seconds."""
        end = time.monotonic() + seconds
        while self.code is None:
            self.code = self._process.poll()
            if self.code is not None:
                time.sleep(0.2)  # what it wrote last is still to be read
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(0.02)
        return self.code

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        os.kill(self.pid, number)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal under the app."""
        self._reads = False
        self._reader.join()
        os.close(self.tty)
        os.close(self._end)
        self.tty = -1

    @property
    def drawn_on(self) -> bool:
        """Whether the app has the terminal: the second screen is shown."""
        return self.written.rfind(b"\x1b[?1049h") > self.written.rfind(b"\x1b[?1049l")

    @property
    def as_before(self) -> bool:
        """Whether the terminal is as it was before the app had it: screen, mouse and modes."""
        mouse = self.written.rfind(b"\x1b[?1003h") > self.written.rfind(b"\x1b[?1003l")
        return not self.drawn_on and not mouse and termios.tcgetattr(self.tty) == self._before

    @property
    def megabytes(self) -> int:
        """The memory that the process has now."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20

    @property
    def stopped(self) -> bool:
        """Whether the process is stopped."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(") ")[2].startswith("T")

    def close(self) -> None:
        """End what is still there."""
        if self.ended(0) is None:
            os.kill(self.pid, 9)
            self.ended()
        if self.tty >= 0:
            self.hang_up()

    def _read(self) -> None:
        while self._reads:
            try:
                if select.select([self._end], [], [], 0.05)[0]:
                    self.written += os.read(self._end, 65536)
            except OSError:
                return


@contextmanager
def terminal(*words: str, program: Sequence[str] = ("-m", "kvtui")) -> Iterator[Terminal]:
    """``kvtui`` with ``words`` in a terminal of 120 × 36 cells that is closed at the end."""
    found = Terminal([*program, *words], 120, 36)
    try:
        yield found
    finally:
        found.close()
