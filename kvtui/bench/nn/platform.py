"""The one place with platform rules: how matrix-vector products are shaped so that XLA runs them at memory speed.

On a CPU XLA multiplies a single row of a 16- or 8-bit matrix element by element, and two rows with a proper kernel, so
single rows get a second one. In fp32 it wants a single row to have no axis at all. GPUs and TPUs need no second rows.
Products of floats are accumulated in fp32 and of integers in int32 everywhere.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num


def on_cpu() -> bool:
    """Whether a program traced now will run on a CPU."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return (jax.default_backend() if device is None else getattr(device, "platform", device)) == "cpu"


def contract(equation: str, left: Num[Array, "*any"], right: Num[Array, "*any"]) -> Num[Array, "*any"]:
    """``einsum`` of two arrays of one type, accumulated and returned in fp32, or in int32 for integers."""
    accumulator = jnp.int32 if jnp.issubdtype(left.dtype, jnp.integer) else jnp.float32
    return jnp.einsum(equation, left, right, preferred_element_type=accumulator)


def needs_two_rows(dtype: DTypeLike) -> bool:
    """Whether a product with a single row of ``dtype`` must be given a second one."""
    return on_cpu() and jnp.dtype(dtype) != jnp.float32


def add_row(x: Num[Array, "*any"], axis: int) -> Num[Array, "*any"]:
    """``x`` with ``axis`` of size one extended by a row of zeros."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, 1)
    return jnp.pad(x, widths)


def project(x: Float[Array, "*rows inputs"], weight: Float[Array, "outputs inputs"]) -> Float[Array, "*rows outputs"]:
    """Each row's product with every row of ``weight``, in the type of ``x``."""
    return product(x, weight).astype(x.dtype)


def product(x: Float[Array, "*rows inputs"], weight: Float[Array, "outputs inputs"]) -> Float[Array, "*rows outputs"]:
    """``project`` in fp32. An output's weights lie side by side: in 16 bits XLA's CPU backend reads them faster so."""
    rows = x.reshape(-1, x.shape[-1])
    padded = add_row(rows, 0) if len(rows) == 1 and needs_two_rows(x.dtype) else rows
    return contract("ri,oi->ro", padded, weight)[: len(rows)].reshape(*x.shape[:-1], -1)


def per_head(
    x: Float[Array, "rows heads inputs"], weight: Float[Array, "heads inputs outputs"]
) -> Float[Array, "rows heads outputs"]:
    """Each head's rows times that head's own matrix, in the type of ``x``.

    The heads come first in the product: XLA's CPU backend has no bf16 product with a batch axis in second place.
    """
    by_head = jnp.swapaxes(x, 0, 1)
    if len(x) > 1:
        product = contract("hri,hio->hro", by_head, weight)
    elif needs_two_rows(x.dtype):
        product = contract("hri,hio->hro", add_row(by_head, 1), weight)[:, :1]
    else:
        product = contract("hi,hio->ho", by_head[:, 0], weight)[:, None]
    return jnp.swapaxes(product, 0, 1).astype(x.dtype)


def as_rows(
    query: Float[Array, "*heads group width"], dtype: DTypeLike
) -> Float[Array, "*heads rows width"] | Float[Array, "*heads width"]:
    """The query rows of a product with a cache of ``dtype``: a single one without its axis, or with a second row."""
    if query.shape[-2] > 1:
        return query
    return add_row(query, -2) if needs_two_rows(dtype) else query[..., 0, :]
