"""The KV cache: contiguous, paged or a ring, in fp32, bf16 or int8.

A layer stores the rows of its KV heads (keys and values), or one latent row per token that serves as both (MLA). Every
store has exactly the shape that attention's product consumes, head-major ``[batch·heads, tokens, width]``, and drops
its first axis where that is one: a reshape between the update and the product would make XLA copy the cache. A ring is
a contiguous store shorter than the sequence, written round and round. Pages hold ``PAGE`` tokens of one sequence and
are found through a block table.

Keys and values of 16 bits are held as integers where ``platform.sums_rows`` says so. Attention then sums along the last
axis, so the values' tokens lie side by side: ``[batch·heads, width, tokens]``, turned when they are read from pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Int8, Num

from kvtui.bench.nn import platform
from kvtui.cases.case import CacheLayout, TransformerShape
from kvtui.engine.basis.errors import InputError

PAGE = 16
"""Tokens of a page, PagedAttention's usual block size."""

DTYPES = {"fp32": jnp.float32, "bf16": jnp.bfloat16, "int8": jnp.int8}
"""The array type of each ``dtype`` and ``kv_dtype``."""


class Store(NamedTuple):
    """Rows of a cache; int8 rows have one fp32 scale each.

    ``values`` is [(heads), tokens, width], or [pages, (heads), PAGE, width] where a block table says which page is
    whose; ``scales`` is the same without the width, or None.
    """

    values: Num[Array, "*any"]
    scales: Float[Array, "*any"] | None = None


class LayerCache(NamedTuple):
    """One layer: keys and values, or latents alone, and the block table [batch, pages per sequence] of a paged one."""

    stores: tuple[Store, ...]
    table: Int[Array, "batch pages"] | None = None


ModelCache = tuple[LayerCache, ...]

CachedRows = tuple[Float[Array, "batch heads *tokens width"], ...]
"""New rows for each store of a layer."""


def lead(count: int) -> tuple[int, ...]:
    """The first axes of a store of ``count`` heads: none where there is but one."""
    return (count,) if count > 1 else ()


def widths(shape: TransformerShape) -> tuple[int, ...]:
    """Elements of one row of each store of a layer: K and V, or the latent with its rotary elements."""
    return (shape.latent + shape.rope_dim,) if shape.latent else (shape.head_dim, shape.head_dim)


def init_layer(shape: TransformerShape, batch: int, length: int, layout: CacheLayout) -> LayerCache:
    """An empty layer for ``batch`` sequences of ``length`` tokens. Raises InputError for a layout without a cache."""
    heads = 1 if shape.latent else shape.kv_heads
    match layout:
        case "contiguous":
            rows = (*lead(batch * heads), length)
        case "ring":
            rows = (*lead(batch * heads), min(length, shape.window or length))
        case "paged":
            pages = -(-length // PAGE)
            rows = (batch * pages, *lead(heads), PAGE)
        case _:
            raise InputError(f"cache: a layout of {layout!r} has nothing to allocate; use contiguous, paged or ring")
    dtype = DTYPES[shape.kv_dtype]
    summed = not shape.latent and platform.sums_rows(dtype, shape.heads // shape.kv_heads)
    held, scaled = jnp.uint16 if summed else dtype, dtype == jnp.int8

    def empty(place: int, width: int) -> Store:
        sizes = (*rows[:-1], width, rows[-1]) if summed and place and layout != "paged" else (*rows, width)
        return Store(jnp.zeros(sizes, held), jnp.zeros(rows, jnp.float32) if scaled else None)

    stores = tuple(empty(place, width) for place, width in enumerate(widths(shape)))
    return LayerCache(stores, block_table(batch, pages) if layout == "paged" else None)


def block_table(batch: int, pages: int) -> Int[Array, "batch pages"]:
    """Whose page is where: shuffled with a fixed seed, as pages lie after a server has run for a while."""
    order = np.random.default_rng(0).permutation(batch * pages)
    return jnp.asarray(order.reshape(batch, pages), jnp.int32)


def cache_bytes(cache: ModelCache) -> int:
    """Bytes of all keys, values, latents and scales; the block tables of a paged cache are not part of it."""
    return sum(leaf.size * leaf.dtype.itemsize for layer in cache for leaf in jax.tree.leaves(layer.stores))


def slot_positions(length: int, position: Int[Array, ""]) -> Int[Array, " length"]:
    """The position of the token in each of ``length`` slots once ``position`` is written; negative in unused slots.

    Token t lies in slot t mod ``length``, so a slot holds the last token up to ``position`` that falls into it.
    """
    slots = jnp.arange(length, dtype=jnp.int32)
    return position - (position - slots) % length


def quantized(rows: Float[Array, "*n width"]) -> tuple[Int8[Array, "*n width"], Float[Array, "*n"]]:
    """Each row as int8, and its scale, the largest magnitude over 127; a row of zeros stays zero."""
    rows = rows.astype(jnp.float32)
    scales = jnp.max(jnp.abs(rows), axis=-1) / 127
    values = jnp.round(rows / jnp.where(scales > 0, scales, 1)[..., None])
    return values.astype(jnp.int8), scales


def dequantized(store: Store) -> Float[Array, "*n width"]:
    """The rows of ``store`` as floats."""
    return store.values if store.scales is None else store.values * store.scales[..., None]


def is_summed(store: Store) -> bool:
    """Whether ``store`` holds the bits of bf16, which attention sums itself."""
    return bool(store.values.dtype == jnp.uint16)


def append(layer: LayerCache, rows: CachedRows, position: Int[Array, ""]) -> LayerCache:
    """``layer`` with the rows [batch, heads, width] of one new token per sequence, at ``position``."""

    def put(turned: bool, array: Num[Array, "*any"], new: Num[Array, "batch heads *width"]) -> Num[Array, "*any"]:
        batch, heads, *width = new.shape
        if layer.table is not None:
            every_head = (slice(None),) * len(lead(heads))
            where = (layer.table[:, position // PAGE], *every_head, position % PAGE)
            return array.at[where].set(new.reshape(batch, *lead(heads), *width))
        axis = len(lead(batch * heads)) + turned
        row = jnp.expand_dims(new.reshape(*lead(batch * heads), *width), axis)
        return lax.dynamic_update_slice_in_dim(array, row, position % array.shape[axis], axis)

    return _updated(layer, rows, put)


def append_block(layer: LayerCache, rows: CachedRows, position: Int[Array, ""]) -> LayerCache:
    """``layer``, a contiguous one, with the rows [batch, heads, tokens, width] of new tokens from ``position`` on.

    They must all lie within it.
    """

    def put(
        turned: bool, array: Num[Array, "*any"], new: Num[Array, "batch heads tokens *width"]
    ) -> Num[Array, "*any"]:
        whole, axis = _whole(turned, new)
        return lax.dynamic_update_slice_in_dim(array, whole, position, axis)

    return _updated(layer, rows, put)


def fill(layer: LayerCache, rows: CachedRows) -> LayerCache:
    """``layer`` with the rows [batch, heads, prompt, width] of whole prompts from position 0 on.

    A ring keeps the last of them.
    """

    def put(
        turned: bool, array: Num[Array, "*any"], new: Num[Array, "batch heads prompt *width"]
    ) -> Num[Array, "*any"]:
        batch, heads, prompt, *width = new.shape
        if layer.table is not None:
            pages = -(-prompt // PAGE)
            padding = [(0, 0), (0, 0), (0, pages * PAGE - prompt)] + [(0, 0)] * len(width)
            paged = jnp.swapaxes(jnp.pad(new, padding).reshape(batch, heads, pages, PAGE, *width), 1, 2)
            return array.at[layer.table[:, :pages]].set(paged.reshape(batch, pages, *lead(heads), PAGE, *width))
        whole, axis = _whole(turned, new)
        room = array.shape[axis]
        if prompt > room:
            return jnp.roll(lax.slice_in_dim(whole, prompt - room, prompt, axis=axis), prompt % room, axis)
        return lax.dynamic_update_slice_in_dim(array, whole, 0, axis)

    return _updated(layer, rows, put)


def read(layer: LayerCache) -> tuple[Store, ...]:
    """The stores as attention consumes them: as they are, or gathered page by page into [(heads), tokens, width].

    Gathered values that are summed are turned.
    """
    table = layer.table
    if table is None:
        return layer.stores
    heads = layer.stores[0].values.shape[1:-2]
    where = (table[:, None], jnp.arange(heads[0])[:, None]) if heads else table

    def gathered(pool: Num[Array, "pages *heads page *width"]) -> Num[Array, "*stores tokens *width"]:
        width = pool.shape[len(heads) + 2 :]
        return pool[where].reshape(*lead(math.prod((len(table), *heads))), -1, *width)

    every = tuple(jax.tree.map(gathered, store) for store in layer.stores)
    return (every[0], _turned(every[1])) if is_summed(every[0]) else every


def rows_of(layer: LayerCache) -> tuple[Float[Array, "*heads tokens width"], ...]:
    """The rows of each store of a layer as floats, however they are held."""
    stores = read(layer)
    if not is_summed(stores[0]):
        return tuple(dequantized(store) for store in stores)
    keys, values = stores
    return tuple(platform.floats_of(store.values).astype(jnp.bfloat16) for store in (keys, _turned(values)))


def _turned(store: Store) -> Store:
    return Store(jnp.swapaxes(store.values, -1, -2))


def _whole(turned: bool, new: Num[Array, "batch heads tokens *width"]) -> tuple[Num[Array, "*any"], int]:
    """Rows in the order in which a contiguous store has them, and its axis of tokens."""
    heads = lead(new.shape[0] * new.shape[1])
    rows = new.reshape(*heads, *new.shape[2:])
    return (jnp.swapaxes(rows, -1, -2), len(heads) + 1) if turned else (rows, len(heads))


def _encoded(store: Store, rows: Float[Array, "*n width"]) -> Store:
    if is_summed(store):
        return Store(platform.bits_of(rows))
    return Store(rows.astype(store.values.dtype)) if store.scales is None else Store(*quantized(rows))


def _updated(layer: LayerCache, rows: CachedRows, put: Callable[[bool, Array, Array], Array]) -> LayerCache:
    stores = []
    for place, (store, new) in enumerate(zip(layer.stores, rows, strict=True)):
        turned = bool(place) and is_summed(store) and layer.table is None
        stores.append(jax.tree.map(partial(put, turned), store, _encoded(store, new)))
    return LayerCache(tuple(stores), layer.table)
