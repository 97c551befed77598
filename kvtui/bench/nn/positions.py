"""Positions: rotary embedding, ALiBi slopes, and the learned and sinusoidal vectors added to the token embedding."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

BASE = 10000.0
"""Base of the rotary and sinusoidal wavelengths (Su et al. 2021, Vaswani et al. 2017)."""


def angles(positions: Int[Array, "*n"], pairs: int) -> Float[Array, "*n pairs"]:
    """``position / BASE**(i / pairs)`` for each pair i of elements, in radians."""
    frequencies = BASE ** (-np.arange(pairs, dtype=np.float32) / pairs)
    return jnp.asarray(positions, jnp.float32)[..., None] * frequencies


def rotate(x: Float[Array, "*n dim"], positions: Int[Array, "*n"]) -> Float[Array, "*n dim"]:
    """RoPE (Su et al. 2021): elements i and i + dim/2 turned by their angle; ``positions`` broadcasts to x's rows."""
    turn = angles(positions, x.shape[-1] // 2)
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def sinusoids(positions: Int[Array, "*n"], dim: int) -> Float[Array, "*n dim"]:
    """The fixed vectors of Vaswani et al. 2017: sines of the angles, then their cosines."""
    turn = angles(positions, (dim + 1) // 2)
    return jnp.concatenate([jnp.sin(turn), jnp.cos(turn)], axis=-1)[..., :dim]


def alibi_slopes(heads: int) -> Float[np.ndarray, " heads"]:
    """What each head subtracts from a score per token of distance (Press et al. 2022).

    A power of two of heads has 2^(-8 i / heads) for i = 1 … heads; any other number takes those of the power below it
    and then every other one of twice that power.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = 2.0 ** (-8.0 * np.arange(1, power + 1) / power)
    between = 2.0 ** (-4.0 * np.arange(1, 2 * (heads - power), 2) / power)
    return np.concatenate([slopes, between]).astype(np.float32)
