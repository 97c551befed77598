"""Text from a trained model, token by token, with a cache or without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kvtui.bench.compiled import jit
from kvtui.bench.nn import generate, transformer
from kvtui.bench.nn.cache import cache_bytes
from kvtui.bench.training.weights import TrainedModel, load_model
from kvtui.cases.case import Sampler, TransformerShape
from kvtui.engine.basis.errors import InputError

MOST_TOKENS = 100_000


def generate_text(job: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]) -> None:
    """Go on with the ``prompt`` of ``job``: a "prompt" event with the cache's size, then "token" events.

    Each says the text, how many tokens are cached, and what bytes they take. Raises InputError for a checkpoint that is
    none and a prompt without tokens.
    """
    model = load_model(Path(job["checkpoint"]))
    prompt = model.tokenizer.encode(job["prompt"]).tolist()
    if not prompt:
        raise InputError("prompt: is empty")
    length = len(prompt) + job["tokens"]
    if length > MOST_TOKENS:
        raise InputError(f"tokens: {length:,} in all are more than {MOST_TOKENS:,}")
    shape = replace(model.shape, context=max(model.shape.context, length))
    sampler = Sampler(**job["sampler"])
    held = transformer.init_cache(shape, 1, length, "contiguous") if job["cache"] else ()
    size = cache_bytes(held)
    emit(
        {
            "event": "prompt",
            "tokens": len(prompt),
            "room": length,
            "cache_bytes": size,
            "trained_context": model.plan.context,
            "unknown": prompt.count(0),
        }
    )
    one_by_one = _cached if job["cache"] else _uncached
    started = time.perf_counter()
    for i, token in enumerate(one_by_one(model, shape, sampler, prompt, job["tokens"], job["seed"], held)):
        cached = len(prompt) + i if job["cache"] else 0
        emit(
            {
                "event": "token",
                "id": token,
                "text": model.tokenizer.decode([token]),
                "cached_tokens": cached,
                "cached_bytes": cached * size // length,
                "seconds": time.perf_counter() - started,
            }
        )


def _cached(
    model: TrainedModel, shape: TransformerShape, sampler: Sampler, prompt: list[int], count: int, seed: int, cache: Any
) -> Iterator[int]:
    fill = jit(partial(transformer.prefill, shape), donate_argnums=2)
    step = jit(generate.step(shape, sampler), donate_argnums=4)
    logits, cache = fill(model.weights, jnp.asarray([prompt], jnp.int32), cache)
    tokens, key = generate.choose(sampler, logits, jax.random.key(seed))
    position = jnp.int32(len(prompt))
    yield int(tokens[0])
    for _ in range(count - 1):
        tokens, position, key, cache = step(model.weights, tokens, position, key, cache)
        yield int(tokens[0])


def _uncached(
    model: TrainedModel, shape: TransformerShape, sampler: Sampler, prompt: list[int], count: int, seed: int, cache: Any
) -> Iterator[int]:
    step = jit(generate.uncached_step(shape, sampler))
    history = np.zeros((1, len(prompt) + count), np.int32)
    history[0, : len(prompt)] = prompt
    state = (jnp.asarray(history), jnp.int32(len(prompt) - 1), jax.random.key(seed))
    for i in range(count):
        state = step(model.weights, *state)
        yield int(state[0][0, len(prompt) + i])
