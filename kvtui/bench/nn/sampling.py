"""The next token: the most likely one, or one drawn after temperature, top-k and top-p."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from kvtui.cases.case import Sampler


def sample(sampler: Sampler, logits: Float[Array, "batch vocab"], key: Key[Array, ""]) -> Int[Array, " batch"]:
    """One token per sequence: the likeliest at temperature 0, else drawn from what ``sampler`` keeps.

    With both limits top-p applies to the renormalised probabilities of the top-k tokens.
    """
    if sampler.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    scaled = logits.astype(jnp.float32) / sampler.temperature
    if sampler.top_k is None:
        return jax.random.categorical(key, _limited(sampler, scaled)).astype(jnp.int32)
    largest, tokens = lax.top_k(scaled, min(sampler.top_k, logits.shape[-1]))
    drawn = jax.random.categorical(key, _limited(sampler, largest))
    return jnp.take_along_axis(tokens, drawn[:, None], axis=-1)[:, 0].astype(jnp.int32)


def _limited(sampler: Sampler, logits: Float[Array, "batch tokens"]) -> Float[Array, "batch tokens"]:
    if sampler.top_p is None or sampler.top_p == 1:
        return logits
    return jnp.where(nucleus(jax.nn.softmax(logits, axis=-1), sampler.top_p), logits, -jnp.inf)


def nucleus(probabilities: Float[Array, "batch tokens"], top_p: float) -> Bool[Array, "batch tokens"]:
    """The smallest set of likeliest tokens whose mass is at least ``top_p`` (Holtzman et al. 2020); ties stay together.

    The least probability in the set is found bit by bit, without sorting: floats above zero are ordered as their bit
    patterns are, and the mass above a threshold falls as the threshold rises.
    """

    def with_bit(index: Int[Array, ""], threshold: Int[Array, "batch 1"]) -> Int[Array, "batch 1"]:
        higher = threshold | (1 << (30 - index))
        mass = jnp.sum(jnp.where(patterns >= higher, probabilities, 0), axis=-1, keepdims=True)
        return jnp.where(mass >= top_p, higher, threshold)

    patterns = lax.bitcast_convert_type(probabilities, jnp.int32)
    least: Int[Array, "batch 1"] = lax.fori_loop(0, 31, with_bit, jnp.zeros((len(probabilities), 1), jnp.int32))
    return patterns >= least
