"""The actions that change the scenario, for every mode whose keys start them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens, parse_count, parse_tokens
from kvtui.engine.picture.film import (
    BATCHES,
    CONTEXT_PRESETS,
    next_batch,
    next_context,
    previous_batch,
    previous_context,
)
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import Scenario
from kvtui.screens import bindings
from kvtui.screens.mode import ModeScreen
from kvtui.state.session import Session

TOGGLES = {
    "cb": "continuous_batching",
    "pa": "paged_attention",
    "fa": "flash_attention",
    "weights": "skip_weights",
}


class ScenarioActions(ModeScreen):
    """A mode with the keys that are the same on every screen, which choose and change the scenario.

    An InputError becomes a notification, and leaves the scenario as it was.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings.GLOBAL

    def action_next_devices(self) -> None:
        """The next larger number of devices."""
        self._attempt(lambda session: session.step_devices(1))

    def action_previous_devices(self) -> None:
        """The next smaller number of devices."""
        self._attempt(lambda session: session.step_devices(-1))

    def action_next_batch(self) -> None:
        """The next larger batch."""
        self._attempt(lambda session: session.step_batch(1))

    def action_previous_batch(self) -> None:
        """The next smaller batch."""
        self._attempt(lambda session: session.step_batch(-1))

    def action_next_fill(self) -> None:
        """All sequences full, then a mix of lengths, then a third each."""
        self._attempt(lambda session: session.step_fill(1))

    def action_previous_fill(self) -> None:
        """The fill before."""
        self._attempt(lambda session: session.step_fill(-1))

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

    def action_pick_kv(self) -> None:
        """Open the picker of KV formats."""
        from kvtui.screens.windows.pickers import KVPicker

        self.host.open(KVPicker(self.host.session))

    def action_pick_engine(self) -> None:
        """Open the picker of engines and their releases."""
        from kvtui.screens.windows.engines import EnginePicker

        self.host.open(EnginePicker(self.host.session))

    def action_filter(self) -> None:
        """Search: for a model, where the screen has no rows that could be fewer."""
        self.action_pick_model()

    def action_pick_device(self) -> None:
        """Open the device picker."""
        from kvtui.screens.windows.pickers import DevicePicker

        self.host.open(DevicePicker(self.host.session))

    def action_set_context(self) -> None:
        """Ask for a context length."""
        session = self.host.session
        presets = " ".join(format_tokens(tokens) for tokens in CONTEXT_PRESETS)
        trained = session.scenario.model.max_context
        most = "" if trained is None else f"the model's maximum is {format_tokens(trained)}\n"
        self._ask(
            "context",
            "context of one sequence, in tokens",
            format_tokens(session.scenario.context),
            f"{most}{presets}",
            lambda scenario: f"{scenario.context:,} tokens",
            lambda text, by: format_tokens((next_context if by > 0 else previous_context)(parse_tokens(text))),
        )

    def action_set_batch(self) -> None:
        """Ask how many sequences are in the devices at once."""
        session = self.host.session
        found = session.users
        most = "" if found.full is None else f"{found.full:,} full sequences fit\n"
        self._ask(
            "batch",
            "batch: sequences at once",
            str(session.scenario.batch),
            f"{most}{' '.join(map(str, BATCHES))}",
            lambda scenario: f"{scenario.batch:,} sequence{'s' if scenario.batch > 1 else ''}",
            lambda text, by: str((next_batch if by > 0 else previous_batch)(parse_count(text, "batch", MAX_BATCH))),
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

    def _ask(
        self,
        option: str,
        title: str,
        value: str,
        hint: str,
        said: Callable[[Scenario], str],
        step: Callable[[str, int], str],
    ) -> None:
        """Ask for the value of ``option``; ``said`` are words for what it would be, and whether it fits is added."""
        from kvtui.screens.windows.prompt import PromptScreen

        session = self.host.session

        def preview(text: str) -> str:
            after = session.preview(option, text).after
            return f"{said(after)}, {'fits' if plan(after).fits else 'does not fit'}"

        self.host.open(
            PromptScreen(
                title,
                value,
                hint,
                preview=preview,
                take=lambda text: session.set_text(option, text),
                step=step,
            )
        )

    def _toggle(self, name: str) -> None:
        self._attempt(lambda session: session.toggle(TOGGLES[name]))

    def _attempt(self, change: Callable[[Session], None]) -> None:
        try:
            change(self.host.session)
        except InputError as error:
            self.host.tell_error(error)
