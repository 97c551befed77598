"""Pictures of pixels on a terminal that speaks a protocol: where they are, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.campaign.terminal import PATIENCE_SECONDS, START, Terminal, terminal
from tests.emulated import EmulatedScreen
from tests.nightly import nightly, sampled

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")

COLUMNS, ROWS = 120, 36
NAMES = ("TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL", "NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "KVTUI_PIXELS")


class Shown:
    """An app in a terminal whose screen is followed while one waits for what is to be seen on it."""

    def __init__(self, held: Terminal, protocol: str) -> None:
        self.held, self.screen = held, EmulatedScreen(protocol, COLUMNS, ROWS)
        self._decoder = getincrementaldecoder("utf-8")()
        self._read = 0

    def follow(self) -> None:
        new = bytes(self.held.written[self._read :])
        self._read += len(new)
        self.held.type(self.screen.feed(self._decoder.decode(new)))

    def until(self, holds: Callable[[EmulatedScreen], object]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            ended = self.held.ended(0.02)
            self.follow()
            if holds(self.screen):
                return
            assert time.monotonic() < end, self.screen.text()
            assert ended is None, self.screen.text()

    def to_the_surface(self) -> None:
        """Explore's first figure in space, which has the keys."""
        self.until(lambda screen: "HBM3" in screen.text())
        self.held.type("2")
        self.until(lambda screen: "KV cache by context" in screen.text())
        self.held.type("/")
        self.until(lambda screen: "words, such as: context" in screen.text())
        self.held.type("surface\r")
        self.until(lambda screen: "memory of each device" in screen.text())
        self.held.type("\t")
        self.until(lambda screen: "← → turn" in screen.text())


@contextmanager
def shown(protocol: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str) -> Iterator[Shown]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name in ("KVTUI_CONFIG_DIR", "KVTUI_STATE_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with terminal(*START, *words) as held:
        yield Shown(held, protocol)


@sampled(3)
@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_pictures_come_and_go(protocol: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with shown(protocol, monkeypatch, tmp_path) as app:
        app.to_the_surface()
        app.until(lambda screen: screen.pictures.sum() > 1000)
        assert "GiB" in app.screen.text()
        sent = app.screen.sent
        app.held.type("\x1b[D")
        app.until(lambda screen: screen.sent >= sent + 2)  # one that moves, one that rests
        assert app.screen.pictures.sum() > 1000
        assert len(app.screen.placed) <= 1
        app.held.type("?")
        app.until(lambda screen: "on every screen" in screen.text() and not screen.pictures.any())
        app.held.type("\x1b")
        app.until(lambda screen: screen.pictures.sum() > 1000)
        app.held.type("1")
        app.until(lambda screen: "HBM3" in screen.text() and not screen.pictures.any())
        app.held.type("2")
        app.until(lambda screen: screen.pictures.sum() > 1000)
        app.screen.resize(100, 30)
        app.held.resize(100, 30)
        app.until(lambda screen: screen.pictures.sum() > 800 and "8K tokens" in screen.text().split("\n")[1])
        assert len(app.screen.placed) <= 1
        assert not app.screen.pictures[:, :40].any()
        app.held.signal(signal.SIGTSTP)
        app.until(lambda screen: not screen.placed and app.held.stopped)
        app.held.signal(signal.SIGCONT)
        app.until(lambda screen: screen.pictures.sum() > 800)
        app.held.signal(signal.SIGTERM)
        assert app.held.ended() == 128 + signal.SIGTERM
        app.follow()
        assert not app.screen.placed
        assert app.held.as_before


def test_a_terminal_without_pictures_gets_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with shown("", monkeypatch, tmp_path) as app:
        app.to_the_surface()
        app.until(lambda screen: "▀" in screen.text())
        app.held.type("q")
        assert app.held.ended() == 0
        app.follow()
        assert not app.screen.sent


@nightly
def test_pixels_can_be_switched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with shown("kitty", monkeypatch, tmp_path, "--pixels", "off") as app:
        app.to_the_surface()
        app.until(lambda screen: "▀" in screen.text())
        assert not app.screen.sent
        app.held.type(":")
        app.until(lambda screen: "search, type an option" in screen.text())
        app.held.type("pixels auto")
        app.until(lambda screen: "until kvtui ends" in screen.text())
        app.held.type("\r")
        app.until(lambda screen: screen.pictures.sum() > 1000)


@nightly
@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_the_slide_is_shown_in_a_window(protocol: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    with shown(protocol, monkeypatch, tmp_path) as app:
        app.until(lambda screen: "HBM3" in screen.text())
        app.held.type(":")
        app.until(lambda screen: "search, type an option" in screen.text())
        app.held.type("slide")
        app.until(lambda screen: "the plan on one slide" in screen.text())
        app.held.type("\r")
        app.until(lambda screen: screen.pictures.sum() > 2000)
        app.held.type("\x1b")
        app.until(lambda screen: "HBM3" in screen.text() and not screen.pictures.any())


@pytest.mark.parametrize(
    ("protocol", "said"),
    [("sixel", "pixels, by sixel, 9x17 a cell (XTerm(379))"), ("", "half blocks: no protocol of pixels")],
)
def test_the_doctor_says_what_a_terminal_can(
    protocol: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    with terminal("doctor") as held:
        app = Shown(held, protocol)
        app.until(lambda screen: said in screen.text())
        assert held.ended() == 0
        assert held.as_before
