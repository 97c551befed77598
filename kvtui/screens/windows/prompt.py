"""A modal line to type one value into, with what it would mean shown below."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from kvtui.engine.basis.errors import InputError
from kvtui.screens.windows.window import Window


class PromptScreen(Window):
    """Asks for one value.

    ``preview`` says what a text would mean, ``take`` does it, and ``step`` gives the next larger (1) or smaller (-1)
    preset; all may raise InputError.
    """

    def __init__(
        self,
        title: str,
        value: str,
        hint: str,
        *,
        preview: Callable[[str], str],
        take: Callable[[str], None],
        step: Callable[[str, int], str],
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint = title, value, hint
        self._preview, self._take, self._step = preview, take, step
        self._meaning = Static(classes="hint", markup=False)

    def compose(self) -> ComposeResult:
        """The line, what it means, and a hint."""
        with Vertical(classes="box") as box:
            box.border_title = self._title
            keys = self.legend(("presets", "list-up", "list-down"), ("close", "window-close"))
            box.border_subtitle = f"enter take   {keys}"
            yield Input(self._value, select_on_focus=True)
            yield self._meaning
            yield Static(self._hint, classes="hint", markup=False)

    def action_move(self, rows: int) -> None:
        """Go to a larger preset, or down to a smaller one."""
        field = self.query_one(Input)

        def step() -> None:
            field.value = self._step(field.value, 1 if rows < 0 else -1)

        self._try(step)

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
