"""One option as a person types it, such as ``context 1M`` or ``cb off``: which fields of the scenario it sets."""

from __future__ import annotations

from typing import Any

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.model.formats import kv_format
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.options import OPTIONS, Option
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import (
    BY_KEY,
    default_of,
    engine_defaults_of,
    fields_of,
    read_values,
    scenario_from,
    value_at,
)
from kvtui.engine.sources.load import load_model

KV_KEYS = ("dtype", "kv_dtype", "k_dtype", "v_dtype")
UNSET = ("", "default")
MOST_WORDS = 2
"""Words of an option's name that people type with a blank: ``kv dtype``."""


def find_option(name: str) -> Option:
    """The option called ``name``, with or without dashes. Raises UnknownName with the nearest one."""
    key = name.strip().lstrip("-").casefold().replace("-", "_").replace(" ", "_")
    for option in OPTIONS:
        if key == option.key or key in option.aliases:
            return option
    raise UnknownName("option", name, [option.name for option in OPTIONS])


def typed_option(text: str) -> tuple[Option | None, str]:
    """The option that ``text`` begins with, and the rest: of ``kv dtype=fp8`` kv-dtype and ``fp8``.

    None where it begins with no option's name.
    """
    name, equals, value = text.partition("=")
    words = text.split()
    if equals and len(name.split()) <= MOST_WORDS:
        words = [*name.split(), *value.split()] if _known(name) else words
    for count in range(MOST_WORDS, 0, -1):
        option = _known(" ".join(words[:count]))
        if option is not None:
            return option, " ".join(words[count:])
    return None, ""


def wished(scenario: Scenario, text: str) -> Scenario:
    """``scenario`` with the options of ``text``, such as ``users 35, context 128K``; commas may be left out.

    A line that names both a model and a device is a question of its own: it starts from the defaults, as a command line
    does, and nothing of ``scenario`` is kept. Raises InputError, for an option that is not known with the nearest one.
    """
    said = said_options(text)
    keys = [option.key for option, _ in said]
    if {"model", "gpu"} <= set(keys) and all(value for option, value in said if not option.switch):
        return scenario_from({option.key: (value or "on") for option, value in said})
    for option, value in said:
        scenario = adapted(scenario, typed_fields(scenario, option.name, value))[0]
    return scenario


def said_options(text: str) -> list[tuple[Option, str]]:
    """The options of ``text`` with their values, in order. Raises InputError for what is none.

    A part between commas that begins with a digit goes on with the value before it: ``lengths 100,1K``.
    """
    said: list[tuple[Option, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if said and part[0].isdigit():
            said[-1] = (said[-1][0], f"{said[-1][1]},{part}")
            continue
        option, value = typed_option(part)
        if option is None:
            option = find_option(part.split()[0])
        said += _apart(option, value)
    return said


def _apart(option: Option, text: str) -> list[tuple[Option, str]]:
    """``option`` with its value, and the options that follow in ``text`` if it is none as it stands."""
    words = text.split()
    for at in range(1, len(words)):
        following, value = typed_option(" ".join(words[at:]))
        if following is not None and (value or following.switch) and not _reads(option, text):
            return [(option, " ".join(words[:at])), *_apart(following, value)]
    return [(option, text)]


def _reads(option: Option, text: str) -> bool:
    """Whether ``text`` as a whole is a value of ``option``."""
    try:
        read_values({option.key: text})
        if option.key == "model":
            load_model(text)
        elif option.key in KV_KEYS:
            kv_format(text)
    except InputError:
        return False
    return True


def _known(name: str) -> Option | None:
    try:
        return find_option(name)
    except UnknownName:
        return None


def typed_fields(scenario: Scenario, name: str, text: str) -> dict[str, Any]:
    """The fields that option ``name`` with the value ``text`` sets, given the rest of ``scenario``.

    A switch takes on or off, and without a value it is turned over; ``default`` gives any option its default.
    Raises InputError, or UnknownName for an option, model, device or format.
    """
    option, text = find_option(name), text.strip()
    given = _typed(scenario, option, text)
    if option.key == "lengths" and "context" in given:
        given["context"] = max(scenario.context, given["context"])
    kept = scenario.layout, scenario.serving, scenario.kv_dtype, scenario.device
    fields = fields_of(given, scenario.model, scenario.engine, *kept)
    if "model" in given:
        fields["model"] = load_model(given["model"])
    return fields


def _typed(scenario: Scenario, option: Option, text: str) -> dict[str, Any]:
    """The values, by key, that ``text`` gives to ``option`` and to those that it implies."""
    if option.switch and not text:
        return {option.key: not value_at(scenario, option.field)}
    if text.casefold() not in UNSET:
        return read_values({option.key: text})
    keys = (option.key,) if option.field else tuple(option.implies)
    engine = engine_defaults_of(scenario)
    return {key: default_of(BY_KEY[key], scenario.model, engine) for key in keys}
