"""A modal line to type one value into, with what it would mean shown below."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kvtui.engine.errors import InputError


class PromptScreen(ModalScreen[None]):
    """Asks for one value. ``preview`` says what a text would mean and ``take`` does it; both may raise InputError."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "close", id="prompt-close")]

    def __init__(
        self, title: str, value: str, hint: str, preview: Callable[[str], str], take: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint = title, value, hint
        self._preview, self._take = preview, take
        self._meaning = Static(classes="hint", markup=False)

    def compose(self) -> ComposeResult:
        """The line, what it means, and a hint."""
        with Vertical(classes="box") as box:
            box.border_title = self._title
            box.border_subtitle = "enter take   esc close"
            yield Input(self._value, select_on_focus=True)
            yield self._meaning
            yield Static(self._hint, classes="hint", markup=False)

    @on(Input.Changed)
    def explain(self, event: Input.Changed) -> None:
        """Say what the text would mean, or what is wrong with it."""
        self._try(lambda: self._say(self._preview(event.value)))

    @on(Input.Submitted)
    def take(self, event: Input.Submitted) -> None:
        """Do it and close, or say what is wrong."""
        if self._try(lambda: self._take(event.value)):
            self.dismiss()

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except InputError as error:
            self._say(str(error), wrong=True)
            return False
        return True

    def _say(self, message: str, wrong: bool = False) -> None:
        self._meaning.update(Content(message).stylize("$text-error" if wrong else "$foreground"))
