"""Tensor-parallel prefill and decode over a mesh of devices (Megatron-LM, 1909.08053), in ``shard_map``.

Each rank runs the blocks of ``grouped``, ``latent`` and ``ffn`` as they are, with the shape of its own share, and the
partial results are summed over all ranks. The mesh has an axis ``kv`` of different caches and an axis ``copy`` of ranks
that hold the same one, so that a cache's replication is its sharding: an array is divided over ``kv`` and not over
``copy``. What is divided lies rank by rank along the first axis of its array, whatever that axis is within a rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import ffn, grouped, latent, transformer
from kvtui.bench.nn.cache import ModelCache, fill
from kvtui.bench.nn.norm import rms_norm
from kvtui.bench.nn.transformer import TransformerLayer, Weights
from kvtui.cases.sharding import ShardedCase

RANKS = ("kv", "copy")
WHOLE: Any = PartitionSpec()  # type: ignore[no-untyped-call]
BY_RANK: Any = PartitionSpec(RANKS)  # type: ignore[no-untyped-call]
BY_CACHE: Any = PartitionSpec("kv")  # type: ignore[no-untyped-call]
"""Where an array lies: whole on every device, divided by rank, or divided over different caches.

They stand where an array will, so their type is left open.
"""


class Exchange(NamedTuple):
    """How ranks come together: a ``sum`` over all, and all ranks' columns beside each other (``gather``)."""

    sum: Callable[[Array], Array]
    gather: Callable[[Array], Array]


TOGETHER = Exchange(
    lambda x: lax.psum(x, RANKS),  # type: ignore[no-untyped-call]
    lambda x: lax.all_gather(x, RANKS, axis=-1, tiled=True),
)
ALONE = Exchange(lambda x: x, lambda x: x)
"""Each rank for itself: the same work without a word between them, for the time that it takes."""


def mesh(one: ShardedCase, devices: Sequence[jax.Device]) -> Mesh:
    """The ranks of ``one`` on ``devices``: those of one cache side by side."""
    return Mesh(np.array(devices).reshape(one.parts, one.tp // one.parts), RANKS)


def place(one: ShardedCase, where: Mesh, weights: Weights) -> Weights:
    """The whole ``weights``, which every process has, as arrays over ``where``."""
    whole = jax.tree.map(np.asarray, weights)
    ranks = [_share(one, whole, rank) for rank in range(one.tp)]

    def put(spec: PartitionSpec, *parts: np.ndarray) -> Array:
        if spec == WHOLE:
            return copied(where, parts[0])
        rows = len(parts[0])
        return _laid(where, spec, (one.tp * rows, *parts[0].shape[1:]), lambda start: parts[start // rows])

    placed: Weights = jax.tree.map(put, weight_specs(weights), *ranks, is_leaf=_is_spec)
    return placed


def empty_cache(one: ShardedCase, where: Mesh) -> ModelCache:
    """An empty cache over ``where``."""

    def put(array: jax.ShapeDtypeStruct) -> Array:
        empty = np.zeros(array.shape, array.dtype)
        return _laid(where, BY_CACHE, (one.parts * len(empty), *array.shape[1:]), lambda _: empty)

    placed: ModelCache = jax.tree.map(put, _local_cache(one))
    return placed


def copied(where: Mesh, array: np.ndarray | np.generic) -> Array:
    """``array`` on every device of ``where``."""
    return jax.make_array_from_callback(array.shape, NamedSharding(where, WHOLE), lambda _: np.asarray(array))


def by_rank(one: ShardedCase, where: Mesh, array: np.ndarray) -> Array:
    """An array of which each rank has its own ``array``."""
    return _laid(where, BY_RANK, (one.tp * len(array), *array.shape[1:]), lambda _: array)


def weight_specs(weights: Weights) -> Weights:
    """How each array of ``weights`` lies on the mesh: copied, or divided by rank."""
    blocks = tuple(
        TransformerLayer(WHOLE, _attention_specs(block), WHOLE, ffn.Dense(BY_RANK, BY_RANK)) for block in weights.blocks
    )
    return Weights(BY_RANK, None, blocks, WHOLE)


def cache_specs(one: ShardedCase) -> ModelCache:
    """How each array of a cache lies on the mesh: divided over different caches, and copied to ranks that share one."""
    specs: ModelCache = jax.tree.map(lambda _: BY_CACHE, _local_cache(one))
    return specs


def prefill(
    one: ShardedCase, where: Mesh, weights: Weights, exchange: Exchange = TOGETHER
) -> Callable[..., tuple[Int[Array, " batch"], Int[Array, ""], ModelCache]]:
    """The program that runs whole prompts into a cache: the next tokens, their position, and the filled cache."""

    def program(
        held: Weights, tokens: Int[Array, "batch prompt"], cache: ModelCache
    ) -> tuple[Int[Array, " batch"], Int[Array, ""], ModelCache]:
        x = _embedded(one, held, tokens, jnp.arange(tokens.shape[1]), exchange)
        filled = []
        for block, layer in zip(held.blocks, cache, strict=True):
            normed = rms_norm(x, block.attention_norm)
            match block.attention:
                case grouped.GroupedWeights() as attention:
                    drawn, rows = grouped.over_sequence(one.local, attention, normed)
                case latent.LatentWeights() as attention:
                    drawn, rows = latent.over_sequence(one.local, attention, normed, "absorbed")
            x = _fed(one, block, x + exchange.sum(drawn), exchange)
            filled.append(fill(layer, rows))
        return _chosen(held, x[:, -1], exchange), jnp.int32(tokens.shape[1]), tuple(filled)

    return _mapped(one, where, weights, program, ahead=(WHOLE,))


def step(
    one: ShardedCase, where: Mesh, weights: Weights, exchange: Exchange = TOGETHER
) -> Callable[..., tuple[Int[Array, " batch"], Int[Array, ""], ModelCache]]:
    """The program of a decode step: of the newest tokens and their position, the next ones, greedily."""

    def program(
        held: Weights, tokens: Int[Array, " batch"], position: Int[Array, ""], cache: ModelCache
    ) -> tuple[Int[Array, " batch"], Int[Array, ""], ModelCache]:
        x = _embedded(one, held, tokens, position, exchange)
        layers = []
        for block, before in zip(held.blocks, cache, strict=True):
            normed = rms_norm(x, block.attention_norm)
            match block.attention:
                case grouped.GroupedWeights() as attention:
                    drawn, layer = grouped.over_cache(one.local, attention, normed, position, before)
                case latent.LatentWeights() as attention:
                    drawn, layer = latent.over_cache(one.local, attention, normed, position, before, "absorbed")
            x = _fed(one, block, x + exchange.sum(drawn), exchange)
            layers.append(layer)
        return _chosen(held, x, exchange), position + 1, tuple(layers)

    return _mapped(one, where, weights, program, ahead=(WHOLE, WHOLE))


def sums(one: ShardedCase, where: Mesh, count: int) -> Callable[[Float[Array, "*n"]], Float[Array, "*n"]]:
    """The program of ``count`` sums over all ranks, one after the other, of an array that each rank has."""

    def program(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        for _ in range(count):
            x = TOGETHER.sum(x) / one.tp
        return x

    return jax.shard_map(program, mesh=where, in_specs=BY_RANK, out_specs=BY_RANK, check_vma=False)


def _mapped(
    one: ShardedCase, where: Mesh, weights: Weights, program: Callable[..., Any], ahead: tuple[PartitionSpec, ...]
) -> Callable[..., Any]:
    """``program`` on every rank: of weights, what is ``ahead``, and a cache, two copied values and the cache."""
    cache = cache_specs(one)
    given, made = (weight_specs(weights), *ahead, cache), (WHOLE, WHOLE, cache)
    return jax.shard_map(program, mesh=where, in_specs=given, out_specs=made, check_vma=False)


def _embedded(
    one: ShardedCase, held: Weights, tokens: Int[Array, "*n"], positions: Int[Array, "*places"], exchange: Exchange
) -> Float[Array, "*n dim"]:
    """Each rank has rows of the embedding, and gives zeros for the tokens of others."""
    rows = len(held.embedding)
    own = tokens - rows * lax.axis_index(RANKS)
    mine = (own >= 0) & (own < rows)
    x = transformer.embed(one.local, held, jnp.clip(own, 0, rows - 1), positions)
    return exchange.sum(jnp.where(mine[..., None], x, 0))


def _fed(
    one: ShardedCase, block: TransformerLayer, x: Float[Array, "*n dim"], exchange: Exchange
) -> Float[Array, "*n dim"]:
    match block.ffn:
        case ffn.Dense() as network:
            rows = rms_norm(x, block.ffn_norm).reshape(-1, x.shape[-1])
            return x + exchange.sum(ffn.dense(one.local.activation, network, rows)).reshape(x.shape)
    raise NotImplementedError("experts")


def _chosen(held: Weights, x: Float[Array, "batch dim"], exchange: Exchange) -> Int[Array, " batch"]:
    return jnp.argmax(exchange.gather(transformer.logits_of(held, x)), axis=-1).astype(jnp.int32)


def _attention_specs(block: TransformerLayer) -> Any:
    match block.attention:
        case grouped.GroupedWeights():
            return grouped.GroupedWeights(qkv=BY_RANK, out=BY_RANK)
        case latent.LatentWeights():
            copied = {"down": WHOLE, "query_norm": WHOLE, "latent_norm": WHOLE}
            return latent.LatentWeights(**copied, query_up=BY_RANK, key_up=BY_RANK, value_up=BY_RANK, out=BY_RANK)


def _share(one: ShardedCase, whole: Weights, rank: int) -> Weights:
    """The arrays of ``rank``, with those that are copied."""
    blocks = tuple(
        block._replace(attention=_attention_share(one, block.attention, rank), ffn=_dense_share(one, block.ffn, rank))
        for block in whole.blocks
    )
    return whole._replace(embedding=_part(whole.embedding, one.tp, rank), blocks=blocks)


def _attention_share(one: ShardedCase, attention: Any, rank: int) -> Any:
    shape, tp = one.case.shape, one.tp
    match attention:
        case grouped.GroupedWeights(qkv, out):
            bounds = np.cumsum([shape.heads, shape.kv_heads])[:2] * shape.head_dim
            query, key, value = np.split(qkv, bounds)
            cache = rank * one.parts // tp
            rows: Any = np.concatenate(
                [_part(query, tp, rank), *(_part(some, one.parts, cache) for some in (key, value))]
            )
            return grouped.GroupedWeights(rows, _part(out, tp, rank, axis=1))
        case latent.LatentWeights():
            by_head = {name: _part(getattr(attention, name), tp, rank) for name in ("query_up", "key_up", "value_up")}
            return attention._replace(**by_head, out=_part(attention.out, tp, rank, axis=1))


def _dense_share(one: ShardedCase, network: Any, rank: int) -> ffn.Dense:
    ups = np.split(network.up, 2) if one.case.shape.activation == "swiglu" else [network.up]
    up: Any = np.concatenate([_part(some, one.tp, rank) for some in ups])
    return ffn.Dense(up, _part(network.down, one.tp, rank, axis=1))


def _part(array: Any, parts: int, number: int, axis: int = 0) -> Any:
    return np.split(array, parts, axis)[number]


def _local_cache(one: ShardedCase) -> ModelCache:
    case = one.case
    abstract: ModelCache = jax.eval_shape(
        lambda: transformer.init_cache(one.local, case.batch, case.cache_length, case.cache)
    )
    return abstract


def _laid(where: Mesh, spec: PartitionSpec, sizes: tuple[int, ...], rows_from: Callable[[int], np.ndarray]) -> Array:
    """An array of ``sizes``, of which each device takes the rows that begin at some place."""
    sharding = NamedSharding(where, spec)
    return jax.make_array_from_callback(sizes, sharding, lambda index: rows_from((index or (slice(0),))[0].start or 0))


def _is_spec(leaf: object) -> bool:
    return isinstance(leaf, PartitionSpec)
