"""The one mutable thing of the app: the scenario on screen, its answers, and who wants to know when it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

from kvtui.bench.this_machine import here
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.placement import BestSplit
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.picture.film import next_batch, next_context, previous_batch, previous_context
from kvtui.engine.planning.capacity import Capacity, Users, capacity, users
from kvtui.engine.planning.estimate import Estimate, estimate, most_users
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.planning.serve import best_split
from kvtui.engine.planning.starting import FOLLOWING_THE_DEVICE, defaults_for
from kvtui.engine.saying.called import asked_name
from kvtui.engine.saying.explain import Explanation, explain
from kvtui.engine.saying.notices import Notice, notices
from kvtui.engine.scenario.change import adapted, fit_layout
from kvtui.engine.scenario.scenario import AVERAGE, FULL, Scenario
from kvtui.engine.scenario.setting import find_option, typed_fields
from kvtui.engine.scenario.values import fields_of, read_values, to_values

MOST_STEPS = 200
"""Changes that can be taken back."""

FILLS = (FULL, AVERAGE, "30%")
DEVICE_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)


class ScenarioChange(NamedTuple):
    """What happened to a session: the scenario ``before`` and ``after``, and ``notes`` on what gave way."""

    before: Scenario
    after: Scenario
    notes: tuple[str, ...] = ()


Listener = Callable[[ScenarioChange], None]


class _Answers:
    """What follows from one scenario, each worked out when it is first asked for."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    @cached_property
    def plan(self) -> Plan:
        return plan(self.scenario)

    @cached_property
    def capacity(self) -> Capacity:
        return capacity(self.plan)

    @cached_property
    def users(self) -> Users:
        return users(self.plan, self.capacity)

    @cached_property
    def estimate(self) -> Estimate:
        return estimate(self.plan)

    @cached_property
    def most_users(self) -> tuple[int, Estimate] | None:
        return most_users(self.scenario, self.capacity.sequences)

    @cached_property
    def split(self) -> BestSplit | None:
        return best_split(self.scenario)

    @cached_property
    def notices(self) -> tuple[Notice, ...]:
        return notices(self.plan)

    @cached_property
    def explanations(self) -> tuple[Explanation, ...]:
        return explain(self.plan, self.capacity, self.estimate)


class _Moment(NamedTuple):
    """Everything of a session that a step back brings back."""

    answers: _Answers
    follows_device: bool
    weights_gave_way: bool


class Session:
    """The current scenario. Everything that changes it raises InputError, and then nothing has changed.

    Each change can be taken back, the last one first, and made again until there is another change.

    What is asked for is kept; what contradicts it gives way and is named in the ``notes`` that listeners get. While
    ``follows_device``, nothing but the device has been chosen, and a new device brings the defaults of its class.
    """

    def __init__(self, scenario: Scenario, *, follows_device: bool = False) -> None:
        self._answers = _Answers(scenario)
        self._follows_device = follows_device
        self._weights_gave_way = False
        self._listeners: list[Listener] = []
        self._past: list[_Moment] = []
        self._future: list[_Moment] = []

    @property
    def scenario(self) -> Scenario:
        """The scenario on screen."""
        return self._answers.scenario

    @property
    def follows_device(self) -> bool:
        """Whether a new device still brings the defaults of its class."""
        return self._follows_device

    @property
    def plan(self) -> Plan:
        """What the scenario needs."""
        return self._answers.plan

    @property
    def capacity(self) -> Capacity:
        """The longest context and the most sequences that the devices hold."""
        return self._answers.capacity

    @property
    def users(self) -> Users:
        """How many users the devices hold, all of them full, or of an average fill."""
        return self._answers.users

    @property
    def split(self) -> BestSplit | None:
        """The best split between devices and RAM; None for an engine that has none."""
        return self._answers.split

    @property
    def estimate(self) -> Estimate:
        """Time, cost and energy of the batch, as bands."""
        return self._answers.estimate

    @property
    def most_users(self) -> tuple[int, Estimate] | None:
        """As many users as there is room for, with time, cost and energy; None without room, or without a bound."""
        return self._answers.most_users

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know, most urgent first."""
        return self._answers.notices

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Every figure with its formula, values and sources."""
        return self._answers.explanations

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after every change; the function returned ends that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def change(self, **fields: Any) -> None:
        """Put ``fields`` into the scenario, in the manner of ``dataclasses.replace``."""
        self._put(fields)
        self._follows_device = self._follows_device and fields.keys() <= {"device", "layout"}

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a change to make again."""
        return bool(self._future)

    def undo(self) -> None:
        """Take the last change back; nothing happens if there is none."""
        self._go(self._past, self._future)

    def redo(self) -> None:
        """Make the change again that was taken back last; nothing happens if there is none."""
        self._go(self._future, self._past)

    def take(self, scenario: Scenario) -> None:
        """Take all of another scenario."""
        self.change(
            **{name: value for name, value in scenario._asdict().items() if value != getattr(self.scenario, name)}
        )

    def set_text(self, key: str, text: str) -> None:
        """Set the option ``key`` as a person types it: ``set_text("context", "1M")``, ``set_text("cb", "off")``."""
        fields = self._typed(key, text)
        if fields.keys() == {"device"}:
            self.set_device(fields["device"])
        else:
            self.change(**fields)

    def preview(self, key: str, text: str) -> ScenarioChange:
        """What ``set_text`` would do. Raises InputError as that would."""
        after, notes = adapted(self.scenario, self._typed(key, text))
        return ScenarioChange(self.scenario, after, notes)

    def _typed(self, key: str, text: str) -> dict[str, Any]:
        """The fields that option ``key`` sets, typed as ``text``; this machine's devices set several."""
        said = here({find_option(key).key: text})
        if len(said) == 1:
            return typed_fields(self.scenario, key, text)
        scenario = self.scenario
        kept = scenario.layout, scenario.serving, scenario.kv_dtype, scenario.device
        return fields_of(read_values(said), scenario.model, scenario.engine, *kept)

    def set_model(self, model: ModelSpec, ref: str = "") -> None:
        """Take ``model``, named ``ref`` on a command line (its own name if empty)."""
        self.change(model=model, model_ref=ref or model.name)

    def set_device(self, device: DeviceSpec) -> None:
        """Take ``device``, with the defaults of its class while nothing else was chosen."""
        if not self._follows_device:
            self._put({"device": device})
            return
        said = to_values(self.scenario)
        found = defaults_for(device, {key: said[key] for key in said if key not in (*FOLLOWING_THE_DEVICE, "memory")})
        model = find_model(found.model)
        fields = fields_of(read_values(found.values), model, self.scenario.engine)
        chosen = {"device": device, "model": model, **fields}
        what = f"{found.model}, {found.batch:,} × {format_tokens(found.context)}"
        self._put(
            chosen, (f"now {what}: the defaults of the {device.name} until you choose something; u takes it back",)
        )

    def step_batch(self, by: int) -> None:
        """The next larger (``by`` 1) or smaller (-1) preset of the batch."""
        self.change(batch=(next_batch if by > 0 else previous_batch)(self.scenario.batch))

    def step_fill(self, by: int) -> None:
        """The next (``by`` 1) of full, an average mix of lengths and a third each, or the one before (-1).

        A fill that the rest of the scenario rules out is left out.
        """
        at = FILLS.index(self.scenario.fill) if self.scenario.fill in FILLS else len(FILLS) - 1
        self._first_that_works(lambda name: self.change(fill=name), FILLS[at + 1 :] if by > 0 else FILLS[:at][::-1])

    def step_context(self, by: int) -> None:
        """The next longer or shorter preset of the context."""
        self.change(context=(next_context if by > 0 else previous_context)(self.scenario.context))

    def step_devices(self, by: int) -> None:
        """The next larger or smaller number of devices that the model can be spread over; the last one stays."""
        scenario, now = self.scenario, self.scenario.layout.devices
        counts = [n for n in DEVICE_COUNTS if n > now] if by > 0 else [n for n in reversed(DEVICE_COUNTS) if n < now]
        for count in counts:
            layout = fit_layout(scenario.model, count, scenario.batch, scenario.engine)
            if layout.devices == count:
                self._put({"layout": layout})
                return

    def toggle(self, field: str) -> None:
        """Turn over a field that is on or off, such as ``flash_attention``."""
        self.change(**{field: not getattr(self.scenario, field)})

    def _put(self, chosen: dict[str, Any], notes: tuple[str, ...] = ()) -> None:
        """Change the scenario and tell the listeners; weights skipped for want of a count come back with one."""
        before = base = self.scenario
        if self._weights_gave_way and "model" in chosen and before.skip_weights:
            base = before._replace(skip_weights=False)
        after, more = adapted(base, chosen)
        answers = _Answers(after)
        _ = answers.plan
        if after != before:
            self._past = [*self._past[1 - MOST_STEPS :], self._moment]
            self._future = []
        self._weights_gave_way = (
            after.skip_weights and "skip_weights" not in chosen and (self._weights_gave_way or not before.skip_weights)
        )
        self._answers = answers
        if after.model is not before.model:
            more += _namesake(after)
        self._tell(ScenarioChange(before, after, notes + more))

    @property
    def _moment(self) -> _Moment:
        return _Moment(self._answers, self._follows_device, self._weights_gave_way)

    def _go(self, source: list[_Moment], target: list[_Moment]) -> None:
        """Take the last moment of ``source``, and put the present one to ``target``."""
        if source:
            before = self.scenario
            target.append(self._moment)
            self._answers, self._follows_device, self._weights_gave_way = source.pop()
            self._tell(ScenarioChange(before, self.scenario))

    def _tell(self, change: ScenarioChange) -> None:
        for listener in tuple(self._listeners):
            listener(change)

    def _first_that_works(self, take: Callable[[str], None], names: Iterable[str]) -> None:
        """Take the first of ``names`` that raises no InputError; raises the first one's if all do."""
        first: InputError | None = None
        for name in names:
            try:
                take(name)
            except InputError as error:
                first = first or error
            else:
                return
        if first is not None:
            raise first


def _namesake(scenario: Scenario) -> tuple[str, ...]:
    """That the model was asked for by the name of another one of the same shape: Llama-3.3-70B is Llama-3.1-70B."""
    asked = asked_name(scenario)
    return (f"{asked} is planned as {scenario.model.name}, which has its shape",) if asked else ()
