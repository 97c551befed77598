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
