"""The Memory screen on a real pseudo-terminal beside a bare Textual app: ``python benchmarks/frame.py [SECONDS]``.

Prints first paint (ratio to the bare app's), CPU while playing at 30 fps in 170×50, bytes per frame, and the time from
a key to its effect on a link of 250 KB/s. Budgets: ratio 1.6, 8 % of a core, 3 KB, 50 ms. Machines are noisy: the ratio
and the bytes mean most.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from statistics import median

NAMING = ("TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL", "KVTUI_PIXELS")
"""Variables by which terminals name themselves."""

COLUMNS, ROWS, FPS = 170, 50, 30
SLOW_LINK = 250_000
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("ready to be seen")
Bare().run()
"""
KVTUI = ["-m", "kvtui", "--model", "Llama-3.1-8B", "--gpu", "H100 SXM", "--context", "128K", "--batch", "8", "--cb"]
PLAYING = [*KVTUI, "--play", "--speed", "1", "--fps", str(FPS)]


class Terminal:
    """A program on a pseudo-terminal whose output is drained at most at ``rate`` bytes per second."""

    def __init__(self, words: Sequence[str], rate: float | None = None) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "KVTUI_MOTION": "full"}
        environment["KVTUI_STATE_DIR"] = os.path.join(tempfile.gettempdir(), "kvtui-benchmark")
        for name in ("SSH_CONNECTION", "SSH_TTY", "NO_COLOR", "PYTHONDONTWRITEBYTECODE", *NAMING):
            environment.pop(name, None)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *words], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.rate = rate
        self.received = 0
        self.tail = b""

    def drain(self, seconds: float, until: bytes | None = None) -> float | None:
        """Read for ``seconds``; with ``until``, return the seconds after which it appeared, or None."""
        begun = time.perf_counter()
        received = self.received
        while (elapsed := time.perf_counter() - begun) < seconds:
            if self.rate is not None and self.received - received > self.rate * elapsed:
                time.sleep(0.002)
                continue
            ready, _, _ = select.select([self.master], [], [], 0.01)
            if not ready:
                continue
            chunk = os.read(self.master, 4096)
            self.received += len(chunk)
            self.tail = (self.tail + chunk)[-200_000:]
            if until is not None and until in self.tail:
                return time.perf_counter() - begun
        return None

    def press(self, key: str) -> None:
        """Send a key and forget what was on the screen before."""
        self.tail = b""
        os.write(self.master, key.encode())

    def cpu_seconds(self) -> float:
        """CPU time of the program so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the program."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        os.close(self.master)


def first_paint(words: Sequence[str], marker: bytes) -> float:
    """Seconds from start to ``marker`` on the screen."""
    terminal = Terminal(words)
    try:
        found = terminal.drain(20, marker)
        if found is None:
            raise SystemExit(f"{words}: {marker!r} did not appear")
        return time.perf_counter() - terminal.started
    finally:
        terminal.close()


def playing(seconds: float) -> tuple[float, float]:
    """Share of a core and bytes per frame while the film plays."""
    terminal = Terminal(PLAYING)
    try:
        terminal.drain(3)
        before, bytes_before, begun = terminal.cpu_seconds(), terminal.received, time.perf_counter()
        terminal.drain(seconds)
        elapsed = time.perf_counter() - begun
        share = (terminal.cpu_seconds() - before) / elapsed
        return share, (terminal.received - bytes_before) / (elapsed * FPS)
    finally:
        terminal.close()


def key_latency(rate: float | None, presses: int = 7) -> float:
    """Median seconds from a key to its effect on the screen while the film plays."""
    terminal = Terminal(PLAYING, rate)
    try:
        terminal.drain(4)
        found = []
        for number in range(presses):
            terminal.press("D")
            seen = terminal.drain(10, b"fps" if number % 2 == 0 else None)
            if number % 2 == 0:
                found.append(10.0 if seen is None else seen)
            else:
                terminal.drain(0.5)
        return median(found)
    finally:
        terminal.close()


def main(seconds: float = 8.0) -> int:
    """Print the table; return 1 when a budget is missed."""
    paints: dict[str, list[float]] = {"bare": [], "kvtui": []}
    for number in range(6):
        bare = first_paint(["-c", BARE], b"ready to be seen")
        ours = first_paint(KVTUI, b"Llama-3.1-8B")
        if number:
            paints["bare"].append(bare)
            paints["kvtui"].append(ours)
    ratio = median(paints["kvtui"]) / median(paints["bare"])
    share, size = playing(seconds)
    rows = (
        ("first paint, bare app, ms", median(paints["bare"]) * 1e3, None),
        ("first paint, Memory screen, ms", median(paints["kvtui"]) * 1e3, None),
        ("first paint, ratio", ratio, 1.6),
        (f"CPU playing at {FPS} fps, % of a core", share * 100, 8.0),
        ("bytes per frame, KB", size / 1024, 3.0),
        ("key to screen, fast link, ms", key_latency(None) * 1e3, None),
        ("key to screen, 250 KB/s, ms", key_latency(SLOW_LINK) * 1e3, 50.0),
    )
    missed = 0
    for name, value, budget in rows:
        over = budget is not None and value > budget
        missed += over
        print(f"{name:<40}{value:>9.2f}{'' if budget is None else f'   budget {budget:g}'}{'  MISSED' if over else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2])))
