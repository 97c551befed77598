"""Ensembles: every head is a model of its own, and speculation says token for token what its target says."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench.nn import ensemble, speculate, transformer
from kvtui.bench.nn.cache import cache_bytes, rows_of
from kvtui.bench.nn.ensemble import EnsembleWeights
from kvtui.bench.nn.speculate import Speculation, SpeculativeState
from kvtui.bench.nn.transformer import Weights
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.prediction import kv_bytes
from tests.nightly import nightly, sampled

GROUPED = TransformerShape(dim=16, heads=4, head_dim=4, kv_heads=2, blocks=3, hidden=16, vocab=24, context=32)
LATENT = replace(GROUPED, latent=6, query_latent=8, rope_dim=2)
HEADS, DEPTH, LENGTH = 3, 1, 32
PROMPT = jnp.asarray([3, 1, 4, 1, 5], jnp.int32)


def made(shape: TransformerShape) -> EnsembleWeights:
    weights = transformer.init_weights(shape, 0)
    # Random weights whose embedding is tied say the token before again; the negated gain makes them wander.
    weights = weights._replace(norm=-weights.norm)
    return ensemble.ensemble_of(weights, DEPTH, HEADS, 0.3, 1)


def test_each_head_is_a_model_of_its_own_and_the_bytes_are_the_planners() -> None:
    weights = made(GROUPED)
    cache = ensemble.empty_cache(GROUPED, weights, LENGTH)
    layers = GROUPED.blocks - DEPTH + HEADS * DEPTH
    held = sum(map(cache_bytes, (cache.trunk, *cache.heads)))
    assert held == kv_bytes(Case(replace(GROUPED, blocks=layers), prompt=1))

    said, cache = ensemble.prefill_all(GROUPED, weights, PROMPT, cache)
    stepped, _ = ensemble.step_all(GROUPED, weights, jnp.int32(9), jnp.int32(5), cache)
    longer = jnp.append(PROMPT, 9)[None]
    for head in range(HEADS):
        logits = transformer.all_logits(GROUPED, ensemble.whole_of(weights, head), longer)[0]
        np.testing.assert_allclose(said[head], logits[4], atol=2e-5)
        np.testing.assert_allclose(stepped[head], logits[5], atol=2e-5)
    assert not np.allclose(said[0], said[1], atol=1e-2)


@sampled(2)
@pytest.mark.parametrize("combine", [speculate.mean_logits, speculate.mixture])
def test_a_naive_step_says_what_the_mean_says(combine: speculate.Combine) -> None:
    weights = made(GROUPED)
    _, cache = ensemble.prefill_all(GROUPED, weights, PROMPT, ensemble.empty_cache(GROUPED, weights, LENGTH))
    said, _ = ensemble.step_all(GROUPED, weights, jnp.int32(9), jnp.int32(5), cache)
    token, position, _ = ensemble.naive_step(GROUPED, combine)(weights, jnp.int32(9), jnp.int32(5), cache)
    logs = np.asarray(jax.nn.log_softmax(said, axis=-1))
    mean = np.asarray(said).mean(axis=0) if combine is speculate.mean_logits else np.exp(logs).mean(axis=0)
    assert (int(token), int(position)) == (int(mean.argmax()), 6)


@sampled(2)
@pytest.mark.parametrize("shape", [GROUPED, LATENT], ids=["GQA", "MLA"])
def test_several_tokens_over_a_cache_are_the_same_as_one_by_one(shape: TransformerShape) -> None:
    weights = transformer.init_weights(shape, 0)
    cache = transformer.init_cache(shape, 2, LENGTH, "contiguous")
    tokens = jnp.asarray([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]], jnp.int32)
    _, cache = transformer.prefill(shape, weights, tokens[:, :2], cache)
    x = transformer.embed(shape, weights, tokens[:, 2:], jnp.arange(2, 5))
    x, grown = transformer.block_through(shape, weights.blocks, x, jnp.int32(2), cache)
    whole = transformer.all_logits(shape, weights, tokens)
    np.testing.assert_allclose(transformer.logits_of(weights, x), whole[:, 2:], atol=2e-5)
    for i in range(2, 5):
        _, cache = transformer.decode(shape, weights, tokens[:, i], jnp.int32(i), cache)
    for one, other in zip(jax.tree.leaves(grown), jax.tree.leaves(cache), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_several_tokens_over_a_bf16_cache_are_the_same_as_one_by_one() -> None:
    """Whatever is held for the rows: both ways read and write the same ones, up to their rounding."""
    shape = replace(GROUPED, kv_dtype="bf16")
    weights = transformer.init_weights(shape, 0)
    tokens = jnp.asarray([[3, 1, 4, 1]], jnp.int32)
    empty = transformer.init_cache(shape, 1, LENGTH, "contiguous")
    _, cache = transformer.prefill(shape, weights, tokens[:, :2], empty)
    x = transformer.embed(shape, weights, tokens[:, 2:], jnp.arange(2, 4))
    x, grown = transformer.block_through(shape, weights.blocks, x, jnp.int32(2), cache)
    for i in range(2, 4):
        logits, cache = transformer.decode(shape, weights, tokens[:, i], jnp.int32(i), cache)
    np.testing.assert_allclose(transformer.logits_of(weights, x)[:, -1], logits, atol=0.03)
    for one, other in zip(grown, cache, strict=True):
        for some, same in zip(rows_of(one), rows_of(other), strict=True):
            assert np.asarray(some, np.float32).any()
            np.testing.assert_allclose(np.asarray(some, np.float32), np.asarray(same, np.float32), atol=0.03)


@partial(jax.jit, static_argnums=0)
def _padded(shape: TransformerShape, weights: Weights, tokens: jax.Array) -> jax.Array:
    return transformer.all_logits(shape, weights, tokens)[0]


def behind(shape: TransformerShape, weights: Weights, history: list[int]) -> jax.Array:
    """The logits behind ``history``, without a cache; one program for every length."""
    padded = jnp.asarray([history + [0] * (LENGTH - len(history))])
    logits: jax.Array = _padded(shape, weights, padded)[len(history) - 1]
    return logits


def rounds(program: Any, weights: Any, carry: Any, first: int, count: int) -> tuple[list[int], list[int]]:
    """The tokens of at least ``count``, and how many each round accepted."""
    state = SpeculativeState(jnp.int32(first), jnp.int32(len(PROMPT)), jax.random.key(0), carry)
    run = jax.jit(program)
    tokens: list[int] = []
    accepted = []
    while len(tokens) < count:
        state, spoken = run(weights, state)
        tokens += [int(one) for one in spoken.tokens if one >= 0]
        accepted.append(int(spoken.accepted))
    return tokens[:count], accepted


@nightly
def test_greedy_plain_speculation_says_what_greedy_decoding_says() -> None:
    weights = ensemble.whole_of(made(LATENT))
    target = transformer.init_cache(LATENT, 1, LENGTH, "contiguous")
    own = transformer.init_cache(replace(LATENT, blocks=2), 1, LENGTH, "contiguous")
    history = PROMPT.tolist()
    for _ in range(13):
        history.append(int(behind(LATENT, weights, history).argmax()))
    logits, target = transformer.prefill(LATENT, weights, PROMPT[None], target)
    early = weights._replace(blocks=weights.blocks[:2])
    _, own = transformer.prefill(replace(LATENT, blocks=2), early, PROMPT[None], own)
    program = ensemble.draft_round(LATENT, 2, Speculation(3, 0.0))
    tokens, accepted = rounds(program, weights, (own, target), int(logits[0].argmax()), 12)
    assert tokens == history[len(PROMPT) + 1 :]
    assert max(accepted) > 0


def test_a_greedy_product_of_experts_says_what_its_product_says() -> None:
    weights = made(GROUPED)
    verifiers = [ensemble.whole_of(weights, head) for head in range(1, HEADS)]

    def says(history: list[int]) -> int:
        rows = jnp.stack([behind(GROUPED, one, history) for one in verifiers])
        return int(jnp.sum(jax.nn.log_softmax(rows, axis=-1), axis=0).argmax())

    history = PROMPT.tolist()
    for _ in range(13):
        history.append(says(history))
    _, cache = ensemble.prefill_all(GROUPED, weights, PROMPT, ensemble.empty_cache(GROUPED, weights, LENGTH))
    program = ensemble.experts_round(GROUPED, 1.0, Speculation(3, 0.0))
    tokens, accepted = rounds(program, weights, cache, history[len(PROMPT)], 12)
    assert tokens == history[len(PROMPT) + 1 :]
    assert 0 < sum(accepted) < 3 * len(accepted)
