"""The timed series of a case: its programs, and what one sample of each series is.

``prefill`` runs the prompt and writes the cache, ``ttft`` samples the first token as well, ``decode_step`` is one token
called from Python, ``decode_scan`` several in one program. A sample is one call, from its start until everything that
it returns is there, the cache included. Decoding goes on from the prompt to the end of the cache and then begins again
behind the prompt; rows beyond the position are masked, and rows of a ring are real ones.

Without a cache ("none") each token runs the whole sequence again, and there is no ``decode_scan``, since what a call
from Python adds is lost in that.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kvtui.bench.cases import Case, Shape
from kvtui.bench.compiled import Program, compiled
from kvtui.bench.nn import generate, transformer
from kvtui.bench.nn.cache import Cache
from kvtui.bench.nn.sampling import sample
from kvtui.bench.nn.transformer import Weights
from kvtui.bench.protocol import Budget
from kvtui.bench.statistics import settled

SEED = 0
WINDOW = 3
SCAN_STEPS = 16
SERIES = ("prefill", "ttft", "decode_step", "decode_scan")


class State(NamedTuple):
    """Where generation stands.

    ``at`` tokens are in the cache; ``rest`` is what a step takes between weights and cache: the newest tokens (without
    a cache all of them), their position and the random key. ``cache`` is empty without one.
    """

    at: int
    rest: tuple[Any, ...]
    cache: tuple[Cache, ...]


class Timed(NamedTuple):
    """One sample: milliseconds per prefill or per token, the tokens in the cache when it began, the state after it."""

    ms: float
    at: int
    state: State


Advance = Callable[[State], Timed]
Run = Callable[..., Any]


class Inputs(NamedTuple):
    """What the programs of a case are fed with: weights, the prompt int32[batch, prompt] and a random key."""

    weights: Weights
    prompt: Array
    key: Array


def names(case: Case) -> tuple[str, ...]:
    """The series that there are for ``case``."""
    return SERIES[:-1] if case.cache == "none" else SERIES


def scan_steps(case: Case) -> int:
    """Tokens that ``decode_scan`` makes in one program."""
    return min(SCAN_STEPS, case.cache_length - case.prompt)


def init_weights(shape: Shape) -> Weights:
    """Random weights, always the same."""
    return transformer.init_weights(shape, jax.random.key(SEED))


def inputs(case: Case, weights: Weights) -> Inputs:
    """``weights`` with a random prompt and a key, always the same."""
    return Inputs(weights, jnp.asarray(_random_tokens(case)[:, : case.prompt]), jax.random.key(SEED))


def init_cache(case: Case) -> tuple[Cache, ...]:
    """The empty cache of ``case``, or nothing for a case without one."""
    if case.cache == "none":
        return ()
    return (transformer.init_cache(case.shape, case.batch, case.cache_length, case.cache),)


def programs(case: Case, wanted: Sequence[str]) -> dict[str, Program]:
    """The program of each ``wanted`` series, compiled without allocating anything; the cache is donated."""
    given = jax.eval_shape(lambda: inputs(case, init_weights(case.shape)))
    cache = jax.eval_shape(lambda: init_cache(case))
    if cache:
        rest = jax.eval_shape(_function(case, "ttft"), *given, *cache)[:-1]
    else:
        rest = jax.eval_shape(lambda: _history(case))
    first = {"prefill": (given.weights, given.prompt), "ttft": tuple(given)}
    found = {}
    for name in wanted:
        arguments = (*first.get(name, (given.weights, *rest)), *cache)
        found[name] = compiled(_function(case, name), *arguments, donate=(len(arguments) - 1,) if cache else ())
    return found


def start(case: Case, compiled_programs: Mapping[str, Program], given: Inputs) -> State:
    """The state behind the prompt, which the "ttft" program has written into a new cache."""
    cache = init_cache(case)
    if not cache:
        return State(_first_position(case), _history(case), ())
    _, (*rest, filled) = timed(compiled_programs["ttft"].run, *given, *cache)
    return State(_first_position(case), tuple(rest), (filled,))


def advances(case: Case, compiled_programs: Mapping[str, Program], given: Inputs, opening: State) -> dict[str, Advance]:
    """For each program how one sample of its series is taken; ``opening`` is the state behind the prompt."""

    def prefill(run: Run, state: State) -> Timed:
        ms, (_, *cache) = timed(run, given.weights, given.prompt, *state.cache)
        return Timed(ms, 0, opening._replace(cache=tuple(cache)))

    def first_token(run: Run, state: State) -> Timed:
        ms, outputs = timed(run, *given, *state.cache)
        return Timed(ms, 0, opening._replace(cache=outputs[len(opening.rest) :]))

    def decode(tokens: int, run: Run, state: State) -> Timed:
        if state.at + tokens > _room(case):
            state = opening._replace(cache=state.cache)
        ms, outputs = timed(run, given.weights, *state.rest, *state.cache)
        ahead = len(state.rest)
        return Timed(ms / tokens, state.at, State(state.at + tokens, outputs[:ahead], outputs[ahead:]))

    samplers: dict[str, Callable[[Run, State], Timed]] = {
        "prefill": prefill,
        "ttft": first_token,
        "decode_step": functools.partial(decode, 1),
        "decode_scan": functools.partial(decode, scan_steps(case)),
    }
    return {name: functools.partial(samplers[name], program.run) for name, program in compiled_programs.items()}


def timed(run: Run, *arguments: Any) -> tuple[float, tuple[Any, ...]]:
    """Milliseconds until everything that ``run`` returns is there, and what it returns."""
    started = time.perf_counter_ns()
    outputs = jax.block_until_ready(run(*arguments))  # type: ignore[no-untyped-call]
    return (time.perf_counter_ns() - started) / 1e6, outputs


def warm_up(advance: Advance, state: State, budget: Budget) -> tuple[State, bool]:
    """Call until two successive windows of three agree within 5 %; say whether they did.

    There are ``budget.warmup`` calls at least, none at all if that is 0, and no more once ``budget.seconds`` are over.
    """
    seen: list[float] = []
    until = time.monotonic() + budget.seconds
    steady = False
    while len(seen) < budget.warmup or (budget.warmup and not steady and time.monotonic() < until):
        ms, _, state = advance(state)
        seen.append(ms)
        steady = settled(seen, WINDOW)
    return state, steady


def collect(advance: Advance, state: State, budget: Budget, share: int = 1) -> tuple[State, list[float], list[int]]:
    """Milliseconds and positions of the samples that the ``share``-th part of the budget allows, after a call untimed.

    There are at least ``budget.trials`` and at most ``budget.most`` samples in all, unless the former are more.
    """
    state = advance(state).state
    least = max(1, -(-budget.trials // share))
    most = max(least, budget.most // share)
    until = time.monotonic() + budget.seconds / share
    ms: list[float] = []
    positions: list[int] = []
    while len(ms) < least or (len(ms) < most and time.monotonic() < until):
        sample_ms, at, state = advance(state)
        ms.append(sample_ms)
        positions.append(at)
    return state, ms, positions


def _room(case: Case) -> int:
    """Tokens behind which no step may begin: a step without a cache writes the token after its own."""
    return case.cache_length - (case.cache == "none")


def _first_position(case: Case) -> int:
    return min(case.prompt, _room(case) - 1)


def _random_tokens(case: Case) -> np.ndarray:
    """Tokens int32[batch, length]; the prompt is their beginning."""
    size = (case.batch, case.cache_length)
    return np.random.default_rng(SEED).integers(0, case.shape.vocab, size, dtype=np.int32)


def _history(case: Case) -> tuple[Array, Array, Array]:
    """What an uncached step begins with: tokens of the full length, the first position to decode at, and a key."""
    return jnp.asarray(_random_tokens(case)), jnp.int32(_first_position(case)), jax.random.key(SEED)


def _function(case: Case, name: str) -> Callable[..., tuple[Any, ...]]:
    shape, sampler, mode = case.shape, case.sampler, case.latent_mode
    if case.cache == "none":
        return _uncached(case, name)
    match name:
        case "prefill":
            return functools.partial(transformer.prefill, shape, latent_mode=mode)
        case "ttft":
            return generate.first(shape, sampler, mode)
        case "decode_step":
            return generate.step(shape, sampler, mode)
        case _:
            return generate.steps(scan_steps(case), shape, sampler, mode)


def _uncached(case: Case, name: str) -> Callable[..., tuple[Any, ...]]:
    def logits(weights: Weights, prompt: Array) -> tuple[Array, ...]:
        return (transformer.logits_at(case.shape, weights, prompt, jnp.int32(case.prompt - 1)),)

    def first_token(weights: Weights, prompt: Array, key: Array) -> tuple[Array, ...]:
        return (sample(case.sampler, logits(weights, prompt)[0], key),)

    match name:
        case "prefill":
            return logits
        case "ttft":
            return first_token
        case _:
            return generate.uncached_step(case.shape, case.sampler)
