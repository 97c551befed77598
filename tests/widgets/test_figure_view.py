"""The widget of figures: what is shown is what was asked for last, read out or only looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Event

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from kvtui.engine.basis.errors import InputError
from kvtui.figures.figure import Axis, Figure, Line, Panel, floats
from kvtui.widgets.figure import CROSS, FigureView
from tests.steady import until

Until = Callable[[Callable[[], object]], Awaitable[None]]

ABSENT = Figure("none", "nothing", "", (), ("there were no values",))


def figure_of(id: str, panels: int = 1) -> Figure:
    x = floats([1.0, 2.0, 3.0])
    each = [Panel(f"part {n}", Axis("x"), Axis("y"), (Line(f"{id} {n}", x, x * n),)) for n in range(1, panels + 1)]
    return Figure(id, f"title of {id}", f"why {id}?", tuple(each))


class Host(App[None]):
    """Nothing but the widget."""

    def __init__(self, readable: bool) -> None:
        super().__init__()
        self.view = FigureView(id="figure", readable=readable)
        self.changed: list[FigureView.Changed] = []
        self.failed: list[FigureView.Failed] = []

    def compose(self) -> ComposeResult:
        yield self.view

    def on_figure_view_changed(self, message: FigureView.Changed) -> None:
        self.changed.append(message)

    def on_figure_view_failed(self, message: FigureView.Failed) -> None:
        self.failed.append(message)

    def text(self) -> str:
        return "" if self.view.cells is None else self.view.cells.text()


def run(
    body: Callable[[Host, Until, Pilot[None]], Awaitable[None]],
    readable: bool = False,
    size: tuple[int, int] = (60, 20),
) -> None:
    async def inside() -> None:
        app = Host(readable)
        async with app.run_test(size=size) as pilot:
            await body(app, partial(until, pilot), pilot)

    asyncio.run(inside())


@pytest.mark.parametrize("readable", [True, False])
def test_the_question_stands_where_nobody_else_says_it(readable: bool) -> None:
    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        app.view.show(figure_of("a"))
        await until(lambda: "title of a" in app.text())
        assert ("why a?" in app.text()) is not readable
        assert app.view.focusable is readable

    run(body, readable)


def test_a_figure_that_comes_late_is_dropped() -> None:
    """The first is worked out only after the second is shown, and then it is not wanted any more."""

    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        begun, gate, done = Event(), Event(), Event()

        def late() -> Figure:
            begun.set()
            gate.wait(30)
            done.set()
            return figure_of("late")

        app.view.work_out(late)
        await until(begun.is_set)
        app.view.work_out(lambda: figure_of("wanted"))
        await until(lambda: "title of wanted" in app.text())
        gate.set()
        await until(done.is_set)
        await pilot.pause()
        assert app.view.shown is not None
        assert app.view.shown.id == "wanted"
        assert "title of wanted" in app.text()

    run(body)


def test_nothing_is_shown_once_it_is_cleared() -> None:
    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        begun, gate, done = Event(), Event(), Event()

        def late() -> Figure:
            begun.set()
            gate.wait(30)
            done.set()
            return figure_of("late")

        app.view.show(figure_of("a"))
        await until(lambda: "title of a" in app.text())
        app.view.work_out(late)
        await until(begun.is_set)
        app.view.clear()
        gate.set()
        await until(done.is_set)
        await pilot.pause()
        assert app.view.shown is None
        assert app.text().strip() == ""

    run(body)


def test_why_there_is_no_figure_is_said() -> None:
    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        def wrong() -> Figure:
            raise InputError("context: too long")

        app.view.show(ABSENT)
        await until(lambda: app.changed)
        assert app.changed[-1].readings == ()
        app.view.work_out(wrong)
        await until(lambda: app.failed)
        assert str(app.failed[0].error) == "context: too long"
        assert "there were no values" in app.text()

    run(body)


@pytest.mark.parametrize(("width", "turns"), [(200, [None, 0, 1, None]), (60, [None, 1, None, 1])])
def test_panels_go_round_all_that_have_room_and_each_alone(width: int, turns: list[int | None]) -> None:
    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        app.view.show(figure_of("a", panels=2))
        for number, panel in enumerate(turns):

            def drawn(number: int = number) -> bool:
                return len(app.changed) > number

            await until(drawn)
            assert app.view.panel == panel
            hidden = 0 if panel is None and width == 200 else 1
            assert app.view.hidden_panels == hidden
            assert f"part {(panel or 0) + 1}" in app.text()
            app.view.next_panel()

    run(body, size=(width, 20))


def test_only_a_readable_figure_is_read_out_and_enlarged() -> None:
    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        app.view.show(figure_of("a"))
        app.view.focus()
        await until(lambda: "title of a" in app.text())
        whole = app.text()
        await pilot.press("right")
        await until(lambda: app.changed[-1].readings)
        assert CROSS in app.text()
        assert app.changed[-1].readings[0].name == "a 1"
        await pilot.press("escape")
        await until(lambda: app.text() == whole)
        await pilot.press("plus")
        await until(lambda: app.text() != whole)
        await pilot.press("r")
        await until(lambda: app.text() == whole)

    run(body, readable=True)


def test_a_figure_that_is_looked_at_has_no_cursor() -> None:
    async def body(app: Host, until: Until, pilot: Pilot[None]) -> None:
        app.view.show(figure_of("a"))
        await until(lambda: "title of a" in app.text())
        await pilot.hover(app.view, offset=(30, 10))
        await pilot.press("right")
        assert app.view.cursor is None

    run(body)
