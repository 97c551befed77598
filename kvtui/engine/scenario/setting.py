"""One option as a person types it, such as ``context 1M`` or ``cb off``: which fields of the scenario it sets."""

from __future__ import annotations

from typing import Any

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.scenario.options import OPTIONS, Option
from kvtui.engine.scenario.scenario import NO_SERVING_OPTIONS, Scenario, ServingOptions
from kvtui.engine.scenario.values import Values, left_to_engine, scenario_from, to_values

OTHER_NAMES = {"device": "gpu", "devices": "gpus", "kv": "kv_dtype", "weights": "weight_dtype"}
ON, OFF = ("on", "yes", "true", "1"), ("off", "no", "false", "0")
UNSET = ("", "default")

_FIELDS = {
    "model": ("model", "model_ref"),
    "gpu": ("device",),
    **dict.fromkeys(("gpus", "tp", "pp", "dp"), ("layout",)),
    "dtype": ("weight_dtype", "kv_dtype"),
    "lengths": ("lengths", "batch", "context"),
    "cb": ("continuous_batching",),
    "pa": ("paged_attention",),
    "fa": ("flash_attention",),
    "gpu_memory_utilization": ("memory_utilization",),
    "bandwidth": ("bandwidth_gbs",),
}
_SERVING = {
    **{key: key for key in ("max_seqs", "prefix_caching", "draft_layers", "hybrid_manager", "parallel", "ubatch")},
    "swa_full": "swa_full",
    "pp_partition": "partition",
    "profile": "measured",
}


def find_option(name: str) -> Option:
    """The option called ``name``, with or without dashes. Raises UnknownName with the nearest one."""
    key = name.strip().lstrip("-").casefold().replace("-", "_").replace(" ", "_")
    key = OTHER_NAMES.get(key, key)
    for option in OPTIONS:
        if option.key == key:
            return option
    raise UnknownName("option", name, [option.name for option in OPTIONS])


def typed_fields(scenario: Scenario, name: str, text: str) -> dict[str, Any]:
    """The fields that option ``name`` with the value ``text`` sets, given the rest of ``scenario``.

    A switch takes on or off, and without a value it is turned over; ``default`` gives any other option its default.
    Raises InputError, or UnknownName for an option, model, device or format.
    """
    option = find_option(name)
    key, text = option.key, text.strip()
    if key in _SERVING:
        return {"serving": scenario.serving._replace(**{_SERVING[key]: _serving_value(scenario, option, text)})}
    names = _FIELDS.get(key, (key,))
    if option.switch:
        return {names[0]: _switched(scenario, option, names[0], text)}
    value = None if text.casefold() in UNSET else text
    if key == "lengths" and value is None:
        return {"lengths": None}
    model = None if key == "model" else scenario.model
    found = scenario_from({**_needed(scenario, key), key: value}, model)
    if key == "engine":
        return _engine_fields(scenario, found)
    chosen = {field: getattr(found, field) for field in names}
    if key == "lengths":
        chosen["context"] = max(scenario.context, found.context)
    return chosen


def _engine_fields(scenario: Scenario, found: Scenario) -> dict[str, Any]:
    """The engine of ``found``, and its defaults for what ``scenario`` left to the engine it had."""
    version = found.serving.version
    return {
        "engine": found.engine,
        "serving": scenario.serving._replace(version=version),
        **left_to_engine(scenario, found.engine, version, scenario.model, scenario.device),
    }


def _serving_value(scenario: Scenario, option: Option, text: str) -> Any:
    """The value of a field of the serving options; a switch that the engine may choose can be ``default`` too."""
    field = _SERVING[option.key]
    if not option.switch:
        value = None if text.casefold() in UNSET else text
        return getattr(
            scenario_from({**_needed(scenario, option.key), option.key: value}, scenario.model).serving, field
        )
    if text.casefold() == "default":
        return getattr(NO_SERVING_OPTIONS, field)
    return _switched(scenario.serving, option, field, text)


def _switched(owner: Scenario | ServingOptions, option: Option, field: str, text: str) -> bool:
    match text.casefold():
        case "":
            return not getattr(owner, field)
        case word if word in ON:
            return True
        case word if word in OFF:
            return False
    raise UnknownName(f"value of {option.name}", text, ("on", "off"))


def _needed(scenario: Scenario, key: str) -> Values:
    """What of ``scenario`` the option ``key`` is checked against."""
    given = to_values(scenario)
    match key:
        case "tp" | "pp" | "dp":
            return {name: given.get(name) for name in ("tp", "pp", "dp", "batch")}
        case "gpus":
            return {"batch": given["batch"]}
        case "speculative_tokens":
            return {"draft_layers": given.get("draft_layers")}
        case "profile":
            return {"engine": given.get("engine")}
        case "shared_prefix":
            return {"pa": given.get("pa"), "context": given["context"]}
    return {}
