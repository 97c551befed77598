"""Which formats of K and V vLLM's attention kernels read; one that none reads is refused at the start.

Read in 0.32 (``supported_kv_cache_dtypes`` and ``supports_combination`` of ``v1/attention/backends``). FlashInfer alone
reads nvfp4, Triton's kernel alone a scale per token and head, and what reads latents neither.
"""

from __future__ import annotations

from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.releases import LATENT_FORMATS

PACKED = "fp8_ds_mla"
CPU_FORMATS = frozenset({"bf16", "fp16", "fp32", "fp8"})
NARROW_HEAD, NARROW_HEAD_MAJORS = 64, (8, 9, 12)


def unread(scenario: Scenario) -> str:
    """Why no kernel reads the cache of ``scenario``, in words; empty where one does.

    Example: DeepSeek-V3 with ``--kv-cache-dtype nvfp4`` finds no attention backend, on any device.
    """
    name, device = scenario.kv.name, scenario.device
    caches = [cache for cache, _ in scenario.model.caches]
    latents = [cache for cache in caches if isinstance(cache, Latent)]
    if latents and name not in LATENT_FORMATS:
        return f"no kernel of vLLM reads latents in {name}: they are kept in 16 bits or fp8"
    if name == PACKED and not any(cache.packed_bytes is not None for cache in latents):
        return f"{name} holds the latents of models with a sparse indexer alone"
    if device.platform == "cpu" and name not in CPU_FORMATS:
        return f"vLLM's kernel for a CPU reads K and V in 16 bits or fp8, not in {name}"
    if name != "nvfp4":
        return ""
    if device.platform != "cuda":
        return f"FlashInfer alone reads K and V in {name}, and runs on NVIDIA's devices"
    narrow = any(isinstance(cache, Attention) and cache.k_dim == NARROW_HEAD for cache in caches)
    if narrow and (device.compute_capability or (0, 0))[0] in NARROW_HEAD_MAJORS:
        return f"FlashInfer's kernels of the {device.name} cannot read heads of {NARROW_HEAD} elements in {name}"
    return ""
