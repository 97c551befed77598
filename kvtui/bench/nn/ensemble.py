"""Ensembles with a shared trunk: the same first layers for all, and for each head last layers of its own.

The embedding, the norm before the logits and the logits' matrix are shared. A step of a *naive* ensemble runs every
head and combines what they say; a *product of experts* lets one head draft and the others verify what it drafted, on
the trunk's states that drafting left. Plain speculative decoding is here too: a draft of the target's own first layers.
Everything is one sequence, and everything that a step or a round does is one pure function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import speculate
from kvtui.bench.nn.cache import ModelCache
from kvtui.bench.nn.speculate import Combine, Speculation, SpeculativeState, Spoken, speculative_round
from kvtui.bench.nn.transformer import (
    TransformerLayer,
    Weights,
    block_through,
    embed,
    fill_through,
    init_cache,
    logits_of,
    step_through,
)
from kvtui.cases.case import TransformerShape

Blocks = tuple[TransformerLayer, ...]


class EnsembleWeights(NamedTuple):
    """``shared`` has the embedding, the last norm and, as its blocks, the trunk; each head has its own last blocks."""

    shared: Weights
    heads: tuple[Blocks, ...]


class EnsembleCache(NamedTuple):
    """The trunk's layers, and each head's own."""

    trunk: ModelCache
    heads: tuple[ModelCache, ...]


def ensemble_of(weights: Weights, depth: int, heads: int, noise: float, seed: int) -> EnsembleWeights:
    """``heads`` heads of the last ``depth`` blocks of ``weights``, all but the first disturbed.

    Normal ``noise`` is added, in parts of each matrix's own deviation, so that heads agree more or less.
    """
    random = np.random.default_rng(seed)

    def disturbed(leaf: Array) -> Array:
        spread = noise * float(jnp.std(leaf)) if leaf.ndim > 1 else 0.0
        return leaf + jnp.asarray(spread * random.standard_normal(leaf.shape), leaf.dtype)

    last = weights.blocks[len(weights.blocks) - depth :]
    others = (jax.tree.map(disturbed, last) for _ in range(heads - 1))
    return EnsembleWeights(weights._replace(blocks=weights.blocks[: len(weights.blocks) - depth]), (last, *others))


def whole_of(weights: EnsembleWeights, head: int = 0) -> Weights:
    """The trunk with one head: a model like any other."""
    return weights.shared._replace(blocks=(*weights.shared.blocks, *weights.heads[head]))


def empty_cache(shape: TransformerShape, weights: EnsembleWeights, length: int) -> EnsembleCache:
    """Empty caches for ``length`` tokens of one sequence: of the trunk once, and of each head."""
    layer = init_cache(shape, 1, length, "contiguous")[0]

    def layers(count: int) -> ModelCache:
        return tuple(jax.tree.map(jnp.copy, layer) for _ in range(count))

    return EnsembleCache(layers(len(weights.shared.blocks)), tuple(layers(len(head)) for head in weights.heads))


def prefill_all(
    shape: TransformerShape, weights: EnsembleWeights, prompt: Int[Array, " prompt"], cache: EnsembleCache
) -> tuple[Float[Array, "heads vocab"], EnsembleCache]:
    """Run a prompt through the trunk and every head; the logits behind its last token, of each head."""
    x = embed(shape, weights.shared, prompt[None], jnp.arange(prompt.shape[0]))
    x, trunk = fill_through(shape, weights.shared.blocks, x, cache.trunk)
    said, held = [], []
    for blocks, layers in zip(weights.heads, cache.heads, strict=True):
        y, filled = fill_through(shape, blocks, x, layers)
        said.append(logits_of(weights.shared, y[0, -1]))
        held.append(filled)
    return jnp.stack(said), EnsembleCache(trunk, tuple(held))


def step_all(
    shape: TransformerShape,
    weights: EnsembleWeights,
    token: Int[Array, ""],
    position: Int[Array, ""],
    cache: EnsembleCache,
) -> tuple[Float[Array, "heads vocab"], EnsembleCache]:
    """One token through the trunk and every head; the logits of each head."""
    x = embed(shape, weights.shared, token[None], position)
    x, trunk = step_through(shape, weights.shared.blocks, x, position, cache.trunk)
    said, held = [], []
    for blocks, layers in zip(weights.heads, cache.heads, strict=True):
        y, grown = step_through(shape, blocks, x, position, layers)
        said.append(logits_of(weights.shared, y)[0])
        held.append(grown)
    return jnp.stack(said), EnsembleCache(trunk, tuple(held))


def naive_step(
    shape: TransformerShape, combine: Combine
) -> Callable[
    [EnsembleWeights, Int[Array, ""], Int[Array, ""], EnsembleCache],
    tuple[Int[Array, ""], Int[Array, ""], EnsembleCache],
]:
    """A greedy step of all heads: (weights, token, position, cache) to the next token, its position and the cache."""

    def program(
        weights: EnsembleWeights, token: Int[Array, ""], position: Int[Array, ""], cache: EnsembleCache
    ) -> tuple[Int[Array, ""], Int[Array, ""], EnsembleCache]:
        said, cache = step_all(shape, weights, token, position, cache)
        return jnp.argmax(combine(said)).astype(jnp.int32), position + 1, cache

    return program


def experts_round(
    shape: TransformerShape, beta: float, how: Speculation
) -> Callable[[EnsembleWeights, SpeculativeState], tuple[SpeculativeState, Spoken]]:
    """A round in which the first head drafts and the product of the others is the target; its carry is the cache.

    Drafting runs the trunk once for each token, and the verifiers take its states, so there is no bonus token.
    """

    def draft(
        weights: EnsembleWeights, token: Int[Array, ""], position: Int[Array, ""], cache: EnsembleCache
    ) -> tuple[Float[Array, " vocab"], EnsembleCache, Float[Array, " dim"]]:
        x = embed(shape, weights.shared, token[None], position)
        x, trunk = step_through(shape, weights.shared.blocks, x, position, cache.trunk)
        y, own = step_through(shape, weights.heads[0], x, position, cache.heads[0])
        return logits_of(weights.shared, y)[0], EnsembleCache(trunk, (own, *cache.heads[1:])), x[0]

    def verify(
        weights: EnsembleWeights,
        tokens: Int[Array, " n"],
        states: list[Float[Array, " dim"]],
        position: Int[Array, ""],
        cache: EnsembleCache,
    ) -> tuple[Float[Array, "verifiers n vocab"], EnsembleCache]:
        x = jnp.stack(states)[None]
        said, held = [], [cache.heads[0]]
        for blocks, layers in zip(weights.heads[1:], cache.heads[1:], strict=True):
            y, grown = block_through(shape, blocks, x, position, layers)
            said.append(logits_of(weights.shared, y[0]))
            held.append(grown)
        return jnp.stack(said), EnsembleCache(cache.trunk, tuple(held))

    return speculative_round(draft, verify, speculate.product_of(beta), how._replace(bonus=False))


def draft_round(
    shape: TransformerShape, layers: int, how: Speculation
) -> Callable[[Weights, SpeculativeState], tuple[SpeculativeState, Spoken]]:
    """A round of plain speculative decoding: the first ``layers`` of the target draft, all of them verify.

    The carry is the draft's cache and the target's; the bonus is drawn.
    """

    def draft(
        weights: Weights, token: Int[Array, ""], position: Int[Array, ""], carry: tuple[ModelCache, ModelCache]
    ) -> tuple[Float[Array, " vocab"], tuple[ModelCache, ModelCache], None]:
        own, target = carry
        x = embed(shape, weights, token[None], position)
        x, own = step_through(shape, weights.blocks[:layers], x, position, own)
        return logits_of(weights, x)[0], (own, target), None

    def verify(
        weights: Weights,
        tokens: Int[Array, " n"],
        marks: list[None],
        position: Int[Array, ""],
        carry: tuple[ModelCache, ModelCache],
    ) -> tuple[Float[Array, "1 n vocab"], tuple[ModelCache, ModelCache]]:
        own, target = carry
        x = embed(shape, weights, tokens[None], position + jnp.arange(tokens.shape[0]))
        x, target = block_through(shape, weights.blocks, x, position, target)
        return logits_of(weights, x), (own, target)

    return speculative_round(draft, verify, speculate.alone, how._replace(bonus=True))
