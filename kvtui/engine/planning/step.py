"""What a decode step moves and computes: bytes and operations of the busiest replica, whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.engines.known import part, places_layers
from kvtui.engine.model.caches import Cache, Indexer, Recurrent, Shared
from kvtui.engine.model.formats import Format
from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.allocation import Slot, busiest_share
from kvtui.engine.planning.drafting import TokenPass, drafter
from kvtui.engine.planning.weights import joined_replicas, step_weights
from kvtui.engine.scenario.scenario import Scenario

if TYPE_CHECKING:
    from kvtui.engine.engines.placement import RamRead


class Step(NamedTuple):
    """One decode step of the busiest replica, on any device: bytes, operations (None: unknown), and its sequences.

    ``ram`` says which of the bytes lie in the machine's RAM. Of each sequence ``each`` tokens pass: more than one where
    some were drafted. ``plain`` is the step without these, and ``draft`` what one drafted token of each sequence takes.
    """

    bytes: int | None
    flops: int | None
    sequences: int
    ram: RamRead | None = None
    each: int = 1
    plain: Step | None = None
    draft: DraftedToken | None = None


class DraftedToken(NamedTuple):
    """One drafted token of each sequence: bytes, operations, and layers one after the other."""

    bytes: int
    flops: int
    layers: int


def decode_step(scenario: Scenario, sequences: tuple[Slot, ...]) -> Step:
    """The decode step of ``sequences``, all those of the scenario."""
    share = busiest_share(sequences, scenario.layout.dp)
    plain = plain_step(scenario, share)
    if not scenario.speculative_tokens:
        return plain
    found = drafter(scenario)
    step = plain_step(scenario, share, 1 + scenario.speculative_tokens)
    return step._replace(plain=plain, draft=None if found is None else draft_step(scenario, found, share))


def draft_step(scenario: Scenario, found: TokenPass, share: tuple[Slot, ...]) -> DraftedToken:
    """What the drafter ``found`` does for one token of each sequence of ``share``."""
    count, tp = sum(slot.sequences for slot in share), scenario.layout.tp
    tokens = count * joined_replicas(scenario)
    read = found.weights.always + int(sum(experts.bytes * experts.touched(tokens) for experts in found.weights.routed))
    work = 2 * found.active * count
    for layer, number in found.layers:
        for slot in share:
            many = number * slot.sequences
            read += many * tp * sum(_cache_read(layer, cache, slot.used, tp, found.kv) for cache in layer.caches)
            work += 2 * many * sum(_macs(layer, cache, slot.used) for cache in layer.caches)
    return DraftedToken(read, work, found.depth)


def plain_step(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> Step:
    """The step of one replica's ``share`` with ``each`` tokens of a sequence, and nothing beside it."""
    count = sum(slot.sequences for slot in share)
    read, work = step_bytes(scenario, share, each), step_flops(scenario, share, each)
    return Step(read, work, count, _ram_read(scenario, share, each), each)


def step_bytes(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> int | None:
    """Bytes that one decode step of one replica moves: weights of the experts it touches, caches, and states twice.

    ``each`` tokens of a sequence share one reading of its caches. None when the weights are unknown.
    """
    batch = sum(slot.sequences for slot in share)
    weights = weights_read(scenario, each * batch)
    if weights is None:
        return None
    return weights + sum(slot.sequences * sequence_read(scenario, slot.used) for slot in share)


def sequence_read(scenario: Scenario, tokens: int) -> int:
    """Bytes of one sequence's caches and states that a decode step at ``tokens`` tokens moves, on all its devices."""
    return scenario.layout.tp * sum(
        count * layer_cache_read(layer, tokens, scenario) for layer, count in scenario.model.counted
    )


def step_flops(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> int | None:
    """Operations of one decode step of one replica, ``each`` tokens of a sequence; None: active weights unknown."""
    active = scenario.model.active_parameters
    if active is None:
        return None
    attention = sum(slot.sequences * sequence_macs(scenario, slot.used) for slot in share)
    return each * (2 * active * sum(slot.sequences for slot in share) + 2 * attention)


def sequence_macs(scenario: Scenario, tokens: int) -> int:
    """Multiply-adds with which one token of a sequence meets the ``tokens`` before it."""
    return sum(
        count * sum(_macs(layer, cache, tokens) for cache in layer.caches) for layer, count in scenario.model.counted
    )


def prefill_flops(scenario: Scenario) -> int | None:
    """Operations to prefill one sequence of the scenario's context; None when the active weights are unknown.

    Two per active weight and token, and causal attention: every token meets half of the context, or its window.
    """
    active, tokens = scenario.model.active_parameters, scenario.context
    if active is None:
        return None
    attention = 0
    for layer, count in scenario.model.counted:
        for cache in layer.caches:
            last = _macs(layer, cache, tokens)
            seen = tokens if cache.cap is None else min(cache.cap, tokens)
            attention += count * last * (tokens - seen // 2)
    return 2 * active * tokens + 2 * attention


def weights_read(scenario: Scenario, batch: int) -> int | None:
    """Bytes of weights that a step of ``batch`` tokens reads, with the experts that so many meet; None: unknown."""
    read = step_weights(scenario)
    if read is None:
        return None
    tokens = batch * joined_replicas(scenario)
    return read.always + int(sum(experts.bytes * experts.touched(tokens) for experts in read.routed))


def layer_cache_read(layer: Layer, tokens: int, scenario: Scenario) -> int:
    """Bytes of a sequence of ``tokens`` that a decode step moves in ``layer``'s caches on one rank."""
    return sum(_cache_read(layer, cache, tokens, scenario.layout.tp, scenario.kv) for cache in layer.caches)


def _ram_read(scenario: Scenario, share: tuple[Slot, ...], each: int) -> RamRead | None:
    if not places_layers(scenario.engine) or scenario.model.parameters is None or scenario.skip_weights:
        return None
    found: RamRead | None = part(scenario.engine, "reads").ram_read(scenario, share, each)
    return found


def _cache_read(layer: Layer, cache: Cache, tokens: int, tp: int, kv: Format) -> int:
    match cache:
        case Recurrent():
            return 2 * cache.fixed_bytes(tp)
        case Shared():
            return cache.reads.entries(tokens) * cache.reads.entry_bytes(kv, tp)
        case Indexer():
            return cache.entries(tokens) * cache.entry_bytes(kv, tp)
        case _:
            return min(cache.entries(tokens), top_k(layer)) * cache.entry_bytes(kv, tp)


def _macs(layer: Layer, cache: Cache, tokens: int) -> int:
    match cache:
        case Recurrent():
            return 2 * cache.state_elements
        case Shared():
            return cache.macs_per_entry() * cache.reads.entries(tokens)
        case Indexer():
            return cache.macs_per_entry() * cache.entries(tokens)
        case _:
            return cache.macs_per_entry() * min(cache.entries(tokens), top_k(layer))


def top_k(layer: Layer) -> int:
    """Entries that attention reads of ``layer``: an indexer's choice, or all (2**62)."""
    return next((cache.top_k for cache in layer.caches if isinstance(cache, Indexer)), 2**62)
