"""How keys are called on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding

from kvtui.state.keys import key_of, keys_of

if TYPE_CHECKING:
    from kvtui.app.app import KvtuiApp


def key_name(app: KvtuiApp, name: str) -> str:
    """A key's name as the footer has it, or in letters where an arrow cannot be shown."""
    shown = app.get_key_display(Binding(name, ""))
    return name if app.settings.ascii and not shown.isascii() else shown


def first_key(app: KvtuiApp, id: str) -> str:
    """The name of the first key that starts the action called ``id``."""
    return key_name(app, keys_of(key_of(id), app.settings.keymap)[0])
