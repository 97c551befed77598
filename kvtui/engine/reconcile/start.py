"""The scenario of the start that a log tells of: its own flags, what was told, and what is assumed besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.checkpoint.gguf.named import file_type_in
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import parse_engine, release, span
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.model.formats import canonical
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.reconcile.devices import FoundDevice, likely_device, named_device
from kvtui.engine.reconcile.names import stored_format
from kvtui.engine.reconcile.stored import stored_as
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario, has_experts
from kvtui.engine.scenario.values import scenario_from

LAYOUT = ("gpus", "tp", "pp", "dp")
WHOLE_FORMATS = ("bf16", "fp16", "fp32")


class Start(NamedTuple):
    """The ``scenario`` of a start, whether its device is more than a default, and what was assumed."""

    scenario: Scenario
    known_device: bool
    notes: tuple[str, ...]


def start_of(log: BootLog, told: Mapping[str, str | bool], model: ModelSpec, *, guess_device: bool = True) -> Start:
    """The start of ``model`` that ``log`` tells of, with the options ``told`` by key, which override it.

    A device that is neither told nor named nor found by its memory is guessed from the log's other numbers if asked.
    Raises InputError when the two contradict each other, and UnknownName as ``scenario_from`` does.
    """
    notes: list[str] = []
    device = named_device(log, told)
    values = _values(log, told, model, notes)
    scenario = _weighed(log, told, _on(values, model, device), values, notes)
    if device is None and guess_device:
        device = likely_device(log, lambda each: _left_on(log, values, scenario, each))
        if device is None:
            notes.append("the log does not name the device: name it with --gpu")
        else:
            weights = {key: values[key] for key in ("weight_dtype", "skip_weights") if key in values}
            scenario = _on(values | weights, model, device)
    if device is not None and device.words:
        notes.append(device.words)
    return Start(scenario, device is not None, tuple(notes))


def _on(values: Mapping[str, str | bool | None], model: ModelSpec, device: FoundDevice | None) -> Scenario:
    found = {**values} if device is None else {**values, "gpu": device.device.name}
    return scenario_from(found, model)


def _left_on(log: BootLog, values: Mapping[str, str | bool | None], scenario: Scenario, device: DeviceSpec) -> int:
    """What a plan of the same start leaves for the cache on ``device``, with the weights that were loaded."""
    found = _on({**values, "kv_pool": None}, scenario.model, FoundDevice(device))
    loaded = log.most("weights")
    known = None if loaded is None else Overheads("", weights=loaded.bytes)
    budget = tightest_budget(found._replace(serving=found.serving._replace(measured=known)))
    return 0 if budget is None else budget.pool


def _values(
    log: BootLog, told: Mapping[str, str | bool], model: ModelSpec, notes: list[str]
) -> dict[str, str | bool | None]:
    """The options of the scenario: those ``told``, else the log's own, else what the engine would choose."""
    values: dict[str, str | bool | None] = {**log.options, "model": model.name, "engine": _engine(log, told, notes)}
    dtype = _dtype(log)
    if dtype and "kv_dtype" not in log.options:
        values["kv_dtype"] = dtype
    if "gpus" in told:
        for key in LAYOUT:
            values.pop(key, None)
    if "dtype" in told:
        values.pop("kv_dtype", None)
    if not has_experts(model):
        values.pop("ep", None)
    _draft(log, told, model, values, notes)
    pool = log.least("pool")
    if pool is not None and "kv_pool" not in log.options:
        values["kv_pool"] = str(max(1, pool.bytes))
    if "context" not in log.options and "context" not in told and model.max_context and log.engine != "llama.cpp":
        values["context"] = str(model.max_context)
        notes.append(f"the model's own context of {model.max_context:,} tokens is assumed, as servers do")
    values.pop("weight_dtype", None)
    values |= {key: value for key, value in told.items() if key != "engine"}
    if "dp" in values and "batch" not in values:
        values["batch"] = values["dp"]
    return values


def _weighed(
    log: BootLog,
    told: Mapping[str, str | bool],
    scenario: Scenario,
    values: dict[str, str | bool | None],
    notes: list[str],
) -> Scenario:
    """``scenario`` with weights in the format that the log has them in, which is put into ``values`` too."""
    if not {"dtype", "weight_dtype", "skip_weights"}.isdisjoint(told) or scenario.weight_dtype == FILE_WEIGHTS:
        return scenario
    named = list(dict.fromkeys(_named_formats(log)))
    plain = "quantization" not in log.words and "file_type" not in log.words
    usual = (scenario.model.published_weights or _dtype(log) or "bf16") if plain and not named else None
    found = stored_as(log, scenario, named, usual)
    if found.words:
        notes.append(found.words)
    chosen: dict[str, str | bool] = {"skip_weights": True} if found.format is None else {"weight_dtype": found.format}
    values |= chosen
    if found.format is None:
        return scenario._replace(skip_weights=True)
    return scenario._replace(weight_dtype=found.format)


def _named_formats(log: BootLog) -> Iterator[str]:
    """Formats that the log names, the most telling first: a name's ending, then what the engine calls it.

    A file's name tells more than its type does: those of other makers than llama.cpp have the type of its nearest.
    """
    named = file_type_in(log.words.get("model", ""))
    if named is not None:
        yield named
    option = log.options.get("weight_dtype")
    if isinstance(option, str):
        yield option
    for key in ("quantization", "file_type", "model", "served_name"):
        found = stored_format(log.words.get(key, ""))
        if found is not None:
            yield found


def _dtype(log: BootLog) -> str:
    """The 16- or 32-bit format of activations; empty where the log does not say it."""
    found = canonical(log.words.get("dtype", ""))
    return found if found in WHOLE_FORMATS else ""


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
    worded = log.words.get("wording", "")
    if not version and worded:
        notes.append(f"the log does not say the release: that of {worded} is assumed, whose words its lines have")
        return f"{log.engine}@{worded}"
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
