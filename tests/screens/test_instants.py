"""A figure belongs to the instant and to the fill that it names, on every screen and wherever the film stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from kvtui.app.app import KvtuiApp
from kvtui.attach.opening import recording_in, snapshots_of, source_of
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.picture.allocator import allocate, allocator_of
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.memory.screen import MemoryScreen
from kvtui.screens.traffic.screen import TrafficScreen
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
    """Their figures are those of the whole context, which they name. What is in traffic has a time of its own."""

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
                    there = plan_is_there if mode == "plan" else at_rest
                    await until(pilot, partial(there, app))
                    await pilot.pause()
                    texts.append(text_of(app).translate(THUMBS))
                app.action_mode("memory")
                await pilot.pause()
            for mode, texts in seen.items():
                assert len(set(texts)) <= 1, mode

    asyncio.run(run())


def shows(app: KvtuiApp, words: str) -> bool:
    """Whether ``words`` are on screen."""
    return words in text_of(app)


THUMBS = str.maketrans("▁▂▃▄▅▆▇", " " * 7)
"""Where a list's scroll bar ends within a cell, which says nothing of an instant."""


def at_rest(app: KvtuiApp) -> bool:
    """Whether all that is worked out beside the screen is there."""
    return all(worker.is_finished for worker in app.workers)


def plan_is_there(app: KvtuiApp) -> bool:
    """Whether all that the Plan works out beside is on screen."""
    return at_rest(app) and "sequences at 32K" in text_of(app)


@pytest.mark.parametrize(("context", "batch", "fill"), [("32K", "8", "full"), ("64K", "4", "full"), ("64K", "4", "50")])
def test_the_plan_names_the_context_the_batch_and_the_fill_of_its_figures(context: str, batch: str, fill: str) -> None:
    scenario = scenario_from({**SCENARIO, "context": context, "batch": batch, "fill": fill})
    planned = plan(scenario)
    limits, cost = capacity(planned), estimate(planned).usd_per_million_tokens

    async def run() -> None:
        app = app_of(context=context, batch=batch, fill=fill)
        async with app.run_test(size=(120, 36)) as pilot:
            app.action_mode("plan")
            await pilot.pause()
            await until(pilot, lambda: "│ cost " in text_of(app) and "│ cost at" in text_of(app))
            text = text_of(app)
            cell = [line.rstrip(" │").rpartition("│ ")[2] for line in text.splitlines()]
            context_row, sequences_row, cost_row, most_row = (
                next(row for row in cell if row.lstrip().startswith(name))
                for name in ("max context", "max sequences", "cost  ", "cost at")
            )
            assert f"{context} × batch {batch}" in text
            assert ("all full" if fill == "full" else "50 % full") in text
            assert f"max context at batch {batch}" in text
            assert f"decode at batch {batch}" in text
            assert f"{limits.context:,}" in context_row
            assert f"{limits.sequences:,}" in sequences_row
            assert cost is not None
            assert f"${cost.low:.1f}" in cost_row
            assert f"cost at {limits.sequences:,} sequences" in most_row

    asyncio.run(run())


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
def test_traffic_at_three_instants_of_a_recording(size: tuple[int, int]) -> None:
    beats = list(snapshots_of(str(recording_in(["demo"]))))
    instants = [beats[len(beats) * part // 4] for part in (1, 2, 3)]

    async def run() -> None:
        app = app_of()
        async with app.run_test(size=size) as pilot:
            app.action_mode("traffic")
            await pilot.pause()
            screen = app.screen
            assert isinstance(screen, TrafficScreen)
            screen.watch_source(source_of(["demo"]))
            await until(pilot, lambda: len(screen.history.until(beats[0].address, None)) == len(beats))
            for snapshot in instants:
                screen._change(replace(screen.state, at=snapshot.time, playing=False))
                await pilot.pause()
                clock = f"{datetime.fromtimestamp(snapshot.time, UTC):%H:%M:%S}"
                await until(pilot, partial(shows, app, f"─ at {clock} ─"))
                text = text_of(app)
                assert f"{clock} stopped" in text
                assert f"figures at {clock}" in text
                pool = snapshot.pool
                assert pool.used is not None
                assert pool.size
                assert f"{pool.used:,} · {pool.used / pool.size:.0%}" in text
                assert f"{snapshot.summed('running')} of " in text
                for other in instants:
                    if other.pool.used not in (pool.used, pool.cached, pool.empty):
                        assert f" {other.pool.used:,} · " not in text

    asyncio.run(run())
