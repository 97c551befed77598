"""The top line of a screen: the app's name, its screens to click on, and a few words at the right."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from kvtui.canvas.cells import fit
from kvtui.keys import MODES, Mode


class ModeBar(Static):
    """One line with every mode, the ``current`` one marked, and ``right`` at the end of the line."""

    ALLOW_SELECT = False

    def __init__(self, current: str, right: str = "") -> None:
        super().__init__(markup=False)
        self._current, self._right = current, right
        self._places: list[tuple[int, int, Mode]] = []

    def say(self, right: str) -> None:
        """Put other words at the right."""
        self._right = right
        self._draw()

    def on_resize(self) -> None:
        """Fill the new width."""
        self._draw()

    async def on_click(self, event: Click) -> None:
        """Go to the mode that was clicked on."""
        for start, end, mode in self._places:
            if start <= event.x < end:
                await self.run_action(f"app.mode('{mode.name}')")

    def _draw(self) -> None:
        name = " kvtui  "
        x, parts = len(name), [Content.styled(name, "bold $primary")]
        self._places = []
        for mode in MODES:
            label = f" {mode.number} {mode.title} "
            parts.append(Content.styled(label, self._style(mode.name == self._current)))
            parts.append(Content(" "))
            self._places.append((x, x + len(label), mode))
            x += len(label) + 1
        room = self.size.width - x - 1
        right = fit(self._right, room).rstrip() if room > 0 else ""
        gap = Content(" " * max(0, room - cell_len(right)))
        self.update(Content.assemble(*parts, gap, (right, "$foreground-muted")))

    def _style(self, current: bool) -> str:
        if not current:
            return "$foreground-muted"
        if self.app.no_color:
            return "bold reverse"
        return "bold $block-cursor-foreground on $block-cursor-background"
