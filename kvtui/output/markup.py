"""HTML that cannot be forgotten to be escaped: every text is, unless ``tag`` itself made it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = {"meta"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Iterable["Content"]


def tag(name: str, /, *content: Content, **attributes: str | int) -> Markup:
    """An element with escaped ``content``, which may be nested in lists and generators, and escaped attributes.

    Underscores at the end of an attribute's name fall, others are dashes; an attribute with no text is left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{''.join(map(markup, content))}</{name}>")


def markup(content: Content) -> Markup:
    """``content`` as HTML."""
    match content:
        case Markup():
            return content
        case str():
            return Markup(escape(content))
        case _:
            return Markup("".join(map(markup, content)))
