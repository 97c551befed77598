"""One option as a person types it, such as ``context 1M`` or ``cb off``: which fields of the scenario it sets."""

from __future__ import annotations

from typing import Any

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.scenario.options import OPTIONS, Option
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import BY_KEY, default_of, engine_defaults_of, fields_of, read_values, value_at
from kvtui.engine.sources.load import load_model

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
