"""Any keys and sizes on every screen but Memory, whose film has a test of its own, leave the app running."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.command import CommandList
from textual.widgets.option_list import Option

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.windows.palette import Palette
from kvtui.state import keys
from kvtui.state.session import Session
from kvtui.state.settings import Settings

LEAVES_OR_WRITES = {"quit", "export", "copy", "bench-run"}
NAMED = {"/": "slash", "[": "left_square_bracket", "]": "right_square_bracket", "+": "plus", "=": "equals_sign"}


def pressed_for(ids: set[str]) -> set[str]:
    """The names of the keys with these ids."""
    return {NAMED.get(name, name) for key in keys.ALL if key.id in ids for name in key.keys.split(",")}


PRESSED = sorted(
    (pressed_for({key.id for key in keys.ALL}) | {"escape", "enter", "tab", "a"}) - pressed_for(LEAVES_OR_WRITES)
)
EXAMPLES, STEPS = (150, 25) if os.environ.get("KVTUI_TEST_PROFILE") == "nightly" else (2, 6)
steps = st.one_of(
    st.sampled_from(PRESSED), st.sampled_from(PRESSED), st.tuples(st.integers(1, 220), st.integers(1, 70))
)


def press(mode: str, sequence: list[str | tuple[int, int]]) -> None:
    """Exceptions in the app come out of ``run_test``."""

    async def body() -> None:
        scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})
        app = KvtuiApp(Session(scenario), Settings(motion="none", remember=False))
        async with app.run_test(size=(120, 36)) as pilot:
            app.simulate_key(mode)
            await pilot.pause()
            for step in sequence:
                if isinstance(step, str):
                    app.simulate_key(step)
                else:
                    await pilot.resize_terminal(*step)
            await pilot.pause()

    asyncio.run(body())


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory):
    """A folder of its own, for screens that read and write results."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("any-keys"))
    yield
    os.chdir(before)


@pytest.mark.parametrize("mode", ["2", "3", "4", "5"])
def test_no_sequence_fails(mode):
    @settings(max_examples=EXAMPLES)
    @given(st.lists(steps, max_size=STEPS))
    def holds(sequence):
        press(mode, sequence)

    holds()


@pytest.mark.parametrize("action", ["page_up", "page_down"])
def test_a_list_without_room_is_paged(action):
    from kvtui.screens.explore.list import FigureList

    figures = FigureList(id="figures")
    figures.fill("")
    getattr(figures, f"action_{action}")()
    assert figures.highlighted is not None


def test_the_palette_stays_where_it_is_while_its_list_has_no_room():
    async def body() -> None:
        app = KvtuiApp(Session(scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})), Settings(remember=False))
        async with app.run_test(size=(120, 36)) as pilot:
            app.simulate_key("ctrl+p")
            await pilot.pause()
            assert isinstance(app.screen, Palette)
            found = app.screen.query_one(CommandList)
            found.add_options([Option("one"), Option("two")])
            found.highlighted = 1
            found.styles.height = 0
            await pilot.pause()
            assert not found.scrollable_content_region
            for action in ("page_up", "page_down"):
                app.screen._action_command_list(action)
                assert found.highlighted == 1

    asyncio.run(body())
