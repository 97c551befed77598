"""Draw the README's pictures anew from today's app: ``python docs/pictures.py``."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

os.environ["TEXTUAL_ANIMATIONS"] = "none"

from moving import Shot, moving
from rich.console import Console
from rich.text import Text

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures.catalogue import find_entry
from kvtui.report import render
from kvtui.report.document import document
from kvtui.screens.explore.list import FigureList
from kvtui.screens.explore.screen import ExploreScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings

HERE = Path(__file__).parent
REPORT = {
    "model": "Qwen3-Next-80B-A3B",
    "gpu": "H200 SXM",
    "gpus": "2",
    "dtype": "fp8",
    "kv_dtype": "bf16",
    "context": "128K",
    "batch": "4",
}
ONE = {
    "model": "Llama-3.1-8B",
    "gpu": "H200 SXM",
    "context": "128K",
    "batch": "8",
    "fill": "average",
    "cb": True,
    "pa": True,
}
QUESTION = {"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"}
FILM_SHOTS = 14
PATIENCE_SECONDS = 12
"""What is in sight of the Plan's table, the frontier and the levers are there by then."""

MANY = {"model": "DeepSeek-V3.2", "gpu": "B200", "gpus": "8", "dtype": "fp8", "context": "128K", "batch": "8"}


def report(target: Path) -> None:
    """The text report, as a terminal shows it."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    shown = render(document(scenario_from(REPORT)), "text", width=98, color=True)
    console.print(Text.from_ansi(shown))
    target.write_text(console.export_svg(title="kvtui --report"))


async def memory(
    target: Path, size: tuple[int, int], theme: str, fraction: float, values: dict[str, str | bool]
) -> None:
    """The Memory screen at ``fraction`` of its film."""
    app = KvtuiApp(Session(scenario_from(values)), Settings(theme=theme, palette="rgb", remember=False))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.6)
        app.screen.set_tokens(int(app.session.scenario.context * fraction))
        await pilot.pause(0.6)
        app.clear_notifications()
        await pilot.pause(0.3)
        target.write_text(app.export_screenshot(title="kvtui"))


async def explore(target: Path, size: tuple[int, int], figure: str) -> None:
    """The Explore screen with the figure called ``figure``."""
    app = KvtuiApp(Session(scenario_from(ONE)), Settings(palette="rgb", motion="none", remember=False))
    async with app.run_test(size=size) as pilot:
        await pilot.press("2")
        await pilot.pause(1)
        screen = app.screen
        assert isinstance(screen, ExploreScreen)
        figures = screen.query_one(FigureList)
        figures.fill("", find_entry(figure))
        figures.scroll_to_highlight()
        await pilot.pause(3)
        target.write_text(app.export_screenshot(title="kvtui"))


async def plan(target: Path, size: tuple[int, int]) -> None:
    """The Plan screen."""
    app = KvtuiApp(Session(scenario_from(ONE)), Settings(palette="rgb", motion="none", remember=False))
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await pilot.pause(PATIENCE_SECONDS)
        target.write_text(app.export_screenshot(title="kvtui"))


async def first_minute(target: Path, size: tuple[int, int]) -> None:
    """The question of the README as it is answered: it does not fit, what would, and the film of that."""
    app = KvtuiApp(Session(scenario_from(QUESTION)), Settings(palette="rgb", remember=False))
    shots: list[Shot] = []

    def shoot(seconds: float, words: str) -> None:
        app.clear_notifications()
        shots.append(Shot(app.export_screenshot(title="kvtui"), seconds, words))

    async with app.run_test(size=size) as pilot:
        await pilot.pause(1)
        await pilot.pause(0.3)
        shoot(3.0, "Does Qwen3-32B with 32K tokens fit one RTX 4090?")
        await pilot.press("f")
        await pilot.pause(2)
        shoot(3.5, "f   what would make it fit")
        await pilot.press("enter")
        await pilot.pause(1)
        shoot(2.5, "enter   the cheapest change is made; u takes it back")
        context = app.session.scenario.context
        for step in range(1, FILM_SHOTS + 1):
            app.screen.set_tokens(context * step // FILM_SHOTS)
            await pilot.pause(0.2)
            last = step == FILM_SHOTS
            shoot(2.5 if last else 0.35, "space   the context grows, and the cache with it")
    target.write_text(moving(shots))


if __name__ == "__main__":
    asyncio.run(first_minute(HERE / "moving.svg", (110, 32)))
    report(HERE / "report.svg")
    asyncio.run(memory(HERE / "memory.svg", (160, 46), "kvtui-dark", 0.62, ONE))
    asyncio.run(memory(HERE / "cluster.svg", (160, 46), "kvtui-light", 0.5, MANY))
    asyncio.run(explore(HERE / "explore.svg", (140, 40), "cache-surface"))
    asyncio.run(plan(HERE / "plan.svg", (160, 46)))
