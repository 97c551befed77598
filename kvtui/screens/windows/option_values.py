"""What an option can be given: its values as one would type them, for a line that completes what is typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.checkpoint.known import weight_names
from kvtui.engine.engines.known import ENGINES, milestones
from kvtui.engine.model.formats import KV_FORMATS, WEIGHT_FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.what_if import applied, usual
from kvtui.engine.picture.film import BATCHES, CONTEXT_PRESETS
from kvtui.engine.scenario.options import Option
from kvtui.engine.scenario.scenario import Scenario, valid_tps
from kvtui.state.session import DEVICE_COUNTS, FILLS


def values_of(option: Option, scenario: Scenario) -> tuple[str, ...]:
    """Values of ``option`` that make sense in ``scenario``; none where any number or name may stand.

    Example: on and off for a switch; 1, 2, 4 and 8 for tp where the model has eight KV heads.
    """
    if option.switch:
        return "on", "off"
    match option.key:
        case "weight_dtype":
            return weight_names()
        case "kv_dtype" | "k_dtype" | "v_dtype":
            return KV_FORMATS
        case "dtype":
            return WEIGHT_FORMATS
        case "context":
            return tuple(map(format_tokens, CONTEXT_PRESETS))
        case "batch":
            return tuple(map(str, BATCHES))
        case "fill":
            return FILLS
        case "gpus":
            return tuple(map(str, DEVICE_COUNTS))
        case "tp":
            return tuple(map(str, valid_tps(scenario.model)))
        case "what_if":
            return ("off", *_what_ifs(scenario.model))
        case "engine":
            return tuple(
                name
                for engine in ENGINES
                for name in (engine, *(f"{engine}@{release.version}" for release in milestones(engine)))
            )
    return ()


def _what_ifs(model: ModelSpec) -> Iterator[str]:
    """The usual what-ifs that change a layer of ``model`` as it is."""
    real = applied(model, "")
    for text in usual(real):
        with suppress(InputError):
            applied(real, text)
            yield text
