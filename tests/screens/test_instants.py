"""A figure belongs to the instant and to the fill that it names, on every screen and wherever the film stands."""

from __future__ import annotations

import asyncio

import pytest

from kvtui.app.app import KvtuiApp
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.picture.allocator import allocate, allocator_of
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.memory.screen import MemoryScreen
from kvtui.state.keys import MODES
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.screens.seen import text_of
from tests.steady import until

SCENARIO: dict[str, str | bool] = {
    "model": "Llama-3.1-8B",
    "gpu": "H100 SXM",
    "context": "32K",
    "batch": "8",
    "cb": True,
}
INSTANTS = (0, 10_000, 32_768)


def app_of(**values: str) -> KvtuiApp:
    return KvtuiApp(Session(scenario_from({**SCENARIO, **values})), Settings(motion="none", remember=False))


@pytest.mark.parametrize("fill", ["full", "average"])
@pytest.mark.parametrize("size", [(160, 46), (120, 36), (80, 24)])
def test_the_memory_screen_at_three_instants(size: tuple[int, int], fill: str) -> None:
    scenario = scenario_from({**SCENARIO, "fill": fill})
    allocator = allocator_of(plan(scenario))
    parts = {tokens: allocate(allocator, tokens).parts for tokens in INSTANTS}
    decimals = 1 if size[0] < 100 else 2

    async def run() -> None:
        app = app_of(fill=fill)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.3)
            assert isinstance(app.screen, MemoryScreen)
            for tokens in INSTANTS:
                app.screen.set_tokens(tokens)
                await pilot.pause()
                text = text_of(app)
                assert f"{tokens:,} / 32K tokens" in text
                assert "✓ fits at 32K" in text
                if tokens:
                    assert format_bytes(parts[tokens].kv, decimals) in text
                for other in INSTANTS[1:]:
                    if other != tokens:
                        assert format_bytes(parts[other].kv, decimals) not in text
                        assert format_bytes(parts[other].total) not in text
                if size[0] >= 100:
                    when = "at full context" if tokens == scenario.context else f"at {tokens:,} tokens"
                    assert f"legend {when}" in text
                    assert "estimate at 32K" in text
                    assert "users, all at 32K" in text or size[1] < 40
                    assert ("all full" if fill == "full" else "% full on average") in text
                if size[0] >= 160:
                    assert f"memory {when}" in text
                    assert f"formula {when}" in text

    asyncio.run(run())


def test_no_other_screen_follows_the_film() -> None:
    """Their figures are those of the whole context. The Plan fills in the background and names it above.

    What is in traffic has a time of its own.
    """

    async def run() -> None:
        app = app_of()
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            memory = app.screen
            assert isinstance(memory, MemoryScreen)
            seen: dict[str, list[str]] = {mode.name: [] for mode in MODES if mode.name not in ("memory", "traffic")}
            for tokens in INSTANTS:
                memory.set_tokens(tokens)
                for mode, texts in seen.items():
                    app.action_mode(mode)
                    await pilot.pause()
                    if mode == "plan":
                        await until(pilot, lambda: "sequences at 32K" in text_of(app))
                        continue
                    texts.append(text_of(app))
                app.action_mode("memory")
                await pilot.pause()
            for mode, texts in seen.items():
                assert len(set(texts)) <= 1, mode

    asyncio.run(run())
