"""Buffers of routed experts in one step, by the kernel that runs them.

Most kernels take two buffers from vLLM, which are never given back. FlashInfer's NVFP4 kernels take theirs from
PyTorch for as long as a layer runs, and vLLM's own CUTLASS ones take the rows of all experts besides, packed and not,
with scales for as many tokens as are ever allowed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.weights import expert_ranks, joined_replicas
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.exchange import LATENCY, backend_of, rows_at_experts
from kvtui.engine.serving.vllm.releases import BLACKWELL, MemoryRules

Kernel = Literal["modular", "mxfp4", "flashinfer", "cutlass"]

GELU = frozenset({"gemma4", "gemma4_text"})
"""Families whose experts have a GELU, by the model_type of their config."""

CUTLASS_TOKENS = 163_840
SCALE_GROUP, PACKED_SCALES, SCALE_WORD = 16, 4, 4


class Buffers(NamedTuple):
    """Bytes that stay allocated (``held``), that one layer takes beside them (``step``), and in the ``first`` graph."""

    held: int
    step: int
    first: int


def expert_buffers(scenario: Scenario, memory: MemoryRules) -> Buffers:
    """The largest buffers of any layer's routed experts, F wide on one rank, for T tokens with k experts each.

    Example: Mixtral-8x7B on two ranks, 2 experts of 7,168 per token: 2 · T · k · (max(F, H) + max(2F, H)) are
    2 · 8,192 · 2 · (7,168 + 14,336) = 0.66 GiB, held. On three replicas they are for three times as many tokens:
    Qwen3-30B-A3B on as many L4 was logged to have 1.2 GiB less with steps of 7,546 tokens than with 697.
    """
    kernel, hidden, found = kernel_of(scenario, memory), scenario.model.hidden or 0, Buffers(0, 0, 0)
    for layer, _ in scenario.model.counted:
        if layer.experts is not None and hidden:
            ranks = expert_ranks(scenario)
            width = layer.experts.parameters // (3 * hidden) // (1 if ranks.whole else ranks.number)
            found = max(found, _of_layer(kernel, scenario, memory, layer, width), key=sum)
    return found if memory.workspace_held or kernel != "modular" else Buffers(0, found.held + found.step, 0)


def kernel_of(scenario: Scenario, memory: MemoryRules) -> Kernel:
    """The kernel that vLLM chooses by itself (``fused_moe/oracle``).

    NVFP4 experts run in FlashInfer's kernels on Blackwell, those with a GELU in vLLM's CUTLASS ones before 0.24, and in
    Marlin's on other devices, whose buffers are like Triton's.
    """
    if scenario.weight_dtype == "mxfp4":
        return "mxfp4"
    packed = scenario.weight_dtype.startswith("nvfp4") and scenario.device.platform == "cuda"
    if not packed or (scenario.device.compute_capability or (0, 0))[0] < BLACKWELL:
        return "modular"
    if scenario.model.family not in GELU or memory.gelu_fused:
        return "flashinfer"
    return "modular" if scenario.expert_parallel else "cutlass"


def _of_layer(kernel: Kernel, scenario: Scenario, memory: MemoryRules, layer: Layer, width: int) -> Buffers:
    """The buffers of one layer; tokens of other ranks come and go beside them."""
    assert layer.experts is not None
    hidden, rows = scenario.model.hidden or 0, rows_at_experts(scenario, layer)
    if backend_of(scenario) == LATENCY:
        return Buffers(2 * rows * (max(hidden, 2 * width) + width), 2 * rows * hidden, 0)
    tokens = -(-rows // layer.experts.active)
    joined = 2 * 2 * tokens * hidden if joined_replicas(scenario) > 1 else 0
    rows = min(rows, memory.chunk_tokens * layer.experts.active)
    match kernel:
        case "mxfp4":
            return Buffers(0, joined, 0)
        case "flashinfer":
            return Buffers(2 * tokens * hidden, joined + 2 * rows * (hidden + max(2 * width, hidden)), 0)
        case "cutlass":
            words = -(-hidden // SCALE_GROUP // PACKED_SCALES)
            scales = CUTLASS_TOKENS * layer.experts.active * words * SCALE_WORD
            shuffled = rows * hidden * 2 + rows * hidden // 2
            return Buffers(2 * rows * (width + max(2 * width, hidden)), joined + shuffled + scales, scales)
    return Buffers(2 * rows * (max(width, hidden) + max(2 * width, hidden)), joined, 0)
