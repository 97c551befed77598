"""The feed-forward layer: SwiGLU or GELU, dense or a mixture of experts of which only the chosen ones run.

Each expert's weights are arrays of their own, and ``lax.switch`` enters one expert at a time: for a single token its
chosen experts, one after the other; for more tokens, tiles of tokens that were sorted by expert. No token passes
through an expert that the router did not choose for it, and an expert that nobody chose is not even read. XLA's own
count of operations and bytes has one tile in it, since the tiles are a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from kvtui.bench.nn import platform
from kvtui.bench.nn.init import matrix
from kvtui.cases.case import Activation, TransformerShape

LARGEST_TILE = 128
"""Tokens of an expert's tile at most: more of them no longer make its products faster."""


class Dense(NamedTuple):
    """``up`` gives the hidden elements, for SwiGLU the gate's and then the values'; ``down`` goes back."""

    up: Float[Array, "hidden_rows dim"]
    down: Float[Array, "dim hidden"]


class RoutedExperts(NamedTuple):
    """A router and its experts."""

    router: Float[Array, "experts dim"]
    experts: tuple[Dense, ...]


class Routing(NamedTuple):
    """Each token's experts, most likely first, and their weights, which sum to one."""

    experts: Int[Array, "tokens chosen"]
    weights: Float[Array, "tokens chosen"]


def blanks(shape: TransformerShape) -> Dense | RoutedExperts:
    """One layer's arrays, to be filled."""
    up = matrix(shape.hidden * (2 if shape.activation == "swiglu" else 1), shape.dim)
    network = Dense(up, matrix(shape.dim, shape.hidden))
    return RoutedExperts(matrix(shape.experts, shape.dim), (network,) * shape.experts) if shape.experts else network


def feed_forward(
    shape: TransformerShape, weights: Dense | RoutedExperts, x: Float[Array, "tokens dim"]
) -> tuple[Float[Array, "tokens dim"], Int[Array, " experts"]]:
    """The layer's output for each token, and how many tokens chose each expert."""
    match weights:
        case Dense():
            return dense(shape.activation, weights, x), jnp.zeros(0, jnp.int32)
        case RoutedExperts():
            choice = route(shape, weights, x)
            run = _one_token if len(x) == 1 else _by_expert
            return run(shape, weights, x, choice), counts(shape, choice)


def dense(activation: Activation, weights: Dense, x: Float[Array, "tokens dim"]) -> Float[Array, "tokens dim"]:
    """One feed-forward network: ``silu(gate) * values`` (SwiGLU, Shazeer 2020) or GELU, between two projections."""
    hidden = platform.project(x, weights.up)
    match activation:
        case "swiglu":
            gate, values = jnp.split(hidden, 2, axis=-1)
            hidden = jax.nn.silu(gate) * values
        case "gelu":
            hidden = jax.nn.gelu(hidden)
    return platform.project(hidden, weights.down)


def route(shape: TransformerShape, weights: RoutedExperts, x: Float[Array, "tokens dim"]) -> Routing:
    """The router's choice: softmax over all experts, the largest ``experts_per_token``, renormalised."""
    likely = jax.nn.softmax(platform.project(x, weights.router).astype(jnp.float32), axis=-1)
    share, experts = lax.top_k(likely, shape.experts_per_token)
    return Routing(experts, share / jnp.sum(share, axis=-1, keepdims=True))


def counts(shape: TransformerShape, choice: Routing) -> Int[Array, " experts"]:
    """How many tokens chose each expert."""
    return jnp.bincount(choice.experts.reshape(-1), length=shape.experts)


def _run(
    shape: TransformerShape,
    weights: RoutedExperts,
    expert_of_tile: Int[Array, " tiles"],
    x: Float[Array, "tiles rows dim"],
) -> Float[Array, "tiles rows dim"]:
    """Each tile through its expert, one after the other; past the last expert lies one that gives zeros at no cost."""
    runs: list[Callable[[Array], Array]] = [partial(dense, shape.activation, expert) for expert in weights.experts]
    runs.append(jnp.zeros_like)
    outputs: Float[Array, "tiles rows dim"] = lax.map(
        lambda tile: lax.switch(tile[0], runs, tile[1]), (expert_of_tile, x)
    )
    return outputs


def _one_token(
    shape: TransformerShape, weights: RoutedExperts, x: Float[Array, "1 dim"], choice: Routing
) -> Float[Array, "1 dim"]:
    drawn = _run(shape, weights, choice.experts[0], jnp.broadcast_to(x, (choice.experts.size, *x.shape)))
    return jnp.sum(choice.weights[0][:, None, None] * drawn, axis=0).astype(x.dtype)


def tile_rows(pairs: int, experts: int) -> int:
    """Tokens of one tile: a power of two near half of an expert's even share of ``pairs`` of token and expert."""
    return min(LARGEST_TILE, 1 << (max(1, pairs // (2 * experts)).bit_length() - 1))


def _by_expert(
    shape: TransformerShape, weights: RoutedExperts, x: Float[Array, "tokens dim"], choice: Routing
) -> Float[Array, "tokens dim"]:
    pairs = choice.experts.size
    rows = tile_rows(pairs, shape.experts)
    most_tiles = min(pairs, (pairs + shape.experts * (rows - 1)) // rows)

    expert_of_pair = choice.experts.reshape(-1)
    order = jnp.argsort(expert_of_pair, stable=True)
    sizes = counts(shape, choice)
    tiles = -(-sizes // rows)
    first_pair, first_tile = jnp.cumsum(sizes) - sizes, jnp.cumsum(tiles) - tiles

    tile = jnp.arange(most_tiles)
    expert_of_tile = jnp.searchsorted(jnp.cumsum(tiles), tile, side="right")
    start = first_pair[expert_of_tile] + (tile - first_tile[expert_of_tile]) * rows
    members = order[jnp.minimum(start[:, None] + jnp.arange(rows), pairs - 1)] // shape.experts_per_token

    outputs = _run(shape, weights, expert_of_tile, x[members])

    rank = jnp.zeros(pairs, jnp.int32).at[order].set(jnp.arange(pairs, dtype=jnp.int32)) - first_pair[expert_of_pair]
    place = first_tile[expert_of_pair] * rows + rank
    drawn = outputs.reshape(-1, x.shape[-1])[place].reshape(*choice.experts.shape, -1)
    return jnp.sum(choice.weights[..., None] * drawn, axis=1).astype(x.dtype)
