"""The actions that change the scenario, for every mode whose keys start them."""

from __future__ import annotations

from collections.abc import Callable

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens, parse_tokens
from kvtui.engine.picture.film import CONTEXT_PRESETS, next_context, previous_context
from kvtui.screens.mode import ModeScreen
from kvtui.state.session import Session

TOGGLES = {
    "cb": "continuous_batching",
    "pa": "paged_attention",
    "fa": "flash_attention",
    "weights": "skip_weights",
}


class ScenarioActions(ModeScreen):
    """A mode whose keys change the scenario: every action of the table of keys that several modes share.

    An InputError becomes a notification, and leaves the scenario as it was.
    """

    def action_next_model(self) -> None:
        """The catalogue's next model."""
        self._attempt(lambda session: session.step_model(1))

    def action_previous_model(self) -> None:
        """The catalogue's previous model."""
        self._attempt(lambda session: session.step_model(-1))

    def action_next_device(self) -> None:
        """The catalogue's next device."""
        self._attempt(lambda session: session.step_device(1))

    def action_previous_device(self) -> None:
        """The catalogue's previous device."""
        self._attempt(lambda session: session.step_device(-1))

    def action_next_devices(self) -> None:
        """The next larger number of devices."""
        self._attempt(lambda session: session.step_devices(1))

    def action_previous_devices(self) -> None:
        """The next smaller number of devices."""
        self._attempt(lambda session: session.step_devices(-1))

    def action_next_dtype(self) -> None:
        """The next format of weights and KV."""
        self._attempt(lambda session: session.step_dtype())

    def action_next_kv_dtype(self) -> None:
        """The next format of KV."""
        self._attempt(lambda session: session.step_kv_dtype())

    def action_next_batch(self) -> None:
        """The next larger batch."""
        self._attempt(lambda session: session.step_batch(1))

    def action_previous_batch(self) -> None:
        """The next smaller batch."""
        self._attempt(lambda session: session.step_batch(-1))

    def action_next_fill(self) -> None:
        """All sequences full, a mix of lengths, or a third each."""
        self._attempt(lambda session: session.step_fill())

    def action_next_context(self) -> None:
        """The next longer context."""
        self._attempt(lambda session: session.step_context(1))

    def action_previous_context(self) -> None:
        """The next shorter context."""
        self._attempt(lambda session: session.step_context(-1))

    def action_toggle_cb(self) -> None:
        """Continuous batching on or off."""
        self._toggle("cb")

    def action_toggle_pa(self) -> None:
        """Paged attention on or off."""
        self._toggle("pa")

    def action_toggle_fa(self) -> None:
        """FlashAttention on or off."""
        self._toggle("fa")

    def action_toggle_weights(self) -> None:
        """Weights counted or skipped."""
        self._toggle("weights")

    def action_pick_model(self) -> None:
        """Open the model picker."""
        from kvtui.screens.windows.pickers import ModelPicker

        self.host.open(ModelPicker(self.host.session))

    def action_pick_weights(self) -> None:
        """Open the picker of weight formats."""
        from kvtui.screens.windows.pickers import WeightPicker

        self.host.open(WeightPicker(self.host.session))

    def action_pick_device(self) -> None:
        """Open the device picker."""
        from kvtui.screens.windows.pickers import DevicePicker

        self.host.open(DevicePicker(self.host.session))

    def action_set_context(self) -> None:
        """Ask for a context length."""
        from kvtui.screens.windows.prompt import PromptScreen

        session = self.host.session
        presets = " ".join(format_tokens(tokens) for tokens in CONTEXT_PRESETS)
        trained = session.scenario.model.max_context
        most = "" if trained is None else f"the model's maximum is {format_tokens(trained)}\n"
        self.host.open(
            PromptScreen(
                "context of one sequence, in tokens",
                format_tokens(session.scenario.context),
                f"{most}{presets}",
                preview=lambda text: f"{session.preview('context', text).after.context:,} tokens",
                take=lambda text: session.set_text("context", text),
                step=lambda text, by: format_tokens((next_context if by > 0 else previous_context)(parse_tokens(text))),
            )
        )

    def action_fixes(self) -> None:
        """What would make the scenario fit, or another that is wished for."""
        from kvtui.screens.windows.fixes import FixesScreen

        self.host.open(FixesScreen(self.host.session))

    def action_undo(self) -> None:
        """Take the last change of the scenario back."""
        if self.host.session.can_undo:
            self.host.session.undo()
        else:
            self.host.tell("nothing to take back")

    def action_redo(self) -> None:
        """Make the change again that was taken back last."""
        if self.host.session.can_redo:
            self.host.session.redo()
        else:
            self.host.tell("nothing to make again")

    def action_explain(self, about: str | None = None) -> None:
        """Explain the numbers, beginning with the one called ``about``."""
        from kvtui.screens.windows.explain import ExplainScreen

        self.host.open(ExplainScreen(self.host.session, about))

    def _toggle(self, name: str) -> None:
        self._attempt(lambda session: session.toggle(TOGGLES[name]))

    def _attempt(self, change: Callable[[Session], None]) -> None:
        try:
            change(self.host.session)
        except InputError as error:
            self.host.tell_error(error)
