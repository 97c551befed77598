"""The planner's formulas over numpy arrays, for sweeps, tables and surfaces.

Contexts, batches and budgets broadcast against each other; bytes are exact 64-bit integers. Every function is the array
version of a scalar one and tested against it: ``cache_bytes`` of ``model.cache_bytes``, ``device_bytes`` of
``plan.device_parts``, ``most_context`` and ``most_sequences`` of ``capacity.capacity``, ``decode`` of
``estimate.estimate``. As in ``capacity``, every sequence is as full as the scenario's fill says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MAX_TOKENS
from kvtui.engine.model.caches import Attention, Cache, Indexer, Latent, Recurrent, Shared
from kvtui.engine.model.spec import CacheCounts, Layer
from kvtui.engine.planning.allocation import Slot, busiest_share, fill_percent
from kvtui.engine.planning.drafting import TokenPass, acceptance_of, drafter, expected_tokens
from kvtui.engine.planning.parts import (
    SCORE_CHUNK,
    SCORE_TOKENS,
    SHORT_CONTEXT,
    budget,
    logit_bytes,
    overhead_bytes,
    query_heads,
    row_bytes,
)
from kvtui.engine.planning.roofline import (
    COMPUTE_EFFICIENCY,
    LAUNCH_SECONDS_PER_LAYER,
    collectives,
    peak_flops,
    read_gbs,
)
from kvtui.engine.planning.stages import distinct_stages, stages
from kvtui.engine.planning.step import top_k
from kvtui.engine.planning.weights import held_weight_bytes, joined_replicas, step_weights
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import AVERAGE, Scenario

if TYPE_CHECKING:
    from kvtui.engine.model.formats import Format

Tokens = npt.NDArray[Any]
Numbers = npt.NDArray[Any]
Truths = npt.NDArray[Any]

EXACT = 2**62
SMALL_BATCHES = 16


class Needs(NamedTuple):
    """Bytes of the fullest device in ``total``, and how many of them are ``cache``: KV, state and reserved room.

    With a KV pool, which each pipeline stage sets aside whole, ``cache`` is that of the stage with the most cache, and
    ``total`` has beside it what the stage with the most weights keeps.
    """

    total: Tokens
    cache: Tokens


class Rates(NamedTuple):
    """Milliseconds of a decode step and tokens per second over all devices, as bands; NaN where unknown."""

    low_ms: Numbers
    high_ms: Numbers
    low_tokens: Numbers
    high_tokens: Numbers


def cache_bytes(caches: CacheCounts, contexts: Tokens, kv: Format, tp: int = 1) -> Tokens:
    """Bytes, KV and state together, that ``caches`` keep per sequence on one of ``tp`` ranks, for each context."""
    total: Tokens = np.zeros_like(contexts)
    for cache, count in caches:
        total += count * (_entries(cache, contexts) * cache.entry_bytes(kv, tp) + cache.fixed_bytes(tp))
    return total


def device_bytes(scenario: Scenario, contexts: Tokens, batches: Tokens) -> Needs:
    """What the fullest device holds for ``batches`` sequences of at most ``contexts`` tokens.

    Raises InputError when the weights are unknown and not skipped, or when bytes would not be exact in 62 bits.
    """
    layout = scenario.layout
    _check_exact(scenario, contexts, batches)
    shares = [
        (_reserved(scenario, used, contexts), sequences) for used, sequences in _shares(scenario, contexts, batches)
    ]
    fixed = _activation_bytes(scenario, contexts, -(-batches // layout.dp)) + overhead_bytes(layout.tp * layout.pp)
    fullest: Needs | None = None
    for stage in distinct_stages(scenario):
        cache = np.zeros_like(fixed)
        for room, sequences in shares:
            cache = cache + sequences * cache_bytes(stage.caches, room, scenario.kv, layout.tp)
        needs = Needs(held_weight_bytes(scenario, stage) + cache + fixed, cache)
        fullest = needs if fullest is None else _fuller(scenario, needs, fullest)
    assert fullest is not None
    return fullest


def fits(scenario: Scenario, needs: Needs, budgets: Tokens) -> Truths:
    """Whether devices that may use ``budgets`` bytes each hold ``needs``, and a given KV pool their cache."""
    held: Truths = _occupied(scenario, needs) <= budgets
    return held if scenario.kv_pool is None else held & (needs.cache <= scenario.kv_pool)


def used(scenario: Scenario, needs: Needs) -> Numbers:
    """How full the fullest device of the scenario is, as ``parts.used`` has it."""
    of_device = _occupied(scenario, needs) / budget(scenario)
    if scenario.kv_pool is None:
        return of_device
    return np.where(of_device > 1, of_device, needs.cache / scenario.kv_pool)


def most_context(scenario: Scenario, batches: Tokens, budgets: Tokens | None = None) -> Tokens:
    """The most tokens of a sequence for each batch and device budget; ``MAX_TOKENS`` where memory sets no bound."""
    sizes, limits = _with_budgets(scenario, batches, budgets)
    bound = min(MAX_TOKENS, EXACT // (_token_bytes(scenario) * int(sizes.max())))
    found = _bisect(lambda n: fits(scenario, device_bytes(scenario, n, sizes), limits), bound, limits.shape)
    return np.where(found == bound, MAX_TOKENS, found)


def most_sequences(scenario: Scenario, contexts: Tokens, budgets: Tokens | None = None) -> Tokens:
    """The most sequences for each context and device budget; ``MAX_BATCH`` where memory sets no bound."""
    lengths, limits = _with_budgets(scenario, contexts, budgets)
    bound = min(MAX_BATCH, EXACT // (_token_bytes(scenario) * int(lengths.max())))

    def holds(batches: Tokens) -> Truths:
        return fits(scenario, device_bytes(scenario, lengths, batches), limits)

    found = _bisect(holds, bound, limits.shape)
    if scenario.fill == AVERAGE:
        few = np.zeros(limits.shape, np.int64)
        for batch in range(1, SMALL_BATCHES + 1):
            few = np.where(holds(np.full(limits.shape, batch)), batch, few)
        found = np.where(few < SMALL_BATCHES, few, found)
    return np.where(found == bound, MAX_BATCH, found)


def decode(scenario: Scenario, contexts: Tokens, batches: Tokens) -> Rates:
    """The roofline's bands for one decode step at full contexts, whether it fits or not."""
    contexts, batches = _broadcast(contexts, batches)
    layout = scenario.layout
    shares = list(_shares(scenario, contexts, batches))
    replica = np.asarray(sum(sequences for _, sequences in shares), np.int64)
    unknown = np.full(contexts.shape, np.nan)
    active, weights, each = scenario.model.active_parameters, step_weights(scenario), 1 + scenario.speculative_tokens
    drafting = drafter(scenario)
    if active is None or weights is None or (drafting is None and each > 1):
        return Rates(unknown, unknown, unknown, unknown)
    model = TokenPass(weights, active, scenario.model.counted, scenario.kv)
    step = _pass_seconds(scenario, model, shares, replica, each)
    if step is not None and drafting is not None:
        draft = _pass_seconds(scenario, drafting, shares, replica)
        tokens = expected_tokens(acceptance_of(scenario), each - 1)
        step = draft and ((step[0] + (each - 1) * draft[0]) / tokens, (step[1] + (each - 1) * draft[1]) / tokens)
    if step is None:
        return Rates(unknown, unknown, unknown, unknown)
    low, high = step
    return Rates(low * 1e3, high * 1e3, batches / high, batches * np.minimum(layout.pp, replica) / low)


def _pass_seconds(
    scenario: Scenario, what: TokenPass, shares: list[tuple[Tokens, Tokens]], replica: Tokens, each: int = 1
) -> tuple[Numbers, Numbers] | None:
    """The fast and the slow time of ``each`` token of all sequences passing through layers at once; None: no link."""
    tp, shared, peak = scenario.layout.tp, collectives(scenario, what.depth), peak_flops(scenario)
    if shared is None:
        return None
    read = _weights_read(scenario, what, each * replica) + tp * _caches_read(scenario, what, shares)
    work = each * _pass_flops(what, shares, replica)
    compute = np.zeros(replica.shape) if peak is None else work / (tp * peak)
    slow, fast = (read / (tp * gbs * 1e9) for gbs in read_gbs(scenario))
    launch = [seconds_per_layer * what.depth for seconds_per_layer in LAUNCH_SECONDS_PER_LAYER]
    every = shared.per_sequence * each * replica
    return (
        np.maximum(fast, compute / COMPUTE_EFFICIENCY[1]) + launch[0] + every + shared.fixed[0],
        np.maximum(slow, compute / COMPUTE_EFFICIENCY[0]) + launch[1] + every + shared.fixed[1],
    )


def _occupied(scenario: Scenario, needs: Needs) -> Tokens:
    return needs.total if scenario.kv_pool is None else needs.total - needs.cache + scenario.kv_pool


def _fuller(scenario: Scenario, one: Needs, other: Needs) -> Needs:
    """The needs of the fuller of two stages; with a pool the most cache, and the most beside it, of either."""
    if scenario.kv_pool is not None:
        cache = np.maximum(one.cache, other.cache)
        return Needs(cache + np.maximum(one.total - one.cache, other.total - other.cache), cache)
    more = one.total > other.total
    return Needs(np.where(more, one.total, other.total), np.where(more, one.cache, other.cache))


def _broadcast(contexts: Tokens, batches: Tokens) -> tuple[Tokens, Tokens]:
    wide, many = np.broadcast_arrays(np.asarray(contexts, np.int64), np.asarray(batches, np.int64))
    return wide, many


def _with_budgets(scenario: Scenario, values: Tokens, budgets: Tokens | None) -> tuple[Tokens, Tokens]:
    return _broadcast(values, np.array(budget(scenario)) if budgets is None else budgets)


def _bisect(holds: Callable[[Tokens], Truths], bound: int, shape: tuple[int, ...]) -> Tokens:
    """For each element the largest n from 0 to ``bound`` for which the falling predicate ``holds``."""
    low, high = np.zeros(shape, np.int64), np.full(shape, bound + 1)
    while (high - low > 1).any():
        middle = np.maximum((low + high) // 2, 1)
        held = holds(middle)
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    return low


def _token_bytes(scenario: Scenario) -> int:
    """A bound on the bytes that one more token, or a whole sequence's state, takes on a device."""
    one = np.ones(1, np.int64)
    tp = scenario.layout.tp
    sizes = (int(cache_bytes(stage.caches, one, scenario.kv, tp)[0]) for stage in stages(scenario))
    return max(1, *sizes, row_bytes(scenario) + logit_bytes(scenario.model))


def _check_exact(scenario: Scenario, contexts: Tokens, batches: Tokens) -> None:
    tokens = (int(np.max(contexts)) + scenario.block_size) * int(np.max(batches))
    if tokens * _token_bytes(scenario) > 2 * EXACT:
        raise InputError(f"context: {tokens:,} tokens in all are more than the arrays can count exactly")


def _shares(scenario: Scenario, contexts: Tokens, batches: Tokens) -> Iterator[tuple[Tokens, Tokens]]:
    """Tokens held, and how many of the busiest replica's sequences hold as many, longest first."""
    dp = scenario.layout.dp
    if scenario.fill != AVERAGE:
        yield np.maximum(1, contexts * scenario.fill_percent // 100), -(-batches // dp)
        return
    distinct, index = np.unique(batches, return_inverse=True)
    fills = [_busiest_fill(int(batch), dp) for batch in distinct]
    for percent in sorted(set().union(*fills), reverse=True):
        counts = np.array([fill.get(percent, 0) for fill in fills], np.int64)
        yield np.maximum(1, contexts * percent // 100), counts[index].reshape(np.shape(batches))


@lru_cache(maxsize=65_536)
def _busiest_fill(batch: int, dp: int) -> dict[int, int]:
    """Percent of the context, and how many sequences of the busiest replica are that full."""
    sequences = tuple(Slot(percent, percent, n) for percent, n in sorted(fill_percent(batch).items(), reverse=True))
    return {slot.used: slot.sequences for slot in busiest_share(sequences, dp)}


def _reserved(scenario: Scenario, used: Tokens, contexts: Tokens) -> Tokens:
    if scenario.paged_attention:
        return np.asarray(-(-used // scenario.block_size) * scenario.block_size)
    return used if scenario.continuous_batching else contexts


def _activation_bytes(scenario: Scenario, contexts: Tokens, batches: Tokens) -> Tokens:
    if scenario.model.hidden is None:
        return np.zeros_like(contexts * batches)
    tokens = np.minimum(scenario.max_batched_tokens, contexts * batches)
    sizes = row_bytes(scenario) * tokens + logit_bytes(scenario.model) * np.minimum(batches, tokens)
    return np.asarray(sizes if scenario.flash_attention else sizes + _score_bytes(scenario, contexts, batches))


def _score_bytes(scenario: Scenario, contexts: Tokens, batches: Tokens) -> Tokens:
    keys, tile = np.minimum(contexts, SCORE_TOKENS), scenario.device.tile
    saved = np.maximum(0, np.minimum(SCORE_CHUNK, keys) * keys - tile * tile)
    sizes = saved * query_heads(scenario.model) * batches * 2
    sizes = np.where(contexts < SHORT_CONTEXT, sizes // 10, sizes)
    return np.asarray(np.minimum(sizes, int(scenario.device.nominal_gb * GIB) // 2) // scenario.layout.tp)


def _entries(cache: Cache, contexts: Tokens) -> Tokens:
    match cache:
        case Attention(kind="cross_attention", cap=int(cap)):
            return np.full_like(contexts, cap)
        case Attention(cap=int(cap)):
            return np.minimum(contexts, cap)
        case Attention():
            return contexts
        case Latent(ratio=ratio, cap=int(cap)):
            return np.asarray(np.minimum(contexts // ratio, cap))
        case Latent(ratio=ratio) | Indexer(ratio=ratio):
            return np.asarray(contexts // ratio)
        case _:
            return np.zeros_like(contexts)


def _caches_read(scenario: Scenario, what: TokenPass, shares: list[tuple[Tokens, Tokens]]) -> Tokens:
    tp = scenario.layout.tp
    total = np.zeros_like(shares[0][0])
    for layer, count in what.layers:
        for cache in layer.caches:
            source = cache.reads if isinstance(cache, Shared) else cache
            size = 2 * cache.fixed_bytes(tp) if isinstance(cache, Recurrent) else source.entry_bytes(what.kv, tp)
            for tokens, sequences in shares:
                total = total + count * size * sequences * _touched(layer, cache, tokens)
    return total


def _pass_flops(what: TokenPass, shares: list[tuple[Tokens, Tokens]], replica: Tokens) -> Numbers:
    total = 2.0 * what.active * replica
    for layer, count in what.layers:
        for cache in layer.caches:
            work = 2 * cache.state_elements if isinstance(cache, Recurrent) else cache.macs_per_entry()
            for tokens, sequences in shares:
                total = total + 2.0 * count * work * sequences * _touched(layer, cache, tokens)
    return total


def _touched(layer: Layer, cache: Cache, tokens: Tokens) -> Tokens:
    """Entries of ``cache`` that one new token meets; 1 for a state."""
    match cache:
        case Recurrent():
            return np.ones_like(tokens)
        case Shared():
            return _entries(cache.reads, tokens)
        case Indexer():
            return _entries(cache, tokens)
        case _:
            return np.minimum(_entries(cache, tokens), top_k(layer))


def _weights_read(scenario: Scenario, what: TokenPass, replica: Tokens) -> Numbers:
    total = np.full(replica.shape, float(what.weights.always))
    tokens = replica * joined_replicas(scenario)
    for experts in what.weights.routed:
        total += experts.bytes * (1 - (1 - experts.active / experts.total) ** tokens)
    return total
