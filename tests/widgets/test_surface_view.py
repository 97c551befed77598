"""The widget of panels in space: keys, mouse, the line that reads out, and redrawing only on change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from kvtui.canvas.palette import Ink
from kvtui.figures.figure import Axis, Panel, Surface, floats
from kvtui.plots.camera import STEP, Camera, CameraAxis
from kvtui.state.keys import SURFACE
from kvtui.widgets.surface import SPIN_DEGREES_PER_SECOND, SurfaceView

TOKENS = floats([2.0**e for e in range(9, 18)])
BATCHES = floats([1.0, 2.0, 4.0, 8.0])


def panel() -> Panel:
    """KV cache bytes of Llama-3.1-8B."""
    each = BATCHES[:, None] * TOKENS[None, :] * 32 * 2 * 8 * 128 * 2
    return Panel(
        "KV cache",
        Axis("context", "tokens", "log2", "tokens"),
        Axis("sequences", scale="log2"),
        (Surface("GQA", TOKENS, BATCHES, each),),
        Axis("KV cache", scale="log2", ticks="bytes"),
    )


class Host(App[None]):
    """Nothing but the widget, and a clock that the test moves."""

    pilot: Pilot[None]

    def __init__(self, motion: str = "full", fps: int = 10) -> None:
        super().__init__()
        self.settings = SimpleNamespace(motion=motion, fps=fps)
        self.now = 0.0
        self.canvas_depth = "rgb"

    def compose(self) -> ComposeResult:
        yield SurfaceView(clock=lambda: self.now)

    @property
    def view(self) -> SurfaceView:
        return self.query_one(SurfaceView)


def run(test: Callable[[Host], Awaitable[None]], size: tuple[int, int] = (80, 24), **settings: object) -> None:
    """``test`` with the app running at ``size``, a panel shown and the widget focused."""

    async def inside() -> None:
        app = Host(**settings)  # type: ignore[arg-type]
        async with app.run_test(size=size) as pilot:
            app.pilot = pilot
            app.view.focus()
            app.view.show(panel())
            await pilot.pause()
            await test(app)

    asyncio.run(inside())


async def press(app: Host, *keys: str) -> None:
    """Press ``keys``, and wait until everything that they set off has been done."""
    for key in keys:
        app.simulate_key(key)
        await app.pilot.pause()


def last_row(app: Host) -> str:
    assert app.view.cells is not None
    return app.view.cells.row_text(app.view.cells.height - 1)


def test_keys_move_the_eye() -> None:
    async def check(app: Host) -> None:
        view = app.view
        await press(app, "right", "right", "up")
        assert view.camera == Camera().turned(2 * STEP, STEP)
        await press(app, "left", "down", "down")
        assert view.camera == Camera().turned(STEP, -STEP)
        await press(app, "plus")
        assert view.camera.zoom > 1
        await press(app, "minus", "minus")
        assert view.camera.zoom < 1
        axes: tuple[tuple[str, CameraAxis], ...] = (("X", "x"), ("Y", "y"), ("Z", "z"))
        for key, axis in axes:
            await press(app, key)
            assert view.camera == view.camera.along(axis)
        await press(app, "r")
        assert view.camera == Camera()

    run(check)


def test_only_what_changed_is_drawn_again() -> None:
    async def check(app: Host) -> None:
        view = app.view
        before = view.cells
        await press(app, "r")
        assert view.cells is before
        view.redraw()
        assert view.dirty_rows == 0
        await press(app, "right")
        assert 0 < view.dirty_rows <= 24

    run(check)


def test_the_cursor_reads_out_values_with_units() -> None:
    async def check(app: Host) -> None:
        assert app.view.words == ""
        await press(app, "l")
        assert app.view.words == "context 8K tokens · sequences 2 · KV cache 2.00 GiB"
        assert last_row(app).startswith(app.view.words)
        await press(app, "Z", "shift+right", "k")
        assert app.view.words == "context 16K tokens · sequences 4 · KV cache 8.00 GiB"
        await press(app, "h", "j")
        assert app.view.words == "context 8K tokens · sequences 2 · KV cache 2.00 GiB"
        await press(app, "escape")
        assert app.view.words == ""
        assert "8K tokens" not in last_row(app)

    run(check)


def test_a_new_panel_takes_the_cursor_away() -> None:
    async def check(app: Host) -> None:
        await press(app, "l")
        shown = app.view._panel
        assert shown is not None
        app.view.show(shown)
        assert app.view.cursor is not None
        app.view.show(panel())
        assert app.view.cursor is None

    run(check)


def test_the_mouse_turns_zooms_and_points() -> None:
    async def inside() -> None:
        app = Host()
        async with app.run_test(size=(80, 24)) as pilot:
            view = app.view
            view.show(panel())
            await pilot.pause()
            await pilot.mouse_down(view, offset=(40, 12))
            await pilot.hover(view, offset=(30, 14))
            await pilot.mouse_up(view, offset=(30, 14))
            assert view.camera == Camera().turned(20, 8)
            assert view.cursor is None
            await pilot.hover(view, offset=(10, 4))
            assert view.camera == Camera().turned(20, 8)
            await pilot.click(view, offset=(40, 12))
            assert view.cursor is not None
            assert "KV cache" in last_row(app)

    asyncio.run(inside())


def test_it_turns_by_itself_with_the_clock_until_a_key() -> None:
    async def check(app: Host) -> None:
        view = app.view
        await press(app, "space")
        app.now = 1.5
        view._tick()
        assert view.camera == Camera().turned(1.5 * SPIN_DEGREES_PER_SECOND, 0)
        await press(app, "space")
        app.now = 3
        view._tick()
        assert view.camera == Camera().turned(1.5 * SPIN_DEGREES_PER_SECOND, 0)

    run(check)


@pytest.mark.parametrize("settings", [{"motion": "reduced"}, {"motion": "none"}, {"fps": 0}])
def test_it_does_not_turn_by_itself_without_motion(settings: dict[str, Any]) -> None:
    async def check(app: Host) -> None:
        await press(app, "space")
        app.now = 5
        app.view._tick()
        assert app.view.camera == Camera()

    run(check, **settings)


def test_without_colours_it_is_drawn_in_characters() -> None:
    async def check(app: Host) -> None:
        view = app.view
        assert view.cells is not None
        assert (view.cells.under > Ink.OVERFLOW).any()
        app.canvas_depth = "none"
        view.redraw()
        assert (view.cells.under == Ink.NONE).all()
        assert set("░▒▓█") & set(view.cells.text())

    run(check)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (20, 4), (24, 9), (200, 60)])
def test_it_fits_any_size(size: tuple[int, int]) -> None:
    async def check(app: Host) -> None:
        await press(app, "l", "right", "Z")
        assert app.view.cells is not None
        assert app.view.cells.glyph.shape == (size[1], size[0])

    run(check, size)


def test_a_key_of_the_widget_has_one_action() -> None:
    names = [name for key in SURFACE for name in key.keys.split(",")]
    assert len(set(names)) == len(names)
    assert all(hasattr(SurfaceView, f"action_{key.action.partition('(')[0]}") for key in SURFACE)
    assert np.unique([key.id for key in SURFACE]).size == len(SURFACE)
