"""The app in a real terminal: tmux starts it, types, resizes and kills it, and looks at what is on the screen."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

PATIENCE_SECONDS = 20
START = [
    sys.executable,
    "-m",
    "kvtui",
    "--model",
    "Llama-3.1-8B",
    "--gpu",
    "H100 SXM",
    "--context",
    "128K",
    "--batch",
    "4",
]


class Tmux:
    """One detached tmux session on a server of its own."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    def do(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.socket, *words], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def start(self, command: str, columns: int = 120, rows: int = 36) -> None:
        size = ("-x", str(columns), "-y", str(rows))
        # readline, which pytest imports, exports the size of the terminal it finds; programs would take it for theirs
        shell = "env -u COLUMNS -u LINES bash --norc --noprofile"
        self.do("-f", "/dev/null", "new-session", "-d", *size, shell)
        self.do("set", "-g", "window-size", "manual")
        self.do("send-keys", f"PS1='prompt> '; {command}; echo ended with $?", "Enter")

    def keys(self, *names: str) -> None:
        self.do("send-keys", *names)

    def screen(self) -> str:
        return self.do("capture-pane", "-p")

    def resize(self, columns: int, rows: int) -> None:
        self.do("resize-window", "-x", str(columns), "-y", str(rows))

    def until(self, holds: Callable[[str], object]) -> str:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            screen = self.screen()
            if holds(screen):
                return screen
            time.sleep(0.1)
        pytest.fail(f"never seen; the screen was:\n{self.screen()}")

    def alternate(self) -> bool:
        return self.do("display", "-p", "#{alternate_on}").strip() == "1"

    def app_pid(self) -> int:
        shell = int(self.do("display", "-p", "#{pane_pid}"))
        return int(
            subprocess.run(["pgrep", "-P", str(shell)], capture_output=True, text=True, check=True).stdout.split()[0]
        )


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    session = Tmux(f"kvtui-{os.getpid()}-{tmp_path.name[-8:]}")
    yield session
    subprocess.run(["tmux", "-L", session.socket, "kill-server"], capture_output=True, check=False)


def position(screen: str) -> int | None:
    found = re.search(r"([0-9,]+) / (?:131,072|128K)", screen)
    return None if found is None else int(found[1].replace(",", ""))


def shown(screen: str) -> bool:
    return "Llama-3.1-8B" in screen and position(screen) is not None


def test_start_and_quit(tmux: Tmux) -> None:
    tmux.start(shlex.join(START))
    tmux.until(lambda text: shown(text) and "HBM3" in text)
    assert tmux.alternate()
    tmux.keys("q")
    tmux.until(lambda text: "ended with 0" in text)
    assert not tmux.alternate()


def test_play_moves_the_film_and_pause_holds_it(tmux: Tmux) -> None:
    tmux.start(shlex.join(START))
    before = position(tmux.until(shown))
    tmux.keys("Space")
    tmux.until(lambda text: position(text) not in (None, before))
    tmux.keys("Space")
    held = tmux.until(lambda text: "paused" in text)
    time.sleep(0.3)
    assert position(tmux.screen()) == position(held)


def test_resizing_while_it_plays(tmux: Tmux) -> None:
    tmux.start(shlex.join([*START, "--play"]))
    tmux.until(shown)
    for columns, rows in ((80, 24), (200, 60), (50, 12), (100, 30)):
        tmux.resize(columns, rows)
        if columns >= 60:

            def as_wide(text: str, columns: int = columns) -> bool:
                return max(map(len, text.splitlines())) > columns - 20 and "Llama" in text

            tmux.until(as_wide)
        else:
            tmux.until(lambda text: "60" in text and "18" in text)
    tmux.until(shown)
    tmux.keys("q")
    tmux.until(lambda text: "ended with 0" in text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(tmux: Tmux, number: int) -> None:
    tmux.start(shlex.join([*START, "--play"]))
    tmux.until(shown)
    os.kill(tmux.app_pid(), number)
    tmux.until(lambda text: f"ended with {128 + number}" in text)
    assert not tmux.alternate()
    tmux.keys("echo still here", "Enter")
    tmux.until(lambda text: "\nstill here" in text)
