"""Weights as tensors: what each is for, its shape, and how tensor parallelism divides it.

A model's parameter count and its bytes in any checkpoint format are both sums over these.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Role = Literal[
    "embedding",
    "head",
    "norm",
    "bias",
    "vector",
    "q",
    "k",
    "v",
    "o",
    "q_a",
    "q_b",
    "kv_a",
    "kv_b",
    "compressor",
    "indexer",
    "indexer_gate",
    "gate",
    "up",
    "down",
    "router",
    "router_bias",
    "expert_gate",
    "expert_up",
    "expert_down",
    "expert_bias",
    "expert_latent",
    "shared_gate",
    "shared_up",
    "shared_down",
    "shared_router",
    "recurrent_in",
    "recurrent_gate",
    "recurrent_out",
    "per_layer",
    "conv",
    "mtp_in",
    "tower",
    "other",
]
"""What a tensor is for.

``q`` to ``o`` are attention's projections; ``q_a``, ``q_b``, ``kv_a`` and ``kv_b`` the low-rank ones of MLA;
``indexer_gate`` weighs an indexer's heads. A router chooses experts, ``expert_latent`` leads to and from the size they
work in, ``shared_router`` weighs a shared expert. ``recurrent_in`` and ``recurrent_out`` are the wide projections of
linear-attention and state-space mixers, ``recurrent_gate`` their narrow ones (decay, beta, low-rank gates).
``per_layer`` are Gemma's matrices for inputs of each layer's own. ``mtp_in`` joins hidden state and embedding before a
multi-token-prediction layer. ``vector`` is any other small tensor that is no matrix product's weight (A, D, sinks),
``tower`` a vision or audio encoder with its projector, ``other`` what is known by number only.
"""

TensorSplit = Literal["copied", "rows", "columns"]


class Tensor(NamedTuple):
    """``number`` equal tensors of ``rows`` out-features × ``columns`` in-features; a vector is a single row.

    Tensor parallelism gives each rank some of the ``split`` dimension, or a copy. ``parts`` are the heads or groups
    along it that stay whole: where there are fewer of them than ranks, ranks share one; 0 means any division.
    """

    role: Role
    rows: int
    columns: int
    number: int = 1
    split: TensorSplit = "copied"
    parts: int = 0

    @property
    def parameters(self) -> int:
        """Elements of all ``number`` tensors."""
        return self.number * self.rows * self.columns


Tensors = tuple[Tensor, ...]


def weight_count(tensors: Iterable[Tensor]) -> int:
    """The number of weights in ``tensors``."""
    return sum(tensor.parameters for tensor in tensors)


def vector(role: Role, size: int) -> Tensor:
    """A one-dimensional tensor that every rank holds."""
    return Tensor(role, 1, size)


def divided(role: Role, size: int, parts: int = 0) -> Tensor:
    """A one-dimensional tensor of which each rank holds its own elements."""
    return Tensor(role, 1, size, split="columns", parts=parts)


def copied(role: Role, rows: int, columns: int) -> Tensor:
    """A matrix that every rank holds."""
    return Tensor(role, rows, columns)


def wide(role: Role, rows: int, columns: int, parts: int = 0, number: int = 1) -> Tensor:
    """A column-parallel matrix: each rank computes some of the out-features."""
    return Tensor(role, rows, columns, number, "rows", parts)


def narrow(role: Role, rows: int, columns: int, parts: int = 0) -> Tensor:
    """A row-parallel matrix: each rank takes some of the in-features, and the results are added."""
    return Tensor(role, rows, columns, 1, "columns", parts)
