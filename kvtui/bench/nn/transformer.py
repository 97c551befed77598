"""A decoder-only transformer: plain pytrees of weights and caches; prefill, decode, and forward without a cache.

Pre-norm blocks of attention and a feed-forward layer, no biases, embeddings tied to the output. Layers are separate
arrays and the loop over them is unrolled: a scan over stacked layers would copy the whole cache in every step. A block
is a jitted function only so that it is traced once and not for every layer; XLA inlines it. All functions are pure and
fit for ``jax.jit`` with ``shape`` and the modes fixed; decode is meant to be compiled with the cache donated.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import ffn, grouped, init, latent, platform
from kvtui.bench.nn.cache import DTYPES, CachedRows, LayerCache, ModelCache, fill, init_layer
from kvtui.bench.nn.init import gain, matrix
from kvtui.bench.nn.norm import rms_norm
from kvtui.bench.nn.positions import sinusoids
from kvtui.cases.case import CacheLayout, LatentMode, TransformerShape


class TransformerLayer(NamedTuple):
    """One layer."""

    attention_norm: Float[Array, " dim"]
    attention: grouped.GroupedWeights | latent.LatentWeights
    ffn_norm: Float[Array, " dim"]
    ffn: ffn.Dense | ffn.RoutedExperts


class Weights(NamedTuple):
    """All weights. ``positions`` are the learned vectors of the ``context``, None for other kinds of position."""

    embedding: Float[Array, "vocab dim"]
    positions: Float[Array, "context dim"] | None
    blocks: tuple[TransformerLayer, ...]
    norm: Float[Array, " dim"]


def init_weights(shape: TransformerShape, seed: int) -> Weights:
    """Random weights of ``shape``; there are no arrays that it does not use."""
    weights: Weights = init.fill(_blanks(shape), seed, DTYPES[shape.dtype])
    return weights


def abstract_weights(shape: TransformerShape) -> Weights:
    """What ``init_weights`` makes, as shapes and types alone."""
    weights: Weights = init.abstract(_blanks(shape), DTYPES[shape.dtype])
    return weights


def parameter_count(shape: TransformerShape) -> int:
    """Elements of all arrays that ``init_weights`` makes."""
    return sum(blank.size for blank in jax.tree.leaves(_blanks(shape)))


def _blanks(shape: TransformerShape) -> Weights:
    block = TransformerLayer(
        attention_norm=gain(shape.dim),
        attention=latent.blanks(shape) if shape.latent else grouped.blanks(shape),
        ffn_norm=gain(shape.dim),
        ffn=ffn.blanks(shape),
    )
    return Weights(
        embedding=matrix(shape.vocab, shape.dim),
        positions=matrix(shape.context, shape.dim, inputs=1) if shape.positions == "learned" else None,
        blocks=(block,) * shape.blocks,
        norm=gain(shape.dim),
    )


def init_cache(shape: TransformerShape, batch: int, length: int, layout: CacheLayout) -> ModelCache:
    """An empty cache for ``batch`` sequences of up to ``length`` tokens, a layer for each block.

    A ring holds no more than the window. Raises InputError for the layout "none".
    """
    return tuple(init_layer(shape, batch, length, layout) for _ in range(shape.blocks))


def prefill(
    shape: TransformerShape,
    weights: Weights,
    tokens: Int[Array, "batch prompt"],
    cache: ModelCache,
    latent_mode: LatentMode = "absorbed",
) -> tuple[Float[Array, "batch vocab"], ModelCache]:
    """Run whole prompts from position 0 on and write them into ``cache``; the logits are those of the last token."""
    x, rows, _ = _sequence(shape, weights, tokens, latent_mode)
    filled = tuple(fill(layer, new) for layer, new in zip(cache, rows, strict=True))
    return logits_of(weights, x[:, -1]), filled


def decode(
    shape: TransformerShape,
    weights: Weights,
    tokens: Int[Array, " batch"],
    position: Int[Array, ""],
    cache: ModelCache,
    latent_mode: LatentMode = "absorbed",
) -> tuple[Float[Array, "batch vocab"], ModelCache]:
    """Run one token per sequence, the one at ``position`` (0 is the first), over the tokens in ``cache``.

    The logits are those of the token after it. ``position`` must lie within the cache, or wrap around in a ring.
    """
    x = embed(shape, weights, tokens, position)
    x, cache = step_through(shape, weights.blocks, x, position, cache, latent_mode)
    return logits_of(weights, x), cache


def step_through(
    shape: TransformerShape,
    blocks: tuple[TransformerLayer, ...],
    x: Float[Array, "batch dim"],
    position: Int[Array, ""],
    cache: ModelCache,
    latent_mode: LatentMode = "absorbed",
) -> tuple[Float[Array, "batch dim"], ModelCache]:
    """One token per sequence through some ``blocks`` and their caches."""
    layers = []
    for block, held in zip(blocks, cache, strict=True):
        x, layer = _decode_block(shape, latent_mode, block, x, position, held)
        layers.append(layer)
    return x, tuple(layers)


def block_through(
    shape: TransformerShape,
    blocks: tuple[TransformerLayer, ...],
    x: Float[Array, "batch tokens dim"],
    position: Int[Array, ""],
    cache: ModelCache,
) -> tuple[Float[Array, "batch tokens dim"], ModelCache]:
    """Several tokens per sequence, the first at ``position``, through some ``blocks`` and their contiguous caches."""
    layers = []
    for block, held in zip(blocks, cache, strict=True):
        x, layer = _append_block(shape, block, x, position, held)
        layers.append(layer)
    return x, tuple(layers)


def fill_through(
    shape: TransformerShape,
    blocks: tuple[TransformerLayer, ...],
    x: Float[Array, "batch prompt dim"],
    cache: ModelCache,
) -> tuple[Float[Array, "batch prompt dim"], ModelCache]:
    """Whole prompts from position 0 on through some ``blocks``, into their caches."""
    layers = []
    for block, held in zip(blocks, cache, strict=True):
        x, rows, _ = _sequence_block(shape, "absorbed", block, x)
        layers.append(fill(held, rows))
    return x, tuple(layers)


def logits_at(
    shape: TransformerShape, weights: Weights, tokens: Int[Array, "batch n"], position: Int[Array, ""]
) -> Float[Array, "batch vocab"]:
    """The logits after the token at ``position``, without a cache; MLA expands its latents."""
    return logits_of(weights, _sequence(shape, weights, tokens, "naive")[0][:, position])


def all_logits(
    shape: TransformerShape, weights: Weights, tokens: Int[Array, "batch n"]
) -> Float[Array, "batch n vocab"]:
    """The logits after every token, without a cache; what training compares with the tokens that came."""
    return logits_of(weights, _sequence(shape, weights, tokens, "naive")[0])


def routing(shape: TransformerShape, weights: Weights, tokens: Int[Array, "batch n"]) -> Int[Array, "blocks experts"]:
    """How many of ``tokens`` each layer sends to each expert; no experts give no columns."""
    return jnp.stack(_sequence(shape, weights, tokens, "naive")[2])


def _sequence(
    shape: TransformerShape, weights: Weights, tokens: Int[Array, "batch n"], mode: LatentMode
) -> tuple[Float[Array, "batch n dim"], list[CachedRows], list[Int[Array, " experts"]]]:
    x = embed(shape, weights, tokens, jnp.arange(tokens.shape[1]))
    left, chosen = [], []
    for block in weights.blocks:
        x, rows, counts = _sequence_block(shape, mode, block, x)
        left.append(rows)
        chosen.append(counts)
    return x, left, chosen


@partial(jax.jit, static_argnums=(0, 1))
def _decode_block(
    shape: TransformerShape,
    mode: LatentMode,
    block: TransformerLayer,
    x: Float[Array, "batch dim"],
    position: Int[Array, ""],
    layer: LayerCache,
) -> tuple[Float[Array, "batch dim"], LayerCache]:
    normed = rms_norm(x, block.attention_norm)
    match block.attention:
        case grouped.GroupedWeights() as attention:
            drawn, layer = grouped.over_cache(shape, attention, normed, position, layer)
        case latent.LatentWeights() as attention:
            drawn, layer = latent.over_cache(shape, attention, normed, position, layer, mode)
    return _feed_forward(shape, block, x + drawn)[0], layer


@partial(jax.jit, static_argnums=0)
def _append_block(
    shape: TransformerShape,
    block: TransformerLayer,
    x: Float[Array, "batch n dim"],
    position: Int[Array, ""],
    layer: LayerCache,
) -> tuple[Float[Array, "batch n dim"], LayerCache]:
    normed = rms_norm(x, block.attention_norm)
    match block.attention:
        case grouped.GroupedWeights() as attention:
            drawn, layer = grouped.block_over_cache(shape, attention, normed, position, layer)
        case latent.LatentWeights() as attention:
            drawn, layer = latent.block_over_cache(shape, attention, normed, position, layer)
    return _feed_forward(shape, block, x + drawn)[0], layer


@partial(jax.jit, static_argnums=(0, 1))
def _sequence_block(
    shape: TransformerShape, mode: LatentMode, block: TransformerLayer, x: Float[Array, "batch n dim"]
) -> tuple[Float[Array, "batch n dim"], CachedRows, Int[Array, " experts"]]:
    normed = rms_norm(x, block.attention_norm)
    match block.attention:
        case grouped.GroupedWeights() as attention:
            drawn, rows = grouped.over_sequence(shape, attention, normed)
        case latent.LatentWeights() as attention:
            drawn, rows = latent.over_sequence(shape, attention, normed, mode)
    out, counts = _feed_forward(shape, block, x + drawn)
    return out, rows, counts


def embed(
    shape: TransformerShape, weights: Weights, tokens: Int[Array, "*n"], positions: Int[Array, "*places"]
) -> Float[Array, "*n dim"]:
    """What the first block is given for ``tokens`` at ``positions``."""
    x = weights.embedding[tokens] * jnp.asarray(shape.dim**0.5, weights.embedding.dtype)
    if weights.positions is not None:
        return x + weights.positions[positions]
    if shape.positions == "sinusoidal":
        return x + sinusoids(positions, shape.dim).astype(x.dtype)
    return x


def _feed_forward(
    shape: TransformerShape, block: TransformerLayer, x: Float[Array, "*n dim"]
) -> tuple[Float[Array, "*n dim"], Int[Array, " experts"]]:
    out, counts = ffn.feed_forward(shape, block.ffn, rms_norm(x, block.ffn_norm).reshape(-1, shape.dim))
    return x + out.reshape(x.shape), counts


def logits_of(weights: Weights, x: Float[Array, "*n dim"]) -> Float[Array, "*n vocab"]:
    """The logits behind what the last block gave."""
    return platform.product(rms_norm(x, weights.norm), weights.embedding)
