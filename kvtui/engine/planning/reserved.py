"""What a device holds once its engine has started: the parts of a scenario, and the rest of the engine's cache memory.

An engine sets its cache memory aside as a whole: blocks, slots, buffers. What its sequences do not fill of that is
there all the same. Without an engine nothing is added to the parts.

Example: an engine has a pool of 15.03 GiB, of which a sequence fills 1.03. The device holds 14.00 GiB that are free
for more sequences, and for nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.engine.model.spec import cache_bytes
from kvtui.engine.planning.allocation import Slot, busiest_share, slots
from kvtui.engine.planning.parts import Parts, shortage, stage_parts, total_parts
from kvtui.engine.planning.stages import Stage, distinct_stages, stages
from kvtui.engine.scenario.scenario import Scenario

if TYPE_CHECKING:
    from kvtui.engine.engines.result import Serving


def device_holds(
    scenario: Scenario,
    serving: Serving | None,
    stage: Stage,
    share: tuple[Slot, ...],
    position: int | None = None,
) -> Parts:
    """What a device of ``stage`` holds for the sequences of ``share``, with all that ``serving`` allocates there.

    ``position`` is the context that the sequences have reached; None means all of it.
    """
    found = stage_parts(scenario, stage, share, scenario.context, position)
    if serving is None:
        return found
    number = [other.layers for other in stages(scenario)].index(stage.layers)
    if serving.states:
        found = found._replace(state=serving.states[number] * sum(slot.sequences for slot in share))
    if serving.entries:
        found = _laid_out(found, serving.entries[number], _entries(scenario, stage))
    return _within(found, serving.rooms[number])


def all_hold(
    scenario: Scenario, serving: Serving | None, sequences: tuple[Slot, ...], position: int | None = None
) -> Parts:
    """What all devices together hold for ``sequences``, longest first, with all that ``serving`` allocates."""
    found, layout = total_parts(scenario, sequences, position), scenario.layout
    if serving is None:
        return found
    if serving.states:
        found = found._replace(state=layout.tp * sum(serving.states) * scenario.batch)
    if serving.entries:
        found = _laid_out(found, sum(serving.entries), sum(_entries(scenario, stage) for stage in stages(scenario)))
    return _within(found, layout.tp * layout.dp * sum(serving.rooms))


def _entries(scenario: Scenario, stage: Stage) -> int:
    """Bytes of the KV of one full sequence on a device of ``stage``, by the model's own arithmetic."""
    return cache_bytes(stage.caches, scenario.context, scenario.kv, scenario.layout.tp).kv


def _laid_out(parts: Parts, own: int, model: int) -> Parts:
    """``parts`` whose KV takes ``own`` bytes where the model's arithmetic has ``model``: windows cached in full."""
    if not model:
        return parts
    return parts._replace(kv=parts.kv * own // model, reserved_unused=parts.reserved_unused * own // model)


def _within(parts: Parts, room: int) -> Parts:
    """``parts`` with a cache of ``room`` bytes, the rest of which is free.

    Where an engine lays it out with less than the model's own arithmetic, that is what the sequences have: llama.cpp
    deals whole layers out to devices, and copies no latents.
    """
    state = min(parts.state, room)
    kv = min(parts.kv, room - state)
    unused = min(parts.reserved_unused, room - state - kv)
    return parts._replace(state=state, kv=kv, reserved_unused=unused, pool_free=room - state - kv - unused)


def fullest_stage(scenario: Scenario, serving: Serving | None) -> Stage:
    """The pipeline stage whose device has the least to spare at full context, which ``Plan.per_device`` describes."""
    share = busiest_share(slots(scenario, scenario.context, scenario.batch), scenario.layout.dp)
    every = distinct_stages(scenario)
    if len(every) == 1:
        return every[0]
    held = {stage: device_holds(scenario, serving, stage, share) for stage in every}
    return max(held, key=lambda stage: shortage(scenario, held[stage]))
