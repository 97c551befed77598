"""Random weights: a model says the sizes of its arrays, and NumPy fills them, which leaves XLA nothing to compile.

Matrices are uniform, scaled so that a product keeps the variance of its input; the gains of norms are one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import PyTree


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
    """A blank for a product that sums over ``inputs`` elements, the last axis unless said otherwise.

    It stands where an array will, so its type is left open.
    """
    return Blank(sizes, sizes[-1] if inputs is None else inputs)


def gain(size: int) -> Any:
    """A blank for the gain of a norm over ``size`` elements."""
    return Blank((size,), 0)


def abstract(blanks: PyTree, dtype: DTypeLike) -> PyTree:
    """The arrays of ``dtype`` that ``fill`` makes, without their elements."""
    return jax.tree.map(lambda blank: array_shape(blank.sizes, dtype), blanks)


def array_shape(sizes: tuple[int, ...], dtype: DTypeLike) -> jax.ShapeDtypeStruct:
    """An array without its elements."""
    return jax.ShapeDtypeStruct(sizes, dtype)  # type: ignore[no-untyped-call]


def fill(blanks: PyTree, seed: int, dtype: DTypeLike) -> PyTree:
    """``blanks`` with an array of ``dtype`` in place of each of them; the same for the same ``seed``."""
    random = np.random.default_rng(seed)

    def filled(blank: Blank) -> Array:
        if not blank.inputs:
            return jnp.ones(blank.sizes, dtype)
        drawn = random.random(blank.sizes, np.float32)
        drawn -= np.float32(0.5)
        drawn *= np.float32((12 / blank.inputs) ** 0.5)
        return jnp.asarray(drawn.astype(dtype, copy=False))

    return jax.tree.map(filled, blanks)
