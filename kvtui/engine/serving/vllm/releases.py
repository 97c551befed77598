"""What changed between vLLM's releases, one field per change, and the defaults that go with them.

Releases are those in which a change first shipped, as far as public threads and boot logs tell; each field names its
pull request where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.engines.known import EngineDefaults, ReleaseSpan, release
from kvtui.engine.model.caches import Latent, Recurrent

if TYPE_CHECKING:
    from kvtui.engine.device.spec import DeviceSpec
    from kvtui.engine.model.spec import ModelSpec

SPAN = ReleaseSpan(oldest="0.8", newest="0.33", example="0.33")
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
SMALL_GRAPH_BYTES, LARGE_GRAPH_BYTES = 512 * MIB, int(2.10 * GIB)
PROFILED_SEQUENCES = 256

StateMode = Literal["none", "align", "all"]


class Rules(NamedTuple):
    """How one release plans its cache.

    ``utilization`` is the default share of device memory. ``graphs_counted``: CUDA graphs are subtracted from the pool
    (0.21). ``tokens_from_concurrency``: the logged tokens are concurrency × context (0.21, #38364), before that whole
    shares of blocks. ``windows``: windowed layers free what they no longer need (hybrid manager, 0.10), and
    ``chunks`` that chunked-local layers do so too by default. ``batches`` that may be in flight at once behind a window
    (#47728). ``near_equal``: up to this ratio layer kinds are padded to the larger one (0.12, #29303; 1.5 later).
    ``whole_model_check``: with pipeline stages the start-up check compared the whole model with the smallest rank (0.14
    and 0.15, #33698). ``layer_check``: before that it added up layers without padding. ``null_block``: the check
    reserves the block that is never handed out (0.29, #47272). ``slots_checked``: more sequences than blocks of state
    are refused (#38270). ``hybrid_caching``: prefix caching is on by default for models with state (0.28, #50991), and
    then states are kept at block boundaries only. ``large_tier``: devices of 160 GiB batch 16,384 tokens (0.28,
    #51726).
    """

    version: str
    utilization: float
    graphs_counted: bool
    tokens_from_concurrency: bool
    windows: bool
    chunks: bool
    batches: int
    near_equal: float
    whole_model_check: bool
    layer_check: bool
    null_block: bool
    slots_checked: bool
    hybrid_caching: bool
    large_tier: bool


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
        layer_check=at < (0, 14),
        null_block=at >= (0, 29),
        slots_checked=at >= (0, 19),
        hybrid_caching=at >= (0, 28),
        large_tier=at >= (0, 28),
    )


def defaults(version: str, model: ModelSpec, device: DeviceSpec) -> EngineDefaults:
    """Block size, tokens of a step and memory share of a server that is told none of them."""
    found = rules(version)
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


def graph_bytes(max_seqs: int) -> int:
    """CUDA graphs of one device, a prior: 0.5 GiB, and 2.1 GiB where more than 256 sequences are captured (logs)."""
    return LARGE_GRAPH_BYTES if max_seqs > PROFILED_SEQUENCES else SMALL_GRAPH_BYTES


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
    return device.usable_bytes >= 70 * GIB and "a100" not in device.name.casefold()
