"""What each window looks like over an empty screen: dark, light and without colour, wide to narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import ComposeResult
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen

from kvtui.app.app import KvtuiApp
from kvtui.bench import store
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures.catalogue import build, find_entry
from kvtui.screens.bench.leave import LeaveScreen
from kvtui.screens.bench.run import LiveRun
from kvtui.screens.bench.runs import RunPicker
from kvtui.screens.explore.windows import AboutScreen, ParametersScreen
from kvtui.screens.plan.compare import CompareScreen
from kvtui.screens.windows.engines import EnginePicker
from kvtui.screens.windows.explain import ExplainScreen
from kvtui.screens.windows.export import ExportScreen
from kvtui.screens.windows.fixes import FixesScreen
from kvtui.screens.windows.help import HelpScreen
from kvtui.screens.windows.palette import Palette
from kvtui.screens.windows.pickers import DevicePicker, KVPicker, ModelPicker, WeightPicker
from kvtui.state.session import Session
from tests.looks.checked import RECORDED, check, file_of
from tests.looks.test_mode_looks import SCENES as MODE_SCENES
from tests.looks.test_mode_looks import VALUES
from tests.looks.walk import SIZES, Looks, Scene, Size, Step
from tests.screens.stand_in import StandIn

__all__ = ["VALUES"]


class Bare(StandIn):
    """Nothing, and what asks for a context."""

    def compose(self) -> ComposeResult:
        """No widgets."""
        yield from ()

    def shown(self) -> None:
        """There is no line of keys to fill."""


class BareApp(KvtuiApp):
    """The app on a screen that takes no time to draw."""

    def memory_screen(self) -> Screen[None]:
        return Bare(self.session)


MAKE = BareApp


def window(make: Callable[[KvtuiApp], Screen[None]]) -> Step:
    """Shows the window that ``make`` makes in place of the one that is open."""

    async def open_it(app: KvtuiApp, pilot: Pilot[None]) -> None:
        await close(app)
        await app.push_screen(make(app))

    return open_it


async def close(app: KvtuiApp) -> None:
    if isinstance(app.screen, ModalScreen):
        await app.pop_screen()


async def context(app: KvtuiApp, pilot: Pilot[None]) -> None:
    await close(app)
    assert isinstance(app.screen, Bare)
    app.screen.action_set_context()


def compared(app: KvtuiApp) -> CompareScreen:
    own = app.session.scenario
    return CompareScreen((own, own._replace(batch=64), own._replace(batch=256)))


def fixes(app: KvtuiApp) -> FixesScreen:
    scenario = scenario_from({"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"})
    return FixesScreen(Session(scenario))


def parameters(app: KvtuiApp) -> ParametersScreen:
    entry = find_entry("estimate-gqa")
    return ParametersScreen(entry, entry.defaults, lambda values: None)


def about(app: KvtuiApp) -> AboutScreen:
    entry = find_entry("cache-surface")
    scenario = app.session.scenario
    return AboutScreen(entry, build(entry, scenario=scenario, models=(scenario.model,), measured=None, values={}))


def run_picker(app: KvtuiApp) -> RunPicker:
    return RunPicker("show which run", Path("results"), None, lambda path: None)


def leave(app: KvtuiApp) -> LeaveScreen:
    return LeaveScreen(LiveRun(lambda: store.Writer.again(Path("none"))))


SCENES = (
    Scene("models", window(lambda app: ModelPicker(app.session))),
    Scene("devices", window(lambda app: DevicePicker(app.session))),
    Scene("context", context),
    Scene("explain", window(lambda app: ExplainScreen(app.session, None))),
    Scene("export", window(lambda app: ExportScreen(app.session.scenario, "", ())), folder="/"),
    Scene("help", window(lambda app: HelpScreen())),
    Scene("palette", window(lambda app: Palette())),
    Scene("engines", window(lambda app: EnginePicker(app.session))),
    Scene("weights", window(lambda app: WeightPicker(app.session))),
    Scene("cache-formats", window(lambda app: KVPicker(app.session))),
    Scene("compare", window(compared)),
    Scene("fixes", window(fixes)),
    Scene("parameters", window(parameters)),
    Scene("about", window(about)),
    Scene("runs", window(run_picker)),
    Scene("leave", window(leave)),
)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_windows_look_as_recorded(
    name: str, size: Size, walked: dict[tuple[str, Size], Looks], update: bool, tmp_path: Path
) -> None:
    check(name, size, walked[name, size], tmp_path, update)


def test_nothing_is_recorded_that_is_not_shown() -> None:
    shown = {file_of(scene.name, size) for scene in (*MODE_SCENES, *SCENES) for size in SIZES}
    assert set(RECORDED.iterdir()) == shown
