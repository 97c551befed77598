"""What is read from a config.json before it becomes a ModelSpec, and how the weights are counted from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kvtui.engine.model.caches import Attention, Cache, Latent
from kvtui.engine.model.parameters import QkNorm
from kvtui.engine.model.spec import Experts, Layer
from kvtui.engine.model.tensors import Tensors
from kvtui.engine.sources.hf.fields import Config, Flag

ConfigLayerKind = Literal["full", "sliding", "chunked", "cross", "linear"]


@dataclass(frozen=True, slots=True)
class Mixer:
    """What a layer's sequence mixing caches, and its weights with the norms that only it has."""

    caches: tuple[Cache, ...] = ()
    tensors: Tensors = ()


NO_MIXER = Mixer()


@dataclass(frozen=True, slots=True)
class FeedForward:
    """A layer's feed-forward block: weights outside the routed experts, the experts, the width a token produces."""

    tensors: Tensors = ()
    experts: Experts | None = None
    width: int = 0


@dataclass(frozen=True, slots=True)
class Ffn:
    """How a model type names and builds its feed-forward blocks.

    Tuples are names of fields, of which a file has one. ``dense`` and ``expert`` are the widths of a block without and
    with experts. The shared experts are as wide as ``shared`` says, or there are ``shared_count`` of them, each as wide
    as a routed one; ``shared_gate`` weighs them for each token. ``gated`` blocks have three matrices (SwiGLU), others
    two. ``routed``: a file of this type may have experts; ``dense_first``: some of its layers have none, which the file
    must say.

    For example, ``MIXTRAL`` reads experts of ``intermediate_size`` in every layer, and ``DEEPSEEK`` experts of
    ``moe_intermediate_size`` with ``n_shared_experts`` shared ones, behind ``first_k_dense_replace`` dense layers.
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

    ``mha``: without num_key_value_heads there are as many as query heads. ``floor``: without head_dim it is
    hidden/heads rounded down. ``qkv_bias`` and ``out_bias``: the projections have bias vectors. ``qk_norm`` are norms
    of queries and keys, if ``qk_normed``. ``gated``: the query projection also makes a gate for the output. ``sinks``:
    one number per query head. ``norms`` norms of hidden size per layer, with a bias if ``norm_bias``. ``tied`` is the
    class default of tie_word_embeddings.

    For example, Qwen2's code gives q, k and v a bias whatever the file says (``qkv_bias=True``), and Llama's where
    attention_bias says so (``qkv_bias=("attention_bias", False)``).
    """

    mha: bool = False
    floor: bool = False
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
    """A model without its embeddings: per layer a mixer, a feed-forward block and its ``norms``.

    ``mtp`` are the extra prediction layers; ``outside`` the weights that are in no layer, embeddings and output left
    out.
    """

    mixers: tuple[Mixer, ...]
    blocks: tuple[FeedForward, ...]
    norms: Tensors
    outside: Tensors
    mtp: tuple[Layer, ...] = ()

    def layers(self) -> tuple[Layer, ...]:
        """The layers in order."""
        return tuple(
            Layer(mixer.caches, (*mixer.tensors, *block.tensors, *self.norms), block.experts, block.width)
            for mixer, block in zip(self.mixers, self.blocks, strict=True)
        )


BodyReader = Callable[[Config], Body]


def uncounted(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """``layers`` without their weights, where these are not known."""
    return tuple(layer._replace(tensors=None, experts=None) for layer in layers)


@dataclass(frozen=True, slots=True)
class ConfigFamily:
    """How configs of a model type are read: ``read`` makes the body.

    ``tied`` is the default of tie_word_embeddings where no class has one, ``confidence`` that of the ModelSpec.
    """

    read: BodyReader
    tied: bool = False
    confidence: str = "H"


def own_cache(caches: tuple[Cache, ...]) -> Attention | Latent | None:
    """The K and V of a layer that stores some."""
    return next((cache for cache in caches if isinstance(cache, Attention | Latent)), None)
