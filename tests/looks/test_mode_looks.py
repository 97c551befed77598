"""What each mode's screen looks like: dark, light and without colour, wide to narrow."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from kvtui.app.app import KvtuiApp
from kvtui.screens.explore.list import FigureList
from kvtui.screens.memory.screen import MemoryScreen
from tests.looks.checked import check
from tests.looks.walk import SIZES, Looks, Scene, Size, Step


class StillApp(KvtuiApp):
    """The app with a Memory screen on which no time passes: its pop-up neither goes nor comes back by itself."""

    def memory_screen(self) -> Screen[None]:
        return MemoryScreen(self.session, self.settings, clock=float)


MAKE = StillApp
VALUES = {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "32K", "batch": "16", "cb": True, "pa": True}


def mode(name: str) -> Step:
    async def switch(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.action_mode(name)
        await pilot.pause()

    return switch


async def two_thirds(app: KvtuiApp, pilot: Pilot[None]) -> None:
    cast("MemoryScreen", app.screen).set_tokens(app.session.scenario.context * 2 // 3)


async def surface(app: KvtuiApp, pilot: Pilot[None]) -> None:
    figures = app.screen.query_one(FigureList)
    figures.highlighted = figures.get_option_index("cache-surface")
    figures.scroll_to_highlight()


def memory_of(**texts: str) -> Step:
    async def change(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.action_mode("memory")
        for name, text in texts.items():
            app.session.set_text(name, text)
        await pilot.pause()
        await two_thirds(app, pilot)

    return change


def settled(app: KvtuiApp) -> bool:
    return cast("MemoryScreen", app.screen)._settled


def worked_out(app: KvtuiApp) -> bool:
    return all(worker.is_finished for worker in app.workers)


SCENES = (
    Scene("memory", two_thirds, settled),
    Scene("explore", mode("explore")),
    Scene("explore-surface", surface),
    Scene("plan", mode("plan"), worked_out),
    Scene("bench", mode("bench")),
    Scene("papers", mode("papers")),
    Scene("memory-of-eight", memory_of(model="Llama-3.1-70B", gpus="8", engine="vllm@0.11"), settled),
    Scene("memory-too-small", memory_of(model="Llama-3.1-8B", gpus="1", batch="128"), settled),
)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_screens_look_as_recorded(
    name: str, size: Size, walked: dict[tuple[str, Size], Looks], update: bool, tmp_path: Path
) -> None:
    check(name, size, walked[name, size], tmp_path, update)
