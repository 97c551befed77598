"""What a person sees and is told, for tests of screens; Textual has no public names for either."""

from __future__ import annotations

from textual.app import App

from kvtui.state.host import host_of


def text_of(app: App[None]) -> str:
    """What is on screen, one line per row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def said_by(app: App[None]) -> str:
    """What was said last, while it is to be seen."""
    said = host_of(app).said
    return "" if said is None else said.text
