"""Random weights: a model says the sizes of its arrays, and one draw fills them all.

Matrices are normal, scaled so that a product keeps the variance of its input; the gains of norms are one. A draw for
each array would take XLA seconds to compile, one that is cut into arrays takes a fraction of a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, PyTree


@dataclass(frozen=True, slots=True)
class Blank:
    """An array of ``sizes`` to be filled: with a standard deviation of ``inputs ** -0.5``, or with ones at 0 inputs."""

    sizes: tuple[int, ...]
    inputs: int

    @property
    def size(self) -> int:
        """Elements of the array."""
        return math.prod(self.sizes)


def matrix(*sizes: int, inputs: int | None = None) -> Any:
    """A blank for a product that sums over ``inputs`` elements, the last axis but one unless said otherwise.

    It stands where an array will, so its type is left open.
    """
    return Blank(sizes, sizes[-2] if inputs is None else inputs)


def gain(size: int) -> Any:
    """A blank for the gain of a norm over ``size`` elements."""
    return Blank((size,), 0)


def fill(blanks: PyTree, key: Key[Array, ""], dtype: DTypeLike) -> PyTree:
    """``blanks`` with an array of ``dtype`` in place of each of them."""
    leaves, tree = jax.tree.flatten(blanks)
    ends = list(accumulate(blank.size for blank in leaves))
    drawn = _normal(key, ends[-1], dtype)
    return jax.tree.unflatten(
        tree,
        [
            _cut(drawn, end - blank.size, blank.inputs**-0.5, blank.sizes)
            if blank.inputs
            else jnp.ones(blank.sizes, dtype)
            for blank, end in zip(leaves, ends, strict=True)
        ],
    )


@partial(jax.jit, static_argnums=(1, 2))
def _normal(key: Key[Array, ""], size: int, dtype: DTypeLike) -> Float[Array, " size"]:
    return jax.random.normal(key, (size,), dtype)


@partial(jax.jit, static_argnums=3)
def _cut(drawn: Float[Array, " size"], start: int, scale: float, sizes: tuple[int, ...]) -> Float[Array, "*sizes"]:
    part = lax.dynamic_slice(drawn, (start,), (math.prod(sizes),))
    return part.reshape(sizes) * jnp.asarray(scale, drawn.dtype)
