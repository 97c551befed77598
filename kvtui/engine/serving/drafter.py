"""The layers of a drafter, which an engine caches beside the model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.spec import Layer

if TYPE_CHECKING:
    from kvtui.engine.scenario.scenario import Scenario


def draft_layers(scenario: Scenario) -> tuple[Layer, ...]:
    """The model's MTP layers with speculative tokens, or an external drafter's: like the model's last full layer."""
    count = scenario.serving.draft_layers
    if not count:
        return scenario.model.mtp if scenario.speculative_tokens else ()
    for layer in reversed(scenario.model.layers):
        for cache in layer.caches:
            if isinstance(cache, Attention | Latent) and cache.cap is None:
                return (Layer((cache,)),) * count
    return ()
