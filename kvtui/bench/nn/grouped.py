"""MHA, GQA and MQA: ``heads / kv_heads`` query heads share each head of keys and values."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import platform
from kvtui.bench.nn.attention import attend, attend_block, causal, scoring
from kvtui.bench.nn.cache import CachedRows, LayerCache, append, append_block, read, rows_of
from kvtui.bench.nn.init import matrix
from kvtui.bench.nn.positions import rotate
from kvtui.cases.case import TransformerShape


class GroupedWeights(NamedTuple):
    """``qkv`` gives all query heads, then all keys, then all values, ``head_dim`` elements each."""

    qkv: Float[Array, "rows dim"]
    out: Float[Array, "dim query_rows"]


def blanks(shape: TransformerShape) -> GroupedWeights:
    """One layer's arrays, to be filled."""
    queries, rows = shape.heads * shape.head_dim, 2 * shape.kv_heads * shape.head_dim
    return GroupedWeights(qkv=matrix(queries + rows, shape.dim), out=matrix(shape.dim, queries))


def over_sequence(
    shape: TransformerShape, weights: GroupedWeights, x: Float[Array, "batch tokens dim"]
) -> tuple[Float[Array, "batch tokens dim"], CachedRows]:
    """Causal attention of sequences that begin at position 0, and the keys and values that they leave in a cache."""
    batch, length, _ = x.shape
    query, key, value = _heads(shape, weights, x, jnp.arange(length)[:, None])
    rows = (jnp.swapaxes(key, 1, 2), jnp.swapaxes(value, 1, 2))
    keys, values = (head.reshape(batch * shape.kv_heads, length, shape.head_dim) for head in rows)
    grouped = jnp.swapaxes(query, 1, 2).reshape(batch * shape.kv_heads, -1, length, shape.head_dim)
    mixed = causal(grouped, keys, values, scoring(shape)).astype(x.dtype)
    by_token = jnp.swapaxes(mixed.reshape(batch, shape.heads, length, shape.head_dim), 1, 2)
    return platform.project(by_token.reshape(batch, length, -1), weights.out), rows


def block_over_cache(
    shape: TransformerShape,
    weights: GroupedWeights,
    x: Float[Array, "batch tokens dim"],
    position: Int[Array, ""],
    layer: LayerCache,
) -> tuple[Float[Array, "batch tokens dim"], LayerCache]:
    """Attention of several new tokens of each sequence, the first at ``position``, over a contiguous float cache."""
    batch, length, _ = x.shape
    query, key, value = _heads(shape, weights, x, position + jnp.arange(length)[:, None])
    layer = append_block(layer, (jnp.swapaxes(key, 1, 2), jnp.swapaxes(value, 1, 2)), position)
    keys, values = (rows.reshape(batch * shape.kv_heads, -1, shape.head_dim) for rows in rows_of(layer))
    grouped = jnp.swapaxes(query, 1, 2).reshape(batch * shape.kv_heads, -1, length, shape.head_dim)
    mixed = attend_block(grouped, keys, values, position, scoring(shape)).astype(x.dtype)
    by_token = jnp.swapaxes(mixed.reshape(batch, shape.heads, length, shape.head_dim), 1, 2)
    return platform.project(by_token.reshape(batch, length, -1), weights.out), layer


def over_cache(
    shape: TransformerShape,
    weights: GroupedWeights,
    x: Float[Array, "batch dim"],
    position: Int[Array, ""],
    layer: LayerCache,
) -> tuple[Float[Array, "batch dim"], LayerCache]:
    """Attention of a new token of each sequence, at ``position``, over the cache to which it is added first."""
    query, key, value = _heads(shape, weights, x, position)
    layer = append(layer, (key, value), position)
    keys, values = read(layer)
    grouped = query.reshape(*keys.values.shape[:-2], shape.heads // shape.kv_heads, shape.head_dim)
    mixed = attend(grouped, keys, values, position, scoring(shape)).astype(x.dtype)
    return platform.project(mixed.reshape(len(x), -1), weights.out), layer


def _heads(
    shape: TransformerShape, weights: GroupedWeights, x: Float[Array, "*n dim"], positions: Int[Array, "*tokens"]
) -> tuple[
    Float[Array, "*n heads head_dim"], Float[Array, "*n kv_heads head_dim"], Float[Array, "*n kv_heads head_dim"]
]:
    heads = platform.project(x, weights.qkv).reshape(*x.shape[:-1], -1, shape.head_dim)
    query, key, value = jnp.split(heads, [shape.heads, shape.heads + shape.kv_heads], axis=-2)
    if shape.positions == "rope":
        query, key = rotate(query, positions), rotate(key, positions)
    return query, key, value
