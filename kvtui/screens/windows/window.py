"""What all modal windows share: the keys that close them and move in them, and how they name those keys."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from kvtui.screens import bindings
from kvtui.state.host import Host, host_of
from kvtui.widgets.key_name import first_key
from kvtui.widgets.textual_private import ClosesOnce


class Window(ModalScreen[None], ClosesOnce):
    """A modal screen with the keys of ``kvtui.state.keys.WINDOW``."""

    BINDINGS: ClassVar[list[BindingType]] = bindings.WINDOW

    @property
    def host(self) -> Host:
        """The app."""
        return host_of(self.app)

    def action_move(self, rows: int) -> None:
        """Scroll by ``rows``."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False, immediate=True)

    def legend(self, *parts: tuple[str, ...]) -> str:
        """Words with their keys, for the lower edge: each part is a word and the ids of its keys."""
        return "   ".join(f"{' '.join(first_key(self.host, id) for id in ids)} {word}" for word, *ids in parts)
