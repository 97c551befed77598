"""A column of framed text panels, painted on one canvas; rows can carry an action that a click runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from textual import events
from textual.message import Message

from kvtui.canvas.cells import Cells, InkRow, Span
from kvtui.canvas.palette import Ink
from kvtui.canvas.widget import Canvas
from kvtui.state import keys
from kvtui.state.host import host_of
from kvtui.widgets.key_name import first_key


class Section(NamedTuple):
    """A framed panel; ``actions`` says what a click on each row does. A lower ``rank`` stays longer when cramped."""

    title: str
    rows: Sequence[InkRow]
    rank: int = 0
    actions: Sequence[str | None] = ()

    @property
    def height(self) -> int:
        """Rows with the frame."""
        return len(self.rows) + 2

    @property
    def tight(self) -> Section:
        """The same without empty rows."""
        actions = [*self.actions, *[None] * (len(self.rows) - len(self.actions))]
        kept = [(row, action) for row, action in zip(self.rows, actions, strict=True) if row]
        return self._replace(rows=[row for row, _ in kept], actions=[action for _, action in kept])


def choose(sections: Sequence[Section], height: int) -> list[Section]:
    """The sections that fit into ``height`` rows whole, in order; the lowest ranks are kept first.

    Empty rows are left out where that makes room for another section, or for one of a lower rank.
    """
    kept, tight = _kept(sections, height), _kept([section.tight for section in sections], height)
    return tight if _ranks(tight) < _ranks(kept) else kept


def _ranks(sections: Sequence[Section]) -> list[float]:
    """The ranks in order: of two such lists the lower one is that of better company."""
    return [*sorted(section.rank for section in sections), inf]


def _kept(sections: Sequence[Section], height: int) -> list[Section]:
    kept: list[Section] = []
    room = height
    for section in sorted(sections, key=lambda s: s.rank):
        if section.rows and section.height <= room:
            kept.append(section)
            room -= section.height
    return [section for section in sections if section in kept]


class TitleKey(NamedTuple):
    """A key in a panel's upper edge, with its word, and the action that a click there runs."""

    name: str
    word: str
    action: str

    @property
    def row(self) -> tuple[Span, Span]:
        """The key, and the word."""
        return Span(f" {self.name} ", Ink.WARN), Span(f"{self.word} ", Ink.DIM)


def paint_sections(
    sections: Sequence[Section], width: int, height: int, key_of: Callable[[str], TitleKey | None] = lambda title: None
) -> tuple[Cells, dict[int, str]]:
    """The chosen sections from the top, and the action of each row that has one.

    ``key_of`` gives the key of a title, which stands in the upper edge where there is room, with its word or alone.
    """
    cells = Cells(width, height)
    actions: dict[int, str] = {}
    y = 0
    for section in choose(sections, height):
        cells.frame(0, y, width, section.height, Ink.FRAME, section.title)
        key = key_of(section.title)
        for hint in () if key is None else (key.row, key.row[:1]):
            x = width - 2 - sum(len(span.text) for span in hint)
            if key is not None and x > len(section.title) + 5:
                cells.put_row(x, y, hint)
                actions[y] = key.action
                break
        for number, row in enumerate(section.rows):
            cells.put_row(2, y + 1 + number, row)
            action = section.actions[number] if number < len(section.actions) else None
            if action is not None:
                actions[y + 1 + number] = action
        y += section.height
    return cells, actions


class PanelColumn(Canvas):
    """Shows sections and posts ``Clicked`` with the action of a clicked row."""

    class Clicked(Message):
        """A row with an action was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._actions: dict[int, str] = {}

    @property
    def inner_width(self) -> int:
        """Columns that a row may fill."""
        return max(0, self.size.width - 4)

    def show(self, sections: Sequence[Section]) -> None:
        """Paint ``sections`` in the column's size."""
        width, height = self.size
        if width and height:
            cells, self._actions = paint_sections(sections, width, height, self._key)
            self.paint(cells)

    def _key(self, title: str) -> TitleKey | None:
        """The key of the panel called ``title``, if the screen has it."""
        host = host_of(self.app)
        for begin, id in keys.PANELS.items():
            if title.startswith(begin):
                key = keys.key_of(id)
                bound = hasattr(self.screen, f"action_{key.action.partition('(')[0]}")
                return TitleKey(first_key(host, id), key.label, key.action) if bound else None
        return None

    def on_click(self, event: events.Click) -> None:
        """Run the action of the row."""
        action = self._actions.get(event.y)
        if action is not None:
            self.post_message(self.Clicked(action))


class TextLine(Canvas):
    """One row of text."""

    DEFAULT_CSS = "TextLine { height: 1; width: 1fr; }"

    def show(self, row: InkRow, under: Ink = Ink.NONE) -> None:
        """Paint ``row`` over the whole width."""
        width = self.size.width
        if width:
            cells = Cells(width, 1)
            cells.put(0, 0, " " * width, under=under)
            cells.put_row(0, 0, row)
            self.paint(cells)


class FilmBar(Canvas):
    """The film's progress; a click or drag scrubs."""

    DEFAULT_CSS = "FilmBar { height: 1; width: 1fr; }"

    class Scrubbed(Message):
        """The user wants the film at ``fraction`` of its length."""

        def __init__(self, fraction: float) -> None:
            super().__init__()
            self.fraction = fraction

    def show(self, fraction: float) -> None:
        """Paint the bar at ``fraction``."""
        width = self.size.width
        if width:
            cells = Cells(width, 1)
            done = round(fraction * (width - 1))
            cells.put_row(0, 0, (Span("━" * done, Ink.BAR), Span("●", Ink.ACCENT), Span("─" * width, Ink.BAR_REST)))
            self.paint(cells)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Scrub to the place of the click, and follow the mouse until it is released."""
        self.capture_mouse()
        self._scrub(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow the mouse while its button is down."""
        if self.app.mouse_captured is self:
            self._scrub(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Stop following the mouse."""
        self.release_mouse()

    def _scrub(self, x: int) -> None:
        self.post_message(self.Scrubbed(min(1.0, max(0.0, x / max(1, self.size.width - 1)))))
