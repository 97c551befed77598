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
            priority=key.id == "palette" or key.id.startswith("list-"),
            group=Binding.Group(key.together, compact=True) if key.together else None,
        )
        for key in table
    ]


def closing(*ids: str) -> list[BindingType]:
    """Bindings by which the keys called ``ids`` close a window, such as the key that opened it."""
    return [Binding(key.keys, "dismiss", "close", show=False, id=id) for id in ids for key in (keys.key_of(id),)]


MEMORY = bindings(keys.MEMORY)
APP = bindings(keys.APP)
WINDOW = bindings(keys.WINDOW)
