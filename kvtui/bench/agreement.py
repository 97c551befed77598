"""The same tokens with and without a cache, which a cache that is read or written wrongly would not give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from kvtui.bench.compiled import Program, build
from kvtui.bench.series import PROGRAMS, Inputs, init_cache, sources
from kvtui.cases.case import Case

MOST_TOKENS = 16


class Agreement(NamedTuple):
    """How many tokens of each sequence were compared, and whether all were equal."""

    tokens: int
    equal: bool


def agreement(case: Case, uncached: Program, given: Inputs) -> Agreement:
    """Generate from the prompt with a cache and, by the ``uncached`` step of ``case``, without; compare the tokens.

    ``case`` has no cache; the one that it is compared with is contiguous, or a ring where it has a window. Both use the
    same random keys, so sampled tokens must agree as greedy ones do. The gain before the logits is negated, so that the
    least likely token follows: with random, tied weights the likeliest is mostly the token before, whatever is cached.
    """
    given = given._replace(weights=given.weights._replace(norm=-given.weights.norm))
    cached = replace(case, cache="ring" if case.shape.window else "contiguous")
    programs = build(sources(cached, PROGRAMS[:-1])).programs
    count = min(MOST_TOKENS, case.cache_length - case.prompt)
    with_cache, without = _with_cache(cached, programs, given, count), _without(case, uncached, given, count)
    return Agreement(count, bool((with_cache == without).all()))


def _with_cache(case: Case, programs: Mapping[str, Program], given: Inputs, count: int) -> np.ndarray:
    logits, cache = programs["prefill"].run(given.weights, given.prompt, *init_cache(case))
    tokens, key = programs["first"].run(logits, given.key)
    position, found = jnp.int32(case.prompt), [tokens]
    while len(found) < count:
        tokens, position, key, cache = programs["decode_step"].run(given.weights, tokens, position, key, cache)
        found.append(tokens)
    return np.stack([np.asarray(one) for one in found], axis=1)


def _without(case: Case, uncached: Program, given: Inputs, count: int) -> np.ndarray:
    history = jnp.zeros((case.batch, case.cache_length), jnp.int32).at[:, : case.prompt].set(given.prompt)
    state = (history, jnp.int32(case.prompt - 1), given.key)
    for _ in range(count):
        state = uncached.run(given.weights, *state)
    return np.asarray(state[0])[:, case.prompt : case.prompt + count]
