"""What changed between vLLM's releases, one field per change, and the defaults that go with them.

Releases are those in which a change first shipped, as far as public threads and boot logs tell; each field names its
pull request where there is one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple

from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.known import EngineDefaults, LargerStages, Milestone, ReleaseSpan, release
from kvtui.engine.model.caches import Latent, Recurrent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtui.engine.device.spec import DeviceSpec
    from kvtui.engine.model.spec import ModelSpec

SPAN = ReleaseSpan(oldest="0.8", newest="0.33", example="0.33")
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
BLOCK_TOKENS, LATENT_BLOCK_TOKENS, COMPRESSED_BLOCK_TOKENS = 16, 64, 256
HYBRID_ALIGN, HYBRID_ALIGN_ROCM, HYBRID_ALIGN_LATENT = 16, 64, 128
STATE_CHUNK_TOKENS = 256

StateMode = Literal["none", "align", "all"]


class Rules(NamedTuple):
    """How one release plans its cache; a change between releases is a field here.

    Each field says the release from which it holds. "A guess" is the first release of which a log or a thread shows
    it, where nobody looked into the release before.

    Example: of 5.38 GiB, 0.20 makes 9,793 blocks for gpt-oss-120b's two groups, and logs ⌊9,793 / 2⌋ × 16 = 78,336
    tokens. 0.21 makes the same blocks, 8,713 of them for a request of 131,072, and logs ⌊9,793 / 8,713 × 131,072⌋ =
    147,318: ``tokens_from_concurrency`` is that change.
    """

    version: str
    """The release itself, as it was named."""

    utilization: float
    """The share of a device's memory that is used by default: 0.90, from 0.21 on 0.92 (a guess)."""

    graphs_counted: bool
    """CUDA graphs are subtracted from the pool, from 0.21 on (a guess).

    On an H100 that is told 0.92, Llama-3.1-8B loses the 2.10 GiB of its graphs, some 17,000 tokens.
    """

    tokens_from_concurrency: bool
    """The tokens in the log are concurrency × context, from 0.21 on (#38364; the release is a guess).

    Before, they were whole shares of the blocks × the smallest block. 205 blocks in 4 groups, with 1,600 tokens in a
    block and 179 blocks per request of 262,144: ⌊205 / 179 × 262,144⌋ = 300,220, before ⌊205 / 4⌋ × 1,600 = 81,600.
    """

    windows: bool
    """Windowed layers free what they no longer need, from 0.10 on (the hybrid manager, #17996; a guess)."""

    chunks: bool
    """Chunked-local layers do so too without being asked, from 0.19 on (#29627; a guess)."""

    batches: int
    """Batches in flight at once behind a window: 1, from 0.26 on 2 (asynchronous scheduling, #47728).

    A window of 1,024 tokens, steps of 8,192 and blocks of 16: ⌈(1,023 + 8,192) / 16⌉ + 1 = 577 blocks, and with two
    batches ⌈(1,023 + 16,384) / 16⌉ + 1 = 1,089.
    """

    near_equal: float
    """Up to this ratio of their numbers, kinds of layers are all padded to the largest.

    1 (never) before 0.12, 1.25 from then on (#29303), 1.5 from 0.18 on (#36684). 13 full and 12 windowed layers are
    then two groups of 13, with 1 layer that holds nothing; before, three groups of 12, with 11 that hold nothing.
    """

    whole_model_check: bool
    """With pipeline stages, the start-up check compares the whole model with the smallest rank.

    A fault of 0.14 and 0.15 (#29431 to #33698; the end is a guess). Qwen3-30B-A3B at 262,144 tokens in stages of 16 and
    32 layers takes 16 GiB of the second rank, and the engine asks for 24.
    """

    null_block: bool
    """The start-up check reserves the block that is never handed out, from 0.29 on (#47272).

    A request of exactly as many blocks as there are started before, and then waited for ever.
    """

    slots_checked: bool
    """More sequences than blocks of state are refused, from 0.19 on (#38270; the release is a guess)."""

    hybrid_caching: bool
    """Prefix caching is on by default for models with recurrent state, from 0.28 on (#50991).

    States are then kept at block boundaries only, and Mamba layers no longer one per block. A request of 8,192 tokens
    of Nemotron-H-8B holds 2 states in each such layer, in 0.27 without prefix caching 1.
    """

    large_tier: bool
    """Devices of 160 GiB and more batch 16,384 tokens by default instead of 8,192, from 0.28 on (#51726)."""


CHANGES = {
    "windows": "windowed layers free what they no longer need",
    "near_equal": "unequal layer kinds are padded into one group",
    "whole_model_check": "with pipeline stages, the start-up check compares the whole model with one rank",
    "graphs_counted": "CUDA graphs are subtracted from the pool",
    "tokens_from_concurrency": "the logged tokens are concurrency × context",
    "utilization": "another default share of memory",
    "chunks": "chunked-local layers free what they no longer need",
    "slots_checked": "more sequences than state blocks are refused",
    "batches": "two batches are in flight behind a window",
    "hybrid_caching": "prefix caching is on by default for models with state",
    "large_tier": "devices of 160 GiB batch 16,384 tokens",
    "null_block": "the check reserves the block that is never handed out",
}
"""What a change of each rule is called; a rule that ends is named as no longer holding."""


LARGER_STAGES: LargerStages = "before the last"
"""``get_pp_indices``, since 0.8: 26 layers on four stages are 6, 7, 7 and 6."""


def changes(newer: str, older: str) -> list[str]:
    """What release ``newer`` does that ``older`` did not, in words; no words where it plans alike."""
    one, other = rules(newer), rules(older)
    changed = (field for field in CHANGES if getattr(one, field) != getattr(other, field))
    return [f"{'no longer: ' if getattr(one, field) is False else ''}{CHANGES[field]}" for field in changed]


def rules(version: str) -> Rules:
    """The rules of release ``version``; the newest known when it is empty."""
    version = version or SPAN.newest
    at = release(version)[:2]
    return Rules(
        version=version,
        utilization=0.92 if at >= (0, 21) else 0.9,
        graphs_counted=at >= (0, 21),
        tokens_from_concurrency=at >= (0, 21),
        windows=at >= (0, 10),
        chunks=at >= (0, 19),
        batches=2 if at >= (0, 26) else 1,
        near_equal=1.5 if at >= (0, 18) else 1.25 if at >= (0, 12) else 1.0,
        whole_model_check=(0, 14) <= at < (0, 16),
        null_block=at >= (0, 29),
        slots_checked=at >= (0, 19),
        hybrid_caching=at >= (0, 28),
        large_tier=at >= (0, 28),
    )


def _milestones() -> Iterator[Milestone]:
    """Releases that do something new, the newest known and the oldest, newest first."""
    first, last = (release(version)[1] for version in SPAN[:2])
    for minor in range(last, first - 1, -1):
        version = f"0.{minor}"
        changed = changes(version, f"0.{minor - 1}") if minor > first else []
        if changed:
            yield Milestone(version, f"new in {version}: {'; '.join(changed)}")
        elif minor in (first, last):
            yield Milestone(version, f"the {'newest' if minor == last else 'oldest'} release known")


MILESTONES = tuple(_milestones())


def defaults(version: str, model: ModelSpec, device: DeviceSpec) -> EngineDefaults:
    """Block size, tokens of a step and memory share of a server that is told none of them."""
    return defaults_under(rules(version), model, device)


def defaults_under(found: Rules, model: ModelSpec, device: DeviceSpec) -> EngineDefaults:
    """``defaults`` of a release with the rules ``found``."""
    return EngineDefaults(_block_size(model), _batched_tokens(found, device), found.utilization)


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


def hybrid_align(device: DeviceSpec, latent: bool) -> int:
    """The block of a model with recurrent state is a multiple of this many tokens."""
    if latent:
        return HYBRID_ALIGN_LATENT
    return HYBRID_ALIGN_ROCM if device.vendor == "AMD" else HYBRID_ALIGN


def _block_size(model: ModelSpec) -> int:
    """Latent caches have blocks of 64 (FlashMLA), compressed ones of 256; a model with state starts from 16."""
    latents = [cache for cache, _ in model.caches if isinstance(cache, Latent)]
    if any(cache.ratio > 1 for cache in latents):
        return COMPRESSED_BLOCK_TOKENS
    return LATENT_BLOCK_TOKENS if latents else BLOCK_TOKENS


def _batched_tokens(found: Rules, device: DeviceSpec) -> int:
    if found.large_tier and device.usable_bytes >= 160 * GIB:
        return 16_384
    return 8192 if _is_large(device) else 2048


def _is_large(device: DeviceSpec) -> bool:
    return device.usable_bytes >= 70 * GIB and not device.unified and "a100" not in device.name.casefold()


class MemoryRules(NamedTuple):
    """What one release keeps beside its cache.

    Read in the sources of 0.11.2 to 0.33; where a change first shipped between two of those, the older is taken to be
    without it.
    """

    sampler: Literal["sort", "rows", "fused"]
    """How top-k and top-p are profiled: a full sort (up to 0.16), a kernel with a row buffer, FlashInfer's (0.22)."""
    runner2: Literal["none", "qwen3", "some", "dense", "all"]
    """Which models the second model runner serves by default: none, then more with 0.22, 0.24, 0.25 and 0.29."""
    runner2_units: Fraction
    """What its sampler takes in the profile run, in logits of all sequences in fp32: 3/2, 1/2 (0.26), 7/2 (0.33)."""
    counts_kept: bool
    """Its token counts of all sequences are subtracted from the pool (0.27)."""
    workspace_held: bool
    """The workspace of routed experts stays allocated, beside whatever is the peak (modular kernels, 0.16)."""
    more_kernels: bool
    """The profile run loads Triton's and FlashInfer's modules too (0.17): 0.25 GiB on an H100 instead of 0.12."""
    fusion: Literal["none", "rounded", "exact"]
    """Workspaces of fused all-reduce: none, three of 512 MiB (0.17), or of what they hold (0.33)."""
    step_of_16: bool
    """Above 256 sequences a CUDA graph is captured for every 16th size instead of every 8th (0.11.1)."""


def memory_rules(version: str) -> MemoryRules:
    """What release ``version`` keeps beside its cache; the newest known when it is empty."""
    numbers = release(version or SPAN.newest)
    at = numbers[:2]
    return MemoryRules(
        sampler="sort" if at < (0, 17) else "rows" if at < (0, 22) else "fused",
        runner2="none"
        if at < (0, 22)
        else "qwen3"
        if at < (0, 24)
        else "some"
        if at < (0, 25)
        else "dense"
        if at < (0, 29)
        else "all",
        runner2_units=Fraction(3, 2) if at < (0, 26) else Fraction(1, 2) if at < (0, 33) else Fraction(7, 2),
        counts_kept=at >= (0, 27),
        workspace_held=at >= (0, 16),
        more_kernels=at >= (0, 17),
        fusion="none" if at < (0, 17) else "rounded" if at < (0, 33) else "exact",
        step_of_16=numbers >= (0, 11, 1) or at >= (0, 12),
    )
