"""What a scenario was told beyond what every screen shows: it decides figures, so a header has it."""

from __future__ import annotations

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.scenario.notation import SIZE
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import to_values

SHOWN = frozenset(
    (
        *("model", "gpu", "gpus", "memory", "tp", "pp", "dp", "weight_dtype", "kv_dtype", "k_dtype", "v_dtype"),
        *("context", "batch", "lengths", "fill", "cb", "pa", "fa", "skip_weights", "engine"),
    )
)
"""Options whose values stand on the screens by themselves."""
SIZES = frozenset(option.key for option in OPTIONS if option.notation is SIZE)


def flag_words(scenario: Scenario) -> tuple[str, ...]:
    """The other options that are not as usual, as typed: ``max-batched-tokens 2,048``, ``no prefix-caching``."""
    said = []
    for key, value in to_values(scenario).items():
        name = key.replace("_", "-")
        if key in SHOWN:
            continue
        match value:
            case bool():
                said.append(name if value else f"no {name}")
            case text if text.isdecimal() and key in SIZES:
                said.append(f"{name} {format_bytes(int(text))}")
            case text if text.isdecimal():
                said.append(f"{name} {int(text):,}")
            case text:
                said.append(f"{name} {text}")
    return tuple(said)
