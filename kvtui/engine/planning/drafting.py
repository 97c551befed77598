"""Speculative decoding in a plan: who drafts, what a draft costs, and how many tokens a step gives.

In a step a drafter runs once for each of n drafted tokens, and the model passes over them and the token before them
together. With a share a of drafts accepted, each for itself, that gives (1 − a^(n+1)) ÷ (1 − a) tokens (Leviathan et
al. 2022, arXiv:2211.17192, equation 1).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.reads import WeightsRead, layers_read, weights_read
from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import Layer, LayerCounts, ModelSpec, count_layers
from kvtui.engine.model.tensors import weight_count
from kvtui.engine.planning.weights import UNTOLD, divided_experts, form_of
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, USUAL_ACCEPTANCE, Scenario


class TokenPass(NamedTuple):
    """What a token's pass takes: ``weights`` read, ``active`` ones multiplied, and caches of ``layers`` in ``kv``."""

    weights: WeightsRead
    active: int
    layers: LayerCounts
    kv: Format

    @property
    def depth(self) -> int:
        """Layers that run one after the other."""
        return sum(count for _, count in self.layers)


def expected_tokens(acceptance: float, drafted: int) -> float:
    """Tokens that a step of ``drafted`` speculative tokens gives, when each is accepted by itself with ``acceptance``.

    The token that the model itself adds is included: three drafts of which 70 % are accepted give 1 + 0.7 + 0.49 +
    0.343 = 2.5 tokens.
    """
    if acceptance >= 1:
        return drafted + 1.0
    return (1 - acceptance ** (drafted + 1)) / (1 - acceptance)


def acceptance_of(scenario: Scenario) -> float:
    """The share of drafted tokens that is accepted, as told or else the usual one."""
    return USUAL_ACCEPTANCE if scenario.acceptance is None else scenario.acceptance


def drafter(scenario: Scenario) -> TokenPass | None:
    """Who drafts for ``scenario``; None without speculative tokens, or where the drafter's weights are not known.

    A draft model of its own; else the layers of an external head, which are like the model's last layer that attends to
    everything; else one of the model's own prediction layers at a time.
    """
    model, serving = scenario.model, scenario.serving
    if not scenario.speculative_tokens:
        return None
    if serving.draft_model is not None:
        return _of_model(serving.draft_model, scenario)
    if serving.draft_layers:
        alike = next((layer for layer in reversed(model.layers) if _attends_to_all(layer)), None)
        return None if alike is None else _of_layers((alike,) * serving.draft_layers, "layer", scenario)
    return _of_layers(model.mtp[:1], "mtp", scenario)


def _of_model(draft: ModelSpec, scenario: Scenario) -> TokenPass | None:
    """A model that drafts, in the scenario's format; its cache is F16 whatever the model's is (llama.cpp)."""
    own = draft.weight_bytes is not None or scenario.weight_dtype == FILE_WEIGHTS
    read = weights_read(draft, checkpoint_format(UNTOLD if own else scenario.weight_dtype, draft))
    if read is None or draft.active_parameters is None:
        return None
    return TokenPass(read, draft.active_parameters, draft.counted, FORMATS["fp16"])


def _of_layers(layers: tuple[Layer, ...], part: Literal["layer", "mtp"], scenario: Scenario) -> TokenPass | None:
    """Layers beside the model's, and its head."""
    if not layers or any(layer.tensors is None for layer in layers):
        return None
    model = scenario.model
    read = layers_read(model, form_of(scenario), layers, part, scenario.layout.tp)
    heads = [tensor for role in ("head", "embedding") for tensor in model.outside if tensor.role == role][:1]
    active = weight_count(heads) + sum(
        (layer.parameters or 0) + (layer.experts.active * layer.experts.parameters if layer.experts else 0)
        for layer in layers
    )
    return TokenPass(divided_experts(scenario, read), active, count_layers(layers), scenario.kv)


def _attends_to_all(layer: Layer) -> bool:
    return any(isinstance(cache, Attention | Latent) and cache.cap is None for cache in layer.caches)
