"""The list of all keys, made from the table of keys and the user's keymap."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kvtui.screens import bindings
from kvtui.screens.windows.window import Window
from kvtui.state import keys
from kvtui.state.host import Host
from kvtui.state.keys import Key, keys_of
from kvtui.widgets.key_name import key_name

KEY_CELLS, TEXT_CELLS = 12, 41
RIGHT_SECTIONS = (keys.SCENARIO, keys.EVERYWHERE, keys.WINDOWS)


class HelpScreen(Window):
    """Every key of the screen it was called from with what it does, in sections."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings.closing("help", "quit"), *bindings.SCROLLING]

    def compose(self) -> ComposeResult:
        """Two columns, or one where it is narrow."""
        left, right = key_columns(self.host, keys.of_screen(self.host.key_table))
        with Vertical(classes="box") as box:
            box.border_title = "keys"
            box.border_subtitle = self.legend(("scroll", "list-up", "list-down"), ("close", "window-close"))
            with VerticalScroll(), Container(classes="columns"):
                yield Static(left, classes="first", markup=False)
                yield Static(right, markup=False)


def key_columns(host: Host, table: Iterable[Key], ids: bool = False) -> tuple[Content, Content]:
    """The keys of a screen alone in sections, and those of every screen; with ``ids``, what a keymap calls each."""
    ordered = sorted(table, key=lambda key: keys.SECTIONS.index(key.section))
    left = [key for key in ordered if key.section not in RIGHT_SECTIONS]
    right = [key for key in ordered if key.section in RIGHT_SECTIONS]
    return _sections(host, left, ids), _sections(host, right, ids)


def _sections(host: Host, table: Iterable[Key], ids: bool) -> Content:
    lines = []
    for section, members in groupby(table, lambda key: key.section):
        lines.append(Content.styled(section, "bold $primary"))
        for key in members:
            names = "  ".join(key_name(host, name) for name in keys_of(key, host.settings.keymap))
            gap = " " * max(1, KEY_CELLS - cell_len(names))
            text = f"{key.text:{TEXT_CELLS}}" if ids else key.text
            lines.append(
                Content.assemble(" ", (names, "$accent"), gap, text, (key.id if ids else "", "$foreground-muted"))
            )
        lines.append(Content())
    return Content("\n").join(lines[:-1])
