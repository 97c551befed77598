"""vLLM: from a scenario to the blocks, tokens and concurrency of its boot log, without a device.

The pool of a rank is what its ``budget`` leaves; ``--kv-pool`` replaces it. All ranks get the smallest rank's number of
blocks. What changed between releases is in ``releases``, what a block holds in ``blocks``, and how layers are grouped
in ``groups``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.engines.result import GroupShare, Serving
from kvtui.engine.model.caches import Attention, Indexer, Latent, Recurrent
from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.parts import device_parts
from kvtui.engine.planning.search import context_limit, longest
from kvtui.engine.planning.stages import partition, stages
from kvtui.engine.serving.drafter import draft_layers
from kvtui.engine.serving.vllm.blocks import (
    Alignment,
    Workload,
    align,
    packs_latents,
    specs_of,
    state_bytes,
    unmergeable,
    workload,
)
from kvtui.engine.serving.vllm.budget import budget_under
from kvtui.engine.serving.vllm.exchange import COUNTED, backend_of
from kvtui.engine.serving.vllm.groups import Grouping, Placed, grouping
from kvtui.engine.serving.vllm.kernels import unread
from kvtui.engine.serving.vllm.releases import FIRST_START_WORDS, Rules, default_max_seqs, rules
from kvtui.engine.serving.vllm.runner import counts_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtui.engine.scenario.scenario import Scenario


ADMITTED_MORE = 1.1
"""From which on it is said that a request takes more blocks at first than its tokens fill later."""

_COUNTED = {
    "layers": "compares what layers take one by one",
    "first group": "compares the first group's blocks alone",
    "whole model": "compares the whole model's first group",
}
_POOLS = {"layers": "the pool", "first group": "the pool", "whole model": "one rank's pool"}


class Layered(NamedTuple):
    """The model as vLLM lays it out: its layers by stage, drafter's included, and what follows from them."""

    layers: tuple[Layer, ...]
    stage_of: tuple[int, ...]
    grouping: Grouping
    work: Workload
    alignment: Alignment | None

    @property
    def stages(self) -> int:
        """Pipeline stages."""
        return self.stage_of[-1] + 1

    def blocks(self, context: int) -> int:
        """Blocks that a request of ``context`` tokens may take."""
        return self.grouping.blocks(context, self.work)

    def checked(self, found: Rules, context: int, stage: int) -> int:
        """Bytes that the start-up check wants on a rank of ``stage`` for a request of ``context`` tokens."""
        groups = self.grouping.groups
        one = len(groups) == 1
        match found.check:
            case "layers":
                return self.grouping.layer_bytes(stage, context, self.work)
            case "first group" | "whole model" if not one:
                blocks = groups[0].admission(context, self.work) if groups else 0
            case _:
                blocks = self.blocks(context)
        whole = found.check == "whole model"
        return (blocks + found.null_block) * self.grouping.block_bytes(None if whole else stage)


def serve(scenario: Scenario) -> Serving:
    """The cache of vLLM for ``scenario``. Raises InputError when the weights are unknown and there is no pool."""
    return serve_under(rules(scenario.serving.version), scenario)


def serve_under(found: Rules, scenario: Scenario) -> Serving:
    """``serve`` of a release with the rules ``found``."""
    laid = layered(scenario, found)
    budgets = (
        [] if scenario.kv_pool is not None else [budget_under(found, scenario, stage) for stage in stages(scenario)]
    )
    pools = [max(0, each.pool) for each in budgets] or [scenario.kv_pool or 0] * laid.stages
    sizes = [laid.grouping.block_bytes(stage) for stage in range(laid.stages)]
    held = [pool // size if size else None for pool, size in zip(pools, sizes, strict=True)]
    counts = [count for count in held if count is not None]
    blocks = min(counts, default=1)
    rank = held.index(blocks) if counts else 0
    per_request = laid.blocks(scenario.context)
    concurrency = Fraction(blocks, per_request) if per_request else Fraction(0)

    def verdict(context: int) -> bool:
        """Whether the engine starts with ``context`` as the longest request."""
        if found.check == "whole model":
            return laid.checked(found, context, 0) <= min(pools)
        return all(laid.checked(found, context, stage) <= pool for stage, pool in enumerate(pools))

    context = longest(verdict, scenario.context)
    max_seqs = scenario.serving.max_seqs or default_max_seqs(scenario.device, scenario.max_batched_tokens)
    usable = max(0, blocks - found.null_block)
    replicas = scenario.layout.dp
    at_once = min(usable // per_request, max_seqs) if per_request else max_seqs
    pool, needed = pools[rank], per_request * sizes[rank]
    lacks = [laid.checked(found, scenario.context, stage) - pools[stage] for stage in range(laid.stages)]
    checked = pool + (max(lacks) if found.check == "layers" else lacks[rank])
    slots = [g for g in laid.grouping.groups if g.kind == "state"]
    states = [cache for layer in laid.layers for cache in layer.caches if isinstance(cache, Recurrent)]
    return Serving(
        engine="vllm",
        version=found.version,
        pool_bytes=pool,
        pool_is_estimate=scenario.kv_pool is None,
        needed_bytes=needed,
        bytes_per_token=_growth(laid.grouping, sizes[rank]),
        kv_cache_tokens=_logged_tokens(laid, found, blocks, concurrency, scenario.context),
        max_concurrency=concurrency,
        max_context=context,
        max_context_limit=_context_words(scenario, laid, context, pool),
        max_sequences=at_once * replicas,
        max_sequences_limit=_sequence_words(scenario, laid, at_once, max_seqs, pool),
        held=tuple(blocks * size for size in sizes),
        rooms=tuple(_rooms(scenario, found, laid, blocks, max_seqs, pools)),
        states=tuple(_states(scenario, laid)) if states else (),
        block_size=max((g.block for g in laid.grouping.groups if g.kind != "state"), default=None),
        groups=len(laid.grouping.groups),
        padding_layers=laid.grouping.padding,
        bytes_per_block=sizes[rank] or None,
        blocks=blocks,
        blocks_per_request=per_request,
        state_bytes_per_slot=sum(state_bytes(cache, scenario) for cache in states) if states else None,
        state_slots=blocks if slots else None,
        engine_needed_bytes=checked if checked != needed else None,
        check_decides=True,
        shares=tuple(_shares(scenario, laid)),
        refusals=tuple(_refusals(scenario, found, laid, blocks, max_seqs, sizes)),
        notes=tuple(_notes(scenario, found, laid, blocks, per_request, pools, sizes, context)),
    )


def layered(scenario: Scenario, found: Rules) -> Layered:
    """Where the layers of ``scenario`` are and how their caches are grouped."""
    layers: list[Layer] = list(scenario.model.layers)
    held = partition(scenario)
    stage_of = [stage for stage, count in enumerate(held) for _ in range(count)]
    drafter = draft_layers(scenario)
    layers = _indexed(layers, drafter, found)
    stage_of += [len(held) - 1] * len(drafter)
    alignment = align(scenario, found, layers)
    block = scenario.block_size if alignment is None else max(scenario.block_size, alignment.block)
    placed = []
    for layer, stage in zip(layers, stage_of, strict=True):
        for cache in layer.caches:
            placed += [Placed(stage, spec) for spec in specs_of(cache, scenario, found, block)]
    return Layered(
        tuple(layers), tuple(stage_of), grouping(placed, found), workload(scenario, found, layers), alignment
    )


def _indexed(layers: list[Layer], drafter: Sequence[Layer], found: Rules) -> list[Layer]:
    """All layers, the drafter's included, with the indexers that the release gives them.

    A drafter always has one of its own; up to 0.23 so have the layers that use another layer's index.
    """
    indexer = next((cache for layer in layers for cache in layer.caches if isinstance(cache, Indexer)), None)

    def with_own(layer: Layer) -> Layer:
        latent = any(isinstance(cache, Latent) and cache.ratio == 1 and cache.cap is None for cache in layer.caches)
        has = any(isinstance(cache, Indexer) for cache in layer.caches)
        return layer if indexer is None or has or not latent else layer._replace(caches=(*layer.caches, indexer))

    own = layers if found.shared_indexers else [with_own(layer) for layer in layers]
    return [*own, *(with_own(layer) for layer in drafter)]


def _rooms(
    scenario: Scenario, found: Rules, laid: Layered, blocks: int, max_seqs: int, pools: list[int]
) -> Iterator[int]:
    """Bytes of each stage's cache: its blocks, or those that the start-up check or the sequences lack."""
    at_once = min(-(-scenario.batch // scenario.layout.dp), max_seqs)
    wanted = at_once * laid.blocks(scenario.context) + found.null_block
    for stage, pool in enumerate(pools):
        size = laid.grouping.block_bytes(stage)
        lacking = laid.checked(found, scenario.context, stage)
        held = blocks * size if lacking <= pool else max(blocks * size, lacking)
        yield max(held, wanted * size)


def _states(scenario: Scenario, laid: Layered) -> Iterator[int]:
    """Bytes of one sequence's states on a rank of each stage, each kept once."""
    for stage in range(laid.stages):
        layers = (layer for layer, at in zip(laid.layers, laid.stage_of, strict=True) if at == stage)
        caches = (cache for layer in layers for cache in layer.caches)
        yield sum(state_bytes(cache, scenario) for cache in caches if isinstance(cache, Recurrent))


def _growth(found: Grouping, block_bytes: int) -> int:
    """Bytes that one more token of a sequence takes, without rounding to blocks."""
    growth = sum(Fraction(block_bytes, group.block) for group in found.groups if group.kind == "full")
    return -(-growth.numerator // growth.denominator) if growth else 0


def _logged_tokens(laid: Layered, rule: Rules, blocks: int, concurrency: Fraction, context: int) -> int:
    """The tokens of the log line: whole shares of blocks × the smallest block, or since 0.20.1 concurrency × context.

    Without prefix caching a state's block counts as long as the longest request.
    """
    if rule.tokens_from_concurrency or not laid.grouping.groups:
        return int(concurrency * context)
    sizes = [group.tokens(context, laid.work) for group in laid.grouping.groups]
    return blocks // len(sizes) * min(sizes)


def _shares(scenario: Scenario, laid: Layered) -> Iterator[GroupShare]:
    """Equal groups together, in vLLM's order."""
    seen: dict[tuple[str, int, int], list[int]] = {}
    for group in laid.grouping.groups:
        spec = group.specs[0].spec
        blocks = group.admission(scenario.context, laid.work)
        entry = seen.setdefault((spec.name, group.block, blocks), [0, 0])
        entry[0] += 1
        entry[1] += len(group.specs)
    for (name, block, blocks), (groups, layers) in seen.items():
        yield GroupShare(name, groups, layers, block, blocks)


def _context_words(scenario: Scenario, laid: Layered, context: int | None, pool: int) -> str:
    if not pool:
        return "weights"
    return context_limit(scenario, context, "smallest pipeline rank" if laid.stages > 1 else "kv pool")


def _sequence_words(scenario: Scenario, laid: Layered, at_once: int, max_seqs: int, pool: int) -> str:
    if not pool:
        return "weights"
    if at_once >= max_seqs:
        return "max_num_seqs"
    groups = laid.grouping.groups
    states = sum(group.admission(scenario.context, laid.work) for group in groups if group.kind == "state")
    if 2 * states > laid.blocks(scenario.context):
        return "state slots"
    return "smallest pipeline rank" if laid.stages > 1 else "kv pool"


def _captures(scenario: Scenario) -> bool:
    """Whether decode steps are captured in CUDA graphs: not if it is told so, and never on a CPU."""
    return not scenario.serving.eager and scenario.device.platform != "cpu"


def _refusals(
    scenario: Scenario, found: Rules, laid: Layered, blocks: int, max_seqs: int, sizes: list[int]
) -> Iterator[str]:
    """Why vLLM would not start, apart from the length of a request."""
    states = any(group.kind == "state" for group in laid.grouping.groups)
    if not blocks:
        wanted = format_bytes(max(sizes))
        yield f"not one block of {wanted} fits: vLLM finds no memory for the cache and refuses to start"
    elif found.slots_checked and states and max_seqs > blocks and _captures(scenario):
        yield (
            f"vLLM {found.version} refuses to start: max_num_seqs {max_seqs:,} exceeds the {blocks:,} blocks of state; "
            f"give --max-num-seqs {blocks} or less"
        )
    if scenario.serving.hybrid_manager is False and states:
        yield "vLLM cannot turn the hybrid manager off for a model with recurrent state, and refuses to start"
    yield from filter(None, (laid.grouping.refusal, unmergeable(scenario, found)))
    if why := unread(scenario):
        yield f"{why}; vLLM finds no attention backend and refuses to start"
    if any(sizes) and not all(sizes):
        yield f"pipeline stage {sizes.index(0) + 1} has no layer with a cache of its own, and vLLM refuses to start"


def _notes(
    scenario: Scenario,
    found: Rules,
    laid: Layered,
    blocks: int,
    per_request: int,
    pools: list[int],
    sizes: list[int],
    context: int | None,
) -> Iterator[str]:
    """What a user must know before the launch."""
    tp = scenario.layout.tp
    if scenario.kv_pool is None:
        yield "the pool is an estimate: activations, graphs and memory outside of torch are not measured here"
        if not counts_graphs(found, scenario) and _captures(scenario):
            share = scenario.memory_utilization
            yield f"vLLM {found.version} allocates its CUDA graphs besides, outside of the share of {share:.0%}"
        if found.compiling_counts and not scenario.serving.eager and scenario.device.platform == "cuda":
            yield (
                f"a first start compiles while it measures, which logs show to leave {FIRST_START_WORDS} less for the "
                "cache: this is of a later start"
            )
    if (backend := backend_of(scenario)) and backend not in COUNTED:
        yield f"what {backend} keeps for handing tokens on is not counted: leave room for its buffers"
    if laid.alignment is not None:
        aligned = laid.alignment
        yield (
            f"attention blocks of {aligned.block:,} tokens, so that a page holds a recurrent state, which is padded by "
            f"{aligned.padding_percent:.2f}%; a common prefix is reused in whole blocks only"
        )
    if laid.grouping.padding:
        yield f"{laid.grouping.padding} padding layers hold nothing, so that groups are equal"
    if any(group.kind in ("window", "chunk") for group in laid.grouping.groups):
        admitted, kept = (
            per_request * max(sizes),
            device_parts(scenario._replace(skip_weights=True), scenario.context, 1).cache,
        )
        if admitted > ADMITTED_MORE * kept:
            yield (
                f"a request is admitted with {format_bytes(admitted)} of blocks, for its windows and all tokens of the "
                f"steps in flight; once its prompt is read {format_bytes(kept)} of them hold tokens"
            )
    taken = laid.grouping.taken(scenario.context, laid.work)
    if taken != per_request:
        yield f"its log counts the bytes of a request, {per_request:,} blocks full; they lie in {taken:,} blocks"
    heads = {c.kv_heads for layer in laid.layers for c in layer.caches if isinstance(c, Attention) and c.kv_heads < tp}
    if heads:
        least = min(heads)
        yield f"{least} KV heads on {tp} ranks: each is stored {tp // least} times"
    if tp > 1 and any(isinstance(c, Latent) for layer in laid.layers for c in layer.caches):
        yield f"every one of {tp} ranks stores the whole latent cache"
    if packs_latents(scenario):
        yield "fp8 is stored as fp8_ds_mla, the packed entry of models with a sparse indexer"
    if found.check != "blocks":
        true = longest(lambda n: all(laid.blocks(n) * s <= p for s, p in zip(sizes, pools, strict=True)), 1)
        if true != context:
            held = "any length" if true is None else f"{true:,} tokens"
            wanted = format_bytes(laid.checked(found, scenario.context, 0))
            yield f"vLLM {found.version} {_COUNTED[found.check]}, {wanted}, with {_POOLS[found.check]}; it holds {held}"
    if not found.null_block and blocks == per_request:
        yield "one block is never handed out: a request of exactly this length would wait for ever"
