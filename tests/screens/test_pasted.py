"""What is pasted into the palette: a server's command, a tag, an address, and what none of them is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.windows.palette import Palette
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.screens.seen import text_of


def run(check: Callable[[KvtuiApp, Pilot[None]], Awaitable[None]]) -> None:
    async def go() -> None:
        session = Session(scenario_from({"gpu": "RTX 4090"}))
        app = KvtuiApp(session, Settings(motion="none", remember=False))
        async with app.run_test(size=(120, 36)) as pilot:
            await check(app, pilot)

    asyncio.run(go())


async def typed(app: KvtuiApp, pilot: Pilot[None], text: str, seen: str) -> None:
    """Paste ``text`` into the palette, and wait until it says what was ``seen`` in it."""
    app.push_screen(Palette())
    await pilot.pause()
    app.screen.query_one(Input).value = text
    for _ in range(400):
        await pilot.pause(0.02)
        if seen in text_of(app):
            return
    raise AssertionError(f"no '{seen}' on screen")


def test_a_command_is_taken_and_the_device_stays() -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        await typed(app, pilot, "vllm serve Qwen/Qwen3-32B -tp 2 --port 80", "vllm: Qwen/Qwen3-32B")
        await pilot.press("enter")
        await pilot.pause()
        scenario = app.session.scenario
        assert (scenario.model.name, scenario.engine, scenario.layout.tp) == ("Qwen3-32B", "vllm", 2)
        assert scenario.context == scenario.model.max_context
        assert scenario.device.name == "RTX 4090"
        app.session.undo()
        assert app.session.scenario.engine == "none"

    run(check)


@pytest.mark.parametrize("text", ["qwen3:8b", "https://huggingface.co/Qwen/Qwen3-8B"])
def test_a_name_from_elsewhere_is_a_model(text: str) -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        await typed(app, pilot, text, "model: ")
        await pilot.press("enter")
        await pilot.pause()
        assert app.session.scenario.model.name == "Qwen3-8B"

    run(check)


def test_a_command_without_a_model_says_so() -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        before = app.session.scenario
        await typed(app, pilot, "vllm serve --port 80", "names no model")
        assert app.session.scenario is before

    run(check)


def test_a_refusal_says_what_is_missing_and_which_flag_helps() -> None:
    refused = (
        "To serve at least one request with the models max seq len (131072), (5.60 GiB KV cache is needed, which is "
        "larger than the available KV cache memory (2.40 GiB). Based on the available memory, the estimated maximum "
        "model length is 56144."
    )

    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        await typed(app, pilot, refused, "--max-model-len 56144")
        assert "3.20 GiB are missing" in " ".join(text_of(app).split())
        await pilot.press("enter")
        await pilot.pause()
        assert app.clipboard == "--max-model-len 56144"

    run(check)
