"""The table of keys as Textual bindings: ``BINDINGS = bindings.MEMORY``."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingType

from kvtui import keys
from kvtui.keys import Key


def bindings(table: Iterable[Key]) -> list[BindingType]:
    """One binding per key of ``table``, with its id, footer group and tooltip."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.footer,
            tooltip=key.text,
            id=key.id,
            priority=key.id == "palette",
            group=Binding.Group(key.together, compact=True) if key.together else None,
        )
        for key in table
    ]


MEMORY = bindings(keys.MEMORY)
APP = bindings(keys.APP)
