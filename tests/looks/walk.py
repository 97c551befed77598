"""Walks through the app in each look, and takes what is on screen at each size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import chdir
from typing import NamedTuple

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.alert import Alert
from tests.looks.frames import Frame, frame

SIZES = ((160, 46), (120, 36), (80, 24))
DARK, LIGHT, PLAIN = "dark", "light", "no colour"
MOST_PAUSES = 1000

Size = tuple[int, int]
Step = Callable[[KvtuiApp, Pilot[None]], Awaitable[None]]
Looks = dict[str, Frame]


def idle(app: KvtuiApp) -> bool:
    """Whether nothing is being worked out."""
    return not any(worker.is_running for worker in app.workers)


class Scene(NamedTuple):
    """A screen or window, how to come to it from the one before, and what holds once all of it is there.

    ``folder`` is the one to be in, for a screen that says it.
    """

    name: str
    open: Step
    ready: Callable[[KvtuiApp], object] = idle
    folder: str = "."


def settings(palette: str) -> Settings:
    """Nothing moves, and nothing is remembered."""
    return Settings(theme="kvtui-dark", motion="none", palette=palette, remember=False)


async def walk(
    make: Callable[[Session, Settings], KvtuiApp], values: Mapping[str, str | bool], scenes: Sequence[Scene]
) -> dict[tuple[str, Size], Looks]:
    """The looks of each of the ``scenes`` at each size, by its name and the size; ``values`` are the scenario's.

    One app shows all of them in colour, another without. It changes its theme and its size, which is faster than to
    start a new one.
    """
    found: dict[tuple[str, Size], Looks] = {(scene.name, size): {} for scene in scenes for size in SIZES}
    app = make(Session(scenario_from(values)), settings("rgb"))
    async with app.run_test(size=SIZES[0]) as pilot:
        for scene in scenes:
            with chdir(scene.folder):
                await scene.open(app, pilot)
                for look in (DARK, LIGHT):
                    app.theme = f"kvtui-{look}"
                    await _at_each_size(app, pilot, scene, look, found)
                app.theme = "kvtui-dark"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        app = make(Session(scenario_from(values)), settings("mono"))
        async with app.run_test(size=SIZES[0]) as pilot:
            for scene in scenes:
                with chdir(scene.folder):
                    await scene.open(app, pilot)
                    await _at_each_size(app, pilot, scene, PLAIN, found)
    return found


async def _at_each_size(
    app: KvtuiApp, pilot: Pilot[None], scene: Scene, look: str, found: dict[tuple[str, Size], Looks]
) -> None:
    for size in SIZES:
        await pilot.resize_terminal(*size)
        found[scene.name, size][look] = await _at_rest(app, pilot, scene, look)


async def _at_rest(app: KvtuiApp, pilot: Pilot[None], scene: Scene, look: str) -> Frame:
    """What is on screen once all of it is there and nothing changes any more, without what goes by itself."""
    before: Frame = ()
    for _ in range(MOST_PAUSES):
        await pilot.pause()
        app.clear_notifications()
        for alert in app.screen.query(Alert):
            alert.post_message(Alert.Dismissed())
        for line in app.screen.query(Input):
            line.cursor_blink = False
        if not scene.ready(app):
            await pilot.pause(0.02)
            continue
        now = frame(app)
        if now == before:
            return now
        before = now
    raise AssertionError(f"{scene.name} at {app.size}, {look}, does not come to rest")
