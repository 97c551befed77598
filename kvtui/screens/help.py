"""The list of all keys, made from the table of keys and the user's keymap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, cast

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from kvtui import keys
from kvtui.keys import Key, keys_of

if TYPE_CHECKING:
    from kvtui.app import KvtuiApp

KEY_CELLS = 13
LEFT_SECTIONS = (keys.PLAYBACK, keys.WORKLOAD)


class HelpScreen(ModalScreen[None]):
    """Every key with what it does, in sections."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "close", id="help-close"),
    ]

    def compose(self) -> ComposeResult:
        """Two columns, or one where it is narrow."""
        left, right = key_columns(cast("KvtuiApp", self.app))
        with Vertical(classes="box") as box:
            box.border_title = "keys"
            box.border_subtitle = "esc close"
            with VerticalScroll(), Container(classes="columns"):
                yield Static(left, classes="first", markup=False)
                yield Static(right, markup=False)


def key_columns(app: KvtuiApp) -> tuple[Content, Content]:
    """All keys in two columns of sections."""
    table = [*keys.MEMORY, *keys.APP]
    left = [key for key in table if key.section in LEFT_SECTIONS]
    right = [key for key in table if key.section not in LEFT_SECTIONS]
    keymap = app.settings.keymap
    return _sections(app, left, keymap), _sections(app, right, keymap)


def _sections(app: KvtuiApp, table: Iterable[Key], keymap: Mapping[str, str]) -> Content:
    lines = []
    for section, members in groupby(table, lambda key: key.section):
        lines.append(Content.styled(section, "bold $primary"))
        for key in members:
            names = "  ".join(key_name(app, name) for name in keys_of(key, keymap))
            gap = " " * max(1, KEY_CELLS - cell_len(names))
            lines.append(Content.assemble(" ", (names, "$accent"), gap, key.text))
        lines.append(Content())
    return Content("\n").join(lines[:-1])


def key_name(app: KvtuiApp, name: str) -> str:
    """A key's name as the footer has it, or in letters where an arrow cannot be shown."""
    shown = app.get_key_display(Binding(name, ""))
    return name if app.settings.ascii and not shown.isascii() else shown
