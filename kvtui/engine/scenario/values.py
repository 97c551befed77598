"""The scenario's options: from words to a Scenario, and from a Scenario back to the words that reproduce it.

How an option is called and spelt and where its value is put stands in the table of options. Here is only what takes
more than one of them: a model, a layout, an engine with what it chooses itself, and a profile, which is one engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kvtui.engine.basis.untrusted import shell_word
from kvtui.engine.engines.known import Engine, EngineDefaults, defaults
from kvtui.engine.model.formats import APART, kv_format, kv_pair
from kvtui.engine.scenario.options import OPTIONS, Option
from kvtui.engine.scenario.said import spelled_out
from kvtui.engine.scenario.scenario import (
    BATCHED_TOKENS,
    BLOCK_TOKENS,
    NO_SERVING_OPTIONS,
    ONE_DEVICE,
    PLAIN_DTYPE,
    WHOLE_DEVICE,
    Layout,
    Scenario,
    ServingOptions,
    resolve_layout,
    usual_weights,
)
from kvtui.engine.sources.load import load_model

if TYPE_CHECKING:
    from kvtui.engine.device.spec import DeviceSpec
    from kvtui.engine.engines.overheads import Overheads
    from kvtui.engine.model.spec import ModelSpec

Values = Mapping[str, str | bool | None]

BY_KEY: Mapping[str, Option] = {option.key: option for option in OPTIONS}
"""The options by their keys."""

_FIRST: Values = {option.key: option.default for option in OPTIONS if isinstance(option.default, str)}


def scenario_from(values: Values, model: ModelSpec | None = None) -> Scenario:
    """The scenario that option ``values`` (by key; None or absent means default) describe.

    ``model`` is the model they name, if it was loaded before. A processor's RAM is its memory. Raises InputError naming
    the option, or UnknownName for a model, device, format or engine.
    """
    said = {**_FIRST, **{key: value for key, value in values.items() if value is not None}}
    model = model or load_model(str(said["model"]))
    given = read_values(said)
    if given["gpu"].platform == "cpu" and "ram" in given:
        given.setdefault("memory", given.pop("ram"))
    given["gpu"] = sized(given["gpu"], given.get("memory"))
    engine = engine_defaults(given["engine"], model, given["gpu"], given.get("kv_dtype", PLAIN_DTYPE))
    unsaid = {
        option.key: default_of(option, model, engine)
        for option in OPTIONS
        if option.default is not None and option.key not in given
    }
    return Scenario(**{"model": model, **fields_of({**unsaid, **given}, model, given["engine"].name)})


def read_values(values: Values) -> dict[str, Any]:
    """What the option ``values`` mean, by key, with what they imply for options that are not among them.

    ``{"lengths": "100,1K"}`` gives the lengths (100, 1024), a batch of 2 and a context of 1024 tokens.
    Raises InputError naming the first option, in the order of the table, that is wrong.
    """
    given: dict[str, Any] = {}
    values = spelled_out(values)
    for option in OPTIONS:
        value = values.get(option.key)
        if isinstance(value, str):
            given[option.key] = option.notation.read(value, option.name)
        elif option.switch and value is not None:
            given[option.key] = value
    for option in OPTIONS:
        if option.key in given:
            for key, meant in option.implies.items():
                given.setdefault(key, meant(given[option.key]))
    return given


def default_of(option: Option, model: ModelSpec, engine: EngineDefaults) -> Any:
    """The value of an ``option`` that is not given, when its ``engine`` has these defaults."""
    match option.default:
        case None:
            name, _, part = option.field.partition(".")
            value = Scenario._field_defaults[name]
            return value_at(value, part) if part else value
        case str(text):
            return option.notation.read(text, option.name)
        case rule:
            return rule(model, engine)


def fields_of(
    given: Mapping[str, Any],
    model: ModelSpec,
    engine: str,
    layout: Layout = ONE_DEVICE,
    serving: ServingOptions = NO_SERVING_OPTIONS,
    kv_dtype: str = PLAIN_DTYPE,
    device: DeviceSpec | None = None,
) -> dict[str, Any]:
    """The fields of a Scenario that the values ``given`` (as read, by key) set, but for the model itself.

    ``layout``, ``serving``, ``kv_dtype`` and the ``device`` whose memory is given keep what is not given.
    Raises InputError for devices that cannot be split as told, and for a profile that is not there or not of
    ``engine``.
    """
    fields: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"layout": {}, "serving": {}}
    for key, value in given.items():
        match key:
            case "gpus":
                layout = resolve_layout(model, given["gpus"], given.get("tp"), given.get("pp"), given.get("dp"), engine)
                fields["layout"] = layout
            case "memory":
                named = given.get("gpu", device)
                assert named is not None, "memory belongs to a device"
                fields["device"] = sized(named, value)
            case "engine":
                fields["engine"], parts["serving"]["version"] = value
            case "profile":
                parts["serving"]["measured"] = None if value is None else _measured(value, engine)
            case "override_tensor":
                from kvtui.engine.scenario.overrides import expert_layers

                parts["serving"]["cpu_moe"] = expert_layers(value, model)
            case "what_if":
                if value or model.what_if:
                    from kvtui.engine.model.what_if import applied

                    fields["model"] = applied(model, value)
            case "draft_model":
                parts["serving"] |= {"draft_ref": value, "draft_model": None if value is None else load_model(value)}
            case "k_dtype" | "v_dtype":
                both = kv_format(fields.get("kv_dtype", given.get("kv_dtype", kv_dtype)))
                k, v = both.name.partition(APART)[0], both.v.name
                fields["kv_dtype"] = kv_pair(value, v) if key == "k_dtype" else kv_pair(k, value)
            case _ if BY_KEY[key].field:
                part, _, field = BY_KEY[key].field.rpartition(".")
                parts.get(part, fields)[field] = value
    if parts["layout"]:
        fields["layout"] = layout._replace(**parts["layout"])
    if parts["serving"]:
        fields["serving"] = serving._replace(**parts["serving"])
    return fields


def to_values(scenario: Scenario) -> dict[str, str | bool]:
    """The option values that give ``scenario`` again; what would be so without them is left out."""
    engine = engine_defaults_of(scenario)
    values: dict[str, str | bool] = {}
    for option in OPTIONS:
        shown = [value_at(scenario, field) for field in option.shown.values()]
        if not option.field or None in shown:
            continue
        if option.always or value_at(scenario, option.field) != default_of(option, scenario.model, engine):
            text = option.notation.write(*shown)
            if text is not None:
                values[option.key] = text
    return values


def value_at(scenario: object, field: str) -> Any:
    """The value of a ``field`` such as ``layout.tp``; None for the parts of what is None."""
    value: Any = scenario
    for name in field.split("."):
        value = None if value is None else getattr(value, name)
    return value


def command_line(scenario: Scenario) -> str:
    """The options that reproduce ``scenario``, quoted for a shell."""
    words = []
    for key, value in to_values(scenario).items():
        name = BY_KEY[key].name
        match value:
            case True:
                words.append(f"--{name}")
            case False:
                words.append(f"--no-{name}")
            case text:
                words += [f"--{name}", shell_word(text)]
    return " ".join(words)


def device_of(values: Values) -> DeviceSpec:
    """The device that option ``values`` name, or the first one. Raises InputError."""
    keys = ("gpu", "memory")
    given = read_values({key: _FIRST.get(key) if values.get(key) is None else values[key] for key in keys})
    return sized(given["gpu"], given.get("memory"))


def sized(device: DeviceSpec, memory: int | None) -> DeviceSpec:
    """``device`` with ``memory`` bytes, or with its own where that is None. Raises InputError for an unlikely size."""
    if memory == device.resized:
        return device
    from kvtui.engine.device.catalogue import find_device
    from kvtui.engine.device.sizes import resized

    own = device if device.resized is None else find_device(device.name)
    return own if memory is None else resized(own, memory)


def engine_defaults(engine: Engine, model: ModelSpec, device: DeviceSpec, kv: str) -> EngineDefaults:
    """What a scenario has that says nothing of blocks, batched tokens, its share of memory and formats of weights."""
    own = EngineDefaults(BLOCK_TOKENS, BATCHED_TOKENS, WHOLE_DEVICE)
    found = own if engine.name == "none" else defaults(engine, model, device, kv)
    named = model.weight_bytes is not None or model.named_weights
    weights = None if named else found.weight_dtype
    return found._replace(weight_dtype=weights or usual_weights(model))


def left_to_engine(scenario: Scenario, engine: Engine, model: ModelSpec, device: DeviceSpec, kv: str) -> dict[str, Any]:
    """The fields that ``scenario`` leaves to its engine, as ``engine`` chooses them for ``model`` on ``device``.

    Another model has weights of its own.
    """
    before, after = engine_defaults_of(scenario)._asdict(), engine_defaults(engine, model, device, kv)._asdict()
    if model is not scenario.model:
        del after["weight_dtype"]
    return {field: after[field] for field in after if getattr(scenario, field) == before[field]}


def engine_defaults_of(scenario: Scenario) -> EngineDefaults:
    """What the engine of ``scenario`` chooses where it is told nothing."""
    engine = Engine(scenario.engine, scenario.serving.version)
    return engine_defaults(engine, scenario.model, scenario.device, scenario.kv_dtype)


def _measured(profile: str, engine: str) -> Overheads:
    from kvtui.engine.sources.machines import measured_for

    return measured_for(profile, engine)
