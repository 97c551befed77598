"""Generation: choosing a token, and the programs for one more token, with and without a cache, or for many at once.

``step``, ``steps`` and ``uncached_step`` return pure functions with the shape and the sampler fixed, fit for
``jax.jit`` with the cache donated. Sampling is part of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float, Int, Key

from kvtui.bench.nn import transformer
from kvtui.bench.nn.cache import ModelCache
from kvtui.bench.nn.sampling import sample
from kvtui.bench.nn.transformer import Weights
from kvtui.cases.case import LatentMode, Sampler, TransformerShape

LoopState = tuple[Int[Array, " batch"], Int[Array, ""], Key[Array, ""], ModelCache]
"""The newest token of each sequence, its position, the random key and the cache, to which it is not added yet."""


def choose(
    sampler: Sampler, logits: Float[Array, "batch vocab"], key: Key[Array, ""]
) -> tuple[Int[Array, " batch"], Key[Array, ""]]:
    """The next token of each sequence and the key for the one after it; the likeliest token needs no new key."""
    if sampler.temperature == 0:
        return sample(sampler, logits, key), key
    now, later = jax.random.split(key)
    return sample(sampler, logits, now), later


def step(
    shape: TransformerShape, sampler: Sampler, latent_mode: LatentMode = "absorbed"
) -> Callable[[Weights, Int[Array, " batch"], Int[Array, ""], Key[Array, ""], ModelCache], LoopState]:
    """One token per sequence: (weights, tokens, position, key, cache) to the next state."""

    def program(
        weights: Weights, tokens: Int[Array, " batch"], position: Int[Array, ""], key: Key[Array, ""], cache: ModelCache
    ) -> LoopState:
        logits, cache = transformer.decode(shape, weights, tokens, position, cache, latent_mode)
        chosen, later = choose(sampler, logits, key)
        return chosen, position + 1, later, cache

    return program


def steps(
    n: int, shape: TransformerShape, sampler: Sampler, latent_mode: LatentMode = "absorbed"
) -> Callable[[Weights, Int[Array, " batch"], Int[Array, ""], Key[Array, ""], ModelCache], LoopState]:
    """``n`` of ``step`` in one program, without returning to Python in between."""
    once = step(shape, sampler, latent_mode)

    def program(
        weights: Weights, tokens: Int[Array, " batch"], position: Int[Array, ""], key: Key[Array, ""], cache: ModelCache
    ) -> LoopState:
        def again(state: LoopState, _: None) -> tuple[LoopState, None]:
            return once(weights, *state), None

        return lax.scan(again, (tokens, position, key, cache), length=n)[0]

    return program


def uncached_step(
    shape: TransformerShape, sampler: Sampler
) -> Callable[[Weights, Int[Array, "batch length"], Int[Array, ""], Key[Array, ""]], tuple[Any, ...]]:
    """One token per sequence without a cache: (weights, history, position, key) to (history, position + 1, key).

    ``history`` holds the tokens up to ``position``; all of its ``length`` columns are run again, and the next token is
    written at ``position + 1``, which must lie within it. The keys are used as ``step`` uses them.
    """

    def program(
        weights: Weights, history: Int[Array, "batch length"], position: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[Int[Array, "batch length"], Int[Array, ""], Key[Array, ""]]:
        tokens, later = choose(sampler, transformer.logits_at(shape, weights, history, position), key)
        history = lax.dynamic_update_slice_in_dim(history, tokens[:, None], position + 1, axis=1)
        return history, position + 1, later

    return program
