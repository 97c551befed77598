"""What is read from a config.json before it becomes a ModelSpec, and how the weights are counted from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kvtui.engine.model.caches import Attention, Cache, Latent
from kvtui.engine.model.parameters import QkNorm
from kvtui.engine.model.spec import Experts, Layer
from kvtui.engine.sources.hf.fields import Config, Flag

ConfigLayerKind = Literal["full", "sliding", "chunked", "cross", "linear"]


@dataclass(frozen=True, slots=True)
class Mixer:
    """What a layer's sequence mixing caches, and its weights with the norms that only it has."""

    caches: tuple[Cache, ...] = ()
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class FeedForward:
    """A layer's feed-forward block: weights outside the routed experts, the experts, the width a token produces."""

    parameters: int = 0
    experts: Experts | None = None
    width: int = 0


@dataclass(frozen=True, slots=True)
class Ffn:
    """How a model type names and builds its feed-forward blocks.

    ``dense`` and ``expert`` are the fields of the widths; ``shared`` that of the shared experts' total width, or
    ``shared_count`` those of their number, each as wide as a routed one. ``routed``: a file of this type may have
    experts; ``dense_first``: some of its layers have none, which the file must say.
    """

    dense: tuple[str, ...] = ("intermediate_size",)
    expert: tuple[str, ...] = ("moe_intermediate_size",)
    shared: tuple[str, ...] = ()
    shared_count: tuple[str, ...] = ()
    shared_gate: bool = False
    gated: bool = True
    bias: Flag = False
    router_bias: Flag = False
    routed: bool = False
    dense_first: bool = False


DENSE = Ffn()
MIXTRAL = Ffn(expert=("intermediate_size",), routed=True)
QWEN = Ffn(routed=True)
QWEN_SHARED = Ffn(shared=("shared_expert_intermediate_size",), shared_gate=True, routed=True)
DEEPSEEK = Ffn(shared_count=("n_shared_experts", "num_shared_experts"), router_bias=True, routed=True, dense_first=True)


@dataclass(frozen=True, slots=True)
class Traits:
    """What the modelling code of a plain attention model fixes, so that its config need not say it.

    ``head_dim``: the config must state it, hidden/heads is not it. ``mha``: without num_key_value_heads there are as
    many as query heads. ``norms`` hidden-sized norms per layer. ``tied`` is the class default of tie_word_embeddings.
    """

    head_dim: bool = False
    mha: bool = False
    qkv_bias: Flag = False
    out_bias: Flag = False
    qk_norm: QkNorm | None = None
    qk_normed: Flag = True
    gated: bool = False
    sinks: bool = False
    norms: int = 2
    norm_bias: bool = False
    tied: bool = False
    ffn: Ffn = DENSE


@dataclass(frozen=True, slots=True)
class Body:
    """A model without its embeddings: per layer a mixer, a feed-forward block and ``norms`` weights of norms.

    ``mtp`` is what each extra prediction layer caches; ``outside`` counts weights that are in no layer, embeddings and
    output left out, and ``encoder`` those that a decoded token does not use; ``final_norm`` is the last norm's size.
    """

    mixers: tuple[Mixer, ...]
    blocks: tuple[FeedForward, ...]
    norms: int
    final_norm: int
    mtp: tuple[tuple[Cache, ...], ...] = ()
    outside: int = 0
    encoder: int = 0

    def layers(self, counted: bool) -> tuple[Layer, ...]:
        """The layers in order, without weights unless they are ``counted``."""
        made = (
            Layer(mixer.caches, mixer.parameters + block.parameters + self.norms, block.experts, block.width)
            for mixer, block in zip(self.mixers, self.blocks, strict=True)
        )
        return tuple(made) if counted else tuple(layer._replace(parameters=None, experts=None) for layer in made)


@dataclass(frozen=True, slots=True)
class ConfigFamily:
    """How configs of a model type are read. ``tied`` is the class default of tie_word_embeddings.

    ``defaults`` are class defaults which the published files of the type leave out.
    """

    read: Callable[[Config], Body]
    tied: bool = False
    confidence: str = "H"
    defaults: tuple[tuple[str, int], ...] = ()


def own_cache(caches: tuple[Cache, ...]) -> Attention | Latent | None:
    """The K and V of a layer that stores some."""
    return next((cache for cache in caches if isinstance(cache, Attention | Latent)), None)
