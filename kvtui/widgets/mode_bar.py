"""The top line of a screen: the app's name, its screens to click on, and the keys of the whole app."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from kvtui.state.host import host_of
from kvtui.state.keys import MODES, key_of
from kvtui.widgets.key_name import first_key

KEYS = ("palette", "quit")


class ModeBar(Static):
    """One line with every mode, the ``current`` one marked, and at its end the keys of the whole app."""

    ALLOW_SELECT = False

    def __init__(self, current: str) -> None:
        super().__init__(markup=False)
        self._current = current
        self._places: list[tuple[int, int, str]] = []

    def on_resize(self) -> None:
        """Fill the new width."""
        self._draw()

    async def on_click(self, event: Click) -> None:
        """Go to the mode, or do what the key would do, that was clicked on."""
        for start, end, action in self._places:
            if start <= event.x < end:
                await self.run_action(f"app.{action}")

    def _draw(self) -> None:
        name = " kvtui  "
        x, parts = len(name), [Content.styled(name, "bold $primary")]
        self._places = []
        for mode in MODES:
            label = f" {mode.number} {mode.title} "
            parts.append(Content.styled(label, self._style(mode.name == self._current)))
            parts.append(Content(" "))
            self._places.append((x, x + len(label), f"mode('{mode.name}')"))
            x += len(label) + 1
        host = host_of(self.app)
        keys = [(key_of(id), first_key(host, id)) for id in KEYS]
        hints = sum(cell_len(shown) + 1 + len(key.label) + 2 for key, shown in keys)
        room = self.size.width - x - 1
        hints, keys = (hints, keys) if hints <= room else (0, [])
        x += max(0, room - hints)
        parts.append(Content(" " * max(0, room - hints)))
        for key, shown in keys:
            words = Content.assemble(
                "  ", (shown, "bold $footer-key-foreground"), (f" {key.label}", "$foreground-muted")
            )
            self._places.append((x + 2, x + words.cell_length, key.action))
            x += words.cell_length
            parts.append(words)
        self.update(Content.assemble(*parts))

    def _style(self, current: bool) -> str:
        if not current:
            return "$foreground-muted"
        if self.app.no_color:
            return "bold reverse"
        return "bold $block-cursor-foreground on $block-cursor-background"
