"""Keys and clicks that arrive faster than a screen takes them, as a slow line delivers them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual import events
from textual.command import CommandList
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.memory.screen import MemoryScreen
from kvtui.screens.plan.screen import PlanScreen
from kvtui.screens.windows.export import ExportScreen
from kvtui.screens.windows.help import HelpScreen
from kvtui.screens.windows.palette import Palette
from kvtui.screens.windows.pickers import ModelPicker
from kvtui.screens.windows.prompt import PromptScreen
from kvtui.state import keys
from kvtui.state.keys import MODES
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.matrix import MatrixView
from tests.nightly import sampled
from tests.steady import until

pytestmark = sampled(2)

Script = Callable[[KvtuiApp, Pilot[None]], Awaitable[None]]


def drive(script: Script) -> None:
    """Run ``script`` against the app; an exception in the app fails the test."""

    async def run() -> None:
        session = Session(scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"}))
        app = KvtuiApp(session, Settings(motion="none", remember=False))
        async with app.run_test(size=(120, 36), notifications=True) as pilot:
            await pilot.pause()
            await script(app, pilot)

    asyncio.run(run())


def burst(app: KvtuiApp, *names: str) -> None:
    """All of these keys at once."""
    for key in names:
        app.simulate_key(key)


def test_enter_twice_in_the_palette_takes_one_command() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        for _ in range(2):
            batch = app.session.scenario.batch
            app.simulate_key("ctrl+p")
            await pilot.pause()
            app.screen.query_one(Input).value = "next batch"
            await until(pilot, lambda: app.screen.query_one(OptionList).option_count)
            await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 0)
            burst(app, "enter", "enter", "enter")
            await until(pilot, lambda: isinstance(app.screen, MemoryScreen))

            def doubled(batch: int = batch) -> bool:
                return app.session.scenario.batch == 2 * batch

            await until(pilot, doubled)
            await pilot.pause()
            assert app.session.scenario.batch == 2 * batch

    drive(script)


def test_enter_twice_in_a_picker_closes_it_alone() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("m")
        await pilot.pause()
        table = app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count)
        burst(app, "enter", "enter", "escape")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))
        await pilot.pause()
        assert isinstance(app.screen, MemoryScreen)

    drive(script)


def test_enter_twice_in_the_export_writes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("x")
        await pilot.pause()
        assert isinstance(app.screen, ExportScreen)
        burst(app, "enter", "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))
        await pilot.pause()
        assert len(list(tmp_path.iterdir())) == 1

    drive(script)


def test_enter_twice_in_a_prompt_takes_once() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("c")
        await pilot.pause()
        assert isinstance(app.screen, PromptScreen)
        app.screen.query_one(Input).value = "64K"
        burst(app, "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))
        assert app.session.scenario.context == 65_536

    drive(script)


def test_two_clicks_beside_the_palette_close_it_alone() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("ctrl+p")
        await pilot.pause()
        for kind in (events.MouseDown, events.MouseUp) * 2:
            app.post_message(kind(None, 1, 34, 0, 0, 1, False, False, False, screen_x=1, screen_y=34))
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))
        await pilot.pause()

    drive(script)


@pytest.mark.parametrize("opener", ["m", "g", "c", "e", "x", "f1", "ctrl+p"])
def test_a_window_that_is_closed_before_it_is_there_does_not_open(opener: str) -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        burst(app, opener, "escape", opener, "escape", "escape")
        await pilot.pause()
        burst(app, "escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))

    drive(script)


@pytest.mark.parametrize(
    "opener", ["pick_model", "set_context", "explain", "app.export", "app.help", "app.command_palette"]
)
def test_keys_for_a_window_that_is_not_set_up_yet_do_nothing(opener: str) -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        await app.screen.run_action(opener)
        window = app.screen
        assert not window.is_mounted
        for action in ("move(1)", "move(-1)", "command_list('cursor_up')", "cursor_down", "command_list('page_down')"):
            await window.run_action(action)
        await pilot.pause()
        assert app.screen is window
        app.simulate_key("escape")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))

    drive(script)


def test_a_key_twice_opens_one_window() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        burst(app, "f1", "f1")
        await pilot.pause()
        if isinstance(app.screen, HelpScreen):
            app.simulate_key("escape")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))

    drive(script)


def test_a_window_below_another_closes_when_that_is_gone() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("m")
        await pilot.pause()
        picker = app.screen
        assert isinstance(picker, ModelPicker)
        app.simulate_key("ctrl+p")
        await pilot.pause()
        palette = app.screen
        assert isinstance(palette, Palette)
        picker.dismiss()
        await pilot.pause()
        assert app.screen is palette
        app.simulate_key("escape")
        await until(pilot, lambda: isinstance(app.screen, MemoryScreen))

    drive(script)


def test_modes_and_windows_in_one_burst() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        for names in (("ctrl+p", "3"), ("m", "2", "5"), ("3", "m", "1"), ("5", "ctrl+p", "4"), ("c", "1", "escape")):
            burst(app, *names)
            await pilot.pause(0)
            burst(app, "escape", "escape", "1")
            await pilot.pause(0)
            burst(app, "escape", "1")
            await until(pilot, lambda: isinstance(app.screen, MemoryScreen))

    drive(script)


@pytest.mark.parametrize("mode", [mode.name for mode in MODES if mode.name != "memory"])
def test_keys_for_a_mode_that_is_not_set_up_yet_do_nothing(mode: str) -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.action_mode(mode)
        screen = app.screen
        assert screen.id == f"{mode}-mode"
        assert not screen.is_mounted
        for key in keys.TABLES[mode]:
            if not key.action.startswith("app."):
                await screen.run_action(key.action)
        await pilot.pause(0)
        assert app.screen is screen

    drive(script)


def test_the_wheel_before_the_table_of_the_plan_is_there() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("3")
        await until(pilot, lambda: isinstance(app.screen, PlanScreen))
        screen = app.screen
        assert isinstance(screen, PlanScreen)
        view = app.screen.query_one(MatrixView)
        view.post_message(MatrixView.Scrolled(3, 0))
        view.post_message(MatrixView.Pointed(1, 1))
        view.post_message(MatrixView.Pointed(None, 2))
        for action in ("lever(3)", "take", "mark", "order", "explain", "view", "filter", "unfilter"):
            await app.screen.run_action(action)
        assert screen.command.startswith("kvtui ")
        assert screen.export_forms() == ()
        await until(pilot, lambda: screen.table is not None)

    drive(script)


def test_a_click_on_what_was_just_taken_away_is_not_heard() -> None:
    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        words = Static("words to click on")
        words.styles.dock = "top"
        await app.screen.mount(words)
        await pilot.pause()
        x, y = words.region.x + 2, words.region.y
        await words.remove()
        assert app.get_widget_at(x, y)[0] is words
        for kind in (events.MouseMove, events.MouseDown, events.MouseUp):
            await app.on_event(kind(None, x, y, 0, 0, 1, False, False, False, screen_x=x, screen_y=y))
        await pilot.pause()
        assert app.get_widget_at(x, y)[0] is not words

    drive(script)


def test_keys_after_the_one_that_quits_are_not_heard() -> None:
    async def run() -> int | None:
        app = KvtuiApp(Session(scenario_from({})), Settings(motion="none", remember=False))
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            burst(app, "q", *"mgcx", "escape", "enter", "f1", "down", *"12345", "q")
            app.post_message(events.Paste("words"))
            app.post_message(events.AppBlur())
            for _ in range(50):
                app.post_message(events.MouseMove(None, 5, 5, 1, 1, 0, False, False, False, screen_x=5, screen_y=5))
        return app.return_code

    assert asyncio.run(run()) == 0


def test_the_palette_has_rows_to_page() -> None:
    """The list that ``PagedPalette`` pages is the one that the palette shows."""

    async def script(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.simulate_key("ctrl+p")
        await pilot.pause()
        found = app.screen.query_one(CommandList)
        await until(pilot, lambda: found.option_count > 20)
        burst(app, "pagedown", "pagedown")
        await until(pilot, lambda: (found.highlighted or 0) > 5)
        assert app.screen.query_one(Vertical)

    drive(script)
