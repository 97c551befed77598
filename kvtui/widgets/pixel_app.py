"""The app's part in pictures of pixels: what the terminal can, and which pictures are on its screen now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from rich.control import Control
from textual.geometry import Region

from kvtui.canvas.pixels.terminal import NO_GRAPHICS, PROTOCOLS, QUESTIONS, Graphics, is_asked, is_last, understood
from kvtui.widgets.textual_driver import SteadyDriver, TerminalAnswer
from kvtui.widgets.textual_private import DrawnApp, driver_of

if TYPE_CHECKING:
    from kvtui.canvas.pixels.picture import PixelPicture


class Pictured(Protocol):
    """A widget with pictures."""

    def reconsider(self) -> None:
        """Draw everything anew if it would be drawn in another way now."""

    def places(self) -> Iterator[tuple[PixelPicture, Region]]:
        """The pictures that are to be seen now, and where on the screen."""

    def written_on(self, picture: PixelPicture, region: Region) -> str:
        """What is written in cells on a picture: escape sequences."""


class PixelApp(DrawnApp):
    """An app whose canvases may have pictures in the terminal's own pixels.

    The terminal is asked what it can when the first canvas wants to know. Nobody waits: pictures are drawn in cells
    until it has answered, and drawn anew then. ``pixels`` says what is wanted: ``auto``, ``off`` or a protocol.
    """

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._terminal: Graphics | None = None
        self._answers: list[str] = []
        self._askers: set[Pictured] = set()
        self._on_screen: dict[int, tuple[Region, PixelPicture]] = {}

    @property
    def pixels(self) -> str:
        """What is wanted of pixels."""
        return "off"

    def graphics_for(self, canvas: Pictured) -> Graphics | None:
        """How the terminal draws pictures, None where it does not; ``canvas`` draws anew when that is known."""
        driver = driver_of(self)
        self._askers.add(canvas)
        if self.pixels == "off" or not isinstance(driver, SteadyDriver):
            return None
        cell = driver.cell_pixels
        if self._terminal is None:
            self._terminal = understood((), os.environ, cell) if not is_asked(os.environ) else NO_GRAPHICS
            if is_asked(os.environ):
                driver.write(QUESTIONS)
        found = self._terminal if cell is None else self._terminal._replace(cell=cell)
        if self.pixels in PROTOCOLS:
            found = found._replace(protocol=self.pixels)
        return None if found.protocol is None else found

    def forget(self, canvas: Pictured) -> None:
        """``canvas`` is there no more."""
        self._askers.discard(canvas)

    def on_terminal_answer(self, message: TerminalAnswer) -> None:
        """Gather what the terminal says of itself, and draw anew when it has said it all."""
        self._answers.append(message.text)
        driver = driver_of(self)
        if is_last(message.text) and isinstance(driver, SteadyDriver):
            self._terminal = understood(self._answers, os.environ, driver.cell_pixels)
            self._answers = []
            self.reconsider_pictures()

    def reconsider_pictures(self) -> None:
        """Have pictures drawn anew that are to be in pixels now, or in cells: what covers them has changed, say."""
        for canvas in list(self._askers):
            canvas.reconsider()

    def drawn(self, rows: range) -> None:
        """Send the pictures that are new, or that were written over, and take away those that are not seen any more."""
        if not self._on_screen and not self._askers:
            return
        wanted = {picture.number: (at, picture, canvas) for canvas in self._askers for picture, at in canvas.places()}
        sent = []
        for number, (at, picture, canvas) in wanted.items():
            lasts = picture.removal or rows.stop <= at.y or rows.start >= at.bottom
            if number not in self._on_screen or self._on_screen[number][0] != at or not lasts:
                sent.append(Control.move_to(at.x, at.y).segment.text + picture.text)
                sent.append("" if picture.removal else canvas.written_on(picture, at))
        sent += [picture.removal for number, (_, picture) in self._on_screen.items() if number not in wanted]
        self._on_screen = {number: (at, picture) for number, (at, picture, _) in wanted.items()}
        self._write("".join(sent))

    def take_pictures_away(self) -> None:
        """Leave no picture on the terminal, which is given back."""
        self._write("".join(picture.removal for _, picture in self._on_screen.values()))
        self._on_screen = {}

    def _write(self, text: str) -> None:
        driver = driver_of(self)
        if text and driver is not None:
            driver.write(text)
