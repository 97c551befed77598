"""What all modal windows share: the keys that close them and move in them, and how they name those keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from kvtui.screens import bindings
from kvtui.widgets.key_name import first_key

if TYPE_CHECKING:
    from kvtui.app.app import KvtuiApp


class Window(ModalScreen[None]):
    """A modal screen with the keys of ``kvtui.state.keys.WINDOW``."""

    BINDINGS: ClassVar[list[BindingType]] = bindings.WINDOW

    def action_move(self, rows: int) -> None:
        """Scroll by ``rows``."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False, immediate=True)

    def legend(self, *parts: tuple[str, ...]) -> str:
        """Words with their keys, for the lower edge: each part is a word and the ids of its keys."""
        app = cast("KvtuiApp", self.app)
        return "   ".join(f"{' '.join(first_key(app, id) for id in ids)} {word}" for word, *ids in parts)
