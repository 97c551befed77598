"""One option as a person types it, such as ``context 1M`` or ``cb off``: which fields of the scenario it sets."""

from __future__ import annotations

from typing import Any

from kvtui.engine.errors import UnknownName
from kvtui.engine.option_table import OPTIONS, Option
from kvtui.engine.options import Values, scenario_from, to_values
from kvtui.engine.scenario import Scenario

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
    names = _FIELDS.get(key, (key,))
    if option.switch:
        return {names[0]: _switched(scenario, option, names[0], text)}
    value = None if text.casefold() in UNSET else text
    if key == "lengths" and value is None:
        return {"lengths": None}
    model = None if key == "model" else scenario.model
    found = scenario_from({**_needed(scenario, key), key: value}, model)
    chosen = {field: getattr(found, field) for field in names}
    if key == "lengths":
        chosen["context"] = max(scenario.context, found.context)
    return chosen


def _switched(scenario: Scenario, option: Option, field: str, text: str) -> bool:
    match text.casefold():
        case "":
            return not getattr(scenario, field)
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
        case "shared_prefix":
            return {"pa": given.get("pa"), "context": given["context"]}
    return {}
