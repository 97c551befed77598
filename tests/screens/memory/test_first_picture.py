"""The first picture of the Memory screen: whole, in the right colours, and made without doing anything twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from rich.console import RenderableType
from textual.css.stylesheet import Stylesheet
from textual.screen import Screen

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.memory.screen import MemoryScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.state.themes import theme_names
from kvtui.widgets.board import BoardView
from kvtui.widgets.panels import PanelColumn
from tests.paths import ROOT
from tests.screens.seen import text_of
from tests.steady import until

SIZES = [(200, 60), (120, 36), (100, 30), (80, 24)]


class Watched(KvtuiApp):
    """Keeps the text of the screen as it was when something was first shown of it, and who was there."""

    def __init__(self, theme: str = "kvtui-dark") -> None:
        super().__init__(Session(scenario_from({"model": "Llama-3.1-8B", "context": "128K"})), Settings(theme=theme))
        self.first: list[str] | None = None

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if self.first is None and renderable is not None and not self._batch_count:
            self.first = rows(self)
        super()._display(screen, renderable)


def rows(app: KvtuiApp) -> list[str]:
    return text_of(app).split("\n")


@pytest.mark.parametrize("size", SIZES)
def test_the_first_picture_is_whole_and_stays(size: tuple[int, int]) -> None:
    async def run() -> None:
        app = Watched()
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            assert app.first is not None
            board = app.screen.query_one(BoardView)
            assert board.cells is not None
            region, shown = board.region, app.first
            for y, painted in enumerate(board.cells.text().split("\n"), start=region.y):
                assert shown[y][region.x : region.right] == painted
            for column in app.screen.query(PanelColumn):
                if column.region.width:
                    assert shown[column.region.y][column.region.x] == "┌"
            assert "Llama-3.1-8B" in shown[1]
            await until(pilot, lambda: "? help" in rows(app)[-1])
            later = rows(app)
            assert later[1 : region.y] == shown[1 : region.y]
            assert [row[region.x : region.right] for row in later[region.y : region.bottom]] == [
                row[region.x : region.right] for row in shown[region.y : region.bottom]
            ]

    asyncio.run(run())


def test_style_sheets_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Stylesheet] = []
    reparse = Stylesheet.reparse

    def noted(sheet: Stylesheet) -> None:
        parsed.append(sheet)
        reparse(sheet)

    monkeypatch.setattr(Stylesheet, "reparse", noted)

    async def run() -> None:
        app = Watched()
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            assert isinstance(app.screen, MemoryScreen)
            assert not parsed
            await pilot.press("6")
            await pilot.pause()
            assert not parsed
            app.theme = "kvtui-light"
            await pilot.pause()
            assert len(parsed) == 1

    asyncio.run(run())


@pytest.mark.parametrize("theme", sorted({"kvtui-dark", "kvtui-light", "nord", "ansi-light"} & set(theme_names())))
def test_a_theme_from_the_start_is_the_theme_chosen_later(theme: str) -> None:
    async def colours(first: str, then: str) -> tuple[object, ...]:
        app = Watched(first)
        async with app.run_test(size=(120, 36)) as pilot:
            await pilot.pause()
            if then != first:
                app.change_settings(theme=then)
                app.theme = then
                await pilot.pause()
            styles = app.screen.styles, app.screen.query_one("#title").styles
            return (
                app.current_theme.name,
                frozenset(app.classes),
                app.theme_variables,
                [(style.background, style.color) for style in styles],
                [(type(one), vars(one)) for one in app._filters],
            )

    other = "kvtui-light" if theme == "kvtui-dark" else "kvtui-dark"
    assert asyncio.run(colours(theme, theme)) == asyncio.run(colours(other, theme))


@pytest.mark.parametrize("given", [None, "3"])
def test_numpy_starts_no_threads_and_leaves_the_environment_alone(given: str | None) -> None:
    code = (
        "import os, sys, threading, time\n"
        f"given = {given!r}\n"
        "os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "if given: os.environ['OPENBLAS_NUM_THREADS'] = given\n"
        "from kvtui.app.start import begin, begun\n"
        "begin()\n"
        "begun()\n"
        "import gc\n"
        "assert gc.isenabled() and gc.get_freeze_count()\n"
        "[thread.join() for thread in threading.enumerate() if thread is not threading.main_thread()]\n"
        "assert 'numpy' in sys.modules\n"
        "assert os.environ.get('OPENBLAS_NUM_THREADS') == given\n"
        "tasks, end = '/proc/self/task', time.monotonic() + 10\n"
        "while not given and os.path.isdir(tasks) and len(os.listdir(tasks)) > 1:\n"
        "    assert time.monotonic() < end\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
