"""The row at the bottom of a screen that says something in passing: it covers nothing, and there is one message."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content
from textual.widgets import Static

from kvtui.state.host import Said, host_of

STYLES = {"information": "$foreground", "warning": "$text-warning", "error": "$text-error"}
MARKS = {"information": "", "warning": "! ", "error": "! "}


class MessageLine(Static):
    """Shows what was said last until the app says that it is over, in as many rows as it needs."""

    ALLOW_SELECT = False
    DEFAULT_CSS: ClassVar[str] = """
    MessageLine {
        dock: bottom;
        width: 100%;
        height: auto;
        max-height: 5;
        padding: 0 1;
        background: $footer-background;
    }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.said: Said | None = None

    def on_mount(self) -> None:
        """Say what was said before the line was there."""
        said = host_of(self.app).said
        if said is not None:
            self.say(said)
        else:
            self.draw()

    def say(self, said: Said) -> None:
        """Say it in place of what was said before."""
        self.said = said
        self.draw()

    def hush(self) -> None:
        """Say nothing any more."""
        if self.said is not None:
            self.said = None
            self.draw()

    def draw(self) -> None:
        """Show what is said."""
        self.display = self.said is not None
        if self.said is not None:
            self.update(content_of(self.said))


def content_of(said: Said) -> Content:
    """The words in their colour; nothing in them is markup."""
    style = STYLES.get(said.severity, "")
    title = f"{said.title}: " if said.title else ""
    return Content.assemble((MARKS.get(said.severity, ""), style), (title, "bold"), (said.text, style))
