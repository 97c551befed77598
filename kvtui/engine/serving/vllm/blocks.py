"""vLLM's cache specs: how many tokens a block of a layer holds, what it weighs, and how many a request may take.

Page sizes, the unified block of models with recurrent state, and the admission per kind are those of vLLM's KV-cache
specs (0.20 to 0.33) and of its platform's hybrid alignment, reproduced against boot logs.

Most examples here are of one server: Qwen3.6-27B on two ranks, with an fp8 cache, three drafted tokens and prefix
caching. Each of its 17 attention layers, one of them the drafter's, keeps 2 KV heads of 256 + 256 elements on a rank,
1,024 bytes a token; each of its 48 gated DeltaNets keeps a state of 1,634,304 bytes.
"""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING, Literal, NamedTuple

from kvtui.engine.model.caches import CONV_FORMAT, Attention, Cache, Indexer, Latent, Recurrent, heads_per_rank
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import Layer
from kvtui.engine.serving.vllm.releases import (
    CHECKPOINT_TOKENS,
    STATE_CHUNK_TOKENS,
    Rules,
    StateMode,
    hybrid_step,
    kernel_tokens,
    state_mode,
    writes_checkpoints,
)
from kvtui.engine.serving.vllm.runner import second_runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtui.engine.scenario.scenario import Scenario

Kind = Literal["full", "window", "chunk", "cross", "state"]

PACKED = FORMATS["fp8_ds_mla"]
PAGE_ALIGN_PACKED, PAGE_ALIGN_COMPRESSED, PLAIN_PACKED_BYTES = 576, 512, 656
WINDOW_LATENT_BLOCK_TOKENS = 64
COMPRESSOR, COMPRESSOR_BLOCKS = "compressor_state", {4: 4, 128: 8}


class Spec(NamedTuple):
    """The cache of one layer: blocks of ``block`` tokens, each of them a page of ``page`` bytes on one rank.

    ``shape`` tells caches apart that cannot share a group, ``cap`` is the window or chunk in tokens, and ``name`` is
    for people. ``latent`` pages cannot be padded. Blocks of kind ``state`` hold one state each, and a request takes
    ``checkpoints`` more of them where states are kept at blocks' boundaries.

    Example: an attention layer is of kind full with 1,600 tokens and 1,638,400 bytes, shape (2, 256, 256). A gated
    DeltaNet is of kind state with 1,634,304 bytes, which are padded to the attention's page later.
    """

    kind: Kind
    name: str
    block: int
    page: int
    shape: tuple[int, ...] = ()
    cap: int = 0
    latent: bool = False
    checkpoints: int = 0


class Workload(NamedTuple):
    """What bounds the blocks of a request apart from its length.

    ``in_flight`` tokens may be scheduled but not settled, and a window keeps them beside its own; a drafter with
    several modules makes it keep ``retained`` more. ``encoder`` tokens may wait for cross-attention. A state is kept
    once, and once more for each of ``drafted`` tokens that may be rejected; ``mode`` says which states are kept
    besides, for prompts that may come back, and ``drafted_states`` whether one per block means drafted ones too.
    """

    in_flight: int
    retained: int
    encoder: int
    drafted: int
    mode: StateMode
    drafted_states: bool


class Alignment(NamedTuple):
    """The unified block of a model with recurrent state: its tokens, the bytes of one page, and of the state in it.

    Example: 1,600 tokens, 1,638,400 bytes, and a state of 1,634,304. The log prints the rest as padding of 0.25 %.
    """

    block: int
    page: int
    state: int

    @property
    def padding_percent(self) -> float:
        """Padding in percent of the state."""
        return 100 * (self.page - self.state) / self.state


def admission(spec: Spec, context: int, work: Workload) -> int:
    """Blocks that a request of ``context`` tokens may take in one group of ``spec``, at the worst moment.

    ====== ==================================== ================================================================
    full   every token                          262,144 tokens in blocks of 1,600: 164
    window the window, what is in flight, and   1,024 tokens with 8,192 in flight, blocks of 16:
           one block that both begin in         ⌈(1,023 + 8,192) / 16⌉ + 1 = 577
    chunk  the chunk and what is in flight      8,192 tokens with as many in flight, blocks of 16: 1,024
    cross  what an encoder may hand over:       2,048 tokens, blocks of 16: 128
           the tokens of a step
    state  none: the last, and one per draft    three drafts: 4
           align: one at a block boundary too   three drafts: 5, with a checkpoint 6
           all: one per block (and per draft)   262,144 tokens in blocks of 1,600: 164
    ====== ==================================== ================================================================
    """
    match spec.kind:
        case "full":
            return -(-context // spec.block)
        case "window":
            return -(-min(spec.cap - 1 + work.retained + work.in_flight, context) // spec.block) + 1
        case "chunk":
            return -(-min(spec.cap + work.in_flight, context) // spec.block)
        case "cross":
            return -(-work.encoder // spec.block)
    match work.mode:
        case "all":
            return -(-context // spec.block) + work.drafted * work.drafted_states
        case "align":
            return 2 + work.drafted + spec.checkpoints
    return 1 + work.drafted


def workload(scenario: Scenario, found: Rules, layers: Sequence[Layer]) -> Workload:
    """The bounds of ``scenario``.

    Example: steps of 8,192 tokens and one stage have 8,192 tokens in flight up to 0.25, and 16,384 from 0.26 on.
    """
    drafted = scenario.speculative_tokens
    states = [cache for layer in layers for cache in layer.caches if isinstance(cache, Recurrent)]
    return Workload(
        in_flight=batches_in_flight(scenario, found) * scenario.max_batched_tokens,
        retained=max(0, drafted - 1) if found.retained and len(scenario.model.mtp) > 1 else 0,
        encoder=scenario.max_batched_tokens,
        drafted=drafted,
        mode=state_mode(found, scenario.serving.prefix_caching, states[0]) if states else "none",
        drafted_states=found.drafted_states,
    )


def batches_in_flight(scenario: Scenario, found: Rules) -> int:
    """Batches that may be scheduled but not settled: one a stage, and one more where scheduling overlaps with a step.

    It does unless it is told not to, or the engine runs on a CPU; with several stages only under the second runner.

    Example: gemma-3-27b on two stages has 3, with ``--no-async-scheduling`` 2, and up to 0.25 never more than 1.
    """
    if found.batches == 1:
        return 1
    stages = scenario.layout.pp
    chosen = scenario.serving.async_scheduling
    overlaps = scenario.device.platform != "cpu" if chosen is None else chosen
    if overlaps and (stages == 1 or second_runner(found, scenario)):
        return stages + 1
    return stages


def align(scenario: Scenario, found: Rules, layers: Sequence[Layer]) -> Alignment | None:
    """The unified block of a model with both attention and recurrent state; None for any other.

    An attention page must hold a state. So the block is the smallest multiple of a step whose page does: the step is
    the kernels' alignment, or ``--block-size`` where that is larger.

    Example: the alignment is 16 tokens, 16,384 bytes. ⌈1,634,304 / 16,384⌉ = 100 steps are 1,600 tokens. With
    ``--block-size 128`` it is ⌈1,634,304 / 131,072⌉ = 13 steps, 1,664 tokens.
    """
    caches = {cache: None for layer in layers for cache in layer.caches}
    tokens = [cache for cache in caches if isinstance(cache, Attention | Latent)]
    recurrent = [cache for cache in caches if isinstance(cache, Recurrent)]
    if not recurrent or not tokens:
        return None
    states = [state_bytes(cache, scenario) for cache in recurrent]
    per_token = max(entry_bytes(cache, scenario) for cache in tokens)
    latent = any(isinstance(cache, Latent) for cache in tokens)
    step = hybrid_step(found, scenario.device, latent, scenario.block_size)
    mode = state_mode(found, scenario.serving.prefix_caching, recurrent[0])
    if mode == "all":
        step = lcm(step, STATE_CHUNK_TOKENS.get(recurrent[0].kind, 1))
    deltas = [cache for cache in recurrent if cache.kind == "gated_deltanet"]
    if mode == "align" and any(_checkpoints(cache, scenario, found) for cache in deltas):
        step = lcm(step, CHECKPOINT_TOKENS)
    block = max(step * -(-max(states) // (step * per_token)), scenario.block_size)
    return Alignment(block, block * per_token, max(states))


def _checkpoints(cache: Recurrent, scenario: Scenario, found: Rules) -> bool:
    return writes_checkpoints(found, scenario.model, scenario.device, cache)


def specs_of(cache: Cache, scenario: Scenario, found: Rules, block: int) -> tuple[Spec, ...]:
    """The specs of ``cache`` in blocks of ``block`` tokens, before pages are made equal; none if it stores nothing.

    A page is a block's tokens × the bytes of one on this rank. Only a state is as large as it is, whatever the block.
    A cache whose entries stand for several tokens each has a second spec, for the state of its compressor.
    """
    match cache:
        case Recurrent():
            shape = (cache.conv_rows, cache.conv_channels, cache.state_elements)
            extra = int(_checkpoints(cache, scenario, found))
            return (Spec("state", cache.kind, block, state_bytes(cache, scenario), shape, checkpoints=extra),)
        case Attention():
            return (_attention_spec(cache, scenario, found, block),)
        case Latent():
            spec = _latent_spec(cache, scenario, block)
            return (spec,) if cache.ratio == 1 else (spec, _compressor(cache.rank + cache.rope, cache.ratio, scenario))
        case Indexer():
            page = max(1, block // cache.ratio) * cache.key_bytes
            if cache.ratio > 1:
                page = _aligned(page, scenario)
            spec = Spec("full", cache.kind, block, page, (1, cache.key_dim, cache.ratio), latent=True)
            return (spec,) if cache.ratio == 1 else (spec, _compressor(cache.key_dim, cache.ratio, scenario))
    return ()


def _attention_spec(cache: Attention, scenario: Scenario, found: Rules, block: int) -> Spec:
    kind = _attention_kind(cache, scenario, found)
    if kind == "window" and found.least_window_block:
        block = min(block, kernel_tokens(scenario.device))
    if kind not in found.own_values:
        cache = cache._replace(v_dim=cache.k_dim)
    cap = cache.cap if cache.cap is not None and kind != "full" else 0
    shape = (heads_per_rank(cache.kv_heads, scenario.layout.tp), cache.k_dim, cache.v_dim)
    return Spec(kind, cache.kind, block, block * entry_bytes(cache, scenario), shape, cap)


def _compressor(dim: int, ratio: int, scenario: Scenario) -> Spec:
    """The state of a compressor: a window of K and of its scores in 32 bits, of which few tokens make a block.

    Example: DeepSeek-V4 makes an entry of 512 elements of every 4 tokens, and keeps the last 8. A block of 4 tokens
    has 4 × 2 × 2 × 512 × 4 = 32,768 bytes, and its page 57 × 576 = 32,832. Of 128 tokens it keeps as many, in blocks
    of 8.
    """
    overlap = 2 if ratio == min(COMPRESSOR_BLOCKS) else 1
    block = COMPRESSOR_BLOCKS.get(ratio, min(ratio, max(COMPRESSOR_BLOCKS.values())))
    page = _aligned(4 * block * 2 * overlap * dim, scenario)
    return Spec("window", COMPRESSOR, block, page, (1, dim, ratio), overlap * ratio, latent=True)


def _aligned(page: int, scenario: Scenario) -> int:
    """``page`` in whole 576 bytes where latents are packed, and else in whole 512."""
    step = PAGE_ALIGN_PACKED if scenario.kv.name in ("fp8", PACKED.name) else PAGE_ALIGN_COMPRESSED
    return -(-page // step) * step


def _latent_spec(cache: Latent, scenario: Scenario, block: int) -> Spec:
    """Windows have blocks of 64 tokens at most; a packed entry that is not 656 bytes has pages of whole 576 bytes.

    Example: DeepSeek-V4's window has packed entries of 584 bytes. 64 of them are 37,376, and its page 65 × 576 =
    37,440. Where four tokens are compressed into one entry, a block of 256 has 64 entries.
    """
    if cache.cap is not None:
        block = min(block, WINDOW_LATENT_BLOCK_TOKENS)
    page = max(1, block // cache.ratio) * entry_bytes(cache, scenario)
    if cache.ratio > 1 or (_packed(cache, scenario.kv) and cache.packed_bytes != PLAIN_PACKED_BYTES):
        page = _aligned(page, scenario)
    shape = (1, cache.rank, cache.rope, cache.ratio)
    return Spec("full" if cache.cap is None else "window", cache.kind, block, page, shape, cache.cap or 0, latent=True)


def entry_bytes(cache: Attention | Latent, scenario: Scenario) -> int:
    """Bytes of one entry on one rank, in the layout that vLLM chooses for the scenario's KV format.

    Where a latent has a packed layout (models with a sparse indexer), fp8 means that layout, fp8_ds_mla. An nvfp4
    latent keeps its rope part in fp8. A scale per token and head is kept twice, as if a latent were a K and a V.

    Example: DeepSeek-V3's latent of 512 + 64 elements has 1,152 bytes in bf16, 576 in fp8 and 288 + 64 = 352 in nvfp4;
    DeepSeek-V3.2's, of the same shape, has 656 in fp8.
    """
    kv, tp = scenario.kv, scenario.layout.tp
    if isinstance(cache, Latent):
        if kv.name == "nvfp4":
            return kv.bytes(cache.rank) + cache.rope
        if _packed(cache, kv):
            return cache.entry_bytes(PACKED, tp)
        return cache.entry_bytes(kv, tp) + kv.vector_scale_bytes
    return cache.entry_bytes(kv, tp)


def _packed(cache: Latent, kv: Format) -> bool:
    return kv == PACKED or (kv.name == "fp8" and cache.packed_bytes is not None)


def state_bytes(cache: Recurrent, scenario: Scenario) -> int:
    """Bytes of one state on one rank, in 16 bits where neither the model nor an option says its format.

    A CPU with bf16 instructions holds all in 32, but of a gated DeltaNet that was asked for in 16 (``cpu.py``).
    The conv state of a gated DeltaNet, of KDA and of Mamba-2 has one more row per drafted token. It is in 16 bits
    unless ``--mamba-cache-dtype`` says otherwise, which then holds for an undeclared recurrent state too.

    Example: 3 + 3 conv rows of 5,120 channels in 16 bits are 61,440 bytes, and 24 heads of 128 × 128 in 32 bits are
    1,572,864: together 1,634,304.
    """
    if cache.kind in ("gated_deltanet", "kda", "mamba2"):
        cache = cache._replace(conv_rows=cache.conv_rows + scenario.speculative_tokens)
    conv, state, tp = scenario.serving.conv_dtype, scenario.serving.state_dtype, scenario.layout.tp
    if scenario.device.platform == "cpu":
        state = state if state and cache.kind == "gated_deltanet" else "fp32"
    elif state is None and not cache.declared:
        state = conv or CONV_FORMAT.name
    cache = cache._replace(state_format=state or cache.state_format)
    wide = FORMATS[conv].bytes(1) - CONV_FORMAT.bytes(1) if conv else 0
    return cache.fixed_bytes(tp) + wide * cache.conv_elements(tp)


def packs_latents(scenario: Scenario) -> bool:
    """Whether the scenario's fp8 means vLLM's packed layout for the model's latents."""
    latents = (cache for cache, _ in scenario.model.caches if isinstance(cache, Latent))
    return scenario.kv != PACKED and any(_packed(cache, scenario.kv) for cache in latents)


def _attention_kind(cache: Attention, scenario: Scenario, found: Rules) -> Kind:
    """Without the hybrid manager, windowed and chunked layers are cached like full ones."""
    if cache.cap is None:
        return "full"
    if cache.kind == "cross_attention":
        return "cross"
    if not frees(scenario, found) and not _one_bound(scenario):
        return "full"
    return "chunk" if cache.kind == "chunked_local" else "window"


def frees(scenario: Scenario, found: Rules) -> bool:
    """Whether the hybrid manager is on, and layers free what they no longer need.

    It is unless it is turned off. A model with chunked-local layers has it where the release does so by itself or it
    was asked for, and never beside a drafter.

    Example: Llama-4-Scout with an EAGLE head caches all its layers in full.
    """
    chosen = scenario.serving.hybrid_manager
    chunked = any(cache.kind == "chunked_local" for cache, _ in scenario.model.caches)
    if chunked and scenario.speculative_tokens:
        return False
    default = found.chunks if chunked else True
    return found.windows and (default if chosen is None else chosen)


def unmergeable(scenario: Scenario, found: Rules) -> str:
    """Why the hybrid manager cannot be off, in words; empty if it is on or can be.

    Layers that are cached in full need one that keeps every token to be like, and their windows one size.
    """
    bounds: dict[str, set[int | None]] = {}
    for cache, _ in scenario.model.caches:
        if isinstance(cache, Attention) and cache.kind in ("sliding_window", "chunked_local"):
            bounds.setdefault(cache.kind, set()).add(cache.cap)
    if not bounds or frees(scenario, found) or _one_bound(scenario):
        return ""
    kept = [cache for cache, _ in scenario.model.caches if isinstance(cache, Attention | Latent)]
    if all(cache.cap is not None for cache in kept):
        return "without the hybrid manager vLLM finds no layer that keeps every token, and refuses to start"
    latents = any(isinstance(cache, Latent) for cache in kept)
    if latents or all(len(sizes) == 1 for sizes in bounds.values()):
        return ""
    return "without the hybrid manager vLLM cannot merge windows of different size, and refuses to start"


def _one_bound(scenario: Scenario) -> bool:
    """A model of nothing but windows, or chunks, of one size needs no hybrid manager."""
    kept = (cache for cache, _ in scenario.model.caches if isinstance(cache, Attention | Latent | Indexer))
    return len({(cache.kind, cache.cap) for cache in kept}) == 1
