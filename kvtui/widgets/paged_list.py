"""Lists of options that can be paged at any time."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import OptionList

from kvtui.state import keys
from kvtui.widgets.key_bindings import bindings


class PagedList(OptionList):
    """An option list that stays where it is when it is paged while it has no room, which the framework's cannot."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(keys.LIST)

    def action_page_up(self) -> None:
        """A page up."""
        with suppress(KeyError):
            super().action_page_up()  # type: ignore[no-untyped-call]

    def action_page_down(self) -> None:
        """A page down."""
        with suppress(KeyError):
            super().action_page_down()  # type: ignore[no-untyped-call]
