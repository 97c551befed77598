"""What each mode's screen looks like: dark, light and without colour, wide to narrow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from kvtui.app.app import KvtuiApp
from kvtui.attach.opening import recording_in, snapshots_of, source_of
from kvtui.engine.replay.filmed import BESIDE, film_of
from kvtui.engine.replay.traces import read_trace
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures.catalogue import find_entry
from kvtui.screens.explore.list import FigureList
from kvtui.screens.memory.screen import MemoryScreen
from kvtui.screens.traffic.film import FilmScreen
from kvtui.screens.traffic.film_state import FilmState
from kvtui.screens.traffic.screen import TrafficScreen
from tests.looks.checked import check
from tests.looks.walk import SIZES, Looks, Scene, Size, Step
from tests.paths import DATA
from tests.steady import until


class StillApp(KvtuiApp):
    """The app with a Memory screen on which no time passes: what it announces neither goes nor comes back."""

    def memory_screen(self) -> Screen[None]:
        return MemoryScreen(self.session, self.settings, clock=float)


MAKE = StillApp
FROM, BEATS = "http://127.0.0.1:8000", len(list(snapshots_of(str(recording_in(["demo"])))))
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
    figures.fill("", find_entry("cache-surface"))
    figures.scroll_to_highlight()


def memory_of(**texts: str) -> Step:
    async def change(app: KvtuiApp, pilot: Pilot[None]) -> None:
        app.action_mode("memory")
        for name, text in texts.items():
            app.session.set_text(name, text)
        await pilot.pause()
        await two_thirds(app, pilot)

    return change


async def demo(app: KvtuiApp, pilot: Pilot[None]) -> None:
    app.action_mode("traffic")
    await pilot.pause()
    screen = cast("TrafficScreen", app.screen)
    screen.watch_source(source_of(["demo"]))
    await until(pilot, lambda: len(screen.history.until(FROM, None)) == BEATS)
    screen._change(
        replace(screen.state, at=screen.history.until(FROM, None)[BEATS * 2 // 3].snapshot.time, playing=False)
    )
    await until(pilot, lambda: screen._plans.get(FROM, (None, None, ""))[1] is not None)


async def film(app: KvtuiApp, pilot: Pilot[None]) -> None:
    if not isinstance(app.screen, FilmScreen):
        with (DATA / "replay/synth_trace_160.jsonl").open(encoding="utf-8") as lines:
            requests = read_trace(lines, "trace").requests[:60].faster(30)
        values = {"engine": "vllm", "model": "Llama-3.1-8B", "gpu": "L40S", "context": "512", "kv_pool": "128MiB"}
        made = film_of(requests, "synth_trace_160.jsonl", scenario_from(values), BESIDE, "trace")
        await app.push_screen(FilmScreen(app.session, made, clock=float))
    screen = cast("FilmScreen", app.screen)
    await until(pilot, lambda: screen.whole)
    screen.state = FilmState(playing=False)
    await pilot.press("p", "j")


def settled(app: KvtuiApp) -> bool:
    columns = cast("MemoryScreen", app.screen)._columns
    return columns is not None and columns.settled


def worked_out(app: KvtuiApp) -> bool:
    return all(worker.is_finished for worker in app.workers)


SCENES = (
    Scene("memory", two_thirds, settled),
    Scene("explore", mode("explore")),
    Scene("explore-surface", surface),
    Scene("plan", mode("plan"), worked_out),
    Scene("bench", mode("bench")),
    Scene("traffic-empty", mode("traffic")),
    Scene("traffic", demo, worked_out),
    Scene("papers", mode("papers")),
    Scene("memory-of-eight", memory_of(model="Llama-3.1-70B", gpus="8", engine="vllm@0.11"), settled),
    Scene("memory-too-small", memory_of(model="Llama-3.1-8B", gpus="1", batch="128"), settled),
    Scene("traffic-film", film),
)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_screens_look_as_recorded(
    name: str, size: Size, walked: dict[tuple[str, Size], Looks], update: bool, tmp_path: Path
) -> None:
    check(name, size, walked[name, size], tmp_path, update)
