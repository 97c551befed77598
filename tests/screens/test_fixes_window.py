"""The window of fixes: enter takes one, u takes it back, and a wish asks for another scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from kvtui.app.app import KvtuiApp
from kvtui.engine.advice.fixes import fixes
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.setting import wished
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.windows.fixes import FixesScreen, about
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.screens.seen import text_of

SETTINGS = Settings(motion="none", remember=False)


def too_large() -> Scenario:
    return scenario_from({"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"})


def run(scenario: Scenario, size: tuple[int, int], check: Callable[[KvtuiApp, Pilot[None]], Awaitable[None]]) -> None:
    async def go() -> None:
        app = KvtuiApp(Session(scenario), SETTINGS)
        async with app.run_test(size=size) as pilot:
            await check(app, pilot)

    asyncio.run(go())


async def opened(app: KvtuiApp, pilot: Pilot[None]) -> FixesScreen:
    await pilot.press("f")
    await rows(app, pilot)
    assert isinstance(app.screen, FixesScreen)
    return app.screen


async def rows(app: KvtuiApp, pilot: Pilot[None]) -> int:
    """The number of rows, once the thread has found them."""
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    return app.screen.query_one(DataTable).row_count


def test_enter_takes_the_fix_and_u_takes_it_back() -> None:
    scenario = too_large()
    offered = fixes(scenario)

    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        await opened(app, pilot)
        assert await rows(app, pilot) == len(offered)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.session.scenario == offered[1].scenario
        assert app.session.plan.fits
        await pilot.press("u")
        assert app.session.scenario == scenario
        await pilot.press("U")
        assert app.session.scenario == offered[1].scenario

    run(scenario, (120, 36), check)


def test_it_says_what_is_risked_and_by_whom_that_was_measured() -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        window = await opened(app, pilot)
        await rows(app, pilot)
        assert "low to medium risk, llama.cpp pull request 1684" in text_of(app)
        assert "the least change first" in str(window.query_one(".box").border_title)

    run(too_large(), (80, 24), check)


def test_a_wish_is_fixed_and_taken_with_its_fix() -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        window = await opened(app, pilot)
        assert "it fits as it is" in text_of(app)
        window.query_one(Input).value = "users 35, context 128K"
        wish = wished(app.session.scenario, "users 35, context 128K")
        assert (wish.batch, wish.context) == (35, 131_072)
        found = fixes(wish, frozenset(("batch", "context")))
        assert await rows(app, pilot) == len(found) > 0
        assert all((fix.scenario.batch, fix.scenario.context) == (35, 131_072) for fix in found)
        await pilot.press("enter")
        await pilot.pause()
        assert app.session.scenario == found[0].scenario
        assert plan(app.session.scenario).fits

    run(scenario_from({"model": "Llama-3.1-8B", "engine": "vllm"}), (120, 36), check)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("users 35, contxt 128K", "unknown option 'contxt'; did you mean context"),
        ("users -4", "'-4' is not a whole number"),
        ("users 35, gpu 4o90", "unknown device '4o90'"),
    ],
)
def test_what_is_not_understood_is_said_and_nothing_is_planned(text: str, said: str) -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        window = await opened(app, pilot)
        for length in range(1, len(text) + 1):
            window.query_one(Input).value = text[:length]
            if length % 5 == 0:
                await rows(app, pilot)
        assert await rows(app, pilot) == 0
        assert said in " ".join(text_of(app).split())
        assert "what is wished for" in str(window.query_one(".box").border_title)

    run(too_large(), (160, 46), check)


def test_no_number_of_a_way_is_cut() -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "RTX 4090", "batch": "35", "context": "60K"})

    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        window = await opened(app, pilot)
        await rows(app, pilot)
        table = window.query_one(DataTable)
        for column in table.ordered_columns[1:]:
            assert max(len(cell.plain) for cell in table.get_column(column.key)) <= column.width

    for size in ((160, 46), (100, 30), (80, 24)):
        run(scenario, size, check)


def test_a_wish_that_is_none_says_so() -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        window = await opened(app, pilot)
        window.query_one(Input).value = "usres 35"
        await pilot.pause()
        assert "unknown option 'usres'" in text_of(app)
        await pilot.press("enter")
        assert app.screen is window

    run(too_large(), (120, 36), check)


def test_what_is_known_of_a_fix_is_said() -> None:
    text = about(fixes(too_large())[0])
    assert "iq4_xs weights: low to medium risk" in text
    assert "with llama.cpp" in text


def test_another_size_of_the_terminal_draws_the_table_anew() -> None:
    async def check(app: KvtuiApp, pilot: Pilot[None]) -> None:
        screen = await opened(app, pilot)
        table = screen.query_one(DataTable)
        before = table.row_count
        await pilot.press("down")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert table.row_count == before
        assert table.cursor_row == 1
        assert table.virtual_size.width <= table.size.width
        await pilot.resize_terminal(160, 46)
        await pilot.pause()
        assert "$/M" in text_of(app)

    run(too_large(), (160, 46), check)
