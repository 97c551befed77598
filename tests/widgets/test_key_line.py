"""The row of keys, which says what was said in passing."""

from __future__ import annotations

import asyncio

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.key_line import KeyLine
from tests.steady import until

SAID = "80.48 GiB at 32K do not fit one device: this needs 2 devices of this kind"


def test_the_key_of_the_help_is_whole_beside_or_below_what_was_said() -> None:
    async def look() -> None:
        app = KvtuiApp(Session(scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})), Settings(remember=False))
        async with app.run_test(size=(120, 24)) as pilot:
            app.notify(SAID, timeout=600)
            line = app.screen.query_one(KeyLine)
            await until(pilot, lambda: line.said is not None)
            for width in range(60, 121):
                await pilot.resize_terminal(width, 24)
                await pilot.pause()
                assert line.size.width == width - 2
                rows = [line.render_line(y).text.strip() for y in range(line.size.height)]
                assert rows[-1].endswith("? help"), (width, rows)
                assert " ".join(" ".join(rows).split()) == f"{SAID} ? help"

    asyncio.run(look())


def test_what_was_said_of_a_screen_or_a_scenario_ends_with_it_and_with_its_time() -> None:
    """A message whose screen was left while it stood there stayed for good."""

    async def look() -> None:
        app = KvtuiApp(Session(scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})), Settings(remember=False))
        async with app.run_test(size=(120, 24)) as pilot:
            memory = app.screen.query_one(KeyLine)
            app.notify(SAID, timeout=600)
            await until(pilot, lambda: memory.said is not None)
            await pilot.press("3")
            await until(pilot, lambda: app.current_mode == "plan" and memory.said is None and app.said is None)
            await pilot.press("1")
            await until(pilot, lambda: app.current_mode == "memory")
            assert memory.said is None

            app.notify(SAID, timeout=600)
            await until(pilot, lambda: memory.said is not None)
            app.session.change(batch=2)
            await until(pilot, lambda: memory.said is None)

            app.notify(SAID, timeout=0.05)
            assert app.said is not None
            app.switch_mode("papers")
            await until(pilot, lambda: app.said is None and memory.said is None)

    asyncio.run(look())


def test_a_screen_that_is_not_shown_says_nothing_of_a_plan_that_does_not_fit() -> None:
    async def look() -> None:
        app = KvtuiApp(Session(scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})), Settings(remember=False))
        async with app.run_test(size=(120, 24)) as pilot:
            await pilot.press("6")
            await until(pilot, lambda: app.current_mode == "papers")
            app.session.change(batch=512)
            await pilot.pause()
            assert app.said is None
            await pilot.press("1")
            await until(pilot, lambda: app.said is not None and "do not fit" in app.said.text)

    asyncio.run(look())
