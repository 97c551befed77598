"""What a decode step of llama.cpp reads of the RAM, where layers, experts or caches lie there."""

from __future__ import annotations

from kvtui.engine.engines.placement import RAM, RamRead
from kvtui.engine.planning.allocation import Slot
from kvtui.engine.planning.step import layer_cache_read
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.memory import memory_parts
from kvtui.engine.serving.llamacpp.placement import placement


def ram_read(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> RamRead | None:
    """What a decode step of ``each`` tokens of ``share``'s sequences reads of the RAM; None: all is on devices.

    Of the embedding a token takes a row, which is next to nothing; of the experts it reads those that it touches.
    """
    placed, model = placement(scenario), scenario.model
    if placed.whole or scenario.device.platform == "cpu":
        return None
    held = dict(memory_parts(scenario, placed)[-1].weights)
    always = held.get("layers", 0) + held.get("output layer", 0)
    tokens = each * sum(slot.sequences for slot in share)
    experts = held.get("experts", 0)
    for layer in model.layers:
        if layer.experts is not None:
            touched = 1 - (1 - layer.experts.active / layer.experts.total) ** tokens
            experts = int(experts * touched)
            break
    caches = sum(
        slot.sequences * layer_cache_read(layer, slot.used, scenario)
        for layer, at in zip(model.layers, placed.owners, strict=False)
        if at == RAM or not placed.kv_offload
        for slot in share
    )
    return RamRead(always + experts + caches, always + held.get("experts", 0), placed.borders)
