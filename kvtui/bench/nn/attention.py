"""Softmax attention, wherever keys and values come from: of one new token over a cache, and of whole sequences.

Every sequence and KV head has its own keys; the "group" are the query heads that share them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import platform
from kvtui.bench.nn.cache import Store, is_summed, quantized, slot_positions
from kvtui.bench.nn.positions import alibi_slopes
from kvtui.cases.case import TransformerShape

ROWS = 256
"""Query rows of a block of causal attention; a prompt of more than ``BLOCKS`` such blocks has larger ones."""
BLOCKS = 16


class Scoring(NamedTuple):
    """How a query's products with the keys become scores.

    They are multiplied by ``scale``, lose ``slopes`` of the query's head per token of distance (ALiBi), and count only
    for the last ``window`` tokens, the query's own included.
    """

    scale: float
    slopes: Float[np.ndarray, " query_heads"] | None
    window: int | None


def scoring(shape: TransformerShape) -> Scoring:
    """The scoring of ``shape``: scaled by one over the square root of the width of a head's key."""
    width = shape.head_dim + shape.rope_dim if shape.latent else shape.head_dim
    return Scoring(width**-0.5, alibi_slopes(shape.heads) if shape.positions == "alibi" else None, shape.window)


def attend(
    query: Float[Array, "*heads group width"], keys: Store, values: Store, position: Int[Array, ""], how: Scoring
) -> Float[Array, "*heads group value"]:
    """What the tokens at ``position`` draw from stores of [(heads), tokens, width] that they are already part of.

    Values that are summed (``cache.is_summed``) are [(heads), width, tokens].
    int8 stores are multiplied in int8: query rows are quantized, and so are the softmax weights with the values' scales
    folded in. The division by the weights' sum comes last, on the small output. Returned in fp32.
    """
    slopes = None if how.slopes is None else _by_row(how.slopes, query.shape[:-1])
    group, query = query.shape[-2], platform.as_rows(query, keys.values.dtype)
    stored = "n" * (keys.values.ndim - 2)
    rows = stored + ("g" if query.ndim == keys.values.ndim else "")

    places = slot_positions(keys.values.shape[-2], position)
    scores = _scores(f"{rows}e,{stored}se->{rows}s", query, keys) * how.scale
    if slopes is not None:
        scores -= slopes.reshape(*slopes.shape[: len(rows)], 1) * (position - places)
    seen = (places >= 0) if how.window is None else (places >= 0) & (places > position - how.window)
    scores = jnp.where(seen, scores, -jnp.inf)
    weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    mixed = _mixed(f"{rows}s,{stored}se->{rows}e", weights, values) / jnp.sum(weights, axis=-1, keepdims=True)
    return mixed[..., :group, :] if "g" in rows else mixed[..., None, :]


def attend_block(
    query: Float[Array, "heads group tokens width"],
    keys: Float[Array, "heads slots width"],
    values: Float[Array, "heads slots value"],
    position: Int[Array, ""],
    how: Scoring,
) -> Float[Array, "heads group tokens value"]:
    """What several new tokens, the first at ``position``, draw from a contiguous cache that they are already part of.

    Each sees the slots up to its own. Returned in fp32.
    """
    slots = jnp.arange(keys.shape[1])
    distance = position + jnp.arange(query.shape[2])[:, None] - slots
    scores = platform.contract("ngte,nse->ngts", query.astype(keys.dtype), keys) * how.scale
    if how.slopes is not None:
        scores -= _by_row(how.slopes, query.shape[:2])[..., None, None] * distance
    seen = (distance >= 0) if how.window is None else (distance >= 0) & (distance < how.window)
    scores = jnp.where(seen, scores, -jnp.inf)
    weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    mixed = platform.contract("ngts,nse->ngte", weights.astype(values.dtype), values)
    return mixed / jnp.sum(weights, axis=-1, keepdims=True)


def causal(
    query: Float[Array, "heads group tokens width"],
    keys: Float[Array, "heads tokens width"],
    values: Float[Array, "heads tokens value"],
    how: Scoring,
) -> Float[Array, "heads group tokens value"]:
    """What every token of whole sequences draws from itself and those before it; returned in fp32.

    Block of rows by block of rows, each multiplied with the tokens that one of its rows can see and no others.
    """
    length = query.shape[2]
    block = max(ROWS, -(-length // BLOCKS))
    slopes = None if how.slopes is None else _by_row(how.slopes, query.shape[:2])[..., None, None]
    done = []
    for start in range(0, length, block):
        stop = min(start + block, length)
        first = 0 if how.window is None else max(0, start - how.window + 1)
        distance = jnp.arange(start, stop)[:, None] - jnp.arange(first, stop)
        scores = platform.contract("ngte,nse->ngts", query[:, :, start:stop], keys[:, first:stop]) * how.scale
        if slopes is not None:
            scores -= slopes * distance
        seen = (distance >= 0) if how.window is None else (distance >= 0) & (distance < how.window)
        scores = jnp.where(seen, scores, -jnp.inf)
        weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
        mixed = platform.contract("ngts,nse->ngte", weights.astype(values.dtype), values[:, first:stop])
        done.append(mixed / jnp.sum(weights, axis=-1, keepdims=True))
    return jnp.concatenate(done, axis=2)


def _scores(equation: str, query: Float[Array, "*rows width"], keys: Store) -> Float[Array, "*rows tokens"]:
    if is_summed(keys):
        return platform.summed(query[..., None, :], platform.floats_of(keys.values)[..., None, :, :])
    if keys.scales is None:
        return platform.contract(equation, query.astype(keys.values.dtype), keys.values)
    narrow, scales = quantized(query)
    products = platform.contract(equation, narrow, keys.values)
    return products * scales[..., None] * _over_group(keys.scales, products.ndim)


def _mixed(equation: str, weights: Float[Array, "*rows tokens"], values: Store) -> Float[Array, "*rows value"]:
    if is_summed(values):
        return platform.summed(weights[..., None, :], platform.floats_of(values.values)[..., None, :, :])
    if values.scales is None:
        return platform.contract(equation, weights.astype(values.values.dtype), values.values)
    narrow, scales = quantized(weights * _over_group(values.scales, weights.ndim))
    return platform.contract(equation, narrow, values.values) * scales[..., None]


def _over_group(scales: Float[Array, "*heads tokens"], axes: int) -> Float[Array, "*heads group tokens"]:
    return scales if scales.ndim == axes else jnp.expand_dims(scales, -2)


def _by_row(slopes: Float[np.ndarray, " query_heads"], rows: tuple[int, ...]) -> Float[Array, "*rows"]:
    return jnp.asarray(np.resize(slopes, rows))
