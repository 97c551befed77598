"""Anything typed into anything that asks for text: it is taken, or said to be wrong."""

from __future__ import annotations

import asyncio

import pytest
from textual.widgets import Input

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.windows.prompt import PromptScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.nightly import sampled
from tests.steady import until

pytestmark = sampled(2)

TEXTS = (
    " ",
    ",",
    "  , ,",
    "0",
    "-1",
    "1e400",
    "nan",
    "\N{ARABIC-INDIC DIGIT THREE}",
    "[red]x",
    "GiB",
    "1 2 3",
    "x" * 5000,
)


@pytest.mark.parametrize("keys", ["c", "b", "3 D", "5 o", "5 r"])
def test_any_text_in_a_prompt(keys: str) -> None:
    async def run() -> None:
        session = Session(scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"}))
        app = KvtuiApp(session, Settings(motion="none", remember=False))
        async with app.run_test(size=(120, 36), notifications=True) as pilot:
            await pilot.pause()
            for key in keys.split():
                app.simulate_key(key)
                await pilot.pause()
            await until(pilot, lambda: isinstance(app.screen, PromptScreen))
            for text in TEXTS:
                app.screen.query_one(Input).value = text
                await pilot.pause()

    asyncio.run(run())
