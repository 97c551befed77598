"""SGLang: the token pools of a rank, as its model runner sizes them when the weights are loaded (rules of 0.5.23).

What is left of the memory is divided by the bytes of one token in all layers of a rank. Windowed layers of
some models have a pool of their own with a fixed ratio of tokens, in all others they are full ones; recurrent layers
have one of state slots that takes a fixed share of the memory first. Layers that read another layer's cache have
entries all the same. "GB" in its log is GiB, and K and V are those of one rank. Latents and index keys are on every
rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Literal, NamedTuple

from kvtui.engine.engines.result import Buffer, Serving
from kvtui.engine.model.caches import CONV_FORMAT, Attention, Indexer, Latent, Recurrent, Shared, heads_per_rank
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import CacheCounts
from kvtui.engine.planning.search import context_limit, longest
from kvtui.engine.planning.stages import Stage, stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.drafter import stage_caches
from kvtui.engine.serving.sglang.budget import budget, static_share

SWA_FULL_TOKENS_RATIO, SWA_FULL_TOKENS_RATIO_COMPRESSED = Fraction(4, 5), Fraction(1, 10)
MAMBA_FULL_MEMORY_RATIO = Fraction(9, 10)
WINDOW_POOL = re.compile(
    r"gpt-?oss|llama-?4|gemma-?4|mimo-?v2|step-?3[.p][57]|deepseek-?v4|laguna|mellum|embeddinggemma-?2|inkling"
    r"|granite.*-swa",
    re.IGNORECASE,
)
"""Models whose windowed layers SGLang 0.5.23 gives a pool of their own (``is_hybrid_swa_model``)."""
SLOTS_PER_REQUEST = 5
SPECULATIVE_REQUESTS = 48
DUMMY_SLOTS = 1
LEAST_REQUESTS, MOST_REQUESTS, REQUESTS_PER_CONTEXT = 2048, 4096, 512


PoolName = Literal["full", "windowed", "state", "sequence"]


class PoolTensor(NamedTuple):
    """What ``layers`` alike layers keep on a rank: ``entry`` bytes for every ``ratio`` tokens of ``pool``.

    In pool "state" an entry is that of one slot, in "sequence" (cross-attention) that of one sequence. ``window`` is
    how many tokens of a sequence are kept; ``name`` is for the list of buffers.
    """

    pool: PoolName
    name: str
    entry: int
    layers: int
    ratio: int = 1
    window: int = 0


class RankTensors(NamedTuple):
    """The ``tensors`` of one rank; ``ratio`` of windowed tokens to those of the full pool."""

    tensors: tuple[PoolTensor, ...]
    ratio: Fraction = SWA_FULL_TOKENS_RATIO

    def per(self, pool: PoolName) -> Fraction:
        """Bytes of one token in ``pool``, or of one slot or sequence."""
        return sum((Fraction(t.entry * t.layers, t.ratio) for t in self.tensors if t.pool == pool), Fraction())

    @property
    def cell(self) -> Fraction:
        """Bytes that one token takes of all pools, with its share of the windowed layers' pool."""
        full, windowed = self.per("full"), self.per("windowed")
        return full + self.ratio * windowed if full else windowed

    @property
    def slot(self) -> int:
        """Bytes of one sequence's recurrent states; 0 without any."""
        return int(self.per("state"))

    @property
    def window(self) -> int:
        """Tokens of the longest window."""
        return max((t.window for t in self.tensors), default=0)


class Pools(NamedTuple):
    """Sizes of a rank's pools: ``tokens``, ``windowed`` tokens, ``slots``; ``set_aside`` bytes are for the states."""

    tokens: int
    windowed: int
    slots: int
    set_aside: int


def serve(scenario: Scenario) -> Serving:
    """What SGLang allocates for ``scenario``, on the pipeline stage whose pool holds the fewest tokens.

    Raises InputError when the weights are unknown where they matter.
    """
    found = []
    for stage, layers in zip(stages(scenario), stage_caches(scenario), strict=True):
        rank = RankTensors(tuple(_tensors(layers, scenario)), windowed_ratio(scenario))
        memory = _memory(scenario, stage)
        found.append((pools(rank, memory, scenario), rank, memory))
    sizes, rank, memory = min(found, key=lambda item: (not item[1].cell, item[0].tokens))
    page, context = scenario.block_size, scenario.context
    limit = "kv pool" if scenario.kv_pool is not None else "device memory"
    most_context = longest(lambda tokens: _reserved(rank, sizes, tokens, page) <= memory, context)
    at_once = _at_once(rank, sizes, scenario)
    running = min(_running(sizes.tokens, other, held, scenario) for held, other, _ in found)
    running_limit = "state slots" if rank.slot else "running requests"
    return Serving(
        engine=scenario.engine,
        version=scenario.serving.version,
        pool_bytes=memory,
        pool_is_estimate=scenario.kv_pool is None,
        needed_bytes=_request(rank, context, page),
        bytes_per_token=ceil(rank.per("full")),
        kv_cache_tokens=sizes.tokens,
        max_concurrency=Fraction(sizes.tokens, context),
        max_context=most_context,
        max_context_limit=context_limit(scenario, most_context, limit),
        max_sequences=min(at_once, running) * scenario.layout.dp,
        max_sequences_limit=limit if at_once <= running else running_limit,
        held=tuple(_held(*each) for each in found),
        rooms=tuple(_room(*each, scenario) for each in found),
        states=tuple(other.slot for _, other, _ in found) if any(other.slot for _, other, _ in found) else (),
        entries=tuple(_entries(other, context) for _, other, _ in found),
        buffers=_buffers(rank, sizes),
        block_size=page,
        bytes_per_block=ceil(page * rank.cell),
        blocks=sizes.tokens // page,
        blocks_per_request=_paged(context, page) // page,
        state_bytes_per_slot=rank.slot or None,
        state_slots=sizes.slots if rank.slot else None,
        engine_needed_bytes=_reserved(rank, sizes, context, page),
        refusals=tuple(_refusals(rank, sizes, scenario)),
        notes=tuple(_notes(rank, sizes, scenario)),
    )


def pools(rank: RankTensors, memory: int, scenario: Scenario) -> Pools:
    """How ``memory`` bytes of a rank become pools: state slots first, then as many pages of tokens as fit.

    With automatic slots the states take ``mamba_full_memory_ratio`` times what the tokens take. Drafting keeps an
    intermediate state for each drafted token of each running request. A rank without a token pool holds the context.
    ``--max-total-tokens`` bounds the tokens.
    """
    slots, set_aside = _slots(rank, memory, scenario) if rank.slot else (0, 0)
    page = scenario.block_size
    if not rank.cell:
        return Pools(_paged(scenario.context, page), 0, slots, set_aside)
    most = scenario.serving.max_total_tokens
    tokens = int(max(0, memory - set_aside) // rank.cell)
    tokens = (tokens if most is None else min(tokens, most)) // page * page
    windowed = int(tokens * rank.ratio) if rank.per("full") else tokens
    return Pools(tokens, windowed // page * page, slots, set_aside)


def windowed_ratio(scenario: Scenario) -> Fraction:
    """Tokens of the windowed pool for each of the full one: as chosen, or 0.8, beside compressed latents 0.1."""
    chosen = scenario.serving.swa_full_tokens_ratio
    if chosen is not None:
        return Fraction(str(chosen))
    compressed = any(cache.ratio > 1 for cache, _ in scenario.model.caches)
    return SWA_FULL_TOKENS_RATIO_COMPRESSED if compressed else SWA_FULL_TOKENS_RATIO


def frees_windows(scenario: Scenario) -> bool:
    """Whether windowed layers have a pool of their own: for the models on SGLang's list, unless told otherwise.

    Example: gpt-oss has one, and gemma-3 caches all its layers in full, which takes 6.2 times as much of each token.
    """
    chosen = scenario.serving.hybrid_manager
    return bool(WINDOW_POOL.search(scenario.model.name)) if chosen is None else chosen


def _memory(scenario: Scenario, stage: Stage) -> int:
    """Bytes for a rank's pools: those given, or what its budget leaves."""
    return max(0, budget(scenario, stage).pool) if scenario.kv_pool is None else scenario.kv_pool


def _tensors(caches: CacheCounts, scenario: Scenario) -> Iterator[PoolTensor]:
    """What ``caches`` keep on one rank; a layer that reads another's cache has entries like that one."""
    tp, kv, split = scenario.layout.tp, scenario.kv, frees_windows(scenario)
    latent = _latent_format(scenario)
    for own, count in caches:
        cache = own.reads if isinstance(own, Shared) else own
        cap = cache.cap if split else None
        pool: PoolName = "full" if cap is None else "windowed"
        name = "KV pool" if cap is None else "SWA pool"
        match cache:
            case Attention(kind="cross_attention"):
                held = cache.entries(scenario.context) * cache.entry_bytes(kv, tp)
                yield PoolTensor("sequence", "cross-attention", held, count)
            case Attention():
                heads = heads_per_rank(cache.kv_heads, tp)
                for side, dim in (("K", cache.k_dim), ("V", cache.v_dim)):
                    yield PoolTensor(pool, f"{name} ({side})", kv.row_bytes(heads, dim), count, window=cap or 0)
            case Latent():
                yield PoolTensor(pool, name, cache.entry_bytes(latent, tp), count, cache.ratio, cap or 0)
            case Indexer():
                yield PoolTensor("full", "indexer pool", cache.key_bytes, count, cache.ratio)
            case Recurrent():
                kept = cache._replace(state_format=scenario.serving.state_dtype or cache.state_format)
                conv = CONV_FORMAT.bytes(cache.conv_elements(tp))
                yield PoolTensor("state", "mamba pool (conv)", conv, count)
                yield PoolTensor("state", "mamba pool (ssm)", kept.fixed_bytes(tp) - conv, count)


def _latent_format(scenario: Scenario) -> Format:
    """The format of latents: where an index selects among them, fp8 ones are packed with scales and a 16-bit rope."""
    caches = [cache for cache, _ in scenario.model.caches]
    indexed = any(isinstance(cache, Indexer) for cache in caches)
    packed = all(cache.packed_bytes for cache in caches if isinstance(cache, Latent))
    return FORMATS["fp8_ds_mla"] if scenario.kv.name == "fp8" and indexed and packed else scenario.kv


def _slots(rank: RankTensors, memory: int, scenario: Scenario) -> tuple[int, int]:
    """State slots, and the bytes that they and the intermediate states of drafting take from the token pool."""
    serving, drafted = scenario.serving, scenario.speculative_tokens
    per_request = _slots_per_request(scenario)
    intermediate = drafted + 1 if drafted else 0
    if serving.max_mamba_cache_size is not None:
        slots = serving.max_mamba_cache_size
    elif serving.prefix_caching is False and serving.max_seqs is not None:
        slots = serving.max_seqs
    else:
        chosen = serving.mamba_full_memory_ratio
        ratio = MAMBA_FULL_MEMORY_RATIO if chosen is None else Fraction(str(chosen))
        budget = memory * ratio / (1 + ratio)
        slots = int(budget // (rank.slot * (1 + Fraction(intermediate, per_request))))
    requests = min(serving.max_seqs or SPECULATIVE_REQUESTS, slots // per_request)
    return slots, rank.slot * (slots + intermediate * requests)


def _slots_per_request(scenario: Scenario) -> int:
    """State slots that the scheduler counts for a running request: 3 and 2 to swap with the radix cache, or 1."""
    return 1 if scenario.serving.prefix_caching is False else SLOTS_PER_REQUEST


def _running(tokens: int, rank: RankTensors, sizes: Pools, scenario: Scenario) -> int:
    """The most requests that ``tokens`` and the state slots of a rank let run at once (``max_running_requests``)."""
    chosen = most_requests(tokens, scenario)
    by_slots = sizes.slots // _slots_per_request(scenario) if rank.slot else chosen
    return min(chosen, by_slots)


def most_requests(tokens: int, scenario: Scenario) -> int:
    """The most requests that a pool of ``tokens`` lets run at once: as told, or by the context; two tokens each."""
    by_tokens = tokens * REQUESTS_PER_CONTEXT // scenario.context
    return min(scenario.serving.max_seqs or min(max(by_tokens, LEAST_REQUESTS), MOST_REQUESTS), tokens // 2)


def _at_once(rank: RankTensors, sizes: Pools, scenario: Scenario) -> int:
    """Requests of the full context that the token pools hold."""
    page = scenario.block_size
    tokens = _paged(scenario.context, page)
    if not (rank.per("full") and rank.window):
        return sizes.tokens // tokens
    return min(sizes.tokens // tokens, sizes.windowed // min(tokens, rank.window + page))


def _request(rank: RankTensors, context: int, page: int) -> int:
    """Bytes that one request of ``context`` tokens takes: whole pages, a window of the windowed layers, its states."""
    tokens = _paged(context, page)
    kept = min(tokens, rank.window + page) if rank.window else tokens
    return ceil(tokens * rank.per("full") + kept * rank.per("windowed") + rank.per("sequence") + rank.slot)


def _reserved(rank: RankTensors, sizes: Pools, context: int, page: int) -> int:
    """Bytes that the pools must have so that the token pool holds ``context``: all states, and the windowed share."""
    return sizes.set_aside + ceil(_paged(context, page) * rank.cell)


def _room(sizes: Pools, rank: RankTensors, memory: int, scenario: Scenario) -> int:
    """Bytes of a rank's pools, or those that the scenario's sequences need where that is more."""
    page, context = scenario.block_size, scenario.context
    at_once = -(-scenario.batch // scenario.layout.dp)
    tokens = at_once * _paged(context, page)
    if rank.per("full") and rank.window:
        windowed = _paged(at_once * min(_paged(context, page), rank.window + page), page)
        tokens = max(tokens, _paged(ceil(windowed / rank.ratio), page))
    return max(_held(sizes, rank, memory), _reserved(rank, sizes, tokens, page))


def _entries(rank: RankTensors, context: int) -> int:
    """Bytes of the KV of one sequence of ``context`` tokens on a rank, without what rounding to pages adds."""
    windowed = min(context, rank.window) if rank.window else context
    return ceil(context * rank.per("full") + windowed * rank.per("windowed") + rank.per("sequence"))


def _held(sizes: Pools, rank: RankTensors, memory: int) -> int:
    """Bytes of a rank's pools, without what is not handed out."""
    return min(sum(buffer.bytes for buffer in _buffers(rank, sizes)), memory)


def _paged(tokens: int, page: int) -> int:
    return -(-tokens // page) * page


def _buffers(rank: RankTensors, sizes: Pools) -> tuple[Buffer, ...]:
    """The pools as the log lists them; the state pool has one slot more than it hands out."""
    found: dict[str, Buffer] = {}
    for tensor in rank.tensors:
        match tensor.pool:
            case "full":
                cells = entries = sizes.tokens // tensor.ratio
            case "windowed":
                cells = entries = sizes.windowed // tensor.ratio
            case "state":
                cells, entries = sizes.slots, sizes.slots + DUMMY_SLOTS
            case "sequence":
                continue
        before = found.get(tensor.name, Buffer(tensor.name, cells, 0, 0))
        size = entries * tensor.entry * tensor.layers
        found[tensor.name] = Buffer(tensor.name, cells, before.layers + tensor.layers, before.bytes + size)
    return tuple(found.values())


def _refusals(rank: RankTensors, sizes: Pools, scenario: Scenario) -> Iterator[str]:
    """Why SGLang ends at its start, whatever the context."""
    if rank.slot and sizes.slots < _slots_per_request(scenario):
        yield f"the state cache has {sizes.slots:,} slots, and one request needs {_slots_per_request(scenario)}"
    if rank.cell and not sizes.tokens:
        yield "there is no memory for a token pool: --mem-fraction-static must be larger"
    elif rank.window and rank.per("full") and sizes.windowed <= rank.window + scenario.block_size:
        yield f"the pool of {sizes.windowed:,} windowed tokens cannot hold one window of {rank.window:,} and a page"


def _notes(rank: RankTensors, sizes: Pools, scenario: Scenario) -> Iterator[str]:
    tokens, layout = sizes.tokens, scenario.layout
    if scenario.kv_pool is None:
        share = float(static_share(scenario))
        yield f"free memory is an estimate: mem_fraction_static {share:g}, and a prior for what is outside of torch"
    if scenario.expert_parallel and layout.dp > 1:
        yield "this is attention data parallelism (--enable-dp-attention); buffers of the all-to-all are not counted"
    if rank.per("windowed") and rank.per("full"):
        yield f"windowed layers have a pool of {sizes.windowed:,} tokens, {float(rank.ratio):g} of the full"
    elif any(cache.cap is not None and cache.ratio == 1 for cache, _ in scenario.model.caches):
        yield "SGLang has no pool of its own for this model's windows: it caches all layers in full"
    latents = any(isinstance(cache, Latent) for cache, _ in scenario.model.caches)
    if latents and layout.tp > 1:
        yield f"each of {layout.tp} ranks keeps every latent; --dp N --ep would divide the sequences instead"
    if any(tensor.ratio > 1 for tensor in rank.tensors):
        yield "compressed latents are approximate: pools for the compressors' states are not counted"
    if rank.slot:
        held = _slots_per_request(scenario)
        yield f"{sizes.slots:,} state slots; a running request may hold {held} of them"
    if rank.per("sequence"):
        yield "cross-attention caches are counted for each sequence, beside the pools"
    if tokens < scenario.context:
        yield f"the token pool holds {tokens:,} tokens, fewer than the context"
