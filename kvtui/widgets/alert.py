"""A small window over a screen that takes no key away: it says one urgent thing, and goes by itself."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from kvtui.engine.saying.notices import Severity


class Alert(Static):
    """A ``text`` and, fainter, some ``advice``; a click posts ``Dismissed``. Nothing in it is markup."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Alert {
        layer: alert;
        width: 64;
        max-width: 100%;
        height: auto;
        padding: 1 2;
        background: $surface;
        border: round $warning;
        border-title-color: $warning;
        border-title-style: bold;
        border-subtitle-color: $text-muted;
        &.-critical { border: round $error; border-title-color: $error; }
    }
    """

    class Dismissed(Message):
        """The window was clicked away."""

    def __init__(self, title: str, text: str, advice: str, severity: Severity) -> None:
        super().__init__(
            Content.assemble(text, "\n\n", (advice, "$foreground-muted")),
            markup=False,
            classes="-critical" if severity == "critical" else "",
        )
        self.border_title = title
        self.border_subtitle = "any key closes"

    def on_click(self, event: Click) -> None:
        """Leave what lies below alone."""
        event.stop()
        self.post_message(self.Dismissed())
