"""Text that came from a file or a command line, made harmless before it is shown."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def plain(text: str, limit: int = 120) -> str:
    """``text`` on one line without control, format or surrogate characters, cut to ``limit`` characters."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _HIDDEN else c for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
