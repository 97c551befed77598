"""SGLang's own choices, by the size of the device, and the formats of its cache."""

from __future__ import annotations

from kvtui.engine.basis.units import MIB
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import EngineDefaults, LargerStages, Milestone, ReleaseSpan
from kvtui.engine.model.spec import ModelSpec

SPAN = ReleaseSpan(oldest="", newest="0.5.23", example="0.5.23")
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
)
KV_FORMATS = ("bf16", "fp16", "fp32", "fp8", "nvfp4", "fp8_ds_mla")
KV_APART = False
MILESTONES: tuple[Milestone, ...] = ()
LARGER_STAGES: LargerStages = "first"
EXPERT_PARALLEL = True
JOINED_REPLICAS = False

_BY_MIB = ((20 * 1024, 2048, 8, 8), (35 * 1024, 2048, 24, 80), (60 * 1024, 4096, 32, 160), (160 * 1024, 8192, 256, 512))
_LARGE = (16_384, 512, 512)


_WINDOWED = frozenset(
    (
        *("beam", "deepseek_v4", "diffusion_gemma", "dots3_note", "gemma4", "gemma4_unified", "gpt_oss", "granite_swa"),
        *("granitemoe_swa", "inkling", "laguna", "llama4", "mellum", "mimo_v2_flash", "muse_glimmer", "muse_spark"),
        *("step3p5", "step3p7", "unlimited_ocr"),
    )
)
"""Families whose windowed layers have a pool of their own (``is_hybrid_swa_model`` of 0.5.23)."""


def applies_windows(model: ModelSpec) -> bool:
    """For the families that have a windowed pool, and where the family is not known; else all tokens are kept."""
    return model.window is None and (not model.family or model.family in _WINDOWED)


def defaults(version: str, model: ModelSpec, device: DeviceSpec, kv: str) -> EngineDefaults:
    """SGLang's choices on ``device``: pages of one token, and a prefill chunk by the size of the memory.

    A share of 1 stands for its own rule, ``mem_fraction_static``.
    """
    return EngineDefaults(block_size=1, max_batched_tokens=by_size(device)[0], memory_utilization=1.0)


def by_size(device: DeviceSpec) -> tuple[int, int, int]:
    """Tokens of a prefill chunk, and sequences in CUDA graphs below four ranks and from there on."""
    memory = device.usable_bytes / MIB
    return next((row[1:] for row in _BY_MIB if memory < row[0]), _LARGE)
