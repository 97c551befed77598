"""How keys are called on screen."""

from __future__ import annotations

from textual.binding import Binding

from kvtui.state.host import Host
from kvtui.state.keys import key_of, keys_of


def key_name(host: Host, name: str) -> str:
    """A key's name as the footer has it, or in letters where an arrow cannot be shown."""
    shown = host.get_key_display(Binding(name, ""))
    return name if host.settings.ascii and not shown.isascii() else shown


def first_key(host: Host, id: str) -> str:
    """The name of the first key that starts the action called ``id``."""
    return key_name(host, keys_of(key_of(id), host.settings.keymap)[0])
