"""The layers of a drafter, which an engine caches beside the model's own."""

from __future__ import annotations

from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.spec import CacheCounts, Layer, count_caches
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario


def draft_layers(scenario: Scenario) -> tuple[Layer, ...]:
    """The model's MTP layers with speculative tokens, or an external drafter's: like the model's last full layer.

    None with a draft model, which has a context of its own.
    """
    if scenario.serving.draft_model is not None:
        return ()
    count = scenario.serving.draft_layers
    if not count:
        return scenario.model.mtp if scenario.speculative_tokens else ()
    for layer in reversed(scenario.model.layers):
        for cache in layer.caches:
            if isinstance(cache, Attention | Latent) and cache.cap is None:
                return (Layer((cache,)),) * count
    return ()


def stage_caches(scenario: Scenario) -> list[CacheCounts]:
    """The caches of each pipeline stage; an external drafter's are on the last, as MTP layers are."""
    found = [stage.caches for stage in stages(scenario)]
    if scenario.serving.draft_layers:
        found[-1] += count_caches(draft_layers(scenario))
    return found
