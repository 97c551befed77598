"""Pipeline stages: which layers each of them has, and what those cache."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from kvtui.engine.engines.known import larger_stages, part, places_layers
from kvtui.engine.model.spec import CacheCounts, ModelSpec, count_caches
from kvtui.engine.scenario.scenario import Scenario


class Stage(NamedTuple):
    """A pipeline stage: its ``caches``, and the numbers of the model's ``layers`` whose weights it has."""

    caches: CacheCounts
    layers: range

    @property
    def held(self) -> int:
        """How many layers it has."""
        return len(self.layers)


def stages(scenario: Scenario) -> tuple[Stage, ...]:
    """The scenario's pipeline stages in order; the last one also has the MTP layers that draft.

    An engine that puts whole layers on devices has one for each device, with the layers and the caches that lie there.
    """
    return _stages(scenario.model, _held(scenario), scenario.drafts_itself, scenario.serving.kv_offload)[0]


def partition(scenario: Scenario) -> tuple[int, ...]:
    """Layers of each pipeline stage: as chosen, or as even as they go.

    Left-over layers are on the first stages or on those before the last one, as the engine has it. Example: 26 layers
    on four stages are 7, 7, 6 and 6 without an engine, and 6, 7, 7 and 6 with vLLM.
    """
    chosen = scenario.serving.partition
    if chosen is not None:
        return chosen
    held = stage_layers(len(scenario.model.layers), scenario.layout.pp)
    larger = len(scenario.model.layers) % scenario.layout.pp
    if not larger or larger_stages(scenario.engine) == "first":
        return held
    return (*held[larger:-1], *held[:larger], held[-1])


def stage_layers(layers: int, pp: int) -> tuple[int, ...]:
    """Layers of each of ``pp`` pipeline stages, as even as they go, larger stages first."""
    base, larger = divmod(layers, pp)
    return tuple(base + (stage < larger) for stage in range(pp))


def distinct_stages(scenario: Scenario) -> tuple[Stage, ...]:
    """The different ones among the stages."""
    mtp = scenario.drafts_itself
    every, different = _stages(scenario.model, _held(scenario), mtp, scenario.serving.kv_offload)
    form = scenario.checkpoint
    return every if form is not None and form.by_layer else different


def _held(scenario: Scenario) -> tuple[range, ...]:
    """The layers of each stage."""
    if places_layers(scenario.engine) and scenario.layout.tp == 1:
        found: tuple[range, ...] = part(scenario.engine, "placement").device_layers(scenario)
        return found
    ends = tuple(accumulate(partition(scenario)))
    return tuple(range(start, end) for start, end in zip((0, *ends), ends, strict=False))


@lru_cache(maxsize=256)
def _stages(
    model: ModelSpec, held: tuple[range, ...], mtp: bool, caching: bool
) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """All stages in order, and the different ones among them."""
    found = []
    for numbers in held:
        layers = model.layers[numbers.start : numbers.stop]
        extra = model.mtp if mtp and numbers and numbers.stop == len(model.layers) else ()
        found.append(Stage(count_caches(layers + extra) if caching else (), numbers))
    return tuple(found), _distinct(model, found)


def _distinct(model: ModelSpec, stages: list[Stage]) -> tuple[Stage, ...]:
    """The first of each kind of stage: equal layers, and not the first or the last of several."""
    kinds: dict[object, Stage] = {}
    for stage in stages:
        edges = stage.layers.start == 0, stage.layers.stop == len(model.layers)
        kinds.setdefault((stage.caches, edges, _kinds(model, stage.layers)), stage)
    return tuple(kinds.values())


def _kinds(model: ModelSpec, layers: range) -> tuple[tuple[int, int], ...]:
    """How many of the ``layers`` are of each kind of the model."""
    return tuple(sorted(Counter(model.first_alike[layers.start : layers.stop]).items()))
