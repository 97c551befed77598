"""Speculative decoding gives the target's own distribution, and rules that are nearly right do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench.nn import speculate
from kvtui.bench.nn.speculate import Speculation, choose
from tests.bench.nn.markov import MUTANTS, TARGETS, chi_square, tables
from tests.nightly import NIGHTLY

SAMPLES = 20_000
ALIKE = 1e-3
"""Below this p-value two distributions are not the same."""


@pytest.mark.parametrize("name", TARGETS if NIGHTLY else ["one model, with the bonus"])
def test_what_comes_out_is_distributed_as_the_target(name: str) -> None:
    verifiers, combine, bonus = TARGETS[name]
    _, p = chi_square(tables(verifiers), combine, bonus, SAMPLES)
    assert p > ALIKE


@pytest.mark.parametrize("mutant", MUTANTS if NIGHTLY else [*MUTANTS][-1:])
def test_rules_that_are_nearly_right_are_found_out(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, wrong = MUTANTS[mutant]
    monkeypatch.setattr(speculate, name, wrong)
    verifiers, combine, bonus = TARGETS["product of experts"]
    _, p = chi_square(tables(verifiers), combine, bonus, SAMPLES)
    assert p < 1e-12


def test_the_targets_are_those_of_their_definitions() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5)), jnp.float32)
    logs = jax.nn.log_softmax(logits, axis=-1)
    shares = np.exp(np.asarray(logs))
    geometric = shares.prod(axis=0) ** (1 / 3)
    product = shares.prod(axis=0)
    np.testing.assert_allclose(np.exp(speculate.mixture(logs)), shares.mean(axis=0), rtol=1e-4)
    for found, expected in (
        (speculate.mean_logits(logits), geometric),
        (speculate.mean_logits(logs), geometric),
        (speculate.product_of(1 / 3)(logs), geometric),
        (speculate.product_of(1.0)(logs), product),
    ):
        np.testing.assert_allclose(np.exp(found), expected / expected.sum(axis=-1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("kept", range(4))
def test_greedy_keeps_what_the_target_would_say(kept: int, bonus: bool) -> None:
    rows = 4 if bonus else 3
    says = np.array([2, 0, 3, 1])[:rows]
    target = jnp.log(jnp.asarray(np.full((rows, 4), 0.1) + 0.6 * np.eye(4)[says], jnp.float32))
    drafted = np.array([2, 0, 3])
    drafted[kept:] = 1
    spoken = choose(Speculation(3, 0.0, bonus), jnp.asarray(drafted), target[:3], target, jax.random.key(0))
    assert spoken.accepted == kept
    assert spoken.emitted == (kept + 1 if bonus else min(kept + 1, 3))
    assert [int(one) for one in spoken.tokens if one >= 0] == says[: int(spoken.emitted)].tolist()
    assert spoken.rejected == (-1 if kept == 3 else 1)
