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
from tests.looks.frames import Frame, frame
from tests.steady import until

SIZES = ((160, 46), (120, 36), (80, 24))
DARK, LIGHT, PLAIN = "dark", "light", "no colour"
THEMES = {DARK: "kvtui-dark", LIGHT: "kvtui-light"}

Size = tuple[int, int]
Step = Callable[[KvtuiApp, Pilot[None]], Awaitable[None]]
Looks = dict[str, Frame]


def at_once(app: KvtuiApp) -> bool:
    """A scene is there as soon as the app has done what it was asked to."""
    return True


class Scene(NamedTuple):
    """A screen or window, and how to come to it from the one before.

    ``ready`` says whether all of it is there, where a timer or a thread brings a part of it. ``folder`` is the one to
    be in, for a screen that says it.
    """

    name: str
    open: Step
    ready: Callable[[KvtuiApp], object] = at_once
    folder: str = "."


def settings(palette: str) -> Settings:
    """Nothing moves, and nothing is remembered."""
    return Settings(theme="kvtui-dark", motion="none", palette=palette, remember=False)


async def walk(
    make: Callable[[Session, Settings], KvtuiApp], values: Mapping[str, str | bool], scenes: Sequence[Scene]
) -> dict[tuple[str, Size], Looks]:
    """The looks of each of the ``scenes`` at each size, by its name and the size; ``values`` are the scenario's.

    One app shows all of them in colour, another without. It changes its theme and its size, which is faster than to
    start a new one; a scene is opened in each, and begins with the theme in which the one before it ended.
    """
    found: dict[tuple[str, Size], Looks] = {(scene.name, size): {} for scene in scenes for size in SIZES}
    app = make(Session(scenario_from(values)), settings("rgb"))
    async with app.run_test(size=SIZES[0]) as pilot:
        for number, scene in enumerate(scenes):
            await _shows(app, pilot, scene, (DARK, LIGHT) if number % 2 == 0 else (LIGHT, DARK), found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        app = make(Session(scenario_from(values)), settings("mono"))
        async with app.run_test(size=SIZES[0]) as pilot:
            for scene in scenes:
                await _shows(app, pilot, scene, (PLAIN,), found)
    return {place: {look: looks[look] for look in (DARK, LIGHT, PLAIN)} for place, looks in found.items()}


async def _shows(
    app: KvtuiApp, pilot: Pilot[None], scene: Scene, looks: Sequence[str], found: dict[tuple[str, Size], Looks]
) -> None:
    with chdir(scene.folder):
        for look in looks:
            if look in THEMES:
                app.theme = THEMES[look]
            for size in SIZES:
                await pilot.resize_terminal(*size)
                await scene.open(app, pilot)
                found[scene.name, size][look] = await _at_rest(app, pilot, scene)


async def _at_rest(app: KvtuiApp, pilot: Pilot[None], scene: Scene) -> Frame:
    """What is on screen once all of it is there, without what goes by itself."""
    await until(pilot, lambda: scene.ready(app))
    app.clear_notifications()
    for line in app.screen.query(Input):
        line.cursor_blink = False
    await pilot.pause()
    return frame(app)
