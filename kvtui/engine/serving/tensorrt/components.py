"""TensorRT-LLM's boot log beside the prediction: tokens and blocks of the cache, and what is kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.engines.budget import Budget
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.comparison import (
    ComparedLog,
    Component,
    beside_prior,
    beside_term,
    component,
    exact_count,
    held_weights,
    printed_bytes,
    reach,
    weights_beside,
)
from kvtui.engine.serving.tensorrt.budget import budget, free_share

TOKENS_APART = (
    "another cache format, windows of other sizes, or a rank with less memory than the one that printed its own"
)


def compare(log: BootLog, scenario: Scenario, known_device: bool) -> ComparedLog:
    """The components of ``log`` under ``scenario``; ``known_device`` says whether its device is more than a default.

    Raises InputError when the weights are unknown where they matter.
    """
    pool = log.least("pool")
    half = pool.half if pool is not None and max(1, pool.bytes) == scenario.kv_pool else 0
    found = reach(scenario, half)
    weights, activation, outside = log.most("weights"), log.most("activation"), log.most("non_torch")
    expected = budget(_known(scenario, weights), stages(scenario)[0])
    prior = {term.id: term for term in expected.terms}
    rows = [
        *_tokens(log, found.low, found.at, found.high, exact=found.exact),
        *_token(log, found.at),
        *beside_prior("total", "memory of the device", expected.device if known_device else None, log.most("total")),
        *weights_beside(held_weights(scenario), weights),
        *beside_term("activation", "peak activation", prior["activation"], activation),
        *beside_term("non_torch", "outside of torch", prior["non_torch"], outside),
        *beside_prior("pool", "memory of the cache", expected.pool if known_device else None, pool),
    ]
    measured = Overheads("", printed_bytes(weights), printed_bytes(activation), None, printed_bytes(outside))
    if known_device and pool is not None:
        measured = measured._replace(non_torch=_outside(expected, measured, scenario, pool))
    return ComparedLog(found.at, tuple(rows), measured)


def _known(scenario: Scenario, weights: Size | None) -> Scenario:
    """``scenario`` with the weights that were loaded."""
    if weights is None:
        return scenario
    return scenario._replace(serving=scenario.serving._replace(measured=Overheads("", weights=weights.bytes)))


def _outside(expected: Budget, measured: Overheads, scenario: Scenario, pool: Size) -> int | None:
    """Outside of torch what makes a plan of the same start leave the cache that was logged; None if nothing does."""
    kept = expected.bytes_of("weights")
    kept += expected.bytes_of("activation") if measured.activation is None else measured.activation
    outside = expected.device - kept - ceil(pool.bytes / free_share(scenario))
    return outside if outside >= 0 else None


def _tokens(log: BootLog, low: Serving, at: Serving, high: Serving, *, exact: bool) -> Iterator[Component]:
    """Tokens and blocks; what is printed may be the figure before or after it was rounded up to whole blocks."""
    tokens, blocks = log.counts.get("kv_cache_tokens"), log.counts.get("blocks")
    block = at.block_size or 1
    if tokens is not None:
        least, most = max(0, low.kv_cache_tokens - block + 1), high.kv_cache_tokens
        predicted = least, at.kv_cache_tokens, most
        yield component(
            "kv_cache_tokens", "KV cache size", "tokens", predicted, (tokens,) * 3, TOKENS_APART, exact=exact
        )
    if blocks is not None and at.blocks is not None and low.blocks is not None and high.blocks is not None:
        yield component(
            "blocks", "blocks", "blocks", (low.blocks, at.blocks, high.blocks), (blocks,) * 3, TOKENS_APART, exact=exact
        )


def _token(log: BootLog, serving: Serving) -> Iterator[Component]:
    """The bytes of one token, which the PyTorch backend prints whole."""
    seen = log.counts.get("token_bytes")
    if seen is not None:
        per_block = Fraction(serving.bytes_per_block or 0, serving.block_size or 1)
        yield exact_count("token_bytes", "KV cache of a token", "B", ceil(per_block), seen, TOKENS_APART)
