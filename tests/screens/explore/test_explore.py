"""The Explore screen as a user meets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from kvtui.app.app import KvtuiApp
from kvtui.cli import main
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures.catalogue import ENTRIES, find_entry
from kvtui.screens.explore.list import FigureList
from kvtui.screens.explore.screen import ExploreScreen
from kvtui.screens.explore.windows import AboutScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.panels import TextLine
from tests.present import present
from tests.steady import until

PLANNED = [entry for entry in ENTRIES if entry.source != "run"]


class Seen:
    """The running app on its Explore screen."""

    def __init__(self, app: KvtuiApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> ExploreScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, ExploreScreen))

    async def until(self, holds: Callable[[], bool]) -> None:
        await until(self.pilot, holds)

    async def show(self, id: str) -> None:
        figures = self.screen.query_one(FigureList)
        figures.fill("", find_entry(id))
        await self.until(lambda: self.shows(id))

    def shows(self, id: str) -> bool:
        shown = self.screen.view.shown
        return shown is not None and shown.id == id and bool(self.text().strip())

    def text(self) -> str:
        view = self.screen.space if self.screen.space.display else self.screen.view
        cells = view.cells
        return "" if cells is None else "\n".join("".join(map(chr, row)) for row in cells.glyph)

    def line(self, id: str) -> str:
        cells = self.screen.query_one(id, TextLine).cells
        return "" if cells is None else "".join(map(chr, cells.glyph[0])).strip()


def run(
    body: Callable[[Seen], Awaitable[None]], size: tuple[int, int] = (120, 36), model: str = "Llama-3.1-8B"
) -> None:
    async def whole() -> None:
        values = {"model": model, "gpu": "H200 SXM", "context": "32K", "batch": "4"}
        app = KvtuiApp(Session(scenario_from(values)), Settings(motion="none", remember=False))
        async with app.run_test(size=size) as pilot:
            await pilot.press("2")
            await pilot.pause()
            seen = Seen(app, pilot)
            await seen.until(lambda: seen.screen.view.shown is not None)
            await body(seen)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("size", "model", "first"),
    [((120, 36), "Llama-3.1-8B", 0), ((80, 24), "Qwen3-Next-80B-A3B", 1), ((200, 60), "DeepSeek-V3.2", 2)],
)
def test_every_figure_opens(size: tuple[int, int], model: str, first: int) -> None:
    async def body(seen: Seen) -> None:
        for entry in PLANNED[first::3]:
            await seen.show(entry.id)
            assert present(seen.screen.view.shown).panels, entry.id

    run(body, size, model)


def test_measured_figures_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def body(seen: Seen) -> None:
        await seen.show("01")
        assert not present(seen.screen.view.shown).panels
        assert "No rows" in seen.text()

    run(body)


def test_the_cursor_reads_out_what_the_data_say() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("kv-context")
        await seen.pilot.press("tab", "right")
        await seen.until(lambda: "GiB" in seen.line("#reading") or "MiB" in seen.line("#reading"))
        words = seen.line("#reading")
        assert words.startswith("Llama-3.1-8B")
        before = words
        await seen.pilot.press("pagedown")
        await seen.until(lambda: seen.line("#reading") != before)

    run(body)


def test_enlarging_moving_and_all_of_it_again() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("kv-context")
        whole = seen.text()
        await seen.pilot.press("tab", "plus")
        await seen.until(lambda: seen.text() != whole)
        larger = seen.text()
        await seen.pilot.press("shift+right")
        await seen.until(lambda: seen.text() != larger)
        await seen.pilot.press("r")
        await seen.until(lambda: seen.text() == whole)

    run(body)


def test_a_surface_turns() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("cache-surface")
        await seen.until(lambda: seen.screen.space.display)
        before = seen.screen.space.camera
        await seen.pilot.press("tab", "right")
        await seen.until(lambda: seen.screen.space.camera != before)

    run(body)


def test_parameters_are_checked_and_drawn() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("estimate-gqa")
        await seen.pilot.press("p")
        await seen.until(lambda: isinstance(seen.app.focused, Input))
        field, hint = seen.app.focused, seen.app.screen.query_one(".hint", Static)
        assert isinstance(field, Input)
        field.value = "none"
        await seen.until(lambda: "emb_dim" in str(hint.content))
        await seen.pilot.press("enter")
        assert seen.app.screen is not seen.screen
        field.value = "4096"
        await seen.until(lambda: not str(hint.content))
        await seen.pilot.press("enter")
        await seen.until(lambda: seen.app.screen is seen.screen)
        await seen.until(lambda: any("4,096" in panel.title for panel in present(seen.screen.view.shown).panels))
        assert seen.screen.command == "kvtui plot --figure estimate-gqa --set emb_dim=4096"

    run(body)


def test_more_models_are_drawn_too() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("kv-context")
        seen.screen.add_model(find_model("gemma-3-27b"))
        await seen.until(lambda: "gemma-3-27b" in seen.text())
        assert seen.screen.command.endswith("--beside gemma-3-27b")
        await seen.pilot.press("A")
        await seen.until(lambda: "gemma-3-27b" not in seen.text())

    run(body)


def test_the_figure_follows_the_scenario() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("kv-context")
        seen.app.session.set_model(find_model("gemma-3-27b"))
        await seen.until(lambda: "gemma-3-27b" in seen.text())

    run(body)


def test_words_find_figures() -> None:
    async def body(seen: Seen) -> None:
        await seen.pilot.press("slash", *"dial")
        await seen.pilot.press("enter")
        await seen.until(lambda: seen.shows("latent-dial"))

    run(body)


def test_escape_ends_the_filter_and_letters_are_keys_again() -> None:
    async def body(seen: Seen) -> None:
        figures = seen.screen.query_one(FigureList)
        before = figures.border_subtitle
        await seen.pilot.press("slash", *"MLA", "escape")
        await seen.until(lambda: not seen.screen.query_one("#wanted", Input).display)
        assert seen.screen.query_one("#wanted", Input).value == ""
        await seen.until(lambda: seen.screen.focused is figures and figures.border_subtitle == before)

    run(body)


def test_the_figure_can_be_explained_and_saved() -> None:
    async def body(seen: Seen) -> None:
        await seen.show("frontier")
        await seen.pilot.press("e")
        await seen.until(lambda: isinstance(seen.app.screen, AboutScreen))
        await seen.pilot.press("escape")
        await seen.until(lambda: seen.app.screen is seen.screen)
        made = {form.ending: present(form.make)() for form in seen.screen.export_forms()}
        assert json.loads(made["json"])["id"] == "frontier"
        assert "sequences" in made["txt"]
        picture = made["png"]
        assert isinstance(picture, bytes)
        assert picture.startswith(b"\x89PNG")

    run(body)


def test_a_small_terminal_is_told_so() -> None:
    async def body(seen: Seen) -> None:
        await seen.pilot.resize_terminal(50, 15)
        await seen.until(lambda: "kvtui needs 60x18, this is 50x15" in seen.line("#too-small"))

    run(body)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--figure", "kv-context", "--model", "Qwen3-8B", "--beside", "gemma-3-27b"], "gemma-3-27b"),
        (["--figure", "estimate-mla", "--set", "latents=64"], "64"),
        (["--list"], "When does a longer context stop fitting?"),
    ],
)
def test_plot_draws_the_figures_of_a_scenario(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", *words, "--width", "90"] if "--list" not in words else ["plot", *words]) == 0
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--list names them"),
        (["--figure", "01"], "kvtui plot FOLDER --figure 01"),
        (["--figure", "kv-contxt"], "kv-context"),
        (["--figure", "estimate-mla", "--set", "latents"], "NAME=VALUE"),
        (["results", "--set", "a=b"], "need no file"),
    ],
)
def test_plot_names_what_is_wrong(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["plot", *words])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err


def test_every_planned_figure_becomes_a_file(tmp_path: Path) -> None:
    target = tmp_path / "figure.json"
    assert main(["plot", "--figure", "memory-map", "--context", "4K", "-o", str(target)]) == 0
    assert json.loads(target.read_text())["id"] == find_entry("memory-map").id
