"""Rows of the table of keys as Textual bindings."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingType

from kvtui.state.keys import Key

PRIOR = ("list-up", "list-down", "list-page", "page-")
"""How the ids of keys begin that go before those of a field or a scroll bar that has the focus."""


def bindings(table: Iterable[Key]) -> list[BindingType]:
    """One binding per key of ``table``, with its id, footer group and tooltip."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.footer,
            key_display="enter" if key.keys == "enter" else None,
            tooltip=key.text,
            id=key.id,
            priority=key.id == "palette" or key.id.startswith(PRIOR),
            group=Binding.Group(key.together, compact=True) if key.together else None,
        )
        for key in table
    ]
