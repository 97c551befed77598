"""What a scenario keeps on its devices, part by part, without any engine's rounding.

Weights and caches are exact. Activations and overhead are priors, calibrated on boot logs, and say so.

A KV pool that is given (``--kv-pool``) is set aside whole on every device. So two things must hold: the cache fits the
pool, and the pool fits the device beside weights, activations and overhead. An engine that is told the size of its
pool does not ask for a share of the memory, so there the device is all of its usable memory; a boot log's pool plus
what it stood beside is under that by the share that the engine left free, 8 % or more by default, which is more than
the priors are wrong by. Where the memory really was short is for ``reconcile`` to say, by weights and pool alone.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.model.caches import Attention, Cache, Latent
from kvtui.engine.model.spec import CacheBytes, CacheCounts, ModelSpec, cache_bytes, count_caches
from kvtui.engine.planning.allocation import Slot, busiest_share, replica_share, slots
from kvtui.engine.planning.serve import engine_budget, engine_room
from kvtui.engine.planning.stages import Stage, distinct_stages, stages
from kvtui.engine.planning.weights import held_weight_bytes
from kvtui.engine.scenario.scenario import Scenario

CONTEXT_OVERHEAD_BYTES = 460 * MIB
COLLECTIVE_OVERHEAD_BYTES = {2: 348 * MIB}
WIDE_COLLECTIVE_OVERHEAD_BYTES = 399 * MIB
SCORE_TOKENS, SCORE_CHUNK, SHORT_CONTEXT = 65_536, 4096, 2048


class Parts(NamedTuple):
    """Bytes by what they are for.

    ``reserved_unused`` is cache memory that is set aside for sequences and holds no token, ``pool_free`` what an engine
    has set aside and no sequence needs.
    """

    weights: int = 0
    kv: int = 0
    state: int = 0
    activation: int = 0
    overhead: int = 0
    reserved_unused: int = 0
    pool_free: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return self.beside_cache + self.cache

    @property
    def beside_cache(self) -> int:
        """What is not the cache's."""
        return self.weights + self.activation + self.overhead

    @property
    def cache(self) -> int:
        """The cache: KV, state, reserved room, and the rest of an engine's pool."""
        return self.kv + self.state + self.reserved_unused + self.pool_free


def budget(scenario: Scenario) -> int:
    """Bytes of one device that may be planned: an engine's as it divides what programs can allocate."""
    told = engine_room(scenario)
    return int(scenario.device.usable_bytes * scenario.memory_utilization) if told is None else told


def device_parts(scenario: Scenario, context: int, batch: int) -> Parts:
    """What the most loaded device holds for ``batch`` sequences of at most ``context`` tokens."""
    share = busiest_share(slots(scenario, context, batch), scenario.layout.dp)
    found = (stage_parts(scenario, stage, share, context) for stage in distinct_stages(scenario))
    return max(found, key=lambda parts: shortage(scenario, parts))


def total_parts(scenario: Scenario, sequences: tuple[Slot, ...], position: int | None = None) -> Parts:
    """What all devices together hold for ``sequences``, longest first: every rank's caches and weights.

    ``position`` is the context that they have reached; None means all of it.
    """
    layout = scenario.layout
    kv, unused, state = (layout.tp * size for size in _held(scenario, all_caches(scenario), sequences, layout.dp))
    busiest = -(-scenario.batch // layout.dp)
    weights, activation, overhead = 0, 0, 0
    for stage in stages(scenario):
        held, peak, rest = (
            layout.tp * layout.dp * size for size in _beside(scenario, stage, scenario.context, busiest, position)
        )
        weights, activation, overhead = weights + held, activation + peak, overhead + rest
    return Parts(weights, kv, state, activation, overhead, unused)


def stage_parts(
    scenario: Scenario, stage: Stage, share: tuple[Slot, ...], context: int, position: int | None = None
) -> Parts:
    """What a device of ``stage`` holds for the sequences of ``share``, longest first, which may grow to ``context``.

    ``position`` is the context that they have reached, for the attention scores of a scenario without FlashAttention;
    None means all of it. Whole blocks of a common prefix are stored once.
    """
    kv, unused, state = _held(scenario, stage.caches, share, 1)
    weights, activation, overhead = _beside(scenario, stage, context, sum(slot.sequences for slot in share), position)
    return Parts(weights, kv, state, activation, overhead, unused)


def _beside(scenario: Scenario, stage: Stage, context: int, batch: int, position: int | None) -> tuple[int, int, int]:
    """Weights, activations and all else that a device of ``stage`` keeps beside the cache, in bytes.

    An engine's are those of its own budget, which knows whether it writes attention scores.
    """
    divided = engine_budget(scenario, stage)
    if divided is None:
        activation = activation_bytes(scenario, context, batch, position)
        return held_weight_bytes(scenario, stage), activation, overhead_bytes(scenario.layout.tp * scenario.layout.pp)
    weights, activation = divided.bytes_of("weights"), divided.bytes_of("activation")
    rest = sum(term.bytes for term in (*divided.terms, *divided.beside)) - weights - activation
    return weights, activation, rest


def fits(scenario: Scenario, context: int, batch: int) -> bool:
    """Whether ``batch`` sequences of at most ``context`` tokens fit the scenario's devices."""
    return holds(scenario, device_parts(scenario, context, batch))


def score_matrix_bytes(scenario: Scenario, context: int, batch: int) -> int:
    """Bytes of attention scores that FlashAttention does not write out, an illustration and not an allocation.

    The kvcache.io visualiser's formula with the model's own query heads and 16-bit scores: a chunk of at most 4,096
    queries against at most 65,536 keys, less one tile per head (FlashAttention, arXiv:2205.14135), a tenth of it below
    2,048 tokens, and never more than half the device's nominal memory.
    """
    keys = min(context, SCORE_TOKENS)
    tile = scenario.device.tile
    saved = max(0, min(SCORE_CHUNK, keys) * keys - tile * tile) * query_heads(scenario.model) * batch * 2
    if context < SHORT_CONTEXT:
        saved //= 10
    return min(saved, int(scenario.device.nominal_gb * GIB) // 2)


def query_heads(model: ModelSpec) -> int:
    """Query heads of the widest attention layer."""
    return max((cache.q_heads for cache, _ in model.caches), default=0)


def activation_bytes(scenario: Scenario, context: int, batch: int, position: int | None = None) -> int:
    """Peak activations of a prefill step on one device, a prior and not exact.

    16-bit elements per batched token: four residual rows, q, k, v and the attention output, and gate, up and product
    of the FFN; plus fp32 logits per sequence. For Llama-3.1-8B at 8,192 tokens and 256 sequences this gives 1.18 GiB,
    where vLLM's profile logs 1.20 and 1.23 GiB. Zero when the model's hidden size is unknown. Without FlashAttention
    the scores of ``position`` tokens (None: all of ``context``) are added.
    """
    if scenario.model.hidden is None:
        return 0
    tokens = min(scenario.max_batched_tokens, context * batch)
    logits = logit_bytes(scenario.model) * min(batch, tokens)
    return row_bytes(scenario) * tokens + logits + _score_bytes(scenario, context, batch, position)


def _score_bytes(scenario: Scenario, context: int, batch: int, position: int | None) -> int:
    """Bytes of attention scores on one rank of a scenario without FlashAttention."""
    if scenario.flash_attention:
        return 0
    return score_matrix_bytes(scenario, context if position is None else position, batch) // scenario.layout.tp


def row_bytes(scenario: Scenario) -> int:
    """Bytes of activations that one batched token takes on one device, of a model whose hidden size is known."""
    attention, width = _widest_rows(scenario.model)
    return 2 * (4 * (scenario.model.hidden or 0) + (attention + 3 * width) // scenario.layout.tp)


def logit_bytes(model: ModelSpec) -> int:
    """Bytes of one sequence's fp32 logits."""
    return 4 * (model.vocab or 0)


def overhead_bytes(devices_per_replica: int) -> int:
    """Driver context and collective buffers of one device: 0.45 GiB, and with peers 0.34 to 0.39 GiB more (priors)."""
    if devices_per_replica == 1:
        return CONTEXT_OVERHEAD_BYTES
    collective = COLLECTIVE_OVERHEAD_BYTES.get(devices_per_replica, WIDE_COLLECTIVE_OVERHEAD_BYTES)
    return CONTEXT_OVERHEAD_BYTES + collective


def all_caches(scenario: Scenario) -> CacheCounts:
    """The caches of all layers, and of the MTP layers where those draft."""
    model = scenario.model
    return count_caches(model.layers + model.mtp) if scenario.drafts_itself else model.caches


def sequences_cache(caches: CacheCounts, sequences: tuple[Slot, ...], scenario: Scenario, tp: int) -> CacheBytes:
    """Bytes that ``sequences`` keep in ``caches`` on one of ``tp`` ranks, each as far as it is used."""
    total = [0, 0, 0, 0]
    for slot in sequences:
        one = cache_bytes(caches, slot.used, scenario.kv, tp)
        for i, size in enumerate((one.growing, one.indexer, one.bounded, one.state)):
            total[i] += slot.sequences * size
    return CacheBytes(*total)


def prefix_shared(scenario: Scenario, sequences: tuple[Slot, ...]) -> int:
    """Bytes of all ranks together that ``sequences`` do not store because another of their replica holds the prefix."""
    layout = scenario.layout
    return layout.tp * _prefix_saved(scenario, all_caches(scenario), sequences, layout.dp)


def _held(scenario: Scenario, caches: CacheCounts, sequences: tuple[Slot, ...], replicas: int) -> tuple[int, int, int]:
    """KV, unused room and state in bytes that ``sequences`` have in ``caches`` of one rank of each of ``replicas``.

    The room is what they would hold if all of it were in use. Example: 100 tokens of a byte each, in blocks of 16, are
    100 bytes of KV in room for 112, of which 12 are unused.
    """
    useful = sequences_cache(caches, sequences, scenario, scenario.layout.tp)
    kv = useful.kv - _prefix_saved(scenario, caches, sequences, replicas)
    full = tuple(slot._replace(used=slot.reserved) for slot in sequences)
    if full == sequences:
        return kv, 0, useful.state
    roomy = sequences_cache(caches, full, scenario, scenario.layout.tp)
    room = roomy.kv - _prefix_saved(scenario, caches, full, replicas)
    return kv, room - kv, useful.state


def _prefix_saved(scenario: Scenario, caches: CacheCounts, sequences: tuple[Slot, ...], replicas: int) -> int:
    """Bytes that a common prefix saves in ``caches`` among ``sequences``, longest first, dealt out to ``replicas``.

    In each replica that is all they would hold of its whole blocks, less the one copy that the longest reaches.
    """
    if not scenario.shared_prefix:
        return 0
    saved = 0
    for replica in range(replicas):
        share = replica_share(sequences, replicas, replica)
        sizes = [_prefix_bytes(scenario, caches, slot.used) for slot in share]
        saved += sum(size * slot.sequences for size, slot in zip(sizes, share, strict=True)) - sizes[0]
    return saved


def _prefix_bytes(scenario: Scenario, caches: CacheCounts, tokens: int) -> int:
    """Bytes of one rank for at most ``tokens`` tokens of the prefix's whole blocks, in layers that keep every token."""
    whole = scenario.shared_prefix // scenario.block_size * scenario.block_size
    prefix = cache_bytes(caches, min(tokens, whole), scenario.kv, scenario.layout.tp)
    return prefix.growing + prefix.indexer


def _widest_rows(model: ModelSpec) -> tuple[int, int]:
    attention = max((_row_elements(cache) for cache, _ in model.caches), default=0)
    return attention, max((layer.width for layer, _ in model.counted), default=0)


def _row_elements(cache: Cache) -> int:
    """Elements of q, k, v and the attention output of one token."""
    match cache:
        case Attention():
            return (cache.q_heads + cache.kv_heads) * (cache.k_dim + cache.v_dim)
        case Latent():
            return 2 * cache.q_heads * cache.rank
        case _:
            return 0


def holds(scenario: Scenario, parts: Parts) -> bool:
    """Whether a device holds ``parts``, and a given pool their cache."""
    return shortage(scenario, parts) <= 0


def crowded(scenario: Scenario, parts: Parts) -> bool:
    """Whether a given pool does not fit a device beside the rest of its ``parts``, however little the pool holds.

    Example: 529 GiB of weights and a pool of 1 GiB on a device of 80 GiB.
    """
    return scenario.kv_pool is not None and occupied(scenario, parts) > available(scenario)


def crowded_limit(scenario: Scenario, parts: Parts) -> str:
    """What leaves a crowded device no room, in words: the weights and what they need, or those and the pool."""
    return "weights" if parts.beside_cache > available(scenario) else "device memory"


def shortage(scenario: Scenario, parts: Parts) -> int:
    """Bytes that a device lacks for ``parts``, or a given pool for their cache, whichever lacks more.

    Negative where there are bytes to spare. Example: of a cache of 3 GiB in a pool of 2 GiB, on a device that has
    10 GiB to spare beside that pool, 1 GiB is missing.
    """
    lacking = occupied(scenario, parts) - available(scenario)
    return lacking if scenario.kv_pool is None else max(lacking, parts.cache - scenario.kv_pool)


def occupied(scenario: Scenario, parts: Parts) -> int:
    """Bytes that ``parts`` take of a device: all of them; with a given pool, the pool whole and what is beside it."""
    return parts.total if scenario.kv_pool is None else parts.beside_cache + scenario.kv_pool


def available(scenario: Scenario) -> int:
    """Bytes of a device that may be occupied: its budget; all usable ones for an engine that is given its pool."""
    told = scenario.kv_pool is not None and scenario.engine != "none"
    return scenario.device.usable_bytes if told else budget(scenario)


def used(scenario: Scenario, parts: Parts) -> float:
    """How full the most loaded device is, over 1 where it does not hold its ``parts``.

    It is the share of the budget, or of a given pool; of the device where that cannot hold the pool.
    """
    if scenario.kv_pool is None or crowded(scenario, parts):
        return occupied(scenario, parts) / available(scenario)
    return parts.cache / scenario.kv_pool
