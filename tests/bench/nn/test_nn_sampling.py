"""Sampling draws from the stated distribution: chi-square against exact probabilities, under a fixed key."""

from __future__ import annotations

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvtui.bench.nn.sampling import nucleus, sample
from kvtui.cases.case import Sampler
from tests.bench.nn.test_nn_transformer import QUICK

DRAWS = 20_000
LOGITS = np.array([1.9, -0.4, 0.3, 2.2, -1.5, 0.8, 1.1, -0.2, 0.0, -2.5], np.float32)


def kept(sampler: Sampler) -> NDArray[np.float64]:
    """Exact probabilities, by sorting."""
    odds = np.exp(LOGITS.astype(np.float64) / sampler.temperature)
    order = np.argsort(-odds)
    odds[order[sampler.top_k or len(odds) :]] = 0
    odds /= odds.sum()
    before = np.cumsum(odds[order]) - odds[order]
    odds[order[before >= (sampler.top_p or 2)]] = 0
    odds /= odds.sum()
    return odds


def chi_square(counts: NDArray[np.intp], probabilities: NDArray[np.float64]) -> float:
    """The statistic in standard deviations from its mean (Wilson and Hilferty's cube root)."""
    expected = counts.sum() * probabilities[probabilities > 0]
    freedom = len(expected) - 1
    statistic = ((counts[probabilities > 0] - expected) ** 2 / expected).sum()
    return float(((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)) ** 0.5)


@lru_cache
def drawn(sampler: Sampler) -> NDArray[np.intp]:
    rows = jnp.broadcast_to(LOGITS, (DRAWS, len(LOGITS)))
    tokens = jax.jit(partial(sample, sampler), compiler_options=QUICK)(rows, jax.random.key(4))
    assert tokens.dtype == jnp.int32
    return np.bincount(tokens, minlength=len(LOGITS))


PLAIN = Sampler(temperature=1.0)


@pytest.mark.parametrize(
    "sampler",
    [
        PLAIN,
        Sampler(temperature=0.5, top_k=4),
        Sampler(temperature=2.0, top_k=99, top_p=1.0),
        Sampler(temperature=1.0, top_p=0.9),
        Sampler(temperature=0.8, top_k=5, top_p=0.8),
    ],
)
def test_tokens_come_from_the_stated_distribution(sampler: Sampler) -> None:
    counts, probabilities = drawn(sampler), kept(sampler)
    assert counts[probabilities == 0].sum() == 0
    assert abs(chi_square(counts, probabilities)) < 4


def test_the_chi_square_notices_a_wrong_temperature() -> None:
    assert chi_square(drawn(PLAIN), kept(Sampler(temperature=1.1))) > 6


def test_greedy_takes_the_likeliest_of_each_row() -> None:
    rows = jnp.stack([jnp.asarray(LOGITS), -jnp.asarray(LOGITS)])
    assert sample(Sampler(), rows, jax.random.key(0)).tolist() == [3, 9]


def test_a_single_candidate_is_always_taken() -> None:
    assert drawn(Sampler(temperature=5.0, top_k=1))[3] == DRAWS
    assert np.asarray(nucleus(jnp.array([[0.3, 0.5, 0.2]]), 0.01)).tolist() == [[False, True, False]]


@given(
    st.lists(st.integers(1, 10_000), min_size=8, max_size=8, unique=True),
    st.floats(0.01, 0.99),
)
def test_a_nucleus_is_the_smallest_set_with_the_mass(odds: list[int], top_p: float) -> None:
    probabilities = np.array(odds, np.float32) / np.float32(sum(odds))
    inside = np.asarray(jax.jit(nucleus)(probabilities[None], top_p))[0]
    mass = float(probabilities[inside].sum(dtype=np.float64))
    assert probabilities[inside].min() > probabilities[~inside].max(initial=0)
    assert mass >= top_p - 1e-6
    assert mass - probabilities[inside].min() < top_p + 1e-6


def test_equal_probabilities_stay_together() -> None:
    assert np.asarray(nucleus(jnp.full((1, 4), 0.25), 0.3)).all()
