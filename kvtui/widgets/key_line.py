"""The row of keys at the bottom of a mode's screen, which says what was said in passing while there is something."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar, NamedTuple

from textual.binding import Binding
from textual.content import Content
from textual.events import Click
from textual.screen import Screen

from kvtui.state import keys
from kvtui.state.host import host_of
from kvtui.widgets.key_name import key_name
from kvtui.widgets.message_line import MessageLine, content_of

LAST = "help"
GAP = "  "


class KeyHint(NamedTuple):
    """Keys that share a word: each one's ``names`` on screen and for the app, and the ``label``."""

    names: tuple[tuple[str, str], ...]
    label: str

    @property
    def width(self) -> int:
        """Cells that it takes."""
        return self.content.cell_length

    @property
    def content(self) -> Content:
        """The keys and the word."""
        shown = " ".join(name for name, _ in self.names)
        return Content.assemble(
            (shown, "bold $footer-key-foreground"), (f" {self.label}", "$footer-description-foreground")
        )


class KeyLine(MessageLine):
    """The footer's keys of the screen and of what has the focus: its own first, then those of every screen.

    Those that have no room are left out, and the key of the help never is. A click on a key presses it.
    """

    DEFAULT_CSS: ClassVar[str] = "KeyLine { min-height: 1; } KeyLine.-keys { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Follow what has the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)
        super().on_mount()

    def on_resize(self) -> None:
        """Fill the new width."""
        self.draw()

    def on_click(self, event: Click) -> None:
        """Press the key that was clicked on."""
        for start, end, key in self._places:
            if start <= event.x < end:
                self.app.simulate_key(key)

    def draw(self) -> None:
        """Show what was said, or the keys, which stay in one row while the width changes."""
        self.set_class(self.said is None, "-keys")
        width = max(0, self.size.width - 2)
        hints = list(self._hints())
        last = next((hint for hint in hints if hint.label == LAST), None)
        self._places = []
        if self.said is not None:
            words = content_of(self.said)
            self.update(words if last is None or not width else _ended(words, last.content, width))
            return
        parts, x, room = [], 0, width - (last.width + len(GAP) if last is not None else 0)
        for hint in hints:
            if hint is not last and x + hint.width <= room:
                parts += [hint.content, Content(GAP)]
                self._place(hint, x)
                x += hint.width + len(GAP)
        if last is not None:
            at = max(x, width - last.width)
            parts += [Content(" " * (at - x)), last.content]
            self._place(last, at)
        self.update(Content.assemble(*parts))

    def _place(self, hint: KeyHint, x: int) -> None:
        x += 1
        for shown, name in hint.names:
            cells = Content(shown).cell_length
            self._places.append((x, x + cells + 1, name))
            x += cells + 1
        self._places.append((x, x + len(hint.label), hint.names[-1][1]))

    def _follow(self, screen: Screen[object]) -> None:
        if self.said is None:
            self.draw()

    def _hints(self) -> Iterator[KeyHint]:
        if not self.app.screen_stack:  # the first screen is mounted before it is shown; its size brings another draw
            return
        host = host_of(self.app)
        everywhere = {key.id: number for number, key in enumerate(keys.GLOBAL + keys.APP)}
        together = {key.id: key.together for key in keys.ALL}
        found: dict[str, tuple[str, Binding]] = {}
        for name, active in self.screen.active_bindings.items():
            if active.binding.show and active.binding.id:
                found.setdefault(active.binding.id, (name, active.binding))
        ordered = sorted(found, key=lambda id: everywhere.get(id, -1))
        for _, members in groupby(ordered, lambda id: together.get(id) or id):
            bound = [found[id] for id in members]
            names = tuple((binding.key_display or key_name(host, name), name) for name, binding in bound)
            yield KeyHint(names, bound[-1][1].description)


def _ended(words: Content, end: Content, width: int) -> Content:
    """``words`` in rows of ``width`` cells, with ``end`` whole at the right of the last one, or below it."""
    rows = words.wrap(width)
    gap = width - rows[-1].cell_length - end.cell_length
    if gap < len(GAP):
        rows.append(Content(""))
        gap = width - end.cell_length
    rows[-1] = Content.assemble(rows[-1], " " * max(0, gap), end)
    return Content("\n").join(rows)
