"""The row of keys at the bottom of a screen that is to be seen at once."""

from __future__ import annotations

from textual.containers import Container


class KeyLine(Container):
    """A row for the footer, which ``fill`` puts into it: its widgets take as long to make as all others together."""

    DEFAULT_CSS = "KeyLine { dock: bottom; height: 1; background: $footer-background; }"

    async def fill(self) -> None:
        """Show the keys, if they are not shown already."""
        from textual.widgets import Footer

        if not self.children:
            await self.mount(Footer(show_command_palette=False))
            self.screen.refresh_bindings()
