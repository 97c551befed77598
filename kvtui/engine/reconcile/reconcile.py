"""Predicted beside observed: what a boot log says of a server's memory against what the planner says of the same start.

The log's own flags make the scenario, and options given besides override them. Where the log prints the memory of the
cache, the engine's blocks, tokens and buffers follow from that by exact arithmetic, and a difference beyond the
rounding of the printed digits is a fault of the planner or of what it was told. Weights, activations and graphs are
measured by the log, and priors in the plan: they stand side by side, and ``measured`` has them for later plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.engines.known import part
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.reconcile.names import named_model
from kvtui.engine.reconcile.remedies import Remedy, remedies
from kvtui.engine.reconcile.shapes import alike
from kvtui.engine.reconcile.start import start_of
from kvtui.engine.reconcile.stored import weights_of
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import Values
from kvtui.engine.serving.comparison import ComparedLog, Component
from kvtui.engine.sources.load import load_model


@dataclass(frozen=True)
class Reconciliation:
    """A boot log and the plan of the same start. ``measured`` are the log's overheads, for ``machines.save_profile``.

    ``known_device`` says whether the scenario's device is more than a default. ``notes`` say what was assumed where the
    log is silent, and ``remedies`` what would let a server start that refused to.
    """

    log: BootLog
    scenario: Scenario
    serving: Serving
    rows: tuple[Component, ...]
    measured: Overheads
    known_device: bool
    notes: tuple[str, ...]
    remedies: tuple[Remedy, ...] = ()

    @property
    def agrees(self) -> bool | None:
        """Whether every exact prediction agrees; None where the log lets none be compared."""
        verdicts = {row.verdict for row in self.rows if row.exact}
        return False if "differs" in verdicts else True if "agrees" in verdicts else None


def reconcile(log: BootLog, given: Values) -> Reconciliation:
    """``log`` beside the plan that its flags and the options ``given`` (by key; they override it) make.

    Raises InputError when the two contradict each other or no model of the catalogue can be the log's, and UnknownName
    as ``scenario_from`` does.
    """
    told = {key: value for key, value in given.items() if value is not None}
    model, notes = _model(log, told)
    start = start_of(log, told, model)
    scenario, known = start.scenario, start.known_device
    found: ComparedLog = part(log.engine, "components").compare(log, scenario, known)
    notes += start.notes
    if log.starts > 1:
        notes.append(f"the log holds {log.starts:,} starts; the last one is shown")
    if known:
        notes += _contradiction(scenario, found)
    return Reconciliation(
        log,
        scenario,
        found.serving,
        found.rows,
        found.measured,
        known,
        (*notes, *found.notes),
        _remedies(log, scenario, found.measured, known),
    )


def _remedies(log: BootLog, scenario: Scenario, measured: Overheads, known_device: bool) -> tuple[Remedy, ...]:
    """What would let the server start: with its own overheads, or in the memory that its log says it had."""
    given = "pool_given" in log.words or "kv_pool" in log.options
    if given or not known_device:
        return remedies(log, scenario, fixed_pool=True)
    kept = overheads_of(scenario, measured, "log")
    start = scenario._replace(kv_pool=None, batch=scenario.layout.dp, serving=scenario.serving._replace(measured=kept))
    return remedies(log, start, fixed_pool=False)


def _model(log: BootLog, told: Mapping[str, str | bool]) -> tuple[ModelSpec, list[str]]:
    """The model that was told, that the log names, or that its numbers allow, and what to say of it."""
    if "model" in told:
        return load_model(str(told["model"])), []
    try:
        return named_model(log), []
    except InputError as unnamed:
        found = alike(log, told)
        if not found.models:
            raise InputError(f"{unnamed}; name the log's model with --model") from None
        said = str(unnamed).removeprefix("reconcile: ")
        return found.models[0], [f"{said}: {found.words}; --model says otherwise"]


def _contradiction(scenario: Scenario, found: ComparedLog) -> list[str]:
    """What is wrong where weights and cache, both of them certain, are more than the device has.

    Activations and overhead are left out: as priors they may be wrong by more than a running server has to spare.
    """
    pool, usable = found.serving.pool_bytes, scenario.device.usable_bytes
    weights = weights_of(scenario) if found.measured.weights is None else found.measured.weights
    if weights is None or found.serving.pool_is_estimate or weights + pool <= usable:
        return []
    sizes = f"weights of {format_bytes(weights)} and a cache of {format_bytes(pool)}"
    held = f"the {format_bytes(usable)} of the {scenario.device.name}"
    return [f"{sizes} are more than {held}: is it another device (--gpu), or are the weights in another format?"]


def overheads_of(scenario: Scenario, measured: Overheads, name: str) -> Overheads:
    """What was ``measured`` under ``scenario``, to be saved as ``name``."""
    return measured._replace(name=name, engine=scenario.engine, weights_of=scenario.weights_key)
