"""vLLM's cache specs: how many tokens a block of a layer holds, what it weighs, and how many a request may take.

Page sizes, the unified block of models with recurrent state, and the admission per kind are those of vLLM's KV-cache
specs (0.20 to 0.33) and of its platform's hybrid alignment, reproduced against boot logs.

Most examples here are of one server: Qwen3.6-27B on two ranks, with an fp8 cache, three drafted tokens and prefix
caching. Each of its 17 attention layers, one of them the drafter's, keeps 2 KV heads of 256 + 256 elements on a rank,
1,024 bytes a token; each of its 48 gated DeltaNets keeps a state of 1,634,304 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from kvtui.engine.model.caches import CONV_FORMAT, Attention, Cache, Indexer, Latent, Recurrent, heads_per_rank
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import Layer
from kvtui.engine.serving.vllm.releases import STATE_CHUNK_TOKENS, Rules, StateMode, hybrid_align, state_mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtui.engine.scenario.scenario import Scenario

Kind = Literal["full", "window", "chunk", "cross", "state"]

PACKED = FORMATS["fp8_ds_mla"]
PAGE_ALIGN_PACKED, PLAIN_PACKED_BYTES = 576, 656
WINDOW_LATENT_BLOCK_TOKENS = 64


class Spec(NamedTuple):
    """The cache of one layer: blocks of ``block`` tokens, each of them a page of ``page`` bytes on one rank.

    ``shape`` tells caches apart that cannot share a group, ``cap`` is the window, chunk or encoder length in tokens,
    and ``name`` is for people. ``latent`` pages cannot be padded. Blocks of kind ``state`` hold one state each.

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


class Workload(NamedTuple):
    """What bounds the blocks of a request apart from its length.

    ``in_flight`` tokens may be scheduled but not settled, and a window keeps them beside its own; a drafter with
    several modules makes it keep ``retained`` more. A state is kept once, and once more for each of ``drafted`` tokens
    that may be rejected; ``mode`` says which states are kept besides, for prompts that may come back.
    """

    in_flight: int
    retained: int
    drafted: int
    mode: StateMode


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
    cross  the encoder's tokens                 1,500 tokens, blocks of 16: 94
    state  none: the last, and one per draft    three drafts: 4
           align: one at a block boundary too   three drafts: 5
           all: one per block                   262,144 tokens in blocks of 1,600: 164
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
            return -(-spec.cap // spec.block)
    match work.mode:
        case "all":
            return -(-context // spec.block)
        case "align":
            return 2 + work.drafted
    return 1 + work.drafted


def workload(scenario: Scenario, found: Rules, layers: Sequence[Layer]) -> Workload:
    """The bounds of ``scenario``. A lone stage keeps ``found.batches`` in flight; with several, each of them keeps one.

    Example: steps of 8,192 tokens and one stage have 8,192 tokens in flight up to 0.25, and 16,384 from 0.26 on; four
    stages have 8,192 up to 0.25, and 32,768 from 0.26 on.
    """
    drafted = scenario.speculative_tokens
    states = [cache for layer in layers for cache in layer.caches if isinstance(cache, Recurrent)]
    stages = scenario.layout.pp
    batches = found.batches if stages == 1 or found.batches == 1 else stages
    return Workload(
        in_flight=batches * scenario.max_batched_tokens,
        retained=max(0, drafted - 1) if len(scenario.model.mtp) > 1 else 0,
        drafted=drafted,
        mode=state_mode(found, scenario.serving.prefix_caching, states[0]) if states else "none",
    )


def align(scenario: Scenario, found: Rules, layers: Sequence[Layer]) -> Alignment | None:
    """The unified block of a model with both attention and recurrent state; None for any other.

    An attention page must hold a state. So the block is the smallest multiple of a step whose page does: the step is
    the kernels' alignment, or ``--block-size`` where that is larger.

    Example: the alignment is 16 tokens, 16,384 bytes. ⌈1,634,304 / 16,384⌉ = 100 steps are 1,600 tokens. With
    ``--block-size 128`` it is ⌈1,634,304 / 131,072⌉ = 13 steps, 1,664 tokens.
    """
    caches = {cache: None for layer in layers for cache in layer.caches}
    tokens = [cache for cache in caches if isinstance(cache, Attention | Latent)]
    states = [state_bytes(cache, scenario) for cache in caches if isinstance(cache, Recurrent)]
    if not states or not tokens:
        return None
    per_token = max(entry_bytes(cache, scenario) for cache in tokens)
    step = hybrid_align(scenario.device, any(isinstance(cache, Latent) for cache in tokens))
    step = max(step, scenario.block_size)
    recurrent = next(cache for cache in caches if isinstance(cache, Recurrent))
    if state_mode(found, scenario.serving.prefix_caching, recurrent) == "all":
        step = -(-STATE_CHUNK_TOKENS // step) * step
    block = step * -(-max(states) // (step * per_token))
    return Alignment(block, block * per_token, max(states))


def spec_of(cache: Cache, scenario: Scenario, found: Rules, block: int) -> Spec | None:
    """The spec of ``cache`` in blocks of ``block`` tokens, before pages are made equal; None if it stores nothing.

    A page is a block's tokens × the bytes of one on this rank. Only a state is as large as it is, whatever the block.
    """
    match cache:
        case Recurrent():
            shape = (cache.conv_rows, cache.conv_channels, cache.state_elements)
            return Spec("state", cache.kind, block, state_bytes(cache, scenario), shape)
        case Attention():
            kind = _attention_kind(cache, scenario, found)
            cap = cache.cap if cache.cap is not None and kind != "full" else 0
            shape = (heads_per_rank(cache.kv_heads, scenario.layout.tp), cache.k_dim, cache.v_dim)
            return Spec(kind, cache.kind, block, block * entry_bytes(cache, scenario), shape, cap)
        case Latent():
            return _latent_spec(cache, scenario, block)
        case Indexer():
            page = max(1, block // cache.ratio) * cache.key_bytes
            return Spec("full", cache.kind, block, page, (1, cache.key_dim, cache.ratio), latent=True)
    return None


def _latent_spec(cache: Latent, scenario: Scenario, block: int) -> Spec:
    """Windows have blocks of 64 tokens at most; a packed entry that is not 656 bytes has pages of whole 576 bytes.

    Example: DeepSeek-V4's window has packed entries of 584 bytes. 64 of them are 37,376, and its page 65 × 576 =
    37,440. Where four tokens are compressed into one entry, a block of 256 has 64 entries.
    """
    if cache.cap is not None:
        block = min(block, WINDOW_LATENT_BLOCK_TOKENS)
    page = max(1, block // cache.ratio) * entry_bytes(cache, scenario)
    if _packed(cache, scenario.kv) and cache.packed_bytes != PLAIN_PACKED_BYTES:
        page = -(-page // PAGE_ALIGN_PACKED) * PAGE_ALIGN_PACKED
    shape = (1, cache.rank, cache.rope, cache.ratio)
    return Spec("full" if cache.cap is None else "window", cache.kind, block, page, shape, cache.cap or 0, latent=True)


def entry_bytes(cache: Attention | Latent, scenario: Scenario) -> int:
    """Bytes of one entry on one rank, in the layout that vLLM chooses for the scenario's KV format.

    Where a latent has a packed layout (models with a sparse indexer), fp8 means that layout, fp8_ds_mla. An nvfp4
    latent keeps its rope part in fp8.

    Example: DeepSeek-V3's latent of 512 + 64 elements has 1,152 bytes in bf16, 576 in fp8 and 288 + 64 = 352 in nvfp4;
    DeepSeek-V3.2's, of the same shape, has 656 in fp8.
    """
    kv, tp = scenario.kv, scenario.layout.tp
    if isinstance(cache, Latent):
        if kv.name == "nvfp4":
            return kv.bytes(cache.rank) + cache.rope
        if _packed(cache, kv):
            return cache.entry_bytes(PACKED, tp)
    return cache.entry_bytes(kv, tp)


def _packed(cache: Latent, kv: Format) -> bool:
    return kv == PACKED or (kv.name == "fp8" and cache.packed_bytes is not None)


def state_bytes(cache: Recurrent, scenario: Scenario) -> int:
    """Bytes of one state on one rank, in 16 bits where the model does not declare its format.

    A gated DeltaNet's conv state has one more row per drafted token.

    Example: 3 + 3 conv rows of 5,120 channels in 16 bits are 61,440 bytes, and 24 heads of 128 × 128 in 32 bits are
    1,572,864: together 1,634,304.
    """
    if cache.kind == "gated_deltanet":
        cache = cache._replace(conv_rows=cache.conv_rows + scenario.speculative_tokens)
    if not cache.declared:
        cache = cache._replace(state_format=CONV_FORMAT.name)
    return cache.fixed_bytes(scenario.layout.tp)


def packs_latents(scenario: Scenario) -> bool:
    """Whether the scenario's fp8 means vLLM's packed layout for the model's latents."""
    latents = (cache for cache, _ in scenario.model.caches if isinstance(cache, Latent))
    return scenario.kv != PACKED and any(_packed(cache, scenario.kv) for cache in latents)


def _attention_kind(cache: Attention, scenario: Scenario, found: Rules) -> Kind:
    """Without the hybrid manager, windowed and chunked layers are cached like full ones.

    It frees windows unless it is turned off, and chunks where the release does so or it was asked for.
    """
    if cache.cap is None:
        return "full"
    if cache.kind == "cross_attention":
        return "cross"
    chosen = scenario.serving.hybrid_manager
    if cache.kind == "chunked_local":
        frees = found.windows and (found.chunks if chosen is None else chosen)
        return "chunk" if frees else "full"
    frees = found.windows and chosen is not False
    return "window" if frees or _only_windows(scenario) else "full"


def _only_windows(scenario: Scenario) -> bool:
    """A model of nothing but windows of one size needs no hybrid manager."""
    kept = (cache for cache, _ in scenario.model.caches if isinstance(cache, Attention | Latent | Indexer))
    return len({cache.cap for cache in kept}) == 1
