"""Predictions against published figures, the real arrays' sizes, and counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.groups import GROUPS
from kvtui.cases.prediction import kv_bytes, parameter_count, prefill_flops, step_bytes, step_flops, weight_bytes

MLA = TransformerShape(latent=64, query_latent=64, rope_dim=16)
MEDIUM = TransformerShape(dim=512, heads=8, head_dim=64, kv_heads=8, blocks=8, hidden=1408, vocab=8192, context=8192)


@pytest.mark.parametrize(
    ("shape", "megabytes"),
    [
        (TransformerShape(), 3.146),
        (TransformerShape(kv_heads=4), 1.573),
        (TransformerShape(kv_heads=2), 0.786),
        (TransformerShape(kv_heads=1), 0.393),
        (MLA, 0.492),
        (TransformerShape(latent=32, query_latent=32, rope_dim=16), 0.295),
        (TransformerShape(latent=128, query_latent=128, rope_dim=16), 0.885),
        (TransformerShape(blocks=12, context=512, latent=96, query_latent=96, rope_dim=16), 2.753),
    ],
)
def test_the_published_cache_sizes(shape: TransformerShape, megabytes: float) -> None:
    assert round(kv_bytes(Case(shape)) / 1e6, 3) == megabytes


def test_pages_rings_scales_and_no_cache() -> None:
    assert kv_bytes(Case(TransformerShape(), length=100, cache="paged")) == kv_bytes(
        Case(TransformerShape(), length=112)
    )
    ringed = Case(TransformerShape(window=32), cache="ring")
    assert kv_bytes(ringed) == kv_bytes(Case(TransformerShape(context=256), length=65)) * 32 // 65
    assert kv_bytes(Case(TransformerShape(), cache="none")) == 0
    heads, head = 8, 32
    assert kv_bytes(Case(TransformerShape(kv_dtype="int8"))) == 6 * 256 * 2 * heads * (head + 4)
    assert kv_bytes(Case(TransformerShape(latent=64, query_latent=64, rope_dim=16, kv_dtype="int8"))) == 6 * 256 * (
        64 + 16 + 4
    )


def test_weights_of_the_medium_model() -> None:
    block = 4 * 512 * 512 + 3 * 512 * 1408 + 2 * 512
    assert parameter_count(MEDIUM) == 8 * block + 8192 * 512 + 512
    assert weight_bytes(MEDIUM) == 4 * parameter_count(MEDIUM)


def test_prefill_of_the_medium_model() -> None:
    tokens = 512
    matrices = 2 * tokens * 8 * (4 * 512 * 512 + 3 * 512 * 1408)
    scores = 2 * 8 * 2 * 512 * tokens * tokens // 2
    head = 2 * 512 * 8192
    assert prefill_flops(Case(MEDIUM, prompt=tokens)) == pytest.approx(matrices + scores + head, rel=1e-3)


def test_a_step_reads_each_weight_once_and_the_filled_cache() -> None:
    case = Case(MEDIUM, batch=4, prompt=64)
    cached = 8 * 2 * 512 * 4
    assert step_bytes(case, 1000) == weight_bytes(MEDIUM) + 4 * 1001 * cached
    assert step_bytes(Case(MEDIUM, cache="none"), 1000) == weight_bytes(MEDIUM)
    windowed = Case(TransformerShape(window=32), cache="ring")
    assert step_bytes(windowed, 200) == step_bytes(windowed, 31) > step_bytes(windowed, 30)


def test_a_learned_position_is_one_row() -> None:
    rope, learned = Case(), Case(TransformerShape(positions="learned"))
    assert parameter_count(learned.shape) - parameter_count(rope.shape) == 256 * 256
    assert step_bytes(learned, 64) - step_bytes(rope, 64) == 4 * 256
    assert parameter_count(TransformerShape(context=512)) == parameter_count(rope.shape)


def test_a_step_reads_only_the_experts_it_needs() -> None:
    dense = Case()
    sparse = Case(TransformerShape(experts=8, experts_per_token=2))
    router = 6 * 256 * 8
    expert = 6 * 3 * 256 * 1024
    assert step_bytes(sparse, 64) - step_bytes(dense, 64) == 4 * (router + expert)
    assert step_flops(sparse, 64) - step_flops(dense, 64) == 2 * (router + expert)
    assert parameter_count(sparse.shape) - parameter_count(dense.shape) == router + 7 * expert


def test_absorbed_attention_is_over_the_latents() -> None:
    first, second = step_flops(Case(MLA), 100), step_flops(Case(MLA), 101)
    assert second - first == 2 * 6 * 8 * (2 * 64 + 16)


@given(
    st.sampled_from(
        [
            TransformerShape(),
            TransformerShape(kv_heads=2),
            MLA,
            TransformerShape(kv_dtype="bf16"),
            TransformerShape(experts=4, experts_per_token=2),
        ]
    ),
    st.integers(1, 40),
    st.integers(0, 254),
)
def test_bytes_and_work_grow_with_batch_and_position(shape: TransformerShape, batch: int, position: int) -> None:
    one, many = Case(shape), Case(shape, batch=batch)
    assert kv_bytes(many) == batch * kv_bytes(one)
    assert step_flops(many, position) == batch * step_flops(one, position)
    assert prefill_flops(many) == batch * prefill_flops(one)
    assert step_bytes(many, position + 1) > step_bytes(many, position)


def test_sizes_are_those_of_the_real_arrays() -> None:
    jax = pytest.importorskip("jax")
    from kvtui.bench.nn import transformer
    from kvtui.bench.nn.cache import cache_bytes

    for group in GROUPS:
        for row in group.rows("default"):
            case, shape = row.case, row.case.shape
            assert parameter_count(shape) == transformer.parameter_count(shape), row.label
            if case.cache == "none":
                continue
            cache = jax.eval_shape(lambda c=case: transformer.init_cache(c.shape, c.batch, c.cache_length, c.cache))
            assert cache_bytes(cache) == kv_bytes(case), row.label
