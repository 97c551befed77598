"""TensorRT-LLM: the blocks of its KV cache. Approximate: plain attention alone was compared with logs.

A fraction of the memory that is free after loading becomes blocks of ``tokens_per_block`` tokens in all layers of a
rank, their number rounded up. All layers keep every token unless windows are asked for (``max_attention_window``, or
its second cache manager); then each window size has a pool of its own, with the share that lets all pools hold as many
sequences (``KvCacheManager``); recurrent states are set aside for the running sequences first. Latents and index keys
are on every rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.engines.result import Buffer, Serving
from kvtui.engine.model.caches import Indexer, Latent
from kvtui.engine.model.spec import CacheCounts
from kvtui.engine.planning.search import context_limit, longest
from kvtui.engine.planning.stages import Stage, stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import windowed
from kvtui.engine.serving.drafter import stage_caches
from kvtui.engine.serving.tensorrt.budget import budget

INDEXED_BLOCK = 64


class WindowPool(NamedTuple):
    """Layers of one window on one rank: ``token`` bytes for each of at most ``cap`` tokens; None is no bound."""

    cap: int | None
    token: Fraction
    layers: int

    def tokens(self, context: int) -> int:
        """Tokens that a sequence of ``context`` tokens keeps."""
        return context if self.cap is None else min(context, self.cap)


class RankWindows(NamedTuple):
    """The windows of one rank, the longest first, and bytes of one sequence's ``state``."""

    windows: tuple[WindowPool, ...]
    state: int

    def request(self, context: int, block: int) -> int:
        """Bytes of a sequence of ``context`` tokens in whole blocks."""
        return self.state + ceil(
            sum((_blocks(w.tokens(context), block) * block * w.token for w in self.windows), Fraction())
        )


def serve(scenario: Scenario) -> Serving:
    """What TensorRT-LLM allocates for ``scenario``, on the pipeline stage with the fewest blocks.

    Raises InputError when the weights are unknown where they matter.
    """
    block, context = _block(scenario), scenario.context
    running = scenario.serving.max_seqs or scenario.batch
    found = []
    for stage, layers in zip(stages(scenario), stage_caches(scenario), strict=True):
        rank, memory = _rank(layers, scenario), _memory(scenario, stage)
        found.append((_longest(rank, memory, running, block, context), rank, memory))
    most_context, rank, memory = min(found, key=lambda item: MAX_TOKENS if item[0] is None else item[0])
    held = _pool_blocks(rank, memory - running * rank.state, context, block)
    per_request = [_blocks(window.tokens(context), block) for window in rank.windows]
    at_once = min((n // each for n, each in zip(held, per_request, strict=True)), default=running)
    limit = "kv pool" if scenario.kv_pool is not None else "device memory"
    return Serving(
        engine=scenario.engine,
        version=scenario.serving.version,
        pool_bytes=memory,
        pool_is_estimate=scenario.kv_pool is None,
        needed_bytes=_needed(rank, running, block, context),
        bytes_per_token=ceil(sum((w.token for w in rank.windows if w.cap is None), Fraction())),
        kv_cache_tokens=held[0] * block if held else 0,
        max_concurrency=Fraction(held[0], per_request[0]) if held else Fraction(0),
        max_context=most_context,
        max_context_limit=context_limit(scenario, most_context, limit),
        max_sequences=min(at_once, scenario.serving.max_seqs or at_once) * scenario.layout.dp,
        max_sequences_limit=limit if at_once <= (scenario.serving.max_seqs or at_once) else "max_num_seqs",
        held=tuple(available for _, _, available in found),
        rooms=tuple(_room(other, available, running, block, scenario) for _, other, available in found),
        entries=tuple(_entries(other, context) for _, other, _ in found),
        buffers=_buffers(rank, held, block, running),
        block_size=block,
        bytes_per_block=ceil(block * rank.windows[0].token) if held else None,
        blocks=held[0] if held else None,
        blocks_per_request=per_request[0] if held else None,
        state_bytes_per_slot=rank.state or None,
        state_slots=running if rank.state else None,
        notes=tuple(_notes(scenario, rank)),
    )


def _needed(rank: RankWindows, running: int, block: int, context: int) -> int:
    """Bytes of one sequence of ``context`` tokens and of the states of all ``running`` ones."""
    return (running - 1) * rank.state + rank.request(context, block)


def _room(rank: RankWindows, memory: int, running: int, block: int, scenario: Scenario) -> int:
    """Bytes of a rank's pools, or those in which the scenario's sequences have whole blocks of each of them."""
    context = scenario.context
    at_once = min(-(-scenario.batch // scenario.layout.dp), scenario.serving.max_seqs or scenario.batch)
    sequence = sum((w.tokens(context) * w.token for w in rank.windows), Fraction())
    wanted = [_needed(rank, running, block, context)]
    for window in rank.windows:
        tokens = (at_once * _blocks(window.tokens(context), block) - 1) * block + 1
        wanted.append(running * rank.state + ceil(tokens * sequence / window.tokens(context)))
    return max(memory, *wanted)


def _entries(rank: RankWindows, context: int) -> int:
    """Bytes of the KV of one sequence of ``context`` tokens on a rank, without what rounding to blocks adds."""
    return ceil(sum((window.tokens(context) * window.token for window in rank.windows), Fraction()))


def _longest(rank: RankWindows, memory: int, running: int, block: int, guess: int) -> int | None:
    """The longest context that a rank holds; None if no length is too long."""
    return longest(lambda tokens: _needed(rank, running, block, tokens) <= memory, guess)


def _block(scenario: Scenario) -> int:
    """Tokens of a block; index keys need 64."""
    indexed = any(isinstance(cache, Indexer) for cache, _ in scenario.model.caches)
    return max(scenario.block_size, INDEXED_BLOCK) if indexed else scenario.block_size


def _memory(scenario: Scenario, stage: Stage) -> int:
    """Bytes for the cache of a rank: those given, or what its budget leaves."""
    return max(0, budget(scenario, stage).pool) if scenario.kv_pool is None else scenario.kv_pool


def _rank(caches: CacheCounts, scenario: Scenario) -> RankWindows:
    """What ``caches`` keep on a rank. Example: gpt-oss-120b has 36 layers of 2,048 bytes, 73,728 for each token."""
    tp, kv, split = scenario.layout.tp, scenario.kv, scenario.serving.hybrid_manager is True
    state = 0
    windows: dict[int | None, WindowPool] = {}
    for cache, count in caches:
        state += count * cache.fixed_bytes(tp)
        size = Fraction(count * cache.entry_bytes(kv, tp), cache.ratio)
        cap = cache.cap if split or cache.kind == "cross_attention" else None
        if size:
            before = windows.get(cap, WindowPool(cap, Fraction(), 0))
            windows[cap] = WindowPool(cap, before.token + size, before.layers + count)
    longest_first = sorted(windows.values(), key=lambda w: (w.cap is not None, -(w.cap or 0)))
    return RankWindows(tuple(w for w in longest_first if w.cap != 0), state)


def _pool_blocks(rank: RankWindows, memory: int, context: int, block: int) -> tuple[int, ...]:
    """Blocks of each window's pool in ``memory`` bytes, rounded up; a pool's share is what one sequence keeps in it."""
    sequence = sum((w.tokens(context) * w.token for w in rank.windows), Fraction())
    tokens = (max(0, memory) * w.tokens(context) // sequence for w in rank.windows)
    return tuple(_blocks(int(count), block) for count in tokens)


def _blocks(tokens: int, block: int) -> int:
    return -(-tokens // block)


def _buffers(rank: RankWindows, held: tuple[int, ...], block: int, running: int) -> tuple[Buffer, ...]:
    """One pool per window, and the states."""
    pools = [
        Buffer(
            "KV pool" if w.cap is None else f"KV pool (window {w.cap:,})",
            n * block,
            w.layers,
            ceil(n * block * w.token),
        )
        for w, n in zip(rank.windows, held, strict=True)
    ]
    if rank.state:
        pools.append(Buffer("state pool", running, 0, running * rank.state))
    return tuple(pools)


def _notes(scenario: Scenario, rank: RankWindows) -> Iterator[str]:
    yield "TensorRT-LLM figures are approximate: plain attention alone was compared with its logs"
    if scenario.kv_pool is None:
        yield "free memory is an estimate: activations and what the driver keeps are priors"
    if len(rank.windows) > 1:
        yield f"{len(rank.windows)} window sizes have a pool each"
    elif windowed(scenario.model) and scenario.serving.hybrid_manager is not True:
        yield "without max_attention_window windowed layers keep every token; --hybrid-manager plans them with it"
    if rank.state:
        yield "recurrent states are set aside for the running sequences (--max-seqs, or the batch)"
    latents = any(isinstance(cache, Latent) for cache, _ in scenario.model.caches)
    if latents and scenario.layout.tp > 1:
        yield f"each of {scenario.layout.tp} ranks keeps every latent"
