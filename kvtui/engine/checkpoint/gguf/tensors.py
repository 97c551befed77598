"""Which tensors a GGUF file has for those of a model, and what llama.cpp's quantiser takes each for.

The quantiser tells tensors apart by parts of their names (``tensor_get_category`` in llama-quant.cpp). Most are a
model's own. Latent attention's up-projection is two in a file, of keys and of values; the queries, keys and values of
linear attention are one (``attn_qkv``), as are those of Phi-3 and of ChatGLM's architecture.

Since early 2026 the quantiser takes such a tensor for values; before, it was a kind of its own. Published files have
the types of their time: those of Phi, GLM-4 and Qwen3-Next are older.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from kvtui.engine.checkpoint.format import Place
from kvtui.engine.checkpoint.weights import placed
from kvtui.engine.model.caches import Attention, Latent, Shared
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.model.tensors import Role, Tensor

Category = Literal["small", "source", "embedding", "output", "q", "k", "v", "qkv", "o", "down", "gate", "up", "other"]
"""What a tensor is to the quantiser.

``small`` ones stay in F32: vectors, norms, routers, convs. ``source`` ones keep the type they came in. ``v`` stands for
attn_v, attn_qkv and attn_kv_b alike, ``qkv`` for an attn_qkv of before 2026, and ``down``, ``gate`` and ``up`` for
dense and shared blocks and experts.
"""


class FilePart(NamedTuple):
    """``number`` matrices of ``rows`` × ``columns``: tensors of a file alike, or one where they are ``stacked``."""

    category: Category
    rows: int
    columns: int
    number: int = 1
    stacked: bool = False


class Filed(NamedTuple):
    """A model's ``tensor`` at its ``place``, and the ``parts`` that it is in a file."""

    tensor: Tensor
    place: Place
    parts: tuple[FilePart, ...]


_CATEGORIES: dict[Role, Category] = {
    **dict.fromkeys(
        ("norm", "bias", "vector", "router", "router_bias", "shared_router", "expert_bias", "conv"), "small"
    ),
    "embedding": "embedding",
    "head": "output",
    "q": "q",
    "k": "k",
    "v": "v",
    "o": "o",
    **dict.fromkeys(("gate", "expert_gate", "shared_gate"), "gate"),
    **dict.fromkeys(("up", "expert_up", "shared_up"), "up"),
    **dict.fromkeys(("down", "expert_down", "shared_down"), "down"),
}
_EXPERTS: frozenset[Role] = frozenset({"expert_gate", "expert_up", "expert_down"})
_ONE_QKV = frozenset({"gated_deltanet", "lightning"})
_FUSED = ("phi-3-", "phi-3.5-mini", "phi-4", "glm-4-9b-chat")
_EARLIER_HYBRIDS = ("qwen3-next",)
_LLAMA_70B_LAYERS = 80
_LLAMA_70B_FAMILIES = ("llama", "mistral", "mixtral", "olmo", "nemotron-nas")
_QWEN_VL = ("qwen2-vl", "qwen2.5-vl")
_WITH_PREDICTION = ("glm-",)


def has_prediction(model: ModelSpec) -> bool:
    """Whether the usual file of ``model`` holds its multi-token-prediction layers: converters keep GLM's alone."""
    return _named(model, _WITH_PREDICTION)


def filed(model: ModelSpec) -> Iterator[Filed]:
    """The tensors of ``model`` in order, with what they are in a file. Raises InputError as ``placed`` does.

    Towers and weights that are known by number only are left out.
    """
    layers = (*model.layers, *model.mtp)
    fused, earlier = _named(model, _FUSED), _named(model, _EARLIER_HYBRIDS)
    seen: set[tuple[Role, Place]] = set()
    for tensor, place in placed(model):
        if tensor.role in ("tower", "other"):
            continue
        first = (tensor.role, place) not in seen
        seen.add((tensor.role, place))
        layer = Layer() if place.part == "outside" else layers[place.layer]
        yield Filed(tensor, place, _parts(tensor, place, layer, first, fused, earlier))


def grouped_heads(model: ModelSpec) -> int:
    """Query heads per KV head as the quantiser counts them: in the first layer, 0 where that has no attention.

    Files of Gated DeltaNet and lightning hybrids state one number of heads for all layers. A latent is one KV head.
    """
    for layer in model.layers:
        for cache in layer.caches:
            kept = cache.reads if isinstance(cache, Shared) else cache
            if isinstance(kept, Latent):
                return kept.q_heads
            if isinstance(kept, Attention):
                return kept.q_heads // kept.kv_heads
        if not _ONE_QKV.intersection(cache.kind for cache in layer.caches):
            return 0
    return 0


def is_large(model: ModelSpec) -> bool:
    """Whether llama.cpp takes ``model`` for Llama-70B's type, which has 80 layers.

    So it does in the architectures of Llama, OLMo and Nemotron-NAS, with several query heads per KV head, and of Qwen2;
    the same in Qwen2-VL is another type, and so is it elsewhere.
    """
    if len(model.layers) != _LLAMA_70B_LAYERS:
        return False
    if model.family:
        return model.family == "qwen2" or (model.family in _LLAMA_70B_FAMILIES and grouped_heads(model) > 1)
    dense = all(layer.experts is None for layer in model.layers)
    return dense and grouped_heads(model) > 1 and not _named(model, _QWEN_VL)


def _parts(tensor: Tensor, place: Place, layer: Layer, first: bool, fused: bool, earlier: bool) -> tuple[FilePart, ...]:
    """What ``tensor`` is in a file; ``first`` of its role at its place.

    ``fused`` are queries, keys and values of softmax attention, and ``earlier`` than 2026 those of linear attention.
    """
    rows, columns, number = tensor.rows, tensor.columns, tensor.number
    kinds = {cache.kind for cache in layer.caches}
    latent = next((cache for cache in layer.caches if isinstance(cache, Latent)), None)
    match tensor.role:
        case "kv_b" if latent is not None and (nope := _unrotated(layer, latent)):
            values = rows // latent.q_heads - nope
            keys = FilePart("other", tensor.columns, nope, latent.q_heads, stacked=True)
            return keys, FilePart("other", values, columns, latent.q_heads, stacked=True)
        case "recurrent_in" if "kda" in kinds and number >= 3:
            attention: tuple[Category, ...] = ("q", "k", "v")
            rest = (FilePart("other", rows, columns),) * (number - len(attention))
            return (*(FilePart(category, rows, columns) for category in attention), *rest)
        case "recurrent_in" if kinds & _ONE_QKV and first:
            return (FilePart("qkv" if earlier else "v", rows, columns, number),)
        case "q" | "k" | "v" if fused:
            return (FilePart("qkv", rows, columns, number),)
        case "q" if not first:
            return (FilePart("other", rows, columns, number),)
        case "indexer" if latent is None:
            return (FilePart("small", rows, columns, number),)
        case "embedding" | "head" if place.part == "mtp":
            return (FilePart("other", rows, columns, number),)
        case "per_layer" if place.part == "outside":
            return (FilePart("source", rows, columns, number),)
    return (FilePart(_CATEGORIES.get(tensor.role, "other"), rows, columns, number, tensor.role in _EXPERTS),)


def _unrotated(layer: Layer, latent: Latent) -> int:
    """Elements of a latent attention head's keys that no position rotates."""
    q = next((tensor.rows for tensor in layer.tensors or () if tensor.role in ("q", "q_b")), 0)
    return max(0, q // latent.q_heads - latent.rope)


def _named(model: ModelSpec, beginnings: tuple[str, ...]) -> bool:
    names = (one.rsplit("/", 1)[-1].lower() for one in (model.name, *model.aliases))
    return any(name.startswith(beginnings) for name in names)
