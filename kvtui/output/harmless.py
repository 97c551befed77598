"""Values for reports with the text in them made harmless."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvtui.engine.basis.untrusted import plain


def clean(value: Any) -> Any:
    """``value`` with every string in it made harmless: one line, no control characters."""
    match value:
        case str():
            return plain(value, len(value))
        case Mapping():
            return {clean(key): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case _:
            return value
