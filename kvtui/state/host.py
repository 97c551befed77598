"""What the app is to its screens and widgets: the little that they need to know of what stands above them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from textual.app import App
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.signal import Signal

from kvtui.canvas.palette import Depth, Look
from kvtui.state.session import Session
from kvtui.state.settings import Settings

LEAST_SECONDS, CHARACTERS_PER_SECOND = 4.0, 15


class Said(NamedTuple):
    """What is said in passing: the ``text``, how severe it is, a word before it, and for how many ``seconds``."""

    text: str
    severity: str = "information"
    title: str = ""
    seconds: float = 0.0

    @property
    def shown_for(self) -> float:
        """Seconds that it stays, longer for a longer text."""
        return self.seconds or max(LEAST_SECONDS, len(self.text) / CHARACTERS_PER_SECOND)


class Standing(Protocol):
    """How far a benchmark is: ``done`` of ``total`` cases, and whether it is ``over``."""

    @property
    def done(self) -> int:
        """Cases that are measured."""

    @property
    def total(self) -> int:
        """Cases in all."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""


class Benchmark(Protocol):
    """A benchmark that was begun, as far as leaving the app concerns it."""

    @property
    def now(self) -> Standing:
        """Where it stands."""

    @property
    def folder(self) -> Path | None:
        """Where its results are put; None before there is a folder."""

    def end(self) -> None:
        """End it; what was measured stays."""


class Host(Protocol):
    """The app, as screens and widgets know it: ``host_of(self.app).session``.

    ``settings_changed`` publishes the settings in force when one changes. ``benchmark`` is the one that was begun
    last. ``canvas_look``, ``canvas_depth`` and ``canvas_ascii`` say how pictures are coloured.
    """

    settings_changed: Signal[Settings]
    benchmark: Benchmark | None

    @property
    def session(self) -> Session:
        """The scenario on screen."""

    @property
    def settings(self) -> Settings:
        """The preferences in force."""

    @property
    def canvas_look(self) -> Look:
        """The colours that pictures take."""

    @property
    def canvas_depth(self) -> Depth:
        """How many colours pictures have."""

    @property
    def canvas_ascii(self) -> bool:
        """Whether pictures keep to ASCII."""

    def reconsider_pictures(self) -> None:
        """Have pictures drawn anew that are to be in pixels now, or in cells."""

    @property
    def key_table(self) -> str:
        """What ``TABLES`` of the keys calls the screen below all windows."""

    def change_settings(self, **fields: object) -> None:
        """Put ``fields`` into the settings for this run."""

    def open(self, window: ModalScreen[None]) -> None:
        """Show a window over the screen, unless one of its kind is the topmost already."""

    @property
    def said(self) -> Said | None:
        """What was said last, while it is to be seen."""

    def clear_notifications(self) -> None:
        """Say nothing any more."""

    def tell(self, message: str) -> None:
        """Say something in passing. Nothing in ``message`` is markup."""

    def tell_error(self, error: Exception) -> None:
        """Say what went wrong. Nothing in the message is markup."""

    def get_key_display(self, binding: Binding) -> str:
        """What a binding's key is called in the footer."""


def host_of(app: App[Any]) -> Host:
    """``app``, which is the app of the program; ``kvtui.app.app`` has a check for mypy that it is a Host."""
    return cast(Host, app)
