"""Mixtures of experts: the chosen ones run, each token's own, and nobody else's weights are touched."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench.nn import ffn, transformer
from kvtui.bench.nn.ffn import RoutedExperts
from tests.bench.nn import reference
from tests.bench.nn.test_nn_transformer import MHA, QUICK, tokens_of, weights_of
from tests.nightly import sampled

pytestmark = sampled(3)

SHAPE = replace(MHA, dim=16, hidden=12, experts=5, experts_per_token=2)


@pytest.fixture(scope="module")
def weights() -> ffn.RoutedExperts:
    found = weights_of(SHAPE).blocks[0].ffn
    assert isinstance(found, ffn.RoutedExperts)
    return found


RUN = jax.jit(partial(ffn.feed_forward, SHAPE), compiler_options=QUICK)


def rows(count: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(count).standard_normal((count, SHAPE.dim)), jnp.float32)


@pytest.mark.parametrize("tokens", [1, 2, 13, 150])
def test_any_number_of_tokens_is_the_masked_sum(weights: RoutedExperts, tokens: int) -> None:
    """One token, tiles of one row, ragged tiles of several, and tiles that most experts fill more than once."""
    found, counts = RUN(weights, rows(tokens))
    plain = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), weights)
    np.testing.assert_allclose(found, reference.feed_forward(SHAPE, plain, np.asarray(rows(tokens))), atol=1e-5)
    likely = np.argsort(-np.asarray(rows(tokens)) @ plain.router.T, axis=1)[:, :2]
    np.testing.assert_array_equal(counts, np.bincount(likely.reshape(-1), minlength=SHAPE.experts))


@pytest.mark.parametrize("tokens", [1, 40])
def test_experts_that_nobody_chose_do_not_run(weights: RoutedExperts, tokens: int) -> None:
    """Their weights are NaN, which any product with them would spread, a masked one too."""
    same = jnp.broadcast_to(rows(1), (tokens, SHAPE.dim))
    expected, counts = RUN(weights, same)
    poisoned = weights._replace(
        experts=tuple(
            expert if count else jax.tree.map(lambda leaf: leaf * jnp.nan, expert)
            for expert, count in zip(weights.experts, counts, strict=True)
        )
    )
    assert sum(bool(jnp.isnan(expert.up).all()) for expert in poisoned.experts) == 3
    found, _ = RUN(poisoned, same)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("experts", [1, 2, 4, 16, 64])
def test_tiles_are_powers_of_two_that_an_even_share_fills(experts: int) -> None:
    for pairs in range(1, 5000, 7):
        tile = ffn.tile_rows(pairs, experts)
        assert tile & (tile - 1) == 0
        assert 1 <= tile <= 128
        assert tile == 1 or tile * experts <= pairs


def test_routing_counts_every_token_in_every_layer() -> None:
    shape = replace(SHAPE, blocks=2)
    counts = jax.jit(partial(transformer.routing, shape), compiler_options=QUICK)(
        weights_of(shape), tokens_of(shape.vocab, 2, 9)
    )
    assert counts.shape == (2, 5)
    assert counts.sum(axis=1).tolist() == [2 * 9 * 2] * 2


def test_routing_of_dense_layers_is_empty() -> None:
    counts = jax.eval_shape(partial(transformer.routing, MHA), weights_of(MHA), tokens_of(MHA.vocab, 2, 9))
    assert counts.shape == (1, 0)
