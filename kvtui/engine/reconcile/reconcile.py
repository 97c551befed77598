"""Predicted beside observed: what a boot log says of a server's memory against what the planner says of the same start.

The log's own flags make the scenario, and options given besides override them. Where the log prints the memory of the
cache, the engine's blocks, tokens and buffers follow from that by exact arithmetic, and a difference beyond the
rounding of the printed digits is a fault of the planner or of what it was told. Weights, activations and graphs are
measured by the log, and priors in the plan: they stand side by side, and ``measured`` has them for later plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.checkpoint.gguf.named import file_type_in
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import parse_engine, part, release, span
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.formats import canonical
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.stages import stages
from kvtui.engine.planning.weights import held_weight_bytes
from kvtui.engine.reconcile.names import catalogue_model, stored_format
from kvtui.engine.scenario.scenario import Scenario, has_experts
from kvtui.engine.scenario.values import Values, scenario_from
from kvtui.engine.serving.comparison import SAME_MEMORY, ComparedLog, Component
from kvtui.engine.sources.load import load_model

LIKELIEST_VENDOR = "NVIDIA"
LAYOUT = ("gpus", "tp", "pp", "dp")
VENDORS = ("NVIDIA ", "GeForce ", "Tesla ", "AMD ", "Radeon ", "Apple ", "Quadro ")


@dataclass(frozen=True)
class Reconciliation:
    """A boot log and the plan of the same start. ``measured`` are the log's overheads, for ``machines.save_profile``.

    ``known_device`` says whether the scenario's device is more than a default. ``notes`` say what was assumed where the
    log is silent.
    """

    log: BootLog
    scenario: Scenario
    serving: Serving
    rows: tuple[Component, ...]
    measured: Overheads
    known_device: bool
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether no exact prediction differs."""
        return all(row.verdict != "differs" for row in self.rows)


def reconcile(log: BootLog, given: Values) -> Reconciliation:
    """``log`` beside the plan that its flags and the options ``given`` (by key; they override it) make.

    Raises InputError when the two contradict each other or the model is in no catalogue, and UnknownName as
    ``scenario_from`` does.
    """
    told = {key: value for key, value in given.items() if value is not None}
    notes: list[str] = []
    model = load_model(str(told["model"])) if "model" in told else catalogue_model(log)
    device = _device(log, told, notes)
    scenario = scenario_from(_values(log, told, model, device, notes), model)
    if log.starts > 1:
        notes.append(f"the log holds {log.starts:,} starts; the last one is shown")
    known = device is not None
    found: ComparedLog = part(log.engine, "components").compare(log, scenario, known)
    if known:
        notes += _contradiction(scenario, found)
    return Reconciliation(log, scenario, found.serving, found.rows, found.measured, known, (*notes, *found.notes))


def _contradiction(scenario: Scenario, found: ComparedLog) -> list[str]:
    """What is wrong where weights and cache, both of them certain, are more than the device has.

    Activations and overhead are left out: as priors they may be wrong by more than a running server has to spare.
    """
    weights, pool = found.measured.weights, found.serving.pool_bytes
    try:
        weights = max(held_weight_bytes(scenario, stage) for stage in stages(scenario)) if weights is None else weights
    except InputError:
        return []
    usable = scenario.device.usable_bytes
    if found.serving.pool_is_estimate or weights + pool <= usable:
        return []
    sizes = f"weights of {format_bytes(weights)} and a cache of {format_bytes(pool)}"
    held = f"the {format_bytes(usable)} of the {scenario.device.name}"
    return [f"{sizes} are more than {held}: is it another device (--gpu), or are the weights in another format?"]


def overheads_of(scenario: Scenario, measured: Overheads, name: str) -> Overheads:
    """What was ``measured`` under ``scenario``, to be saved as ``name``."""
    return measured._replace(name=name, engine=scenario.engine, weights_of=scenario.weights_key)


def _values(
    log: BootLog, told: Mapping[str, str | bool], model: ModelSpec, device: DeviceSpec | None, notes: list[str]
) -> Values:
    """The options of the scenario: those ``told``, else the log's own, else what the engine would choose."""
    values: dict[str, str | bool | None] = {**log.options, "model": model.name, "engine": _engine(log, told, notes)}
    values |= _formats(log, model, notes) if "dtype" not in told else {}
    if "gpus" in told:
        for key in LAYOUT:
            values.pop(key, None)
    if "dtype" in told:
        values.pop("kv_dtype", None)
        values.pop("weight_dtype", None)
    if "weight_dtype" in told:
        values.pop("skip_weights", None)
    if not has_experts(model):
        values.pop("ep", None)
    _draft(log, told, model, values, notes)
    if device is not None:
        values["gpu"] = device.name
    pool = log.least("pool")
    if pool is not None:
        values["kv_pool"] = str(max(1, pool.bytes))
    values |= {key: value for key, value in told.items() if key != "engine"}
    if "dp" in values and "batch" not in values:
        values["batch"] = values["dp"]
    return values


def _engine(log: BootLog, told: Mapping[str, str | bool], notes: list[str]) -> str:
    """The engine with its release, the nearest known one where the log's own is not known."""
    chosen = told.get("engine")
    if chosen is not None:
        engine = parse_engine(str(chosen))
        if engine.name != log.engine:
            raise InputError(f"engine: the log is one of {log.engine}, not of {engine.name}")
        if engine.version:
            return str(engine)
    version = log.words.get("version", "")
    if not version:
        newest = span(log.engine).newest
        notes.append(f"the log does not say the release: {f'that of {newest}' if newest else 'the newest'} is assumed")
        return log.engine
    try:
        return str(parse_engine(f"{log.engine}@{version}"))
    except InputError as error:
        oldest = span(log.engine).oldest
        nearest = oldest if oldest and _earlier(version, oldest) else None
        notes.append(f"{error}; the {'oldest' if nearest else 'newest'} known one is assumed")
        return log.engine if nearest is None else f"{log.engine}@{nearest}"


def _earlier(version: str, other: str) -> bool:
    try:
        return release(version) < release(other)
    except InputError:
        return False


def _formats(log: BootLog, model: ModelSpec, notes: list[str]) -> dict[str, str | bool]:
    """Formats of cache and weights where the log does not say them; weights of an unknown format are left out."""
    dtype = canonical(log.words.get("dtype", ""))
    dtype = dtype if dtype in ("bf16", "fp16", "fp32") else ""
    found: dict[str, str | bool] = {}
    if dtype and "kv_dtype" not in log.options:
        found["kv_dtype"] = dtype
    if model.weight_bytes is not None or "weight_dtype" in log.options:
        return found
    hints = [log.words[key] for key in ("quantization", "file_type", "model") if key in log.words]
    # A file's name tells more than its type does: those of other makers than llama.cpp have the type of its nearest.
    named = file_type_in(log.words.get("model", ""))
    stored = named or next((form for form in map(stored_format, hints) if form), None)
    if stored is None and "quantization" not in log.words and "file_type" not in log.words:
        stored = model.published_weights or dtype or "bf16"
    if stored is not None:
        found["weight_dtype"] = stored
    else:
        found["skip_weights"] = True
        notes.append("the format of the weights is not known; name it with --weight-dtype")
    return found


def _draft(
    log: BootLog,
    told: Mapping[str, str | bool],
    model: ModelSpec,
    values: dict[str, str | bool | None],
    notes: list[str],
) -> None:
    """What speculative decoding adds to the cache."""
    tokens, method = log.words.get("speculative_tokens"), log.words.get("speculative_method", "")
    if "speculative_tokens" in told or "draft_layers" in told:
        values.pop("speculative_tokens", None)
    elif method.startswith("eagle") and tokens is not None:
        values |= {"draft_layers": "1", "speculative_tokens": tokens}
        notes.append("the drafter is taken to have one layer like the model's; --draft-layers says otherwise")
    elif "speculative_tokens" in values and not model.mtp:
        del values["speculative_tokens"]
        notes.append(f"{model.name} has no multi-token-prediction layers in the catalogue: drafting is left out")
    elif tokens is not None and "speculative_tokens" not in values:
        notes.append(f"speculative decoding ({method}) is left out of the prediction")


def _device(log: BootLog, told: Mapping[str, str | bool], notes: list[str]) -> DeviceSpec | None:
    """The device that was told, that the log names, or that has the memory the log prints; None if nothing says."""
    if "gpu" in told:
        return find_device(str(told["gpu"]))
    named = log.words.get("device")
    if named is not None:
        bare = named.partition(" (")[0]
        for vendor in VENDORS:
            bare = bare.replace(vendor, "")
        for name in (named, bare):
            try:
                return find_device(name)
            except UnknownName:
                continue
    total = log.most("total")
    nearest = None if total is None else _device_of(total.bytes)
    if nearest is not None:
        notes.append(f"the device is taken to be the {nearest.name}, by its memory; --gpu says otherwise")
        return nearest
    notes.append("the log does not name the device: name it with --gpu")
    return None


def _device_of(total: int) -> DeviceSpec | None:
    """The device with about ``total`` bytes, the likeliest vendor's first; None if there is none."""
    like = [device for device in all_devices() if abs(device.usable_bytes - total) <= SAME_MEMORY * total]
    return min(like, key=lambda d: (d.vendor != LIKELIEST_VENDOR, abs(d.usable_bytes - total)), default=None)
