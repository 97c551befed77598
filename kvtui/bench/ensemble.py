"""Measuring ensembles: a baseline, the naive average, a product of experts, and plain speculative decoding.

Each figure has a budget of milliseconds: one call untimed, five to estimate, then as many as the budgets for warming up
and for measuring allow. Before each timed call a buffer of 64 MiB is written, so that processor caches begin alike.
The KV caches are rolled back by their length between calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kvtui.bench.child import Emit
from kvtui.bench.compiled import jit
from kvtui.bench.nn import ensemble, speculate, transformer
from kvtui.bench.nn.cache import cache_bytes
from kvtui.bench.nn.ensemble import EnsembleWeights
from kvtui.bench.nn.speculate import Speculation, SpeculativeState, Spoken
from kvtui.bench.nn.transformer import Weights
from kvtui.bench.training.weights import load_model
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.ensembles import CallCounts, EnsemblePlan, call_timings, step_timings, timings
from kvtui.cases.jury import entropy_nats, margin, stability_radius, validity_radius
from kvtui.cases.prediction import kv_bytes
from kvtui.engine.basis.errors import InputError

FLUSH_BYTES = 64 * 2**20
ESTIMATING, LEAST_CALLS, MOST_CALLS = 5, 2, 2000


class Bench(NamedTuple):
    """What is measured: the plan, the model, its heads, and how a budget is spent."""

    plan: EnsemblePlan
    shape: TransformerShape
    weights: EnsembleWeights
    prompt: Any


def measure_ensembles(job: Mapping[str, Any], emit: Emit) -> None:
    """Measure the plan of ``job``: a "part" event for each part of the results as it is done, by its path.

    Raises InputError for a checkpoint that cannot be read or is too small.
    """
    bench = _bench(EnsemblePlan.from_json(job["plan"]))
    emit({"event": "part", "path": ["kvtui", "kv"], "value": _bytes(bench)})
    whole = bench._replace(weights=bench.weights._replace(heads=bench.weights.heads[:1]))
    for name, one in (("baseline", whole), ("hydra_naive", bench)):
        for path, value in _by_position(one):
            emit({"event": "part", "path": [name, *path], "value": value})
    first = {"event": "part", "path": ["hydra_poe", "ttft"], "value": _first_token(bench)}
    emit(first)
    for gamma in bench.plan.gammas:
        for name, measured in (("hydra_poe", _experts), ("speculative", _plain)):
            value, jury = measured(bench, gamma)
            emit({"event": "part", "path": [name, "per_gamma", str(gamma)], "value": value})
            emit({"event": "part", "path": ["kvtui", "jury", name, str(gamma)], "value": jury})


def _bench(plan: EnsemblePlan) -> Bench:
    if plan.checkpoint:
        model = load_model(Path(plan.checkpoint))
        shape, weights = model.shape, model.weights
    else:
        heads = max(1, plan.dim // 32)
        shape = TransformerShape(plan.dim, heads, plan.dim // heads, heads, plan.layers, 4 * plan.dim, 256)
        weights = transformer.init_weights(shape, plan.seed)
    if not 1 <= plan.depth < shape.blocks or not 1 <= plan.draft_layers < shape.blocks:
        raise InputError(f"depth: heads and drafts need fewer layers than the {shape.blocks} of the model")
    if shape.positions == "learned" and shape.context < plan.length:
        raise InputError(f"length: {plan.length} tokens are more than the model's {shape.context}")
    shape = replace(shape, context=max(shape.context, plan.length))
    prompt = np.random.default_rng(plan.seed).integers(0, shape.vocab, plan.prompt_length, dtype=np.int32)
    made = ensemble.ensemble_of(weights, plan.depth, plan.heads, plan.noise, plan.seed)
    return Bench(plan, shape, made, jnp.asarray(prompt))


def _bytes(bench: Bench) -> dict[str, int]:
    """Bytes of the heads' and the trunk's caches, as the planner predicts and as the arrays have."""
    plan, cache = bench.plan, ensemble.empty_cache(bench.shape, bench.weights, bench.plan.length)
    layers = len(bench.weights.shared.blocks) + plan.heads * plan.depth
    case = Case(replace(bench.shape, blocks=layers), prompt=1, length=plan.length)
    return {
        "layers": layers,
        "predicted_bytes": kv_bytes(case),
        "measured_bytes": sum(map(cache_bytes, (cache.trunk, *cache.heads))),
    }


def _prefilled(bench: Bench) -> tuple[Any, Any, Any]:
    """The prompt's program, and its first token and cache."""
    run = jit(partial(_prefill, bench.shape), donate_argnums=(2,))
    cache = ensemble.empty_cache(bench.shape, bench.weights, bench.plan.length)
    token, cache = jax.block_until_ready(run(bench.weights, bench.prompt, cache))  # type: ignore[no-untyped-call]
    return run, token, cache


def _prefill(shape: TransformerShape, weights: EnsembleWeights, prompt: Any, cache: Any) -> tuple[Any, Any]:
    said, cache = ensemble.prefill_all(shape, weights, prompt, cache)
    return jnp.argmax(speculate.mean_logits(said)).astype(jnp.int32), cache


def _first_token(bench: Bench) -> dict[str, Any]:
    run, _, cache = _prefilled(bench)
    held = [cache]

    def call() -> None:
        _, held[0] = jax.block_until_ready(run(bench.weights, bench.prompt, held[0]))  # type: ignore[no-untyped-call]

    return timings(_timed(bench.plan, call))


def _by_position(bench: Bench) -> Iterator[tuple[list[str], Any]]:
    """Times to the first token, and of a step at every few positions, to which generation goes in between."""
    plan = bench.plan
    yield ["ttft"], _first_token(bench)
    _, token, cache = _prefilled(bench)
    step = jit(ensemble.naive_step(bench.shape, speculate.mean_logits), donate_argnums=(3,))
    state = [token, jnp.int32(plan.prompt_length), cache]
    positions: list[int] = []
    yield ["decode", "positions"], positions

    def again() -> None:
        _, _, state[2] = jax.block_until_ready(step(bench.weights, *state))  # type: ignore[no-untyped-call]

    for i in range(plan.generation_length):
        if i % plan.decode_step_interval == 0:
            at = plan.prompt_length + i
            positions.append(at)
            yield ["decode", "per_position", str(at)], step_timings(_timed(plan, again))
        state = list(step(bench.weights, *state))
    yield ["decode", "positions"], positions


def _experts(bench: Bench, gamma: int) -> tuple[dict[str, Any], dict[str, Any]]:
    plan = bench.plan
    _, token, cache = _prefilled(bench)
    program = ensemble.experts_round(bench.shape, plan.beta, Speculation(gamma, plan.temperature))
    return _speculated(plan, program, bench.weights, token, cache)


def _plain(bench: Bench, gamma: int) -> tuple[dict[str, Any], dict[str, Any]]:
    plan, weights = bench.plan, ensemble.whole_of(bench.weights)
    early: Weights = weights._replace(blocks=weights.blocks[: plan.draft_layers])
    fill = jit(transformer.prefill, static_argnums=0)
    carry = []
    for one in (early, weights):
        shape = replace(bench.shape, blocks=len(one.blocks))
        empty = transformer.init_cache(shape, 1, plan.length, "contiguous")
        logits, filled = fill(shape, one, bench.prompt[None], empty)
        carry.append(filled)
    token = jnp.argmax(logits[0]).astype(jnp.int32)
    program = ensemble.draft_round(bench.shape, plan.draft_layers, Speculation(gamma, plan.temperature))
    return _speculated(plan, program, weights, token, tuple(carry))


def _speculated(
    plan: EnsemblePlan, program: Any, weights: Any, token: Any, carry: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Whole generations by rounds of ``program``, each from the end of the prompt, and what the verifiers said."""
    run = jit(program, donate_argnums=(1,))
    held, key = [carry], [jax.random.key(plan.seed)]
    spoken: list[list[Spoken]] = []

    def generate() -> None:
        key[0], now = jax.random.split(key[0])
        # The state is donated round by round, so the first token and the position are copied for every call.
        state = SpeculativeState(jnp.array(token), jnp.int32(plan.prompt_length), now, held[0])
        said: list[Spoken] = []
        while sum(int(one.emitted) for one in said) < plan.new_tokens:
            state, one = run(weights, state)
            said.append(one)
        held[0] = jax.block_until_ready(state.carry)  # type: ignore[no-untyped-call]
        spoken.append(said)

    raw = _timed(plan, generate)
    measured = spoken[-len(raw) :]
    return call_timings(raw, [_counts(said) for said in measured]), _jury([one for said in measured for one in said])


def _counts(said: list[Spoken]) -> CallCounts:
    emitted = [int(one.emitted) for one in said]
    rejections = sum(int(one.rejected) >= 0 for one in said)
    return CallCounts(sum(int(one.accepted) for one in said), rejections, sum(emitted), len(said))


def _jury(said: list[Spoken]) -> dict[str, Any]:
    """Means over the rounds that ended with a rejection: how sure the target was, and how firm the votes were."""
    ended = [one for one in said if int(one.rejected) >= 0]
    rows = [
        (
            entropy_nats(logs := np.asarray(one.target, np.float64).tolist()),
            margin(logs),
            float(np.exp(logs[int(one.rejected)])),
            stability_radius(votes := np.asarray(one.votes).tolist()),
            validity_radius(votes, int(one.rejected)) or 0,
        )
        for one in ended
    ]
    names = ("entropy_nats", "stability_margin", "suppression", "stability_radius", "validity_radius")
    means = [fmean(column) for column in zip(*rows, strict=True)] if rows else [None] * len(names)
    return {"rejections": len(rows), "rounds": len(said), **dict(zip(names, means, strict=True))}


def _timed(plan: EnsemblePlan, call: Callable[[], None]) -> list[float]:
    """Milliseconds of the calls that the plan's budget allows."""
    buffer = np.zeros(FLUSH_BYTES // 8)

    def once() -> float:
        buffer.fill(1.0)
        started = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - started) / 1e6

    call()
    estimate = max(fmean(once() for _ in range(ESTIMATING)), 1e-6)
    for _ in range(max(1, min(MOST_CALLS, int(plan.warmup_ms / estimate)))):
        once()
    return [once() for _ in range(max(LEAST_CALLS, min(MOST_CALLS, int(plan.rep_ms / estimate))))]
