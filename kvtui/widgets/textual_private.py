"""Every private name of Textual that the app relies on, each with the reason for it; its driver's: ``textual_driver``.

A new release of Textual may change any of them: ``tests/widgets/test_textual_private.py`` has a test for each, and
whoever raises the bound on Textual in ``pyproject.toml`` need look nowhere else.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from contextlib import suppress
from operator import itemgetter
from typing import Any

from rich.console import Console, RenderableType
from textual import messages
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.driver import Driver
from textual.events import Event
from textual.filter import LineFilter
from textual.geometry import Region
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip

CLOSING = {"dismiss", "escape"}


def add_filter(app: App[Any], line_filter: LineFilter) -> None:
    """Put every line through ``line_filter`` on its way to the terminal.

    Textual has filters of its own for colour alone, and no way to add one.
    """
    app._filters.append(line_filter)


def begin_with_theme(app: App[Any], name: str) -> None:
    """Let ``app`` begin with a theme, before anything is styled.

    To set ``theme`` would parse all style sheets two times more, which is the longest part of a start.
    """
    app.set_reactive(App.theme, name)
    dark = app.current_theme.dark
    app.update_classes({f"-theme-{name}": True, "-dark-mode": dark, "-light-mode": not dark}, update=False)
    app._refresh_truecolor_filter(app.ansi_theme)
    app.stylesheet.set_variables(app.get_css_variables())


def knows_styles(screen: Screen[Any], app: App[Any]) -> None:
    """Say that a new ``screen`` will be styled by the style sheets of now.

    Textual takes the screen of a mode that is shown for the first time for one with old styles, and then parses all
    style sheets and styles everything again.
    """
    screen._css_update_count = app._css_update_count


def loop_of(app: App[Any]) -> AbstractEventLoop | None:
    """The event loop that ``app`` runs in; None before it runs and afterwards. To be asked from any thread."""
    return app._loop


def is_behind(app: App[Any]) -> bool:
    """Whether the terminal still has to be sent an earlier frame: an animation then leaves a frame out.

    Textual writes in a thread with a queue that it shows to nobody. Drivers without one are never behind.
    """
    writer = getattr(app._driver, "_writer_thread", None)
    return writer is not None and writer._queue.qsize() > 1


def driver_of(app: App[Any]) -> Driver | None:
    """What ``app`` writes to the terminal with; None while it has none."""
    return app._driver


class DrawnApp(App[None]):
    """An app that may add to each frame, within the frame: a terminal that shows frames whole shows that with it.

    Textual tells of a frame when it is over, and not which rows it wrote.
    """

    _written: range | None = None

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        self._written = _rows_of(renderable)
        super()._display(screen, renderable)

    def _end_update(self) -> None:
        if self._written is not None:
            self.drawn(self._written)
        super()._end_update()

    def drawn(self, rows: range) -> None:
        """Rows of the screen, of which these are the first to the last, were sent to the terminal."""


def _rows_of(renderable: object) -> range | None:
    """From the first to the last row that an update of the screen writes; None where it is none."""
    if isinstance(renderable, LayoutUpdate):
        return range(renderable.region.y, renderable.region.bottom)
    if isinstance(renderable, ChopsUpdate | _ChangedCells):
        rows = [y for y, *_ in (renderable.spans if isinstance(renderable, ChopsUpdate) else renderable.pieces)]
        return range(min(rows), max(rows) + 1) if rows else None
    return None


class _ChangedCells(CompositorUpdate):
    """An update that sends ``pieces`` of rows, each with its row and its first column."""

    def __init__(self, pieces: list[tuple[int, int, Strip]]) -> None:
        self.pieces = pieces

    def render_segments(self, console: Console) -> str:
        """The escape sequences of all pieces."""
        return "".join(f"\x1b[{y + 1};{x + 1}H{strip.render(console)}" for y, x, strip in self.pieces)


class _TightCompositor(Compositor):
    """A compositor that asks widgets for the rows that changed, and sends the cells that did.

    Textual's asks every widget in the box around all changes for all of its rows, and begins what it sends of a row at
    the left edge of its widget.
    """

    def render_partial_update(self) -> _ChangedCells | None:  # type: ignore[override]
        """What is to be sent of what changed: of each cell what the uppermost widget has there."""
        screen = self.size.region
        regions = [region.intersection(screen) for region in self._dirty_regions]
        self._dirty_regions.clear()
        open_spans: dict[int, list[tuple[int, int]]] = {}
        for y, first, end in self._regions_to_spans(filter(None, regions)):
            open_spans.setdefault(y, []).append((first, end))
        pieces: list[tuple[int, int, Strip]] = []
        for widget, (region, clip) in self.visible_widgets.items():
            shown = region.intersection(clip)
            rows = [y for y in shown.line_range if any(_overlap(span, shown) for span in open_spans.get(y, ()))]
            if not rows:
                continue
            crop = Region(shown.x - region.x, rows[0] - region.y, shown.width, rows[-1] + 1 - rows[0])
            strips = widget.render_lines(crop)
            for y in rows:
                strip, spans = strips[y - rows[0]], open_spans.pop(y)
                for x, end in filter(None, (_overlap(span, shown) for span in spans)):
                    pieces.append((y, x, strip.crop(x - shown.x, end - shown.x)))
                if rest := [part for span in spans for part in _outside(span, shown)]:
                    open_spans[y] = rest
        return _ChangedCells(sorted(pieces, key=itemgetter(0, 1))) if pieces else None


def _overlap(span: tuple[int, int], shown: Region) -> tuple[int, int] | None:
    """The columns of ``span`` that ``shown`` has."""
    first, end = max(span[0], shown.x), min(span[1], shown.right)
    return (first, end) if first < end else None


def _outside(span: tuple[int, int], shown: Region) -> list[tuple[int, int]]:
    """The columns of ``span`` before and behind ``shown``."""
    parts = (span[0], min(span[1], shown.x)), (max(span[0], shown.right), span[1])
    return [part for part in parts if part[0] < part[1]]


class ShownScreen(Screen[None]):
    """A screen that hears when something of it was drawn, and that renders and sends nothing which would be dropped.

    While the app starts, Textual collects updates in a batch; it would render the whole screen and show none of it.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._compositor = _TightCompositor()

    def _compositor_refresh(self) -> None:
        if self.app._batch_count:
            return
        super()._compositor_refresh()
        self.shown()

    def shown(self) -> None:
        """Something of the screen was drawn, for the first time or again."""


class ClosesOnce(Screen[None]):
    """A window that closes once, whatever asks for it, and that does nothing afterwards.

    Textual's ``dismiss`` takes the topmost screen away each time it is called, and ends the app when there is no other:
    keys that arrive in one burst ask for it two times, and a thread may ask while another window lies above. Messages
    that a closed window still has in its queue are dropped, so that nothing is taken or saved twice.
    """

    _asked_to_close = _closed_once = False

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close the window; one that is not the topmost, or not there yet, closes when it is."""
        self._asked_to_close = True
        if self._closed_once or not self.is_active or not self.is_mounted:
            return AwaitComplete()
        self._closed_once = True
        return super().dismiss(result)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing but closing can be asked of a window whose parts are not there yet."""
        return self.is_mounted or action in CLOSING

    def on_mount(self) -> None:
        """Close now, if that was asked for before there was anything to close."""
        if self._asked_to_close:
            self.call_later(self.dismiss)

    def on_screen_resume(self) -> None:
        """Close now, if that was asked for while something lay above."""
        if self._asked_to_close:
            self.dismiss()

    async def _on_message(self, message: Message) -> None:
        of_textual = isinstance(message, Event) or type(message).__module__ == messages.__name__
        if of_textual or not self._asked_to_close:
            await super()._on_message(message)


class PagedPalette(CommandPalette):
    """A command palette whose list stays where it is when it is paged while it has no room, where Textual fails."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):
            super()._action_command_list(action)
