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


def shell_word(text: str) -> str:
    r"""``text`` as one word of a shell, harmless to show and the same when it is pasted.

    What cannot be shown stands in ``$'...'`` with octal escapes, which bash, zsh and ksh read: ESC is ``$'\033'``.
    """
    if text.isprintable():
        from shlex import quote

        return quote(text)
    try:
        data = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(errors="surrogatepass")
    shown = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}" for byte in data)
    return f"$'{''.join(shown)}'"
