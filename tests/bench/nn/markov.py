"""Speculative decoding over Markov tables, whose true distribution is known, and rules that are nearly right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kvtui.bench.nn import speculate
from kvtui.bench.nn.speculate import Combine, Speculation, SpeculativeState, speculative_round

VOCAB, GAMMA = 6, 3


class Tables(NamedTuple):
    """Logits by token before: of the draft, and of each verifier."""

    draft: Array
    verifiers: Array


def tables(verifiers: int) -> Tables:
    """Random tables that differ from each other."""
    random = np.random.default_rng(1)
    made = random.normal(size=(verifiers + 1, VOCAB, VOCAB)).astype(np.float32)
    return Tables(jnp.asarray(1.3 * made[0]), jnp.asarray(made[1:]))


def _draft(weights: Tables, token: Array, position: Array, carry: Any) -> tuple[Array, Any, None]:
    return weights.draft[token], carry, None


def _verify(weights: Tables, tokens: Array, marks: Any, position: Array, carry: Any) -> tuple[Array, Any]:
    return weights.verifiers[:, tokens], carry


def chi_square(weights: Tables, combine: Combine, bonus: bool, samples: int) -> tuple[float, float]:
    """Chi-square of the first two tokens of ``samples`` generations against the truth, and its p-value (35 d.o.f.)."""
    # A bonus comes behind the last drafted token: with one of them it is the second token of all.
    how = Speculation(1 if bonus else GAMMA, 1.0, bonus)
    program = speculative_round(_draft, _verify, combine, how)

    def first_two(key: Array) -> Array:
        state = SpeculativeState(jnp.int32(0), jnp.int32(0), key, ())
        state, once = program(weights, state)
        _, twice = program(weights, state)
        second = jnp.where(once.emitted > 1, once.tokens[1], twice.tokens[0])
        return once.tokens[0] * VOCAB + second

    drawn = jax.jit(jax.vmap(first_two))(jax.random.split(jax.random.key(0), samples))
    seen = np.bincount(np.asarray(drawn), minlength=VOCAB**2)
    logs = jax.nn.log_softmax(weights.verifiers, axis=-1)
    truth = np.exp(np.asarray(combine(logs), np.float64))
    truth /= truth.sum(axis=-1, keepdims=True)
    expected = samples * (truth[0][:, None] * truth).reshape(-1)
    found = float(((seen - expected) ** 2 / expected).sum())
    return found, float(jax.scipy.special.gammaincc((VOCAB**2 - 1) / 2, found / 2))


def _only_likelier(chance: Array, target: Array, proposal: Array) -> Array:
    return target >= proposal


def _always(chance: Array, target: Array, proposal: Array) -> Array:
    return chance < 2


def _from_target(target: Array, proposal: Array) -> Array:
    return target


def _other_way_round(target: Array, proposal: Array) -> Array:
    return residual(proposal, target)


residual = speculate.residual
MUTANTS: dict[str, tuple[str, Callable[..., Array]]] = {
    "drawn again from p, not from what is left of it": ("residual", _from_target),
    "what is left of q, not of p": ("residual", _other_way_round),
    "kept wherever p is not below q": ("accepts", _only_likelier),
    "always kept": ("accepts", _always),
}
"""Rules that look right: what each does, and what it replaces in ``speculate``."""

TARGETS: dict[str, tuple[int, Combine, bool]] = {
    "one model": (1, speculate.alone, False),
    "one model, with the bonus": (1, speculate.alone, True),
    "product of experts": (3, speculate.product_of(1.0), False),
    "mean of logits": (3, speculate.mean_logits, False),
    "mixture": (3, speculate.mixture, False),
}
"""Each target: how many verifiers it has, how they are combined, and whether there is a bonus."""
