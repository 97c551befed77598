"""What a person sees and is told, for tests of screens; Textual has no public names for either."""

from __future__ import annotations

from textual.app import App


def text_of(app: App[None]) -> str:
    """What is on screen, one line per row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def said_by(app: App[None]) -> str:
    """All notifications that are still to be seen, one below the other."""
    return "\n".join(notification.message for notification in app._notifications)
