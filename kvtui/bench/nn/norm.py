"""RMSNorm (Zhang and Sennrich 2019)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

EPSILON = 1e-6


def rms_norm(x: Float[Array, "*n dim"], gain: Float[Array, " dim"]) -> Float[Array, "*n dim"]:
    """``x`` over its root mean square, times ``gain``; computed in fp32, returned in the type of ``x``."""
    wide = x.astype(jnp.float32)
    scaled = wide * lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + EPSILON)
    return (scaled * gain.astype(jnp.float32)).astype(x.dtype)
