"""Positions and the cache's slots: published slopes, relative angles, and which token lies where."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.nn.cache import Store, block_table, dequantized, quantized, slot_positions
from kvtui.bench.nn.positions import alibi_slopes, rotate, sinusoids

SLOTS = jax.jit(slot_positions, static_argnums=0)
PLACES = st.integers(0, 4000)


@pytest.mark.parametrize("heads", [1, 2, 8, 16, 64])
def test_slopes_of_a_power_of_two_are_a_geometric_sequence(heads: int) -> None:
    """The sequence starts at 2^(-8/n) and has that as its ratio: 1/2 … 1/256 for 8 heads (section 3 of the paper)."""
    ratio = 2 ** (-8 / heads)
    np.testing.assert_allclose(alibi_slopes(heads), [ratio**i for i in range(1, heads + 1)], rtol=1e-6)


def test_slopes_of_twelve_heads_are_those_of_eight_and_every_other_one_of_sixteen() -> None:
    sixteen = alibi_slopes(16)
    np.testing.assert_allclose(alibi_slopes(12), [*alibi_slopes(8), *sixteen[0:8:2]], rtol=1e-6)


@given(PLACES, PLACES, PLACES, st.integers(0, 2**32 - 1))
def test_a_rotated_product_depends_on_the_distance_alone(one: int, other: int, shift: int, seed: int) -> None:
    query, key = np.random.default_rng(seed).standard_normal((2, 16)).astype(np.float32)

    def product(a: int, b: int) -> float:
        return float(jnp.dot(rotate(query, jnp.int32(a)), rotate(key, jnp.int32(b))))

    assert product(one, other) == pytest.approx(product(one + shift, other + shift), abs=2e-2)
    assert float(jnp.linalg.norm(rotate(query, jnp.int32(one)))) == pytest.approx(
        float(np.linalg.norm(query)), rel=1e-5
    )


def test_rotation_turns_the_first_pair_by_one_radian_per_token() -> None:
    turned = rotate(jnp.array([1.0, 0, 0, 0]), jnp.int32(2))
    np.testing.assert_allclose(turned, [np.cos(2), 0, np.sin(2), 0], atol=1e-6)


def test_sinusoids_begin_with_zeros_and_ones_and_fit_odd_widths() -> None:
    np.testing.assert_allclose(sinusoids(jnp.int32(0), 5), [0, 0, 0, 1, 1])
    assert sinusoids(jnp.arange(3), 7).shape == (3, 7)


@given(st.sampled_from([1, 2, 7, 16]), st.integers(0, 60))
def test_slots_hold_the_last_token_that_fell_into_them(length: int, position: int) -> None:
    written = [-1] * length
    for token in range(position + 1):
        written[token % length] = token
    found = np.asarray(SLOTS(length, jnp.int32(position)))
    assert np.where(found < 0, -1, found).tolist() == written


@given(st.integers(1, 5), st.integers(1, 9))
def test_no_two_sequences_share_a_page(batch: int, pages: int) -> None:
    assert sorted(np.asarray(block_table(batch, pages)).reshape(-1).tolist()) == list(range(batch * pages))


@given(st.integers(0, 2**32 - 1))
def test_int8_is_within_half_a_step_of_each_row(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = (random.standard_normal((4, 6)) * 10.0 ** random.integers(-6, 6, (4, 1))).astype(np.float32)
    rows[0] = 0
    values, scales = quantized(jnp.asarray(rows))
    error = np.abs(np.asarray(dequantized(Store(values, scales))) - rows).max(axis=1)
    assert (error <= np.abs(rows).max(axis=1) / 254 * 1.001).all()
    assert np.abs(np.asarray(values, np.int32)).max(axis=1).tolist() == [0, 127, 127, 127]
