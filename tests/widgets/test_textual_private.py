"""What the app takes for granted of Textual's insides: each test fails when a release of Textual changes it."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.command import CommandList
from textual.containers import Vertical
from textual.css.stylesheet import Stylesheet
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static
from textual.widgets.option_list import Option

from kvtui.widgets.ascii_filter import AsciiFilter
from kvtui.widgets.textual_private import (
    ClosesOnce,
    DrawnApp,
    PagedPalette,
    ShownScreen,
    add_filter,
    begin_with_theme,
    driver_of,
    is_behind,
    knows_styles,
)
from tests.screens.seen import text_of


def drive(app: App[None], script: Callable[[Pilot[None]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with app.run_test(size=(60, 12)) as pilot:
            await pilot.pause()
            await script(pilot)

    asyncio.run(run())


class Plain(App[None]):
    """An app with a line of text."""

    def compose(self) -> ComposeResult:
        yield Static("√ ✓ ─")


def test_a_filter_that_was_added_sees_every_line() -> None:
    app = Plain()
    add_filter(app, AsciiFilter())

    async def script(pilot: Pilot[None]) -> None:
        assert "✓" not in text_of(app)
        assert "v" in text_of(app)

    drive(app, script)


def test_a_theme_from_the_beginning_is_as_if_it_had_been_set(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Stylesheet] = []
    reparse = Stylesheet.reparse

    def noted(sheet: Stylesheet) -> None:
        parsed.append(sheet)
        reparse(sheet)

    monkeypatch.setattr(Stylesheet, "reparse", noted)
    colours = []
    for begun in (True, False):
        app = Plain()
        if begun:
            begin_with_theme(app, "nord")
        else:
            app.theme = "nord"

        async def script(pilot: Pilot[None], app: App[None] = app) -> None:
            colours.append((app.screen.styles.background, app.theme_variables, frozenset(app.classes)))

        drive(app, script)
        assert bool(parsed) != begun
    assert colours[0] == colours[1]


@pytest.mark.parametrize("known", [True, False])
def test_a_mode_whose_screen_knows_the_styles_parses_none(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    app = Plain()
    parsed: list[Stylesheet] = []
    reparse = Stylesheet.reparse

    def noted(sheet: Stylesheet) -> None:
        parsed.append(sheet)
        reparse(sheet)

    monkeypatch.setattr(Stylesheet, "reparse", noted)

    def make() -> Screen[None]:
        screen: Screen[None] = Screen()
        if known:
            knows_styles(screen, app)
        return screen

    async def script(pilot: Pilot[None]) -> None:
        app.add_mode("other", make)
        parsed.clear()
        await app.switch_mode("other")
        await pilot.pause()
        assert bool(parsed) != known

    drive(app, script)


class Slow(io.StringIO):
    """A terminal that takes what is written when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(10)
        return super().write(text)


def test_the_queue_of_the_terminal_is_found() -> None:
    from textual.drivers._writer_thread import WriterThread

    async def body() -> None:
        app = Plain()
        driver = app._driver = LinuxDriver(app)
        terminal = Slow()
        driver._writer_thread = WriterThread(terminal)
        driver._writer_thread.start()
        assert not is_behind(app)
        for _ in range(5):
            driver.write("frame")
        assert is_behind(app)
        terminal.free.set()
        driver._writer_thread.stop()
        assert not is_behind(app)
        assert terminal.getvalue() == "frame" * 5

    asyncio.run(body())


def test_drivers_without_a_queue_are_never_behind() -> None:
    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        assert not is_behind(app)

    drive(app, script)
    assert not is_behind(Plain())


class Looking(ShownScreen):
    """Counts what was shown of it."""

    times = 0

    def compose(self) -> ComposeResult:
        yield Static("here")

    def shown(self) -> None:
        self.times += 1


def test_a_screen_hears_what_is_shown_of_it_and_draws_nothing_in_a_batch() -> None:
    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        screen = Looking()
        await app.push_screen(screen)
        await pilot.pause()
        assert screen.times
        with app.batch_update():
            before = screen.times
            screen.query_one(Static).update("there")
            await pilot.pause()
            assert screen.times == before
        await pilot.pause()
        await pilot.pause()
        assert screen.times > before
        assert "there" in text_of(app)

    drive(app, script)


class Asking(ModalScreen[None], ClosesOnce):
    """Says what was submitted, and closes."""

    def compose(self) -> ComposeResult:
        yield Input()

    def on_input_submitted(self) -> None:
        self.app.notify("submitted")
        self.dismiss()


def test_a_window_closes_once_and_hears_nothing_afterwards() -> None:
    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        home = app.screen
        await app.push_screen(Asking())
        await pilot.pause()
        for _ in range(3):
            app.simulate_key("enter")
        await pilot.pause()
        await pilot.pause()
        assert app.screen is home
        assert [one.message for one in app._notifications] == ["submitted"]

    drive(app, script)


def test_a_window_closes_before_it_is_there_and_below_another() -> None:
    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        home, below, above = app.screen, Asking(), Asking()
        hasty = Asking()
        app.push_screen(hasty)
        hasty.dismiss()
        await pilot.pause()
        await pilot.pause()
        assert app.screen is home
        await app.push_screen(below)
        await app.push_screen(above)
        below.dismiss()
        await pilot.pause()
        assert app.screen is above
        above.dismiss()
        await pilot.pause()
        await pilot.pause()
        assert app.screen is home

    drive(app, script)


@pytest.mark.parametrize("action", ["page_up", "page_down"])
def test_the_list_of_a_palette_stays_where_it_is_while_it_has_no_room(action: str) -> None:
    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        palette = PagedPalette()
        await app.push_screen(palette)
        await pilot.pause()
        found = palette.query_one(CommandList)
        found.add_options([Option("one"), Option("two")])
        found.highlighted = 1
        found.styles.height = 0
        await pilot.pause()
        assert not found.scrollable_content_region
        await palette.run_action(f"command_list('{action}')")
        assert found.highlighted == 1

    drive(app, script)


def test_only_the_cells_that_changed_are_sent() -> None:
    class Shown(ShownScreen):
        def compose(self) -> ComposeResult:
            yield Static("abcdefghij" * 6, id="row")

    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        await app.push_screen(Shown())
        await pilot.pause()
        compositor, row = app.screen._compositor, app.screen.query_one("#row")
        compositor._dirty_regions = {Region(row.region.x + 3, row.region.y, 2, 1), Region(41, row.region.y, 3, 1)}
        update = compositor.render_partial_update()
        assert update is not None
        sent = update.render_segments(app.console)
        assert re.sub(r"\x1b\[[\d;]*m", "", sent) == f"\x1b[{row.region.y + 1};4Hde\x1b[{row.region.y + 1};42Hbcd"

    drive(app, script)


def test_what_is_sent_of_any_region_is_what_the_whole_screen_has_there() -> None:
    """Widgets beside, below and over each other, one scrolled and one of double width."""

    class Layered(ShownScreen):
        CSS = "Vertical { height: 5; width: 20; border: round red; } #over { layer: over; offset: 7 2; width: 9; }"
        LAYERS = ("under", "over")

        def compose(self) -> ComposeResult:
            with Vertical():
                yield Static("\n".join(f"row {n} 漢字" for n in range(9)))
            yield Static("x" * 200)
            yield Static("over it all", id="over")

    app = Plain()

    async def script(pilot: Pilot[None]) -> None:
        await app.push_screen(Layered())
        await pilot.pause()
        compositor, random = app.screen._compositor, Random(7)
        whole = compositor.render_strips()
        for _ in range(200):
            regions = [
                Region(random.randrange(40), random.randrange(12), random.randint(1, 30), random.randint(1, 4))
                for _ in range(random.randint(1, 4))
            ]
            compositor._dirty_regions = set(regions)
            update = compositor.render_partial_update()
            assert update is not None
            sent = re.findall(r"\x1b\[(\d+);(\d+)H(.*?)(?=\x1b\[\d+;\d+H|$)", update.render_segments(app.console))
            covered = set()
            for y, x, text in ((int(y) - 1, int(x) - 1, text) for y, x, text in sent):
                cells = cell_len(re.sub(r"\x1b\[[\d;]*m", "", text))
                assert text == whole[y].crop(x, x + cells).render(app.console)
                covered |= {(column, y) for column in range(x, x + cells)}
            inside = [region.intersection(app.size.region) for region in regions]
            assert covered == {(x, y) for one in inside for y in one.line_range for x in one.column_range}

    drive(app, script)


class Drawn(DrawnApp):
    """Takes a driver without a terminal for one, and keeps which rows were sent."""

    CSS = "Static { height: 1; }"
    is_headless = False

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[range] = []
        self.inside = False

    def compose(self) -> ComposeResult:
        yield Static("first")
        yield Static("second", id="second")

    def _begin_update(self) -> None:
        self.inside = True
        super()._begin_update()

    def drawn(self, rows: range) -> None:
        assert self.inside
        self.rows.append(rows)

    def _end_update(self) -> None:
        super()._end_update()
        self.inside = False


def test_an_app_hears_within_each_frame_which_rows_were_written() -> None:
    app = Drawn()
    assert driver_of(app) is None

    async def script(pilot: Pilot[None]) -> None:
        driver = driver_of(app)
        assert driver is not None
        assert hasattr(driver, "write")
        assert range(12) in app.rows
        app.rows.clear()
        app.query_one("#second", Static).update("another", layout=False)
        await pilot.pause()
        assert app.rows == [range(1, 2)]

    drive(app, script)
