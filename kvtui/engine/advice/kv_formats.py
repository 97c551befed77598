"""What each format of the cache takes and buys: bytes, users and what is saved against 16 bits.

Example: at 32K tokens the cache of Llama-3.1-8B takes 4 GiB in bf16, and 2 GiB in fp8, which saves 50 %.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.advice.offered import kv_obstacle
from kvtui.engine.advice.risk import Risk, cache_risk
from kvtui.engine.basis.errors import InputError
from kvtui.engine.engines.known import kv_formats
from kvtui.engine.planning.allocation import slots
from kvtui.engine.planning.capacity import Capacity, room
from kvtui.engine.planning.parts import all_caches, fits, sequences_cache
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario

UNQUANTISED = "bf16"
WITHOUT_ENGINE = ("q8_0", "fp8", "q5_1", "nvfp4", "q4_0", "int4")
NO_SMALLER = ("fp32", "fp16")


class KvFormat(NamedTuple):
    """One format: its ``name``, the ``bytes`` of all sequences' K and V, and ``saved``, the share of those in bf16.

    ``fits`` and ``capacity`` are those of the scenario with this format, ``risk`` how far answers may suffer from it.
    """

    name: str
    bytes: int
    saved: float
    fits: bool
    capacity: Capacity
    risk: Risk


def compared_formats(planned: Plan, limits: Capacity) -> tuple[KvFormat, ...]:
    """The formats of the cache that the plan's engine has and its model can use, the largest first.

    Of those with 16 bits and more, bf16 and the scenario's own, whose ``limits`` are known. None where a what-if has a
    format of its own.
    """
    scenario = planned.scenario
    if scenario.model.what_if_kv is not None:
        return ()
    sizes: dict[str, int] = {}
    held: dict[str, tuple[bool, Capacity]] = {}
    engines = kv_formats(scenario.engine)
    offered = (
        name
        for name in engines or WITHOUT_ENGINE
        if name not in NO_SMALLER and not (engines and kv_obstacle(scenario, name))
    )
    for name in dict.fromkeys((UNQUANTISED, scenario.kv_dtype, *offered)):
        try:
            changed = adapted(scenario, {"kv_dtype": name, "layout": scenario.layout})[0]
            held[name] = (planned.fits, limits) if changed == scenario else _room(changed)
        except InputError:
            continue
        sizes[name] = _cache_bytes(changed)
    sixteen = sizes.get(UNQUANTISED, 0)
    return tuple(
        KvFormat(name, sizes[name], 1 - sizes[name] / sixteen if sixteen else 0.0, *held[name], cache_risk(name))
        for name in sorted(sizes, key=lambda name: -sizes[name])
    )


def _room(scenario: Scenario) -> tuple[bool, Capacity]:
    """Whether ``scenario`` fits, and its capacity."""
    served = serve(scenario)
    found = room(scenario, served)
    if served is None:
        return fits(scenario, scenario.context, scenario.batch), found
    return served.starts and (found.sequences or 0) >= scenario.batch, found


def _cache_bytes(scenario: Scenario) -> int:
    found = sequences_cache(all_caches(scenario), slots(scenario, scenario.context, scenario.batch), scenario, 1)
    return found.kv
