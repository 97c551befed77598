"""Signals, floods of keys and terminals that go away, in a real terminal: the app ends, and leaves it as it was.

The suite has one of each kind; the night all (``KVTUI_TEST_PROFILE=nightly``).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.campaign.terminal import START, Terminal, terminal
from tests.nightly import nightly, sampled

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")

MOVES = 6000
FLOOD = 160_000
MOST_MEGABYTES = 160
ENDINGS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
MOUSE = "".join(f"\x1b[<35;{3 + i % 100};{3 + i % 30}M" for i in range(MOVES))
BITS = ["\x1b", "[", "1", ";", "a", "\x1b[", "\x1b]", "\x9b", "q"]
FLOODS = {
    "pasted": f"\x1b[200~{'q' + chr(27) + '[31mq' * (FLOOD // 7)}\x1b[201~",
    "escapes": "\x1b" * FLOOD,
    "any": "".join(random.Random(1).choices(BITS[:-1], k=FLOOD // 2)),
    "open": "\x1b[200~" + "q\x1b[31mq" * (FLOOD // 7),
    "clipboard": "\x1b]52;" + "a" * FLOOD,
    "control": "\x1b[" + "1;" * (FLOOD // 2),
}
IGNORES = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from kvtui.cli import run; run()"


@pytest.fixture
def shown() -> Iterator[Terminal]:
    with terminal(*START) as found:
        found.until("HBM3")
        yield found


@sampled(9)
@pytest.mark.parametrize("mode", "436125")
@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_is_heard_in_a_backlog(shown: Terminal, mode: str, number: int) -> None:
    shown.type(mode)
    time.sleep(1)
    shown.type(MOUSE)
    shown.signal(number)
    assert shown.ended(9) == 128 + number
    assert shown.as_before


@sampled(6)
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_takes_no_memory_and_does_not_hold_the_end_back(shown: Terminal, flood: str) -> None:
    """A paste is text: no letter of it is the key that quits."""
    before = shown.megabytes
    shown.type(FLOODS[flood])
    time.sleep(1)
    assert shown.ended(0) is None
    assert shown.megabytes < min(2 * before + 40, MOST_MEGABYTES)
    shown.signal(signal.SIGTERM)
    assert shown.ended(9) == 143
    assert shown.as_before


@sampled(3)
@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGTSTP, signal.SIGSTOP])
def test_an_app_that_is_stopped_and_continued_leaves_the_terminal_as_it_was(shown: Terminal, number: int) -> None:
    for _ in range(2):
        shown.signal(number)
        time.sleep(0.5)
        assert shown.as_before == (number == signal.SIGTSTP)
        shown.written.clear()
        shown.signal(signal.SIGCONT)
        shown.until("HBM3")
    shown.type("q")
    assert shown.ended() == 0
    assert shown.as_before


@nightly
@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("tenths", range(1, 20))
def test_a_signal_at_any_moment_of_the_start(number: int, tenths: int) -> None:
    for hundredths in range(0, 10, 3):
        with terminal(*START) as found:
            time.sleep(tenths / 10 + hundredths / 100)
            found.signal(number)
            assert found.ended() in {128 + number, -number}
            assert found.as_before
            assert not found.drawn_on


@pytest.mark.parametrize("program", [("-m", "kvtui"), pytest.param(("-c", IGNORES), marks=nightly)])
def test_an_app_whose_terminal_has_gone_ends(program: tuple[str, ...]) -> None:
    with terminal(*START, "--play", program=program) as found:
        found.until("HBM3")
        found.hang_up()
        assert found.ended(20) == 129
