"""No screen stays blank after its size changed, whatever a change shows, hides or moves on it."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from kvtui.canvas.widget import Canvas
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.session import Session
from tests.screens.stand_in import ShellApp
from tests.steady import until

SIZES = ((160, 46), (120, 36), (100, 26), (80, 24))
"""Each pair of them differs in a part that is shown at one size only."""
MODES = ("memory", "explore", "plan", "bench", "traffic", "papers")


@pytest.mark.parametrize("mode", MODES)
def test_every_part_is_painted_in_its_new_size(mode: str) -> None:
    async def run() -> None:
        app = ShellApp(Session(scenario_from({})))
        async with app.run_test(size=SIZES[0]) as pilot:
            app.action_mode(mode)
            for before, after in permutations(SIZES, 2):
                for size in (before, after):
                    await pilot.resize_terminal(*size)
                await pilot.pause()
                await until(pilot, lambda: not any(part.is_outgrown for part in app.screen.query(Canvas)))

    asyncio.run(run())
