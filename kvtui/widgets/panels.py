"""A column of framed text panels, painted on one canvas; rows can carry an action that a click runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message

from kvtui.canvas.cells import Cells, InkRow, Span
from kvtui.canvas.palette import Ink
from kvtui.canvas.widget import Canvas


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


def choose(sections: Sequence[Section], height: int) -> list[Section]:
    """The sections that fit into ``height`` rows whole, in order; the lowest ranks are kept first."""
    kept: list[Section] = []
    room = height
    for section in sorted(sections, key=lambda s: s.rank):
        if section.rows and section.height <= room:
            kept.append(section)
            room -= section.height
    return [section for section in sections if section in kept]


def paint_sections(sections: Sequence[Section], width: int, height: int) -> tuple[Cells, dict[int, str]]:
    """The chosen sections from the top, and the action of each row that has one."""
    cells = Cells(width, height)
    actions: dict[int, str] = {}
    y = 0
    for section in choose(sections, height):
        cells.frame(0, y, width, section.height, Ink.FRAME, section.title)
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
            cells, self._actions = paint_sections(sections, width, height)
            self.paint(cells)

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
            cells.under[:] = under
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
