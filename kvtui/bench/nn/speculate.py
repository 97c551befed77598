"""Speculative decoding (Leviathan et al. 2023, Chen et al. 2023): a round of drafting, verifying and choosing.

A draft q proposes ``gamma`` tokens, one after the other; a target p looks at all of them at once. Each is kept with the
probability min(1, p/q); in place of the first that is not, one is drawn from max(p − q, 0), normalised. What comes out
is distributed as p, whatever q is. Where every token was kept and the target also looked behind the last, one more is
drawn from p there, the bonus. Caches are rolled back by their length: what lies behind it is masked and overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree


class Speculation(NamedTuple):
    """``gamma`` tokens a round; ``temperature`` 0 is greedy. With ``bonus`` the target looks behind the last token."""

    gamma: int
    temperature: float = 1.0
    bonus: bool = False


class SpeculativeState(NamedTuple):
    """The newest token and its position, to which it is not cached yet, the random key, and the models' ``carry``."""

    token: Int[Array, ""]
    position: Int[Array, ""]
    key: Key[Array, ""]
    carry: PyTree


class Spoken(NamedTuple):
    """What a round gave: ``tokens`` padded with -1, how many were ``accepted`` and ``emitted``.

    ``target`` are the target's log-probabilities where the round ended, ``rejected`` the token it did not keep there,
    -1 if it kept all, ``votes`` the likeliest token of each verifier there.
    """

    tokens: Int[Array, " most"]
    accepted: Int[Array, ""]
    emitted: Int[Array, ""]
    target: Float[Array, " vocab"]
    rejected: Int[Array, ""]
    votes: Int[Array, " verifiers"]


Draft = Callable[[Any, Int[Array, ""], Int[Array, ""], PyTree], tuple[Float[Array, " vocab"], PyTree, PyTree]]
"""(weights, token, position, carry) to the logits behind the token, the carry with it, and a mark for the verifiers."""

Verify = Callable[
    [Any, Int[Array, " n"], list[PyTree], Int[Array, ""], PyTree], tuple[Float[Array, "verifiers n vocab"], PyTree]
]
"""(weights, tokens, the draft's marks, position of the first, carry) to each verifier's logits behind the tokens."""

Combine = Callable[[Float[Array, "verifiers n vocab"]], Float[Array, "n vocab"]]
"""Log-probabilities of each verifier to those of the target."""


def alone(logs: Float[Array, "verifiers n vocab"]) -> Float[Array, "n vocab"]:
    """The one verifier's own distribution."""
    return logs[0]


def mean_logits(logs: Float[Array, "heads *n vocab"]) -> Float[Array, "*n vocab"]:
    """The distribution of the mean of all logits: the geometric mean of the distributions, renormalised."""
    return jax.nn.log_softmax(jnp.mean(logs, axis=0), axis=-1)


def mixture(logs: Float[Array, "heads *n vocab"]) -> Float[Array, "*n vocab"]:
    """The mean of all probabilities, which is another distribution than that of ``mean_logits``."""
    return jax.nn.logsumexp(logs, axis=0) - jnp.log(logs.shape[0])


def product_of(beta: float) -> Combine:
    """The product of experts: exp(beta × the sum of all log-probabilities), renormalised (Hinton 2002).

    With a beta of one over their number it is the distribution of ``mean_logits``; a larger one is sharper.
    """

    def product(logs: Float[Array, "verifiers n vocab"]) -> Float[Array, "n vocab"]:
        return jax.nn.log_softmax(beta * jnp.sum(logs, axis=0), axis=-1)

    return product


def speculative_round(
    draft: Draft, verify: Verify, combine: Combine, how: Speculation
) -> Callable[[Any, SpeculativeState], tuple[SpeculativeState, Spoken]]:
    """One round as a pure function of weights and state, fit for ``jax.jit`` with the state donated."""

    def program(weights: Any, state: SpeculativeState) -> tuple[SpeculativeState, Spoken]:
        last, start, key, carry = state
        later, choosing, *keys = jax.random.split(key, how.gamma + 2)
        drafted, proposals, marks, token = [last], [], [], last
        for i in range(how.gamma):
            logits, carry, mark = draft(weights, token, start + i, carry)
            token = _drawn(how, logits, keys[i])
            drafted.append(token)
            proposals.append(_tempered(how, logits))
            marks.append(mark)
        if how.bonus:
            _, carry, mark = draft(weights, token, start + how.gamma, carry)
            marks.append(mark)
        looked_at = jnp.stack(drafted if how.bonus else drafted[:-1])
        logits, carry = verify(weights, looked_at, marks, start, carry)
        target = combine(_tempered(how, logits))
        spoken = choose(how, jnp.stack(drafted[1:]), jnp.stack(proposals), target, choosing)
        ended = jnp.minimum(spoken.accepted, target.shape[0] - 1)
        votes = jnp.argmax(logits[:, ended], axis=-1).astype(jnp.int32)
        newest = spoken.tokens[spoken.emitted - 1]
        return SpeculativeState(newest, start + spoken.emitted, later, carry), spoken._replace(votes=votes)

    return program


def choose(
    how: Speculation,
    drafted: Int[Array, " gamma"],
    proposals: Float[Array, "gamma vocab"],
    target: Float[Array, "rows vocab"],
    key: Key[Array, ""],
) -> Spoken:
    """Which of the ``drafted`` tokens are kept, and the one that follows; log-probabilities by row."""
    accepting, drawing = jax.random.split(key)
    gamma = drafted.shape[0]
    index = jnp.arange(gamma)
    if how.temperature == 0:
        kept = drafted == jnp.argmax(target[:gamma], axis=-1)
    else:
        kept = accepts(jax.random.uniform(accepting, (gamma,)), target[index, drafted], proposals[index, drafted])
    accepted = jnp.sum(jnp.cumprod(kept.astype(jnp.int32)))
    ended = jnp.minimum(accepted, target.shape[0] - 1)
    row = target[ended]
    rest = jnp.where(accepted < gamma, residual(row, proposals[jnp.minimum(accepted, gamma - 1)]), row)
    follows = jnp.argmax(row) if how.temperature == 0 else jax.random.categorical(drawing, rest)
    emitted = accepted + 1 if how.bonus else jnp.minimum(accepted + 1, gamma)
    padded = jnp.append(drafted, -1)
    places = jnp.arange(gamma + 1)
    tokens = jnp.where(places < accepted, padded, jnp.where(places < emitted, follows, -1)).astype(jnp.int32)
    rejected = jnp.where(accepted < gamma, drafted[jnp.minimum(accepted, gamma - 1)], -1)
    return Spoken(tokens, accepted, emitted, row, rejected, jnp.zeros(0, jnp.int32))


def accepts(
    chance: Float[Array, " gamma"], target: Float[Array, " gamma"], proposal: Float[Array, " gamma"]
) -> Bool[Array, " gamma"]:
    """Whether each token is kept, by its log-probabilities in both: with the probability min(1, p/q)."""
    return jnp.log(chance) < target - proposal


def residual(target: Float[Array, " vocab"], proposal: Float[Array, " vocab"]) -> Float[Array, " vocab"]:
    """The logarithm of max(p − q, 0), not normalised; that of p where nothing is left of it."""
    left = jnp.maximum(jnp.exp(target) - jnp.exp(proposal), 0)
    return jnp.where(jnp.sum(left) > 0, jnp.log(left), target)


def _tempered(how: Speculation, logits: Float[Array, "*n vocab"]) -> Float[Array, "*n vocab"]:
    return jax.nn.log_softmax(logits.astype(jnp.float32) / (how.temperature or 1.0), axis=-1)


def _drawn(how: Speculation, logits: Float[Array, " vocab"], key: Key[Array, ""]) -> Int[Array, ""]:
    if how.temperature == 0:
        return jnp.argmax(logits).astype(jnp.int32)
    return jax.random.categorical(key, _tempered(how, logits)).astype(jnp.int32)
