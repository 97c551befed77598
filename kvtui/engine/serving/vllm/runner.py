"""Which of vLLM's two model runners serves a model by default, and what each leaves out of its memory's budget.

The second came with 0.22 for one family and serves every model from 0.29 on. Until 0.28 it estimated no CUDA graphs,
so that they are not taken off the pool, and until 0.26 it ran no encoder while it profiled
(``vllm/config/vllm.py``, ``use_v2_model_runner``; ``vllm/v1/worker/gpu/model_runner.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kvtui.engine.model.caches import Attention, Latent, Recurrent

if TYPE_CHECKING:
    from kvtui.engine.scenario.scenario import Scenario
    from kvtui.engine.serving.vllm.releases import Rules

WHOLE = frozenset({"bf16", "fp16", "fp32"})

_QWEN3 = re.compile(r"Qwen3-[0-9.]+B")
_FEW = re.compile(r"Qwen3-[0-9.]+B|Llama-[23](?!.*Vision).*|Mistral-(?!Small-[34]).*")
_SPARSE = re.compile(r"DeepSeek-V2|Qwen[12.5]*-MoE|Granite-3.*[Mm][Oo][Ee]", re.IGNORECASE)
_KIMI = re.compile(r"Kimi-K3")
_KIMI_OR_DEEPSEEK = re.compile(r"Kimi-K3|DeepSeek-V4")


def second_runner(found: Rules, scenario: Scenario) -> bool:
    """Whether the second model runner serves the model of ``scenario`` by default.

    Example: gemma-3-27b has it from 0.25 on, gpt-oss, whose layers have experts, and Qwen3.6-27B, whose layers have
    states, from 0.29 on. In 0.22 and 0.23 quantised checkpoints did not.
    """
    model, stage = scenario.model, found.runner2
    sparse = any(layer.experts for layer, _ in model.counted)
    whole = scenario.weight_dtype in WHOLE and not sparse
    match stage:
        case "none":
            return False
        case "qwen3":
            return whole and bool(_QWEN3.fullmatch(model.name))
        case "few":
            return whole and bool(_FEW.fullmatch(model.name))
        case "some":
            return bool(_FEW.fullmatch(model.name) and not sparse) or bool(_SPARSE.match(model.name))
        case "all":
            return True
    named = {"dense": _SPARSE, "kimi": _KIMI, "deepseek": _KIMI_OR_DEEPSEEK}[stage]
    if _SPARSE.match(model.name) or named.match(model.name):
        return True
    caches = [cache for cache, _ in model.caches]
    attends = any(isinstance(cache, Attention | Latent) for cache in caches)
    return attends and not sparse and not any(isinstance(cache, Recurrent) for cache in caches)


def counts_graphs(found: Rules, scenario: Scenario) -> bool:
    """Whether an estimate of the CUDA graphs is taken off the pool.

    Example: Llama-3.1-8B with 0.25 on an H100 keeps its pool and captures graphs beside it, with 0.20 and 0.33 it
    does not; on an MI300X nothing is estimated before 0.26.
    """
    if not found.graphs_counted or scenario.device.platform not in found.graphs_on:
        return False
    return found.second_counts_graphs or not second_runner(found, scenario)


def profiles_images(found: Rules, scenario: Scenario) -> bool:
    """Whether the profile run has the encoder read the largest images."""
    return found.second_profiles_images or not second_runner(found, scenario)
