"""The table of keys as Textual bindings: ``BINDINGS = bindings.MEMORY``."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from kvtui.state import keys
from kvtui.widgets.key_bindings import bindings


def closing(*ids: str) -> list[BindingType]:
    """Bindings by which the keys called ``ids`` close a window, such as the key that opened it."""
    return [Binding(key.keys, "dismiss", "close", show=False, id=id) for id in ids for key in (keys.key_of(id),)]


GLOBAL = bindings(keys.GLOBAL)
MEMORY = bindings(keys.MEMORY)
PLAN = bindings(keys.PLAN)
BENCH = bindings(keys.BENCH)
EXPLORE = bindings(keys.EXPLORE)
PAPERS = bindings(keys.PAPERS)
TABLE = bindings(keys.TABLE)
SCROLLING = bindings(keys.SCROLLING)
TRAFFIC = bindings(keys.TRAFFIC)
FILM = bindings(keys.FILM)
APP = bindings(keys.APP)
WINDOW = bindings(keys.WINDOW)
