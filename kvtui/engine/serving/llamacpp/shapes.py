"""The sizes that a layer computes with, told by its caches and its weights.

A file whose weights are known only by their number tells less: the width of its feed-forward and its caches.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from kvtui.engine.model.caches import Attention, Latent, Recurrent, Shared
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.model.tensors import Role
from kvtui.engine.serving.llamacpp.layers import DeltaNet, Feed, LowRank, Queries, StateSpace

USUAL_HEAD, LAYER_INPUT = 128, 256
MAMBA = {"mamba1", "mamba2"}
LOW_RANK = LowRank(1536, 128, 128)
"""MLA as DeepSeek has it, for a model whose projections are not known."""


class Softmax(NamedTuple):
    """Attention over K and V."""

    cache: Attention | Shared
    made: Queries


class MlaMixer(NamedTuple):
    """Attention over latent entries."""

    cache: Latent
    low: LowRank


class ShortConv(NamedTuple):
    """A gated convolution of ``channels`` over ``conv`` tokens."""

    channels: int
    conv: int


LayerMixer = Softmax | MlaMixer | DeltaNet | StateSpace | ShortConv


class LayerShape(NamedTuple):
    """The mixers of a layer, attention first, and its feed-forward, if any, ``beside`` them or behind them."""

    mixers: tuple[LayerMixer, ...]
    feed: Feed | None
    beside: bool


@lru_cache(maxsize=16)
def layer_shapes(model: ModelSpec) -> tuple[LayerShape, ...]:
    """The shapes of the trunk's layers."""
    found: dict[int, LayerShape] = {}
    for number in dict.fromkeys(model.first_alike):
        found[number] = _shape(model, model.layers[number])
    return tuple(found[number] for number in model.first_alike)


def layer_input_elements(model: ModelSpec) -> int:
    """Elements of a token that layers get as inputs of their own: a row of a table beside the embedding.

    Where no weights are known, Gemma 3n and the Gemma 4 that share caches have them.
    """
    for tensor in model.outside:
        if tensor.role in ("embedding", "per_layer") and tensor.rows == model.vocab and tensor.columns != model.hidden:
            return tensor.columns
    if model.outside:
        return 0
    return LAYER_INPUT * len(model.layers) if "shared" in model.layer_kinds and "gemma" in _named(model) else 0


def _shape(model: ModelSpec, layer: Layer) -> LayerShape:
    found = [mixer for cache in layer.caches for mixer in _mixer(model, layer, cache)]
    mixers = tuple(sorted(found, key=lambda mixer: not isinstance(mixer, Softmax | MlaMixer)))
    norms = sum(tensor.role == "norm" and tensor.columns == model.hidden for tensor in layer.tensors or ())
    feed = _feed(model, layer)
    return LayerShape(mixers, feed, norms == 1 and bool(mixers) and feed is not None)


def _rows(layer: Layer, *roles: Role) -> int:
    return max((tensor.rows for tensor in layer.tensors or () if tensor.role in roles), default=0)


def _columns(layer: Layer, role: Role) -> int:
    return max((tensor.columns for tensor in layer.tensors or () if tensor.role == role), default=0)


def _mixer(model: ModelSpec, layer: Layer, cache: object) -> tuple[LayerMixer, ...]:
    """The mixer of one cache; an index of keys is part of the attention beside it."""
    hidden = model.hidden or 0
    match cache:
        case Attention() | Shared(reads=Attention()):
            shape = cache.reads if isinstance(cache, Shared) else cache
            assert isinstance(shape, Attention)
            queries = _rows(layer, "q")
            gated = queries >= 2 * shape.q_heads * shape.k_dim if queries else "gated_deltanet" in model.layer_kinds
            beside = any(isinstance(other, Recurrent) for other in layer.caches)
            rotary = beside or not MAMBA & set(model.layer_kinds)
            return (Softmax(cache, Queries(gated, rotary, "phi" in _named(model))),)
        case Latent(ratio=1):
            projected = _rows(layer, "q_b", "q")
            if not projected:
                return (MlaMixer(cache, LOW_RANK),)
            nope = projected // cache.q_heads - cache.rope
            return (MlaMixer(cache, LowRank(_rows(layer, "q_a"), nope, _columns(layer, "o") // cache.q_heads)),)
        case Recurrent(kind="gated_deltanet", heads=heads, conv_channels=channels, state_elements=state):
            inner = _columns(layer, "recurrent_out") or _inner(heads, channels, state)
            size = state // inner
            joined = "next" in _named(model)
            repeated = joined and inner != heads * size
            return (DeltaNet(heads, inner // size, size, cache.conv_rows + 1, repeated, joined),)
        case Recurrent(kind="kda" | "lightning", heads=heads, state_elements=state):
            size = isqrt(state // heads)
            return (DeltaNet(heads, heads, size, cache.conv_rows + 1, False),)
        case Recurrent(kind="mamba2", conv_channels=inner, state_elements=state):
            wide = inner + cache.group_channels
            return (StateSpace(inner, state // inner, wide, cache.heads, cache.conv_rows + 1, 0),)
        case Recurrent(kind="mamba1", conv_channels=inner, state_elements=state):
            return (StateSpace(inner, state // inner, inner, 0, cache.conv_rows + 1, -(-hidden // 16)),)
        case Recurrent(kind="short_conv", conv_channels=channels):
            return (ShortConv(channels, cache.conv_rows + 1),)
    return ()


def _likely_width(model: ModelSpec, layer: Layer) -> int:
    """The width of a feed-forward in a model of which no weights are known but their number."""
    active, hidden = model.active_parameters or model.parameters, model.hidden
    if not active or not hidden:
        return 0
    attention = 0
    for cache in layer.caches:
        shape = cache.reads if isinstance(cache, Shared) else cache
        if isinstance(shape, Attention):
            attention += hidden * (2 * shape.q_heads * shape.k_dim + shape.kv_heads * (shape.k_dim + shape.v_dim))
    each = (active - hidden * (model.vocab or 0)) // len(model.layers)
    return max(0, each - attention) // (3 * hidden)


def _inner(heads: int, channels: int, state: int) -> int:
    """Elements of all value heads, where channels = 2 · heads · size + inner and state = inner · size.

    That has two answers; heads are of 128 elements or nearly so.
    """
    root = isqrt(max(0, channels * channels - 8 * heads * state))
    answers = [(channels + sign * root) // 2 for sign in (1, -1)]
    return min((inner for inner in answers if inner > 0), key=lambda inner: abs(state // inner - USUAL_HEAD))


def _named(model: ModelSpec) -> str:
    return f"{model.name} {model.source}".casefold()


def _feed(model: ModelSpec, layer: Layer) -> Feed | None:
    experts, hidden = layer.experts, model.hidden or 0
    told = _rows(layer, "up", "shared_up")
    gated = _rows(layer, "gate", "shared_gate") > 0 if told else bool(layer.caches)
    if experts is None:
        width = told or layer.width or (0 if layer.tensors or not layer.caches else _likely_width(model, layer))
        return Feed(dense=width, gated=gated, joined=gated and "phi" in _named(model)) if width else None
    weighed = _rows(layer, "shared_router") > 0 or "gated_deltanet" in model.layer_kinds or "qwen2moe" in _named(model)
    parts = {tensor.role: tensor for tensor in experts.tensors}
    up = parts.get("expert_up")
    if up is None:
        width = experts.parameters // max(1, hidden * (3 if gated else 2))
        shared = max(0, layer.width - experts.active * width)
        return Feed(shared, experts.total, experts.active, width, gated, weighed=weighed)
    latent = up.columns if up.columns != hidden else 0
    return Feed(told, experts.total, experts.active, up.rows, "expert_gate" in parts, False, latent, weighed)
