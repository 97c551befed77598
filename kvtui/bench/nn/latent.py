"""MLA (DeepSeek-V2, 2405.04434): the cache holds one latent per token, from which every head has its key and value.

"absorbed" moves the up-projections to the other side of the products, the keys' to the query and the values' to the
output, one vector at a time, and attends over the latents themselves. "naive" expands all latents into every head's
keys and values first. Neither ever multiplies a weight by a weight.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import platform
from kvtui.bench.nn.attention import attend, attend_block, causal, scoring
from kvtui.bench.nn.cache import CachedRows, LayerCache, Store, append, append_block, dequantized, lead, read
from kvtui.bench.nn.init import gain, matrix
from kvtui.bench.nn.norm import rms_norm
from kvtui.bench.nn.positions import rotate
from kvtui.cases.case import LatentMode, TransformerShape


class LatentWeights(NamedTuple):
    """``down`` gives the query's latent, the latent, and the key elements that all heads share (rotary under RoPE).

    Each head's query is ``head_dim`` elements for its own keys and ``rope_dim`` for the shared ones.
    """

    down: Float[Array, "latents dim"]
    query_norm: Float[Array, " query_latent"]
    query_up: Float[Array, "query_rows query_latent"]
    latent_norm: Float[Array, " latent"]
    key_up: Float[Array, "heads head_dim latent"]
    value_up: Float[Array, "heads latent head_dim"]
    out: Float[Array, "dim rows"]


def blanks(shape: TransformerShape) -> LatentWeights:
    """One layer's arrays, to be filled."""
    rows = shape.heads * shape.head_dim
    return LatentWeights(
        down=matrix(shape.query_latent + shape.latent + shape.rope_dim, shape.dim),
        query_norm=gain(shape.query_latent),
        query_up=matrix(rows + shape.heads * shape.rope_dim, shape.query_latent),
        latent_norm=gain(shape.latent),
        key_up=matrix(shape.heads, shape.head_dim, shape.latent),
        value_up=matrix(shape.heads, shape.latent, shape.head_dim, inputs=shape.latent),
        out=matrix(shape.dim, rows),
    )


def over_sequence(
    shape: TransformerShape, weights: LatentWeights, x: Float[Array, "batch tokens dim"], mode: LatentMode
) -> tuple[Float[Array, "batch tokens dim"], CachedRows]:
    """Causal attention of sequences that begin at position 0, and the latents that they leave in a cache."""
    batch, length, _ = x.shape
    query, latents = _query_and_latent(shape, weights, x, jnp.arange(length))
    if mode == "absorbed":
        flat = _absorbed_query(shape, weights, query.reshape(batch * length, *query.shape[2:]))
        grouped = jnp.swapaxes(flat.reshape(batch, length, *flat.shape[1:]), 1, 2)
        mixed = causal(grouped, latents, latents, scoring(shape)).astype(x.dtype)
        by_token = jnp.swapaxes(mixed, 1, 2).reshape(batch * length, shape.heads, -1)
        heads = platform.per_head(by_token[..., : shape.latent], weights.value_up)
    else:
        keys, values = (rows.reshape(-1, length, rows.shape[-1]) for rows in _expanded(shape, weights, latents))
        single = jnp.swapaxes(query, 1, 2).reshape(batch * shape.heads, 1, length, -1)
        mixed = causal(single, keys, values, scoring(shape)).astype(x.dtype)
        heads = jnp.swapaxes(mixed.reshape(batch, shape.heads, length, -1), 1, 2)
    return platform.project(heads.reshape(batch, length, -1), weights.out), (latents[:, None],)


def block_over_cache(
    shape: TransformerShape,
    weights: LatentWeights,
    x: Float[Array, "batch tokens dim"],
    position: Int[Array, ""],
    layer: LayerCache,
) -> tuple[Float[Array, "batch tokens dim"], LayerCache]:
    """Absorbed attention of several new tokens, the first at ``position``, over a contiguous cache of float latents."""
    batch, length, _ = x.shape
    query, latents = _query_and_latent(shape, weights, x, position + jnp.arange(length))
    layer = append_block(layer, (latents[:, None],), position)
    cached = read(layer)[0].values.reshape(batch, -1, latents.shape[-1])
    flat = _absorbed_query(shape, weights, query.reshape(batch * length, *query.shape[2:]))
    grouped = jnp.swapaxes(flat.reshape(batch, length, *flat.shape[1:]), 1, 2)
    mixed = attend_block(grouped, cached, cached, position, scoring(shape)).astype(x.dtype)
    by_token = jnp.swapaxes(mixed, 1, 2).reshape(batch * length, shape.heads, -1)
    heads = platform.per_head(by_token[..., : shape.latent], weights.value_up)
    return platform.project(heads.reshape(batch, length, -1), weights.out), layer


def over_cache(
    shape: TransformerShape,
    weights: LatentWeights,
    x: Float[Array, "batch dim"],
    position: Int[Array, ""],
    layer: LayerCache,
    mode: LatentMode,
) -> tuple[Float[Array, "batch dim"], LayerCache]:
    """Attention of a new token of each sequence, at ``position``, over the cache to which it is added first."""
    batch = len(x)
    query, latents = _query_and_latent(shape, weights, x, position)
    layer = append(layer, (latents[:, None],), position)
    (cached,) = read(layer)
    if mode == "absorbed":
        grouped = _absorbed_query(shape, weights, query).reshape(*lead(batch), shape.heads, -1)
        mixed = attend(grouped, cached, cached, position, scoring(shape)).astype(x.dtype)
        heads = platform.per_head(mixed.reshape(batch, shape.heads, -1)[..., : shape.latent], weights.value_up)
    else:
        rows = dequantized(cached).astype(x.dtype)
        expanded = _expanded(shape, weights, rows.reshape(batch, *rows.shape[-2:]))
        keys, values = (Store(new.reshape(*lead(batch * shape.heads), *new.shape[-2:])) for new in expanded)
        single = query.reshape(*lead(batch * shape.heads), 1, query.shape[-1])
        heads = attend(single, keys, values, position, scoring(shape)).astype(x.dtype)
    return platform.project(heads.reshape(batch, -1), weights.out), layer


def _query_and_latent(
    shape: TransformerShape, weights: LatentWeights, x: Float[Array, "*n dim"], positions: Int[Array, "*tokens"]
) -> tuple[Float[Array, "*n heads key"], Float[Array, "*n entry"]]:
    compressed, latent, shared = jnp.split(
        platform.project(x, weights.down), [shape.query_latent, shape.query_latent + shape.latent], axis=-1
    )
    query = platform.project(rms_norm(compressed, weights.query_norm), weights.query_up)
    query = query.reshape(*x.shape[:-1], shape.heads, shape.head_dim + shape.rope_dim)
    if shape.positions == "rope":
        own, turned = jnp.split(query, [shape.head_dim], axis=-1)
        query = jnp.concatenate([own, rotate(turned, positions[..., None])], axis=-1)
        shared = rotate(shared, positions)
    return query, jnp.concatenate([rms_norm(latent, weights.latent_norm), shared], axis=-1)


def _absorbed_query(
    shape: TransformerShape, weights: LatentWeights, query: Float[Array, "rows heads key"]
) -> Float[Array, "rows heads entry"]:
    own, shared = jnp.split(query, [shape.head_dim], axis=-1)
    return jnp.concatenate([platform.per_head(own, weights.key_up), shared], axis=-1)


def _expanded(
    shape: TransformerShape, weights: LatentWeights, entries: Float[Array, "batch tokens entry"]
) -> tuple[Float[Array, "batch heads tokens key"], Float[Array, "batch heads tokens head_dim"]]:
    latents, shared = jnp.split(entries, [shape.latent], axis=-1)
    own = platform.contract("bsl,hdl->bhsd", latents, weights.key_up).astype(entries.dtype)
    values = platform.contract("bsl,hld->bhsd", latents, weights.value_up).astype(entries.dtype)
    return jnp.concatenate([own, jnp.broadcast_to(shared[:, None], (*own.shape[:3], shape.rope_dim))], axis=-1), values
