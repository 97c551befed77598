"""The one place with platform rules: how matrix-vector products are shaped so that XLA runs them at memory speed.

On a CPU XLA multiplies a single row of a 16- or 8-bit matrix element by element, and two rows with a proper kernel, so
single rows get a second one; where a loop that converts, multiplies and sums is faster still, bf16 rows are summed in
it instead. In fp32 it wants a single row to have no axis at all. GPUs and TPUs need none of this.
Products of floats are accumulated in fp32 and of integers in int32 everywhere.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num, UInt16

from kvtui.bench.nn import trial

OPTIONS: dict[str, bool | int] = {
    "xla_cpu_enable_fast_math": True,
    **dict.fromkeys((f"xla_cpu_fast_math_honor_{what}" for what in ("infs", "nans", "division", "functions")), True),
    "xla_cpu_prefer_vector_width": 512,
}
"""How XLA's CPU backend is to compile: it may add up a sum in any order, without which ``summed`` is not vectorised and
ten times slower, and may do nothing else that fast math would allow; and it uses the widest vectors that there are."""

MOST_READERS = 4
"""Query heads that share a row of a cache, up to which 16-bit rows are summed."""

TRIAL_ROWS, TRIAL_WIDTH = 8192, 512
"""What both ways are tried with: 8 MiB, about the logits of a small model."""


def on_cpu() -> bool:
    """Whether a program traced now will run on a CPU."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return (jax.default_backend() if device is None else getattr(device, "platform", device)) == "cpu"


def compiler_options() -> dict[str, bool | int]:
    """What a program made now should be compiled with."""
    return OPTIONS if on_cpu() else {}


def contract(equation: str, left: Num[Array, "*any"], right: Num[Array, "*any"]) -> Num[Array, "*any"]:
    """``einsum`` of two arrays of one type, accumulated and returned in fp32, or in int32 for integers."""
    accumulator = jnp.int32 if jnp.issubdtype(left.dtype, jnp.integer) else jnp.float32
    return jnp.einsum(equation, left, right, preferred_element_type=accumulator)


def sums_rows(dtype: DTypeLike, readers: int = 1) -> bool:
    """Whether each row of ``dtype`` is multiplied with ``readers`` others by ``summed``, not as a product of matrices.

    ``summed`` converts a row once for each of its readers, which for many costs more than it saves. For a single one
    both ways are tried on this machine.
    """
    return on_cpu() and jnp.dtype(dtype) == jnp.bfloat16 and readers <= MOST_READERS and _summed_is_faster()


@functools.cache
def _summed_is_faster() -> bool:
    row, rows = (np.ones((count, TRIAL_WIDTH), jnp.bfloat16) for count in (1, TRIAL_ROWS))
    return trial.fastest("rows", {"summed": summed, "multiplied": _multiplied}, (row, rows), OPTIONS) == "summed"


def summed(left: Float[Array, "*any inputs"], right: Float[Array, "*any inputs"]) -> Float[Array, "*any"]:
    """``left`` times ``right``, summed over the last axis in fp32: one loop, which converts what it reads on the way.

    Both halves of the axis have a sum of their own in one ``reduce``. A single sum XLA's CPU backend would hand to a
    library of products that reads 16-bit rows at a third of memory's speed.
    """
    half = left.shape[-1] // 2

    def products(part: slice) -> Float[Array, "*any some"]:
        return left[..., part].astype(jnp.float32) * right[..., part].astype(jnp.float32)

    parts, zero = (products(slice(half)), products(slice(half, 2 * half))), jnp.zeros((), jnp.float32)
    first, second = lax.reduce(parts, (zero, zero), _add_both, (parts[0].ndim - 1,))
    total: Float[Array, "*any"] = first + second
    return total if left.shape[-1] == 2 * half else total + products(slice(-1, None))[..., 0]


def _add_both(sums: tuple[Array, Array], terms: tuple[Array, Array]) -> tuple[Array, Array]:
    return sums[0] + terms[0], sums[1] + terms[1]


def bits_of(rows: Float[Array, "*any"]) -> UInt16[Array, "*any"]:
    """bf16 as the integers that its bits are: XLA's CPU backend writes a row of them where it belongs.

    For a row of bf16 it converts the whole array to fp32 and back.
    """
    return lax.bitcast_convert_type(rows.astype(jnp.bfloat16), jnp.uint16)


def floats_of(bits: UInt16[Array, "*any"]) -> Float[Array, "*any"]:
    """What ``bits_of`` took, in fp32, whose upper half bf16 is."""
    return lax.bitcast_convert_type(bits.astype(jnp.uint32) << 16, jnp.float32)


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
    if len(rows) == 1 and sums_rows(x.dtype):
        # The barrier keeps a loop over steps from converting all weights to fp32 ahead of it.
        held = lax.optimization_barrier((rows, weight))  # type: ignore[no-untyped-call]
        return summed(*held).reshape(*x.shape[:-1], -1)
    return _multiplied(rows, weight).reshape(*x.shape[:-1], -1)


def _multiplied(
    rows: Float[Array, "rows inputs"], weight: Float[Array, "outputs inputs"]
) -> Float[Array, "rows outputs"]:
    padded = add_row(rows, 0) if len(rows) == 1 and needs_two_rows(rows.dtype) else rows
    return contract("ri,oi->ro", padded, weight)[: len(rows)]


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
    if query.shape[-2] > 1 or dtype == jnp.uint16:
        return query
    return add_row(query, -2) if needs_two_rows(dtype) else query[..., 0, :]
