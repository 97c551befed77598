"""Whether what lies in each memory fits there: the room for caches on the devices, and what the RAM has to hold."""

from __future__ import annotations

from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.placement import RAM, MemoryUse, Placement
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.budget import device_budget, host_compute_bytes
from kvtui.engine.serving.llamacpp.buffers import Split
from kvtui.engine.serving.llamacpp.memory import MemoryPart, memory_parts

WORKING = (("compute buffer", "activation"), ("context", "non_torch"), ("left free", "margin"))
"""What a device needs beside weights and caches, by the names of its budget's terms."""


def pool_of(scenario: Scenario, part: MemoryPart, cells: Split) -> int:
    """Bytes for the caches of a device: those given, or what its budget leaves beside the graph over ``cells``.

    Below 0 by what is missing for the rest.
    """
    if scenario.kv_pool is not None:
        return scenario.kv_pool
    return device_budget(scenario, part, cells).pool


def spare_bytes(scenario: Scenario, parts: tuple[MemoryPart, ...], cells: Split) -> int:
    """Bytes that remain in the fullest of the memories when the caches are allocated as ``cells``; below 0, missing."""
    found = []
    for part in parts:
        if part.number != RAM:
            found.append(pool_of(scenario, part, cells) - part.needed(cells))
        elif (capacity := _ram(scenario)) is not None:
            working = sum(size for _, size in _working(scenario, part, cells))
            found.append(capacity - part.weight_bytes - part.needed(cells) - working)
    return min(found)


def memory_uses(scenario: Scenario, parts: tuple[MemoryPart, ...], cells: Split) -> tuple[MemoryUse, ...]:
    """What each of ``parts`` holds when the caches are allocated as ``cells``; of RAM that is not needed, nothing.

    RAM that devices share with the CPU (Apple, AMD's APUs) is what the devices do not take of it.
    """
    found = []
    for part in parts:
        caches: dict[str, int] = {}
        for buffer in part.buffers(cells):
            cause = "states" if "RS" in buffer.name or "state" in buffer.name else "KV cache"
            caches[cause] = caches.get(cause, 0) + buffer.bytes
        held = (*part.weights, *((cause, size) for cause, size in caches.items() if size))
        if part.number == RAM:
            found.append(MemoryUse(RAM, _ram(scenario), part.layers, (*held, *_working(scenario, part, cells))))
        else:
            divides = device_budget(scenario, part, cells)
            working = tuple((cause, divides.bytes_of(term)) for cause, term in WORKING)
            found.append(MemoryUse(part.number, divides.requested, part.layers, (*held, *working)))
    return tuple(found)


def holds(scenario: Scenario, placed: Placement, cells: Split) -> bool:
    """Whether every device holds what ``placed`` puts there, with its caches and the margin that stays free."""
    for part in memory_parts(scenario, placed):
        if part.number == RAM:
            continue
        room = device_budget(scenario, part, cells).pool
        if scenario.kv_pool is not None:
            room = min(scenario.kv_pool, room) if room >= scenario.kv_pool else -1
        if part.needed(cells) > room:
            return False
    return True


def _ram(scenario: Scenario) -> int | None:
    """Bytes of RAM for what no device has; None where nothing is known of it."""
    device = scenario.device
    if not device.unified:
        return scenario.ram
    whole = int(device.nominal_gb * GIB) if scenario.ram is None else scenario.ram
    return max(0, whole - device.allocatable_bytes)


def _working(scenario: Scenario, part: MemoryPart, cells: Split) -> tuple[tuple[str, int], ...]:
    """What the CPU needs beside weights and caches: a compute buffer, and room for finished prompts."""
    computes = part.layers or any(cause == "experts" for cause, _ in part.weights)
    found = (
        ("compute buffer", host_compute_bytes(scenario, bool(computes), cells, part.copies)),
        ("finished prompts", scenario.serving.cache_ram or 0),
    )
    return tuple((cause, size) for cause, size in found if size)
