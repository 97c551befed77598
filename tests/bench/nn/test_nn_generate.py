"""Generation: with and without a cache, step by step and in one program, token for token the same."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench.nn import generate, transformer
from kvtui.cases.case import Sampler, TransformerShape
from tests.bench.nn.test_nn_transformer import GQA, MLA, QUICK, tokens_of, weights_of
from tests.nightly import sampled

NEW, PROMPT, BATCH = 10, 7, 2


@sampled(2)
@pytest.mark.parametrize(
    ("shape", "sampler"),
    [(GQA, Sampler()), (replace(MLA, window=6), Sampler(temperature=1.3, top_k=9, top_p=0.9))],
    ids=["GQA, greedy", "MLA in a ring, sampled"],
)
def test_a_cache_changes_no_token(shape: TransformerShape, sampler: Sampler) -> None:
    weights, prompt = weights_of(shape), tokens_of(shape.vocab, BATCH, PROMPT)
    cache = transformer.init_cache(shape, BATCH, PROMPT + NEW, "ring" if shape.window else "contiguous")
    prefill = jax.jit(partial(transformer.prefill, shape), donate_argnums=2, compiler_options=QUICK)
    step = jax.jit(generate.step(shape, sampler), donate_argnums=4)

    logits, cache = prefill(weights, prompt, cache)
    token, key = generate.choose(sampler, logits, jax.random.key(8))
    started = state = (token, jnp.int32(PROMPT), key, cache)
    tokens = [state[0]]
    started = (*started[:3], jax.tree.map(jnp.copy, started[3]))
    for _ in range(NEW - 1):
        state = step(weights, *state)
        tokens.append(state[0])
    assert int(state[1]) == PROMPT + NEW - 1

    uncached = jax.jit(generate.uncached_step(shape, sampler), compiler_options=QUICK)
    history = jnp.zeros((BATCH, PROMPT + NEW), jnp.int32).at[:, :PROMPT].set(prompt)
    now = (history, jnp.int32(PROMPT - 1), jax.random.key(8))
    for _ in range(NEW):
        now = uncached(weights, *now)
    np.testing.assert_array_equal(np.stack(tokens, axis=1), now[0][:, PROMPT:])
    np.testing.assert_array_equal(now[0][:, :PROMPT], prompt)

    scanned = jax.jit(generate.steps(NEW - 1, shape, sampler), compiler_options=QUICK)(weights, *started)
    np.testing.assert_array_equal(scanned[0], state[0])
    assert int(scanned[1]) == int(state[1])
    for one, other in zip(jax.tree.leaves(scanned[3]), jax.tree.leaves(state[3]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
