"""What changed between vLLM's releases, one field per change, and the defaults that go with them.

Releases are those in which a change first shipped, read in the packages of the release that has it and of the one
before; each field names its pull request where there is one.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kvtui.engine.basis.units import GIB, MAX_TOKENS
from kvtui.engine.engines.known import EngineDefaults, LargerStages, Milestone, ReleaseSpan, release
from kvtui.engine.model.caches import Indexer, Latent, Recurrent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtui.engine.device.spec import DeviceSpec
    from kvtui.engine.model.spec import ModelSpec

SPAN = ReleaseSpan(oldest="0.8", newest="0.33", example="0.33")
LOADS_GGUF = False
WEIGHT_FORMATS = (
    "bf16",
    "fp16",
    "fp32",
    "fp8",
    "fp8-block",
    "w8a8",
    "w8a16",
    "nvfp4",
    "mxfp4",
    "awq",
    "gptq",
    "gptq-int8",
    "w4a16",
    "int4wo",
    "nf4",
    "bnb-8bit",
)
KV_FORMATS = (
    "bf16",
    "fp16",
    "fp32",
    "fp8",
    "nvfp4",
    "int8_per_token_head",
    "fp8_per_token_head",
    "int4_per_token_head",
    "fp8_ds_mla",
)
LATENT_FORMATS = frozenset({"bf16", "fp16", "fp32", "fp8", "fp8_ds_mla"})
KV_APART = False
LATENT_BLOCK_TOKENS, COMPRESSED_BLOCK_TOKENS = 64, 256
KERNEL_TOKENS, KERNEL_TOKENS_OTHER = 16, {"xpu": 64, "cpu": 32}
CPU_BLOCK_TOKENS = 128
CUTLASS_TOKENS, FLASHINFER_TOKENS, HOPPER, BLACKWELL = 128, 32, 9, 10
FLASH_ATTENTION_LATENTS = ("bf16", "fp16")
STATE_CHUNK_TOKENS = {"mamba1": 2048, "mamba2": 256}
CHECKPOINT_TOKENS = 64
CHECKPOINT_CAPABILITIES = (9, 10, 12)

_FLASH_KDA = re.compile(r"Kimi-K3")
_OWN_DELTANET = re.compile(r"Olmo", re.IGNORECASE)

StateMode = Literal["none", "align", "all"]


Check = Literal["layers", "whole model", "first group", "blocks"]
LatentKernels = Literal["cutlass", "flashinfer", "preferred"]
Runner2 = Literal["none", "qwen3", "few", "some", "dense", "kimi", "deepseek", "all"]


class Rules(NamedTuple):
    """How one release plans its cache; a change between releases is a field here.

    Each field says the release from which it holds, and the release before it in which it was looked for in vain.

    Example: of 5.38 GiB, 0.20.0 makes 9,793 blocks for gpt-oss-120b's two groups, and logs ⌊9,793 / 2⌋ × 16 = 78,336
    tokens. 0.20.1 makes the same blocks, 8,713 of them for a request of 131,072, and logs
    ⌊9,793 / 8,713 × 131,072⌋ = 147,318: ``tokens_from_concurrency`` is that change.
    """

    version: str
    """The release itself, as it was named."""

    utilization: float = 0.9
    """The share of a device's memory that is used by default: 0.90, from 0.20.0 on 0.92 (not in 0.19.1)."""

    graphs_counted: bool = False
    """CUDA graphs are subtracted from the pool, from 0.20.0 on (not in 0.19.1).

    On an H100 that is told 0.92, Llama-3.1-8B loses the 2.10 GiB of its graphs, some 17,000 tokens.
    """

    tokens_from_concurrency: bool = False
    """The tokens in the log are concurrency × context, from 0.20.1 on (#38364; not in 0.20.0).

    Before, they were whole shares of the blocks × the smallest block. 205 blocks in 4 groups, with 1,600 tokens in a
    block and 179 blocks per request of 262,144: ⌊205 / 179 × 262,144⌋ = 300,220, before ⌊205 / 4⌋ × 1,600 = 81,600.
    """

    windows: bool = False
    """Windowed layers free what they no longer need, from 0.9.1 on (the hybrid manager, #17996; not in 0.9.0)."""

    chunks: bool = False
    """Chunked-local layers do so too without being asked, from 0.14.0 on (#29627; not in 0.13.0)."""

    batches: int = 1
    """Batches in flight at once behind a window: 1, from 0.26 on 2 (asynchronous scheduling, #47728; not in 0.25.1).

    A window of 1,024 tokens, steps of 8,192 and blocks of 16: ⌈(1,023 + 8,192) / 16⌉ + 1 = 577 blocks, and with two
    batches ⌈(1,023 + 16,384) / 16⌉ + 1 = 1,089.
    """

    runner2: Runner2 = "none"
    """Which models the second model runner serves by default: none, then more with 0.22 to 0.25, 0.27, 0.28 and 0.29.

    It overlaps steps with pipeline stages too, so that one batch more than there are stages is in flight.
    """

    graphs_on: tuple[str, ...] = ("cuda",)
    """The platforms whose CUDA graphs are estimated: CUDA, from 0.26 on ROCm too (not in 0.25.1), from 0.31 on XPU."""

    second_profiles_images: bool = False
    """The second runner has the encoder read images while it profiles, from 0.27 on (not in 0.26.0)."""

    second_counts_graphs: bool = False
    """The second runner estimates its CUDA graphs, so that they are subtracted from the pool, from 0.29 on (not 0.28).

    On an H100 Llama-3.1-8B keeps 0.8 GiB more for its cache in 0.23 to 0.28, and captures its graphs beside it.
    """

    compiling_counts: bool = False
    """What torch takes to compile is counted as activation, so that a first start has less, in logs of 0.20 to 0.29.

    Qwen3-32B AWQ on two RTX 4090 with 0.28.0 had 0.5 GiB less on each at its first start than at the second, Qwen3-8B
    on one with 0.27.1 1.0 GiB (#54122, #54383, #54479). Sixteen on L4 with 0.29, whose servers never kept what
    they compiled, had 0.4 to 1.2 GiB less than their forward pass explains, three on an RTX 5090 with 0.20 1.2 to 1.4.
    First starts of 0.19 agree with their forward pass alone.
    """

    near_equal: float = 1.0
    """Up to this ratio of their numbers, kinds of layers are all padded to the largest.

    1 (never) before 0.12.0, 1.25 from then on (#29303; not in 0.11.2), 1.5 from 0.18.0 on (#36684; not in 0.17.1). 13
    full and 12 windowed layers are then two groups of 13, with 1 layer that holds nothing; before, three groups of 12,
    with 11 that hold nothing.
    """

    check: Check = "layers"
    """What the start-up check counts for a request, on each rank.

    Up to 0.13.0 every layer by itself, without padding. From 0.14.0 on (#29431) the first group's blocks alone, and
    with pipeline stages the whole model's against the smallest rank: Qwen3-30B-A3B at 262,144 tokens in stages of 16
    and 32 layers takes 16 GiB of the second rank, and the engine asks for 24. From 0.17.0 on (#33698; not in 0.16.0)
    the first group's on each rank: gemma-3-27b of 15.28 GB passes with 0.76. From 0.19.0 on (#36030; not in 0.18.1)
    all groups' blocks.
    """

    null_block: bool = False
    """The start-up check reserves the block that is never handed out, from 0.29 on (#47272; not in 0.28.0).

    A request of exactly as many blocks as there are started before, and then waited for ever.
    """

    slots_checked: bool = False
    """More sequences than blocks of state are refused where CUDA graphs are captured, from 0.20.0 on.

    #38270; 0.19.1 captures fewer graphs.
    """

    given_block: bool = False
    """The unified block of a model with recurrent state is a multiple of ``--block-size``, from 0.20.0 on.

    0.19.1 ignores it: a model that needs 144 tokens gets 144 and not 256 with ``--block-size 128``.
    """

    padded_pages: bool = False
    """Pages of attention that do not divide the largest are padded to it, from 0.24 on; 0.23.0 refuses to start."""

    own_values: tuple[str, ...] = ()
    """Kinds of layers whose V may be narrower than their K; in the others it is counted as wide.

    Layers that keep every token from 0.14.0 on (not in 0.13.0), windows and chunks from 0.20.0 on (not in 0.19.1). A
    window with K of 192 and V of 128 elements takes 384 for each head before.
    """

    drafted_states: bool = False
    """A Mamba layer that keeps a state per block keeps one per drafted token besides, from 0.22.0 on (not in 0.21).

    A request of 3 tokens in one block, with 3 drafted ones, holds 4 states instead of 1.
    """

    shared_indexers: bool = False
    """Layers that use another layer's index keep no keys of their own, from 0.24.0 on (not in 0.23.0).

    GLM-5.2 in fp8 takes 78 × 788 bytes a token before, and 78 × 656 + 21 × 132 from then on.
    """

    least_window_block: bool = False
    """Windowed layers have blocks of 16 tokens whatever ``--block-size`` says, from 0.25 to 0.29 (not in 0.24, 0.30).

    Beside layers that keep every token, they get as many tokens as these again, so that pages are equal.
    """

    latent_kernels: LatentKernels = "cutlass"
    """Which kernel reads latents, and so how many tokens a block has that was not chosen.

    Up to 0.14 a block is forced to FlashMLA's 64 tokens on Hopper and to CUTLASS's 128 on Blackwell; from 0.15 on to
    FlashInfer's there, as 64. From 0.18.0 on the first kernel that can read the cache's format has what it prefers: on
    Hopper FlashAttention 16 tokens of 16-bit latents, FlashMLA 64 of fp8 ones, and FlashInfer on Blackwell 32. Where an
    index selects latents blocks have 64 tokens, and on other devices the Triton kernel takes 16, in all releases.
    """

    latent_step: int = 64
    """The unified block of a model with state beside latents is a multiple of 128 from 0.27 on, of 64 in 0.26.0.

    Kimi-K3 has 5,696 tokens in 0.26 and 5,760 in 0.27.
    """

    overlaid: bool = False
    """Groups of a model with compressed latents share blocks as wide as the widest group, from 0.27 on (not in 0.26.0).

    Before, a block has room for as many pages of each size as any group has: of DeepSeek-V4-Flash 1,039,680 bytes,
    and from then on 1,002,240. A request is then counted in blocks, and no longer in bytes.
    """

    promoted_windows: bool = False
    """Windows whose pages latents cannot match are cached in full, from 0.27 on; 0.26.0 refuses to start."""

    hybrid_caching: bool = False
    """Prefix caching is on by default for models with recurrent state, from 0.28 on (#50991; not in 0.27.1).

    States are then kept at block boundaries only, and Mamba layers no longer one per block. A request of 8,192 tokens
    of Nemotron-H-8B holds 2 states in each such layer, in 0.27 without prefix caching 1.
    """

    large_tier: bool = False
    """Devices of 160 GiB and more batch 16,384 tokens by default instead of 8,192, from 0.28.0 on (not in 0.27.1)."""

    retained: bool = False
    """A drafter of several modules makes a window keep what they may read again, from 0.28 on (not in 0.27.1)."""

    apart_states: bool = False
    """States of different size, in a model of nothing else, have groups of their own from 0.29 on (not in 0.28.0)."""

    checkpoints: tuple[str, ...] = ()
    """Kinds of state of which a prefill writes one more, at a block's boundary, when prefix caching is on.

    FlashKDA's from 0.29 on (Kimi-K3), Mamba-2's from 0.32 on (not in 0.31.0), and from 0.33 on those of gated DeltaNets
    with FlashInfer's prefill, whose blocks are then multiples of 64 tokens. A request of 8,192 tokens of Nemotron-H-8B
    holds 3 states in each such layer.
    """


class Change(NamedTuple):
    """A rule that changed: from release ``since`` on, ``field`` is ``value``, and ``words`` say what that does."""

    since: str
    field: str
    value: Any
    words: str


CHANGES = (
    Change("0.9.1", "windows", True, "windowed layers free what they no longer need"),
    Change("0.12.0", "near_equal", 1.25, "unequal layer kinds are padded into one group"),
    Change("0.14.0", "chunks", True, "chunked-local layers free what they no longer need"),
    Change(
        "0.14.0",
        "check",
        "whole model",
        "the start-up check counts one group, and with pipeline stages compares the whole model with one rank",
    ),
    Change("0.14.0", "own_values", ("full",), "a narrower V takes less in layers that keep every token"),
    Change("0.15.0", "latent_kernels", "flashinfer", "FlashInfer reads latents on Blackwell, in blocks of 64 tokens"),
    Change("0.17.0", "check", "first group", "the start-up check compares each pipeline rank with its own pool"),
    Change("0.18.0", "near_equal", 1.5, "layer kinds that are more unequal are padded into one group"),
    Change("0.18.0", "latent_kernels", "preferred", "blocks of latents are as long as their kernel prefers"),
    Change("0.19.0", "check", "blocks", "the start-up check counts all groups"),
    Change("0.20.0", "graphs_counted", True, "CUDA graphs are subtracted from the pool"),
    Change("0.20.0", "utilization", 0.92, "another default share of memory"),
    Change("0.20.0", "compiling_counts", True, "a first start, which compiles, is seen to have less than later ones"),
    Change("0.20.0", "slots_checked", True, "more sequences than state blocks are refused"),
    Change("0.20.0", "given_block", True, "the block of a model with state follows --block-size"),
    Change("0.20.0", "own_values", ("full", "window", "chunk", "cross"), "a narrower V takes less in every layer"),
    Change("0.20.1", "tokens_from_concurrency", True, "the logged tokens are concurrency × context"),
    Change("0.22.0", "runner2", "qwen3", "a second model runner serves Qwen3 in 16 bits; it estimates no CUDA graphs"),
    Change("0.22.0", "drafted_states", True, "states kept per block are kept per drafted token too"),
    Change("0.23.0", "runner2", "few", "the second model runner serves Llama and Mistral in 16 bits too"),
    Change("0.24.0", "runner2", "some", "the second model runner serves quantised checkpoints and DeepSeek-V2 too"),
    Change("0.24.0", "padded_pages", True, "pages that do not divide the largest are padded"),
    Change("0.24.0", "shared_indexers", True, "layers that share an index keep its keys once"),
    Change("0.25.0", "runner2", "dense", "the second model runner serves every model without experts or states"),
    Change("0.25.0", "least_window_block", True, "windowed layers have blocks of 16 tokens"),
    Change("0.26.0", "batches", 2, "two batches are in flight behind a window"),
    Change("0.26.0", "graphs_on", ("cuda", "rocm"), "graphs are estimated on AMD's devices too"),
    Change("0.27.0", "runner2", "kimi", "the second model runner serves Kimi-K3 too"),
    Change("0.27.0", "second_profiles_images", True, "the second model runner profiles encoders of images"),
    Change("0.27.0", "latent_step", 128, "blocks of latents beside states are multiples of 128 tokens"),
    Change("0.27.0", "overlaid", True, "groups of compressed latents share blocks as wide as the widest"),
    Change("0.27.0", "promoted_windows", True, "windows that latents cannot match are cached in full"),
    Change("0.28.0", "runner2", "deepseek", "the second model runner serves DeepSeek-V4 too"),
    Change("0.28.0", "hybrid_caching", True, "prefix caching is on by default for models with state"),
    Change("0.28.0", "large_tier", True, "devices of 160 GiB batch 16,384 tokens"),
    Change("0.28.0", "retained", True, "windows keep what several draft modules may read again"),
    Change("0.29.0", "null_block", True, "the check reserves the block that is never handed out"),
    Change("0.29.0", "runner2", "all", "the second model runner serves every model, with a batch more in flight"),
    Change("0.29.0", "second_counts_graphs", True, "the second model runner's graphs are subtracted from the pool"),
    Change("0.29.0", "apart_states", True, "states of different size are grouped apart"),
    Change("0.29.0", "checkpoints", ("flash_kda",), "FlashKDA keeps a checkpoint block"),
    Change("0.30.0", "least_window_block", False, "windowed layers have the blocks that were asked for"),
    Change("0.31.0", "graphs_on", ("cuda", "rocm", "xpu"), "graphs are estimated on Intel's devices too"),
    Change("0.32.0", "checkpoints", ("flash_kda", "mamba2"), "Mamba-2 keeps a checkpoint block"),
    Change(
        "0.33.0",
        "checkpoints",
        ("flash_kda", "mamba2", "gated_deltanet"),
        "gated DeltaNets keep a checkpoint block, and blocks are multiples of 64 tokens",
    ),
)
"""All changes, oldest first."""


FIRST_START = (int(0.4 * GIB), int(2.5 * GIB))
"""The least and the most that logs show a first start to have less, where ``compiling_counts``."""

FIRST_START_WORDS = " to ".join(f"{size / GIB:.1f}" for size in FIRST_START) + " GiB"
"""The range as people say it: ``0.4 to 2.5 GiB``."""


LARGER_STAGES: LargerStages = "before the last"
"""``get_pp_indices``, since 0.8: 26 layers on four stages are 6, 7, 7 and 6."""

EXPERT_PARALLEL = True
JOINED_REPLICAS = True


def changes(newer: str, older: str) -> list[str]:
    """What release ``newer`` does that ``older`` did not, in words; no words where it plans alike."""
    after, until = numbers(older), numbers(newer)
    return [change.words for change in CHANGES if after < numbers(change.since) <= until]


def numbers(version: str) -> tuple[int, ...]:
    """The full numbers of a release: 0.20 is (0, 20, 0), and 0.20.1rc1 the release 0.20.1 that it becomes."""
    found = release(version)
    return (*found, *(0,) * (3 - len(found)))


def rules(version: str) -> Rules:
    """The rules of release ``version``; the newest known when it is empty."""
    return _rules(version or SPAN.newest)


@cache
def _rules(version: str) -> Rules:
    at = numbers(version)
    return Rules(version, **{change.field: change.value for change in CHANGES if numbers(change.since) <= at})


def _milestones() -> Iterator[Milestone]:
    """Releases that do something new, the newest known and the oldest, newest first."""
    since = {change.since.removesuffix(".0") for change in CHANGES}
    found = sorted(since | {SPAN.newest, SPAN.oldest}, key=numbers)
    for older, version in reversed(list(pairwise([SPAN.oldest, *found]))):
        changed = changes(version, older)
        if changed:
            yield Milestone(version, f"new in {version}: {'; '.join(changed)}")
        else:
            yield Milestone(version, f"the {'newest' if version == SPAN.newest else 'oldest'} release known")


MILESTONES = tuple(_milestones())


def defaults(version: str, model: ModelSpec, device: DeviceSpec, kv: str) -> EngineDefaults:
    """Block size, tokens of a step and memory share of a server that is told none of them."""
    return defaults_under(rules(version), model, device, kv)


def defaults_under(found: Rules, model: ModelSpec, device: DeviceSpec, kv: str) -> EngineDefaults:
    """``defaults`` of a release with the rules ``found``."""
    return EngineDefaults(_block_size(found, model, device, kv), _batched_tokens(found, device), found.utilization)


def applies_windows(model: ModelSpec) -> bool:
    """Always: a window that a config states for all layers is each layer's, whatever the model's own module says.

    (``CacheConfig.sliding_window``, which every attention layer takes that is given no window of its own.)
    """
    return True


def default_max_seqs(device: DeviceSpec, max_batched_tokens: int) -> int:
    """Sequences of a step by default: 1,024 on devices of 70 GiB (not the A100), else 256; never more than tokens."""
    return min(1024 if _is_large(device) else 256, max_batched_tokens)


def state_mode(found: Rules, prefix_caching: bool | None, state: Recurrent) -> StateMode:
    """Which states of a sequence are kept: the last one, those at block boundaries, or one per block.

    Mamba layers kept one per block when prefix caching was asked for before 0.28.
    """
    wanted = found.hybrid_caching if prefix_caching is None else prefix_caching
    if not wanted:
        return "none"
    return "all" if not found.hybrid_caching and state.kind in ("mamba1", "mamba2") else "align"


def kernel_tokens(device: DeviceSpec) -> int:
    """The smallest block of an attention kernel: 16 tokens on CUDA and ROCm, 64 on Intel's XPU, 32 on a CPU."""
    return KERNEL_TOKENS_OTHER.get(device.platform, KERNEL_TOKENS)


def hybrid_step(found: Rules, device: DeviceSpec, latent: bool, given: int) -> int:
    """The block of a model with recurrent state is a multiple of this many tokens; ``given`` is ``--block-size``."""
    step = max(kernel_tokens(device), found.latent_step if latent else 1)
    return max(step, given) if found.given_block else step


def writes_checkpoints(found: Rules, model: ModelSpec, device: DeviceSpec, state: Recurrent) -> bool:
    """Whether a prefill leaves a state of this kind at a block's boundary, in a block of its own."""
    match state.kind:
        case "kda":
            return "flash_kda" in found.checkpoints and device.platform == "cuda" and bool(_FLASH_KDA.match(model.name))
        case "gated_deltanet":
            capable = device.compute_capability is not None and device.compute_capability[0] in CHECKPOINT_CAPABILITIES
            return "gated_deltanet" in found.checkpoints and capable and not _OWN_DELTANET.match(model.name)
    return state.kind in found.checkpoints


def _block_size(found: Rules, model: ModelSpec, device: DeviceSpec, kv: str) -> int:
    """Compressed latents have blocks of 256, other latents their kernel's, and attention that of the platform."""
    caches = [cache for cache, _ in model.caches]
    latents = [cache for cache in caches if isinstance(cache, Latent)]
    if any(cache.ratio > 1 for cache in latents):
        return COMPRESSED_BLOCK_TOKENS
    if latents and device.platform == "cuda":
        return _latent_block(found, device, kv, indexed=any(isinstance(cache, Indexer) for cache in caches))
    return CPU_BLOCK_TOKENS if device.platform == "cpu" else kernel_tokens(device)


def _latent_block(found: Rules, device: DeviceSpec, kv: str, *, indexed: bool) -> int:
    """Tokens of a block of latents on NVIDIA's devices, by the kernel that reads them.

    Example: DeepSeek-V3 on H200 has blocks of 16 tokens in bf16 and of 64 in fp8, up to 0.17 of 64 in both.
    """
    major = (device.compute_capability or (0, 0))[0]
    if indexed and major in (HOPPER, BLACKWELL):
        return LATENT_BLOCK_TOKENS
    if major == HOPPER:
        flash = found.latent_kernels == "preferred" and kv in FLASH_ATTENTION_LATENTS
        return KERNEL_TOKENS if flash else LATENT_BLOCK_TOKENS
    if major == BLACKWELL:
        blocks = {"cutlass": CUTLASS_TOKENS, "flashinfer": LATENT_BLOCK_TOKENS, "preferred": FLASHINFER_TOKENS}
        return blocks[found.latent_kernels]
    return LATENT_BLOCK_TOKENS if indexed else KERNEL_TOKENS


def _batched_tokens(found: Rules, device: DeviceSpec) -> int:
    if found.large_tier and device.usable_bytes >= 160 * GIB:
        return 16_384
    return 8192 if _is_large(device) else 2048


def _is_large(device: DeviceSpec) -> bool:
    return device.usable_bytes >= 70 * GIB and not device.unified and "a100" not in device.name.casefold()


class MemoryRules(NamedTuple):
    """What one release keeps beside its cache.

    Read in the packages of the release that has a change and of the one before.
    """

    sampler: Literal["sort", "rows", "fused"]
    """How top-k and top-p are profiled: a full sort (to 0.16), a kernel with a row buffer, FlashInfer's (0.21)."""
    runner2_units: Fraction
    """What its sampler takes in the profile run, in logits of all sequences in fp32: 3/2, 1/2 (0.26), 7/2 (0.33)."""
    counts_kept: bool
    """Its token counts of all sequences are subtracted from the pool (0.27)."""
    gelu_fused: bool
    """FlashInfer's kernels run NVFP4 experts with a GELU too (0.24, not in 0.23); vLLM's own CUTLASS ones before."""
    available_ram: bool
    """On memory that processor and GPU share, what is free is what the operating system can give (0.12, not 0.11)."""
    workspace_held: bool
    """The workspace of routed experts stays allocated, beside whatever is the peak (modular kernels, 0.16)."""
    chunk_tokens: int
    """Tokens that go through the experts at once: 32,768 (to 0.11), 16,384 (to 0.17), then all of a step (#34086)."""
    more_kernels: bool
    """The profile run loads Triton's and FlashInfer's modules too (0.18): 0.25 GiB instead of 0.12 from Hopper on."""
    fusion: Literal["none", "rounded", "exact"]
    """Workspaces of fused all-reduce: none, three of 512 MiB (0.17), or of what they hold (0.33)."""
    step_of_16: bool
    """Above 256 sequences a CUDA graph is captured for every 16th size instead of every 8th (0.11.1)."""
    full_graphs: bool
    """Batches that only decode get a full CUDA graph beside the one in pieces (0.11, FULL_AND_PIECEWISE)."""
    scales_kept: bool
    """Scales of MXFP4 experts stay in the file's order beside the kernel's own (to 0.24)."""


def memory_rules(version: str) -> MemoryRules:
    """What release ``version`` keeps beside its cache; the newest known when it is empty."""
    numbers = release(version or SPAN.newest)
    at = numbers[:2]
    return MemoryRules(
        sampler="sort" if at < (0, 17) else "rows" if at < (0, 21) else "fused",
        runner2_units=Fraction(3, 2) if at < (0, 26) else Fraction(1, 2) if at < (0, 33) else Fraction(7, 2),
        counts_kept=at >= (0, 27),
        gelu_fused=at >= (0, 24),
        available_ram=at >= (0, 12),
        workspace_held=at >= (0, 16),
        chunk_tokens=2**15 if at < (0, 12) else 2**14 if at < (0, 18) else MAX_TOKENS,
        more_kernels=at >= (0, 18),
        fusion="none" if at < (0, 17) else "rounded" if at < (0, 33) else "exact",
        step_of_16=numbers >= (0, 11, 1) or at >= (0, 12),
        full_graphs=at >= (0, 11),
        scales_kept=at < (0, 25),
    )
