"""Any keys, clicks, pastes and sizes on every screen, one by one and in bursts, leave the app running."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.keys import MODES
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.nightly import NIGHTLY, sampled
from tests.screens.monkey import WAIT, Mouse, Sized, Step, play, steps

EXAMPLES, STEPS = (150, 40) if NIGHTLY else (3, 12)


def run(mode: str, sequence: Sequence[Step]) -> None:
    """Exceptions in the app come out of ``run_test``."""

    async def body() -> None:
        scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})
        app = KvtuiApp(Session(scenario), Settings(remember=False))
        async with app.run_test(size=(120, 36)):
            await play(app, [mode, WAIT, *sequence])

    asyncio.run(body())


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of its own, for screens that read and write results."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("any-keys"))
    yield
    os.chdir(before)


@pytest.mark.parametrize("mode", [mode.number for mode in MODES])
@sampled(2)
def test_no_sequence_fails(mode: str) -> None:
    @settings(max_examples=EXAMPLES)
    @example([Sized(1, 1), "m", "c", "tab", Sized(80, 24), "ctrl+p", "f1", "escape", Mouse("down", 0.3, 0.5)])
    @given(st.lists(steps, max_size=STEPS))
    def holds(sequence: list[Step]) -> None:
        run(mode, sequence)

    holds()


@pytest.mark.parametrize("action", ["page_up", "page_down"])
def test_a_list_without_room_is_paged(action: str) -> None:
    from kvtui.screens.explore.list import FigureList

    figures = FigureList(id="figures")
    figures.fill("")
    getattr(figures, f"action_{action}")()
    assert figures.highlighted is not None
