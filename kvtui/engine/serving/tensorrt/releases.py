"""TensorRT-LLM's own choices, and the formats of its cache."""

from __future__ import annotations

from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import EngineDefaults, LargerStages, Milestone, ReleaseSpan
from kvtui.engine.model.spec import ModelSpec

SPAN = ReleaseSpan(oldest="", newest="", example="1.0")
LOADS_GGUF = False
WEIGHT_FORMATS = ("bf16", "fp16", "fp32", "fp8", "fp8-block", "nvfp4", "mxfp4", "w8a16", "awq", "gptq")
KV_FORMATS = ("bf16", "fp16", "fp32", "fp8", "int8", "nvfp4")
KV_APART = False
MILESTONES: tuple[Milestone, ...] = ()
LARGER_STAGES: LargerStages = "first"
EXPERT_PARALLEL = True
JOINED_REPLICAS = False


def applies_windows(model: ModelSpec) -> bool:
    """Those of single layers; one that only the files state for all of them must be given as max_attention_window."""
    return model.window is None


def defaults(version: str, model: ModelSpec, device: DeviceSpec, kv: str) -> EngineDefaults:
    """``tokens_per_block`` and ``max_num_tokens`` of the LLM API.

    A share of 1 stands for the API's own share of free memory.
    """
    return EngineDefaults(block_size=32, max_batched_tokens=8192, memory_utilization=1.0)
