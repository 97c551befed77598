"""The benchmark's transformer in PyTorch eager, for ``benchmarks/decode.py``: one token over a preallocated cache.

It has the weights of the JAX model and a copy of its cache, which each step writes in place. RoPE, SwiGLU, dense, one
sequence; MLA is absorbed. Attention is PyTorch's fused ``scaled_dot_product_attention`` or two batched products around
a softmax. Needs the extra ``peers``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kvtui.bench.host import usable_cores
from kvtui.bench.nn import positions, transformer
from kvtui.bench.nn.attention import scoring
from kvtui.bench.nn.cache import ModelCache, rows_of
from kvtui.bench.nn.grouped import GroupedWeights
from kvtui.bench.nn.norm import EPSILON
from kvtui.cases.case import TransformerShape

Attend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""Queries, keys and values [heads, rows, width], and a scale, to attention outputs [heads, group, value]."""


class Grouped(NamedTuple):
    """MHA, GQA and MQA, as in ``bench.nn.grouped``."""

    qkv: Tensor
    out: Tensor


class Latent(NamedTuple):
    """MLA, as in ``bench.nn.latent``."""

    down: Tensor
    query_norm: Tensor
    query_up: Tensor
    latent_norm: Tensor
    key_up: Tensor
    value_up: Tensor
    out: Tensor


class Layer(NamedTuple):
    """One block, and its cache: keys and values, or latents alone, each [heads, tokens, width]."""

    attention_norm: Tensor
    attention: Grouped | Latent
    ffn_norm: Tensor
    up: Tensor
    down: Tensor
    stores: tuple[Tensor, ...]


class Twin(NamedTuple):
    """The model of ``shape``; ``cos`` and ``sin`` are [context, pairs]."""

    shape: TransformerShape
    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    cos: Tensor
    sin: Tensor


def version() -> str:
    """PyTorch's version, and the threads that it was told to use: as many as XLA does."""
    torch.set_num_threads(usable_cores())
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def twin(shape: TransformerShape, weights: transformer.Weights, cache: ModelCache) -> Twin:
    """The model with the same weights and a copy of ``cache``, one contiguous sequence."""
    pairs = (shape.rope_dim or shape.head_dim) // 2
    angles = np.asarray(positions.angles(jnp.arange(shape.context), pairs))
    layers = tuple(
        Layer(
            tensor(block.attention_norm),
            _attention(block.attention),
            tensor(block.ffn_norm),
            tensor(block.ffn.up),
            tensor(block.ffn.down),
            tuple(_three_axes(tensor(rows)) for rows in rows_of(layer)),
        )
        for block, layer in zip(weights.blocks, cache, strict=True)
    )
    cos, sin = torch.from_numpy(np.cos(angles)), torch.from_numpy(np.sin(angles))
    return Twin(shape, tensor(weights.embedding), layers, tensor(weights.norm), cos, sin)


def tensor(array: jnp.ndarray) -> Tensor:
    """A copy of ``array``; the bits of bf16 pass as integers, as NumPy has no such type."""
    host = np.array(array)
    if host.dtype == jnp.bfloat16:
        return torch.from_numpy(host.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(host)


def logits(model: Twin, token: Tensor, position: int, attend: Attend) -> Tensor:
    """Run ``token`` int64[1] at ``position``, writing it into the cache; fp32 logits [1, vocab] of the one after it."""
    x = functional.embedding(token, model.embedding) * model.shape.dim**0.5
    for layer in model.layers:
        normed = _norm(x, layer.attention_norm)
        match layer.attention:
            case Grouped() as attention:
                x = x + _grouped(model, attention, layer.stores, normed, position, attend)
            case Latent() as attention:
                x = x + _latent(model, attention, layer.stores, normed, position, attend)
        gate, values = functional.linear(_norm(x, layer.ffn_norm), layer.up).chunk(2, dim=-1)
        x = x + functional.linear(functional.silu(gate) * values, layer.down)
    return functional.linear(_norm(x, model.norm), model.embedding).float()


def step(model: Twin, token: Tensor, position: int, attend: Attend) -> Tensor:
    """The likeliest token int64[1] after ``token``."""
    with torch.inference_mode():
        return logits(model, token, position, attend).argmax(-1)


def fused(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """PyTorch's own attention."""
    return functional.scaled_dot_product_attention(query[None], keys[None], values[None], scale=scale)[0]


def products(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Two batched products around a softmax."""
    return torch.bmm(torch.softmax(torch.bmm(query * scale, keys.mT), -1), values)


ATTENDS: dict[str, Attend] = {"SDPA": fused, "bmm": products}


def _grouped(
    model: Twin, weights: Grouped, stores: tuple[Tensor, ...], x: Tensor, position: int, attend: Attend
) -> Tensor:
    shape = model.shape
    heads = functional.linear(x, weights.qkv).view(-1, shape.head_dim)
    query, key, value = heads.split([shape.heads, shape.kv_heads, shape.kv_heads])
    keys, values = stores
    keys[:, position] = _rotated(model, key, position)
    values[:, position] = value
    query = _rotated(model, query, position).view(shape.kv_heads, -1, shape.head_dim)
    seen = position + 1
    mixed = attend(query, keys[:, :seen], values[:, :seen], scoring(shape).scale)
    return functional.linear(mixed.reshape(1, -1), weights.out)


def _latent(
    model: Twin, weights: Latent, stores: tuple[Tensor, ...], x: Tensor, position: int, attend: Attend
) -> Tensor:
    shape, (latents,) = model.shape, stores
    compressed, latent, shared = functional.linear(x, weights.down).split(
        [shape.query_latent, shape.latent, shape.rope_dim], dim=-1
    )
    query = functional.linear(_norm(compressed, weights.query_norm), weights.query_up).view(shape.heads, -1)
    own, turned = query.split([shape.head_dim, shape.rope_dim], dim=-1)
    latents[:, position, : shape.latent] = _norm(latent, weights.latent_norm)
    latents[:, position, shape.latent :] = _rotated(model, shared, position)
    absorbed = torch.bmm(own[:, None], weights.key_up)[:, 0]
    query = torch.cat([absorbed, _rotated(model, turned, position)], -1)[None]
    entries = latents[:, : position + 1]
    mixed = attend(query, entries, entries, scoring(shape).scale)[0, :, : shape.latent]
    return functional.linear(torch.bmm(mixed[:, None], weights.value_up).reshape(1, -1), weights.out)


def _rotated(model: Twin, x: Tensor, position: int) -> Tensor:
    cos, sin = model.cos[position], model.sin[position]
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)


def _norm(x: Tensor, gain: Tensor) -> Tensor:
    return functional.rms_norm(x, gain.shape, gain, EPSILON)


def _attention(weights: transformer.TransformerLayer) -> Grouped | Latent:
    if isinstance(weights, GroupedWeights):
        return Grouped(tensor(weights.qkv), tensor(weights.out))
    return Latent(
        down=tensor(weights.down),
        query_norm=tensor(weights.query_norm),
        query_up=tensor(weights.query_up),
        latent_norm=tensor(weights.latent_norm),
        key_up=tensor(weights.key_up),
        value_up=tensor(weights.value_up),
        out=tensor(weights.out),
    )


def _three_axes(store: Tensor) -> Tensor:
    return store if store.ndim == 3 else store[None]
