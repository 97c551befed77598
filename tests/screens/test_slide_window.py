"""The window of the slide: where a terminal draws no pixels it says how else to have it."""

from __future__ import annotations

import asyncio

import pytest

from kvtui.app.app import KvtuiApp
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.pixels.terminal import Graphics
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.windows.slide import SlideScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.slide import room
from tests.screens.seen import text_of


def test_it_opens_from_the_palette_and_says_what_it_needs() -> None:
    async def go() -> None:
        scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})
        app = KvtuiApp(Session(scenario), Settings(motion="none", remember=False))
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press("ctrl+p", *"slide")
            await pilot.press("enter")
            while not isinstance(app.screen, SlideScreen):
                await pilot.pause()
            await pilot.pause()
            assert "draws no pixels" in text_of(app)
            await pilot.press("escape")
            assert not isinstance(app.screen, SlideScreen)

    asyncio.run(go())


@pytest.mark.parametrize(
    ("graphics", "size", "expected"),
    [
        (Graphics("kitty", (9, 18)), (160, 45), Rect(0, 0, 160, 45)),
        (Graphics("kitty", (9, 18)), (160, 20), Rect(44, 0, 71, 20)),
        (Graphics("sixel", (10, 20), largest=(1000, 1000)), (160, 60), Rect(30, 16, 100, 28)),
    ],
)
def test_the_slide_keeps_its_shape(graphics: Graphics, size: tuple[int, int], expected: Rect) -> None:
    assert room(graphics, *size) == expected
