"""NumPy in double precision, prefill and decode give the same logits, for every kind and layout."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from numpy.typing import NDArray

from kvtui.bench.nn import generate, transformer
from kvtui.bench.nn.cache import LayerCache, cache_bytes
from kvtui.bench.nn.ffn import RoutedExperts
from kvtui.bench.nn.latent import LatentWeights
from kvtui.bench.nn.transformer import Weights
from kvtui.cases.case import Activation, CacheLayout, LatentMode, Positions, Sampler, TransformerShape
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.formats import FORMATS
from tests.bench.nn import reference
from tests.nightly import sampled

pytestmark = sampled(4)

MHA = TransformerShape(dim=32, heads=4, head_dim=8, kv_heads=4, blocks=1, hidden=40, vocab=19, context=40)
GQA = replace(MHA, kv_heads=2)
MQA = replace(MHA, kv_heads=1)
MLA = replace(MHA, latent=12, query_latent=10, rope_dim=4)
KINDS = {"MHA": MHA, "GQA": GQA, "MQA": MQA, "MLA": MLA}
NAMES = list(KINDS)
EXACT = 1e-5
QUICK = {"xla_backend_optimization_level": 0}
"""Compiles in half the time; what XLA makes of the layers is the same."""


@lru_cache
def weights_of(shape: TransformerShape) -> transformer.Weights:
    """Random weights as ``init_weights`` scales them, gains that are not one; the cache is no part of them."""
    plain = replace(shape, window=None, kv_dtype="fp32", context=40)
    if plain != shape:
        return weights_of(plain)
    random = np.random.default_rng(3)
    arrays = transformer.abstract_weights(shape)

    def made(array: jax.ShapeDtypeStruct) -> jax.Array:
        scale = array.shape[-1] ** -0.5 if array.ndim > 1 else 0.2
        return jnp.asarray((array.ndim == 1) + scale * random.standard_normal(array.shape), array.dtype)

    found: transformer.Weights = jax.tree.map(made, arrays)
    return found


@lru_cache
def tokens_of(vocab: int, batch: int, length: int) -> NDArray[Any]:
    return np.random.default_rng(5).integers(0, vocab, (batch, length), dtype=np.int32)


@lru_cache
def oracle(shape: TransformerShape, batch: int, length: int) -> NDArray[Any]:
    """The logits after every token; ``kv_dtype`` does not matter to them."""
    if shape.kv_dtype != "fp32":
        return oracle(replace(shape, kv_dtype="fp32"), batch, length)
    return reference.forward(shape, weights_of(shape), tokens_of(shape.vocab, batch, length))


def error(
    shape: TransformerShape,
    layout: CacheLayout = "contiguous",
    mode: LatentMode = "absorbed",
    batch: int = 2,
    prompt: int = 11,
    length: int = 19,
) -> float:
    """Prefill a cache, decode token by token to ``length``: the largest difference of a logit from the oracle's."""

    def program(weights: Weights, tokens: Array) -> Array:
        cache = transformer.init_cache(shape, batch, length, layout)
        last, cache = transformer.prefill(shape, weights, tokens[:, :prompt], cache, mode)

        def one(cache: tuple[LayerCache, ...], place: Array) -> tuple[tuple[LayerCache, ...], Array]:
            logits, cache = transformer.decode(shape, weights, tokens[:, place], place, cache, mode)
            return cache, logits

        _, rest = jax.lax.scan(one, cache, jnp.arange(prompt, length))
        return jnp.concatenate([last[None], rest])

    inputs = weights_of(shape), tokens_of(shape.vocab, batch, length)
    logits = jax.jit(program, compiler_options=QUICK)(*inputs)
    expected = oracle(shape, batch, length)[:, prompt - 1 :]
    return float(np.abs(np.swapaxes(np.asarray(logits, np.float64), 0, 1) - expected).max())


@pytest.mark.parametrize(
    ("kind", "positions", "batch", "prompt"),
    [
        ("MHA", "rope", 2, 11),
        ("MHA", "learned", 1, 11),
        ("GQA", "alibi", 3, 11),
        ("GQA", "sinusoidal", 1, 1),
        ("MQA", "rope", 1, 11),
        ("MQA", "alibi", 2, 11),
        ("MLA", "rope", 1, 11),
        ("MLA", "alibi", 2, 17),
    ],
)
def test_prefill_and_decode_agree_with_numpy(kind: str, positions: Positions, batch: int, prompt: int) -> None:
    assert error(replace(KINDS[kind], positions=positions), batch=batch, prompt=prompt) < EXACT


def test_layers_have_caches_of_their_own() -> None:
    assert error(replace(GQA, blocks=2)) < EXACT


@pytest.mark.parametrize(
    ("kind", "window", "positions", "batch"),
    [("GQA", 4, "alibi", 2), ("MLA", 15, "rope", 2), ("MHA", 1, "rope", 2), ("MQA", 4, "rope", 1)],
)
def test_a_ring_sees_exactly_its_window(kind: str, window: int, positions: Positions, batch: int) -> None:
    """Windows below the prompt of 11 tokens and above it, all of them overwritten while decoding."""
    assert error(replace(KINDS[kind], window=window, positions=positions), "ring", batch=batch) < EXACT


def test_a_window_over_a_contiguous_cache_is_the_same_as_a_ring() -> None:
    assert error(replace(GQA, window=4)) < EXACT


@pytest.mark.parametrize(("kind", "batch"), [("GQA", 3), ("MQA", 1), ("MLA", 2)])
def test_pages_hold_what_a_contiguous_cache_holds(kind: str, batch: int) -> None:
    """The prompt ends within the second page, decoding crosses into the third."""
    assert error(KINDS[kind], "paged", batch=batch, prompt=21, length=36) < EXACT


@pytest.mark.parametrize("batch", [1, 2])
def test_naive_latents_are_the_absorbed_ones(batch: int) -> None:
    assert error(MLA, mode="naive", batch=batch) < EXACT


@pytest.mark.parametrize(("experts", "chosen", "activation", "batch"), [(4, 2, "swiglu", 3), (3, 1, "gelu", 1)])
def test_sparse_experts_are_the_masked_ones(experts: int, chosen: int, activation: Activation, batch: int) -> None:
    shape = replace(MHA, experts=experts, experts_per_token=chosen, activation=activation, hidden=12)
    assert error(shape, batch=batch) < EXACT


def test_a_long_sequence_runs_in_blocks_of_rows() -> None:
    """More than two blocks of 256 rows, with a ragged last one and a window that begins inside a block."""
    shape = replace(MQA, context=600, window=300, activation="gelu")
    inputs = weights_of(shape), tokens_of(shape.vocab, 1, 600)
    every = jax.vmap(partial(transformer.logits_at, shape), in_axes=(None, None, 0), out_axes=1)
    logits = jax.jit(every, compiler_options=QUICK)(*inputs, jnp.arange(600))
    assert np.abs(np.asarray(logits) - reference.forward(shape, *inputs)).max() < 2 * EXACT


@pytest.mark.parametrize(
    ("kind", "kv_dtype", "layout", "mode", "batch"),
    [
        ("MHA", "int8", "contiguous", "absorbed", 1),
        ("GQA", "int8", "paged", "absorbed", 2),
        ("MLA", "int8", "contiguous", "absorbed", 2),
        ("MLA", "int8", "paged", "naive", 1),
        ("MLA", "bf16", "paged", "absorbed", 1),
        ("GQA", "bf16", "contiguous", "absorbed", 1),
        ("MHA", "bf16", "paged", "absorbed", 2),
    ],
)
def test_narrow_caches_stay_within_their_error(
    kind: str, kv_dtype: str, layout: CacheLayout, mode: LatentMode, batch: int
) -> None:
    """The logits' standard deviation is about 1.4; the cache alone is rounded, the oracle's weights are these."""
    worst = error(replace(KINDS[kind], kv_dtype=kv_dtype), layout, mode, batch)
    assert EXACT < worst < {"int8": 0.06, "bf16": 0.03}[kv_dtype]


@pytest.mark.parametrize(("kind", "kv_dtype", "batch"), [("MHA", "bf16", 1), ("GQA", "fp32", 1), ("MLA", "bf16", 2)])
def test_bf16_models_stay_within_their_error(kind: str, kv_dtype: str, batch: int) -> None:
    """The oracle has the same rounded weights, so this is the error of the arithmetic alone."""
    assert EXACT < error(replace(KINDS[kind], dtype="bf16", kv_dtype=kv_dtype), batch=batch) < 0.05


@pytest.mark.parametrize("change", [{"positions": "alibi"}, {"positions": "sinusoidal"}, {"window": 4}])
def test_the_oracle_notices_a_wrong_model(change: dict[str, Any]) -> None:
    """Reading these weights as another shape moves the logits far beyond the tolerances above."""
    wrong = reference.forward(replace(GQA, **change), weights_of(GQA), tokens_of(GQA.vocab, 2, 19))
    assert np.abs(wrong - oracle(GQA, 2, 19)).max() > 0.05


def test_a_window_as_long_as_the_sequence_is_full_attention() -> None:
    np.testing.assert_array_equal(oracle(GQA, 2, 19), oracle(replace(GQA, window=19), 2, 19))


@pytest.mark.parametrize("kind", NAMES)
def test_parameters_are_counted_by_hand(kind: str) -> None:
    shape = replace(KINDS[kind], blocks=3, positions="learned")
    dim, heads, head = shape.dim, shape.heads, shape.head_dim
    if shape.latent:
        down = dim * (shape.query_latent + shape.latent + shape.rope_dim) + shape.query_latent + shape.latent
        up = shape.query_latent * heads * (head + shape.rope_dim) + shape.latent * heads * 2 * head
        attention = down + up + heads * head * dim
    else:
        attention = dim * head * (2 * heads + 2 * shape.kv_heads)
    total = 3 * (attention + 3 * dim * shape.hidden + 2 * dim) + dim * (shape.vocab + 1)
    assert transformer.parameter_count(shape) == total + dim * shape.context
    assert transformer.parameter_count(replace(shape, positions="rope")) == total
    assert transformer.parameter_count(replace(shape, positions="rope", context=9)) == total


def test_the_arrays_are_as_many_as_counted_and_random() -> None:
    shape = replace(MLA, positions="learned", experts=2, experts_per_token=1)
    weights = transformer.init_weights(shape, 1)
    assert sum(leaf.size for leaf in jax.tree.leaves(weights)) == transformer.parameter_count(shape)
    block = weights.blocks[0]
    assert isinstance(block.attention, LatentWeights)
    assert isinstance(block.ffn, RoutedExperts)
    for matrix, inputs in ((block.attention.query_up, 10), (block.attention.key_up, 12), (block.attention.out, 32)):
        assert abs(float(jnp.std(matrix)) * inputs**0.5 - 1) < 0.15
    assert not np.array_equal(block.ffn.experts[0].up, block.ffn.experts[1].up)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), weights) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), transformer.abstract_weights(shape)
    )


@pytest.mark.parametrize("layout", ["contiguous", "paged", "ring"])
@pytest.mark.parametrize("kv_dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("kind", NAMES)
def test_cache_bytes_are_the_planners(kind: str, kv_dtype: str, layout: CacheLayout) -> None:
    shape = replace(KINDS[kind], blocks=2, kv_dtype=kv_dtype, window=7 if layout == "ring" else None)
    planned = (
        Latent(shape.heads, shape.latent, shape.rope_dim, cap=shape.window)
        if shape.latent
        else Attention("sliding_window", shape.heads, shape.kv_heads, shape.head_dim, shape.head_dim, shape.window)
    )
    tokens = planned.entries({"contiguous": 21, "paged": 32, "ring": 21}[layout])
    entry = planned.entry_bytes(FORMATS["int8_per_token_head" if kv_dtype == "int8" else kv_dtype], 1)
    for batch in (1, 3):
        cache = jax.eval_shape(lambda batch=batch: transformer.init_cache(shape, batch, 21, layout))
        assert cache_bytes(cache) == 2 * batch * tokens * entry
        tables = [layer.table.shape for layer in cache if layer.table is not None]
        assert tables == ([(batch, 2)] * 2 if layout == "paged" else [])


@pytest.mark.parametrize(("kind", "batch"), [("MHA", 1), ("GQA", 2), ("MQA", 1), ("MLA", 1)])
def test_a_donated_step_writes_in_place(kind: str, batch: int) -> None:
    """All of the cache is aliased, and the scratch memory holds scores and no copy of a layer's cache."""
    shape = replace(KINDS[kind], context=2048, head_dim=64, latent=60 if KINDS[kind].latent else 0)
    weights, key = transformer.abstract_weights(shape), jax.random.key(0)
    cache = transformer.init_cache(shape, batch, 2048, "contiguous")
    program = jax.jit(generate.step(shape, Sampler()), donate_argnums=4, compiler_options=QUICK)
    memory = program.lower(weights, jnp.zeros(batch, jnp.int32), jnp.int32(0), key, cache).compile().memory_analysis()
    assert memory is not None
    assert memory.alias_size_in_bytes == cache_bytes(cache)
    scores = 4 * batch * shape.heads * 2048
    assert memory.temp_size_in_bytes < 3 * scores < cache[0].stores[0].values.nbytes


def test_there_is_nothing_to_allocate_without_a_cache() -> None:
    with pytest.raises(InputError, match="contiguous, paged or ring"):
        transformer.init_cache(MHA, 1, 8, "none")
