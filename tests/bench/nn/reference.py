"""The same transformer written plainly in NumPy, in double precision, head by head: the oracle of the JAX one."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from kvtui.cases.case import TransformerShape

Floats = NDArray[np.float64]
Tokens = NDArray[np.int32]

ALIBI_SLOPES = {4: [1 / 4, 1 / 16, 1 / 64, 1 / 256], 6: [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]}


def forward(shape: TransformerShape, weights: Any, tokens: Tokens) -> Floats:
    """Logits [batch, n, vocab] of ``tokens`` [batch, n]."""
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), weights)
    return np.stack([_one(shape, weights, sequence) for sequence in np.asarray(tokens)])


def _one(shape: TransformerShape, weights: Any, tokens: Tokens) -> Floats:
    x = weights.embedding[tokens] * math.sqrt(shape.dim)
    if shape.positions == "learned":
        x = x + weights.positions[: len(tokens)]
    if shape.positions == "sinusoidal":
        turn = _turn(len(tokens), shape.dim)
        x = x + np.concatenate([np.sin(turn), np.cos(turn)], axis=1)
    for block in weights.blocks:
        attention = latent_attention if shape.latent else grouped_attention
        x = x + attention(shape, block.attention, norm(x, block.attention_norm))
        x = x + feed_forward(shape, block.ffn, norm(x, block.ffn_norm))
    result: Floats = norm(x, weights.norm) @ weights.embedding.T
    return result


def norm(x: Floats, gain: Floats) -> Floats:
    result: Floats = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * gain
    return result


def _turn(length: int, dim: int) -> Floats:
    return np.arange(length)[:, None] / 10000.0 ** (np.arange(dim // 2) / (dim // 2))


def rope(x: Floats) -> Floats:
    """Pairs (i, i + half) as complex numbers, turned."""
    half = x.shape[-1] // 2
    turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * _turn(len(x), x.shape[-1]))
    return np.concatenate([turned.real, turned.imag], axis=-1)


def head_output(shape: TransformerShape, head: int, query: Floats, key: Floats, value: Floats) -> Floats:
    distance = np.arange(len(query))[:, None] - np.arange(len(query))
    scores = query @ key.T / math.sqrt(query.shape[1])
    if shape.positions == "alibi":
        scores = scores - ALIBI_SLOPES[shape.heads][head] * distance
    scores[(distance < 0) | (distance >= (shape.window or len(query)))] = -np.inf
    weights = np.exp(scores)
    result: Floats = weights / weights.sum(axis=1, keepdims=True) @ value
    return result


def grouped_attention(shape: TransformerShape, weights: Any, x: Floats) -> Floats:
    heads = np.split(x @ weights.qkv.T, shape.heads + 2 * shape.kv_heads, axis=1)
    queries, keys = heads[: shape.heads], heads[shape.heads : shape.heads + shape.kv_heads]
    values = heads[shape.heads + shape.kv_heads :]
    if shape.positions == "rope":
        queries, keys = [rope(q) for q in queries], [rope(k) for k in keys]
    share = shape.heads // shape.kv_heads
    drawn = [head_output(shape, h, q, keys[h // share], values[h // share]) for h, q in enumerate(queries)]
    result: Floats = np.concatenate(drawn, axis=1) @ weights.out.T
    return result


def latent_attention(shape: TransformerShape, weights: Any, x: Floats) -> Floats:
    query_latent, latent, shared = np.split(
        x @ weights.down.T, [shape.query_latent, shape.query_latent + shape.latent], axis=1
    )
    latent = norm(latent, weights.latent_norm)
    turn = rope if shape.positions == "rope" else lambda rows: rows
    drawn = []
    for h, q in enumerate(np.split(norm(query_latent, weights.query_norm) @ weights.query_up.T, shape.heads, axis=1)):
        query = np.concatenate([q[:, : shape.head_dim], turn(q[:, shape.head_dim :])], axis=1)
        key = np.concatenate([latent @ weights.key_up[h].T, turn(shared)], axis=1)
        drawn.append(head_output(shape, h, query, key, latent @ weights.value_up[h]))
    result: Floats = np.concatenate(drawn, axis=1) @ weights.out.T
    return result


def dense(shape: TransformerShape, weights: Any, x: Floats) -> Floats:
    hidden = x @ weights.up.T
    if shape.activation == "swiglu":
        gate, values = np.split(hidden, 2, axis=-1)
        result: Floats = gate / (1 + np.exp(-gate)) * values @ weights.down.T
        return result
    tanh = np.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3))
    smooth: Floats = hidden * (1 + tanh) / 2 @ weights.down.T
    return smooth


def feed_forward(shape: TransformerShape, weights: Any, x: Floats) -> Floats:
    """Experts as a dense mask: every expert runs on every token, and what was not chosen counts for nothing."""
    if not shape.experts:
        return dense(shape, weights, x)
    likely = np.exp(x @ weights.router.T)
    least = np.sort(likely, axis=1)[:, -shape.experts_per_token][:, None]
    share = np.where(likely >= least, likely, 0)
    share /= share.sum(axis=1, keepdims=True)
    parts = [share[:, e, None] * dense(shape, expert, x) for e, expert in enumerate(weights.experts)]
    result: Floats = np.sum(parts, axis=0)
    return result
