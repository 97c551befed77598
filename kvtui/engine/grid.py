"""The planner's formulas over numpy arrays, for sweeps and surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kvtui.engine.model import Attention, Cache, Indexer, Latent, LayerCounts

if TYPE_CHECKING:
    from kvtui.engine.formats import Format

Tokens = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def cache_bytes(layers: LayerCounts, contexts: Tokens, kv: Format, tp: int = 1) -> Tokens:
    """Bytes, KV and state together, that ``layers`` keep per sequence on one of ``tp`` ranks, for each context.

    The array version of ``model.cache_bytes``, with the same sum; the tests compare the two.
    """
    total = np.zeros_like(contexts)
    for layer, count in layers:
        for cache in layer.caches:
            total += count * (_entries(cache, contexts) * cache.entry_bytes(kv, tp) + cache.fixed_bytes(tp))
    return total


def _entries(cache: Cache, contexts: Tokens) -> Tokens:
    match cache:
        case Attention(kind="cross_attention", cap=int(cap)):
            return np.full_like(contexts, cap)
        case Attention(cap=int(cap)):
            return np.minimum(contexts, cap)
        case Attention():
            return contexts
        case Latent(ratio=ratio, cap=int(cap)):
            return np.minimum(contexts // ratio, cap)
        case Latent(ratio=ratio) | Indexer(ratio=ratio):
            return contexts // ratio
        case _:
            return np.zeros_like(contexts)
