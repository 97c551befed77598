"""Whatever a person may do to the app, at any pace: keys, clicks, the wheel, pastes, sizes, one by one or in bursts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st
from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size

from kvtui.app.app import KvtuiApp
from kvtui.state import keys

LEAVES_OR_WRITES = {"quit", "export", "copy", "bench-run"}
CHARACTERS = {
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "full_stop": ".",
    "question_mark": "?",
    "comma": ",",
    "colon": ":",
    "space": " ",
    "enter": "\r",
    "tab": "\t",
    "escape": "\x1b",
}
NAMES = {character: name for name, character in CHARACTERS.items()}
MOUSE_EVENTS: dict[str, tuple[type[events.MouseEvent], ...]] = {
    "click": (events.MouseMove, events.MouseDown, events.MouseUp),
    "up": (events.MouseScrollUp,),
    "down": (events.MouseScrollDown,),
}
WAIT = "wait"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Mouse:
    """A click or a turn of the wheel, at a place that is a share of the screen's width and height."""

    kind: Literal["click", "up", "down"]
    x: float
    y: float
    shift: bool = False


@dataclass(frozen=True)
class Pasted:
    """Text from a clipboard."""

    text: str


@dataclass(frozen=True)
class Sized:
    """A terminal of another size."""

    columns: int
    rows: int


Step = str | Mouse | Pasted | Sized


def pressed_for(ids: Iterable[str]) -> set[str]:
    """The names of the keys with these ids."""
    return {NAMES.get(name, name) for key in keys.ALL if key.id in ids for name in key.keys.split(",")}


PRESSED = sorted(
    (pressed_for(key.id for key in keys.ALL) | {*"aq8z", "backspace", "delete", "shift+tab"})
    - pressed_for(LEAVES_OR_WRITES)
)
shares = st.floats(0, 1, exclude_max=True)
steps = st.one_of(
    *[st.sampled_from(PRESSED)] * 4,
    st.sampled_from(["enter", "escape", WAIT]),
    st.builds(Mouse, st.sampled_from(["click", "up", "down"]), shares, shares, st.booleans()),
    st.builds(Sized, st.integers(1, 220), st.integers(1, 70)),
    st.builds(Pasted, st.sampled_from(["qwen", "\n", "64K", "[@click=app.quit]x", "\x1b[31m", "é" * 3000])),
)


def send(app: KvtuiApp, step: Step) -> None:
    """Post what the terminal would send for ``step``, and wait for nothing."""
    match step:
        case str(key):
            app.post_message(events.Key(key, key if len(key) == 1 else CHARACTERS.get(key)))
        case Pasted(text):
            app.post_message(events.Paste(text))
        case Sized(columns, rows):
            assert isinstance(app._driver, HeadlessDriver)
            app._driver._size = Size(columns, rows)
            app.post_message(events.Resize(Size(columns, rows), Size(columns, rows)))
        case Mouse(kind, x, y, shift):
            row = int(y * app.size.height)
            column = int(x * app.size.width / (1 if row else 2))  # the key that quits is at the end of the first row
            for event in MOUSE_EVENTS[kind]:
                app.post_message(event(None, column, row, 0, 0, 1, shift, False, False, screen_x=column, screen_y=row))


async def settle(app: KvtuiApp) -> None:
    """Wait until the app and its screen have taken what was posted before."""
    for pump in (app, app.screen):
        taken = asyncio.Event()
        if pump.call_later(taken.set):
            await asyncio.wait_for(taken.wait(), PATIENCE_SECONDS)


async def play(app: KvtuiApp, sequence: Sequence[Step]) -> None:
    """Do all of ``sequence`` to ``app``, waiting only where it says WAIT; the app runs when all of it was taken."""
    for step in sequence:
        if step == WAIT:
            await settle(app)
        else:
            send(app, step)
    for _ in range(3):
        await settle(app)
    assert app.is_running
