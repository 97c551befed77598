"""The timed series of a case: its programs, and what one sample of each series is.

``prefill`` runs the prompt and writes the cache; ``ttft`` lasts until the first token is chosen from its logits, by a
program of its own as in a server, so that every call is a sample of both. ``decode_step`` is one token called from
Python, ``decode_scan`` several in one program. A sample ends when everything that was asked for is there, the cache
included. Decoding goes on from the prompt to the end of the cache and then begins again behind the prompt; rows beyond
the position are masked, and rows of a ring are real ones.

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

from kvtui.bench.compiled import Program, ProgramSource
from kvtui.bench.nn import generate, transformer
from kvtui.bench.nn.cache import ModelCache
from kvtui.bench.nn.init import array_shape
from kvtui.bench.nn.transformer import Weights
from kvtui.cases import prediction as predict
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.statistics import settled
from kvtui.engine.basis.units import MIB

SEED = 0
WINDOW = 3
SCAN_STEPS, LARGE_SCAN_STEPS = 16, 4
LARGE_STEP_BYTES = 64 * MIB
"""Beside a step that moves as much, a sixteenth and a quarter of what a call from Python adds are alike nothing."""
PROGRAMS = ("prefill", "first", "decode_step", "decode_scan")
SERIES = {"prefill": ("prefill", "ttft"), "decode_step": ("decode_step",), "decode_scan": ("decode_scan",)}
"""What each kind of call is a sample of."""


class GenerationState(NamedTuple):
    """Where generation stands.

    ``at`` tokens are in the cache; ``rest`` is what a step takes between weights and cache: the newest tokens (without
    a cache all of them), their position and the random key. ``cache`` is empty without one.
    """

    at: int
    rest: tuple[Any, ...]
    cache: tuple[ModelCache, ...]


class Timed(NamedTuple):
    """One call: milliseconds of each series (per token when decoding), tokens in the cache before, the state after."""

    ms: tuple[float, ...]
    at: int
    state: GenerationState


Advance = Callable[[GenerationState], Timed]
CompiledCall = Callable[..., Any]


class Inputs(NamedTuple):
    """What the programs of a case are fed with: weights, the prompt int32[batch, prompt] and a random key."""

    weights: Weights
    prompt: Array
    key: Array


def names(case: Case) -> tuple[str, ...]:
    """The programs that there are for ``case``."""
    return PROGRAMS[:-1] if case.cache == "none" else PROGRAMS


def scan_steps(case: Case) -> int:
    """Tokens that ``decode_scan`` makes in one program."""
    large = predict.step_bytes(case, case.prompt) >= LARGE_STEP_BYTES
    return min(LARGE_SCAN_STEPS if large else SCAN_STEPS, case.cache_length - case.prompt)


def init_weights(shape: TransformerShape) -> Weights:
    """Random weights, always the same."""
    return transformer.init_weights(shape, SEED)


def inputs(case: Case, weights: Weights) -> Inputs:
    """``weights`` with a random prompt and a key, always the same."""
    return Inputs(weights, jnp.asarray(_random_tokens(case)[:, : case.prompt]), jax.random.key(SEED))


def init_cache(case: Case) -> tuple[ModelCache, ...]:
    """The empty cache of ``case``, or nothing for a case without one."""
    if case.cache == "none":
        return ()
    return (transformer.init_cache(case.shape, case.batch, case.cache_length, case.cache),)


def sources(case: Case, wanted: Sequence[str]) -> dict[str, ProgramSource]:
    """What each ``wanted`` program is compiled from, without allocating anything; the cache is donated."""
    weights, key = transformer.abstract_weights(case.shape), jax.eval_shape(lambda: jax.random.key(SEED))
    cache = jax.eval_shape(lambda: init_cache(case))
    tokens = array_shape((case.batch, case.prompt), jnp.int32)
    logits = array_shape((case.batch, case.shape.vocab), jnp.float32)
    newest = array_shape((case.batch,) if cache else (case.batch, case.cache_length), jnp.int32)
    decoding = (weights, newest, array_shape((), jnp.int32), key, *cache)
    arguments = {"prefill": (weights, tokens, *cache), "first": (logits, key)}
    found = {}
    for name in wanted:
        given = arguments.get(name, decoding)
        donated = (len(given) - 1,) if cache and name != "first" else ()
        found[name] = ProgramSource(_function(case, name), given, donated)
    return found


def start(case: Case, programs: Mapping[str, Program], given: Inputs) -> GenerationState:
    """The state behind the prompt, which the "prefill" program has written into a new cache."""
    cache = init_cache(case)
    if not cache:
        return GenerationState(_first_position(case), _history(case), ())
    _, (logits, filled) = timed(programs["prefill"].run, given.weights, given.prompt, *cache)
    _, (token, key) = timed(programs["first"].run, logits, given.key)
    return GenerationState(_first_position(case), (token, jnp.int32(case.prompt), key), (filled,))


def advances(
    case: Case, programs: Mapping[str, Program], given: Inputs, opening: GenerationState
) -> dict[str, Advance]:
    """For each kind of call that the programs allow, how one is made; ``opening`` is the state behind the prompt."""

    def prompt(state: GenerationState) -> Timed:
        prefill, (logits, *cache) = timed(programs["prefill"].run, given.weights, given.prompt, *state.cache)
        first, _ = timed(programs["first"].run, logits, given.key)
        return Timed((prefill, prefill + first), 0, opening._replace(cache=tuple(cache)))

    def decode(name: str, tokens: int, state: GenerationState) -> Timed:
        if state.at + tokens > _room(case):
            state = opening._replace(cache=state.cache)
        ms, outputs = timed(programs[name].run, given.weights, *state.rest, *state.cache)
        ahead = len(state.rest)
        return Timed((ms / tokens,), state.at, GenerationState(state.at + tokens, outputs[:ahead], outputs[ahead:]))

    ways: dict[str, Advance] = {
        "prefill": prompt,
        "decode_step": functools.partial(decode, "decode_step", 1),
        "decode_scan": functools.partial(decode, "decode_scan", scan_steps(case)),
    }
    return {name: way for name, way in ways.items() if name in programs}


def timed(run: CompiledCall, *arguments: Any) -> tuple[float, tuple[Any, ...]]:
    """Milliseconds until everything that ``run`` returns is there, and what it returns."""
    started = time.perf_counter_ns()
    outputs = jax.block_until_ready(run(*arguments))  # type: ignore[no-untyped-call]
    return (time.perf_counter_ns() - started) / 1e6, outputs


def warm_up(advance: Advance, state: GenerationState, budget: TimeBudget) -> tuple[GenerationState, bool]:
    """Call until two successive windows of three agree within 5 %; say whether they did.

    There are ``budget.warmup`` calls at least, none at all if that is 0, and no more once ``budget.seconds`` are over.
    """
    seen: list[float] = []
    until = time.monotonic() + budget.seconds
    steady = False
    while len(seen) < budget.warmup or (budget.warmup and not steady and time.monotonic() < until):
        ms, _, state = advance(state)
        seen.append(ms[-1])
        steady = settled(seen, WINDOW)
    return state, steady


def collect(
    advance: Advance, state: GenerationState, budget: TimeBudget, share: int = 1
) -> tuple[GenerationState, list[tuple[float, ...]], list[int]]:
    """Milliseconds and positions of the calls that the ``share``-th part of the budget allows.

    There are at least ``budget.trials`` and at most ``budget.most`` of them in all, unless the former are more. The
    first call finds the processor's caches filled by another program, and is left out unless it takes all of the time.
    """
    seconds = budget.seconds / share
    least = max(1, -(-budget.trials // share))
    most = max(least, budget.most // share)
    ms: list[tuple[float, ...]] = []
    positions: list[int] = []
    started = time.monotonic()
    first = advance(state)
    state = first.state
    begun = time.monotonic()
    if begun - started >= seconds:
        ms.append(first.ms)
        positions.append(first.at)
    while len(ms) < least or (len(ms) < most and time.monotonic() < begun + seconds):
        call_ms, at, state = advance(state)
        ms.append(call_ms)
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
    match name, case.cache:
        case "first", _:
            return functools.partial(generate.choose, sampler)
        case "prefill", "none":
            return _logits(case)
        case _, "none":
            return generate.uncached_step(shape, sampler)
        case "prefill", _:
            return functools.partial(transformer.prefill, shape, latent_mode=mode)
        case "decode_step", _:
            return generate.step(shape, sampler, mode)
        case _:
            return generate.steps(scan_steps(case), shape, sampler, mode)


def _logits(case: Case) -> Callable[..., tuple[Array]]:
    def program(weights: Weights, prompt: Array) -> tuple[Array]:
        return (transformer.logits_at(case.shape, weights, prompt, jnp.int32(case.prompt - 1)),)

    return program
