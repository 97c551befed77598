"""What handing tokens to other ranks' experts takes, by the backend of vLLM's expert parallelism.

By default all ranks' tokens are gathered in activations. DeepEP's kernels keep buffers of their own, outside of torch,
from the moment when the model is loaded (``all2all.py``, ``DeepEPHTAll2AllManager`` and ``DeepEPLLAll2AllManager``):
one over NVLink in both modes, and one over RDMA between machines or for low latency.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.basis.units import MIB
from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.weights import expert_ranks, joined_replicas
from kvtui.engine.scenario.scenario import NODE_DEVICES, Scenario

GATHER, THROUGHPUT, LATENCY = "allgather_reducescatter", "deepep_high_throughput", "deepep_low_latency"
COUNTED = (GATHER, THROUGHPUT, LATENCY)
BUFFER = 1024 * MIB
"""``VLLM_DEEPEP_BUFFER_SIZE_MB``."""

WORKSPACE = 32 * MIB
HEAP_STEP = 512 * MIB
"""NVSHMEM's heap grows by so much (``NVSHMEM_CUMEM_GRANULARITY``), and takes half of it to begin with."""

LATENCY_TOKENS, MOST_LATENCY_TOKENS = 256, 511
CONTROL, QUANTISED, ALIGNMENT = 16, 128, 128


class ExchangeBuffers(NamedTuple):
    """Bytes of a rank's buffers outside of torch, and the most that they may be."""

    size: int
    most: int


def backend_of(scenario: Scenario) -> str:
    """The backend that hands tokens on; empty where no expert is another rank's."""
    if not scenario.expert_parallel or scenario.layout.dp == 1:
        return ""
    return scenario.serving.all2all or GATHER


def exchange_buffers(scenario: Scenario) -> ExchangeBuffers:
    """What DeepEP keeps on each rank.

    Example: DeepSeek-V3 on eight replicas for low latency, 256 tokens of 7,168 elements each: 3.56 GiB that receive and
    send, 1 GiB for NVLink.
    """
    backend = backend_of(scenario)
    if backend == LATENCY:
        linked = sum(
            latency_bytes(latency_tokens(scenario), scenario.model.hidden or 0, experts)
            for experts in {layer.experts.total for layer in scenario.model.layers if layer.experts is not None}
        )
    elif backend == THROUGHPUT:
        linked = BUFFER if expert_ranks(scenario).number > NODE_DEVICES else 0
    else:
        return ExchangeBuffers(0, 0)
    size = BUFFER + WORKSPACE + linked
    return ExchangeBuffers(size, size + (HEAP_STEP + HEAP_STEP // 2 if linked else 0))


def latency_tokens(scenario: Scenario) -> int:
    """Tokens that a rank hands on at once for low latency: 256 unless it is told fewer than DeepEP's queues bear."""
    given = scenario.max_batched_tokens
    return given if given <= MOST_LATENCY_TOKENS else LATENCY_TOKENS


def latency_bytes(tokens: int, hidden: int, experts: int) -> int:
    """DeepEP's buffers for low latency (``config.hpp``, ``get_low_latency_rdma_size_hint``): two of each, for turns.

    A message to an expert has a token in 16 bits with its source, or in 8 with a scale per 128 elements; one back the
    token and the least and most of each 128. Example: 128 tokens of 7,168 elements and 288 experts are 2,146,961,792
    bytes, as its own test prints.
    """
    scales = hidden // QUANTISED
    out = CONTROL + max(2 * hidden, hidden + 4 * scales)
    back = 4 * scales + 2 * hidden
    sent = max(tokens * out, experts * tokens * back)
    received = experts * tokens * max(out, back)
    signals = -(-4 * experts // ALIGNMENT) * ALIGNMENT
    return (2 * (sent + received + signals) + ALIGNMENT) // ALIGNMENT * ALIGNMENT


def rows_at_experts(scenario: Scenario, layer: Layer) -> int:
    """Rows that the experts of one rank are given in one step of the profile run, a row for each token and expert.

    Gathered, every token of the replicas with experts in common comes with all its choices, whosever they are. With
    DeepEP those come that chose a local expert, of a router that favours none; for low latency there is room for every
    rank's tokens at each local expert.
    """
    assert layer.experts is not None
    ranks, active = expert_ranks(scenario).number, layer.experts.active
    match backend_of(scenario):
        case "deepep_low_latency":
            return latency_tokens(scenario) * ranks * -(-layer.experts.total // ranks)
        case "deepep_high_throughput":
            chosen = 1 - (1 - 1 / ranks) ** active
            return int(gathered_tokens(scenario) * chosen) * active
    return gathered_tokens(scenario) * active


def gathered_tokens(scenario: Scenario) -> int:
    """Tokens that meet in one step: a rank's own, and those of the replicas that have experts in common with it.

    With expert parallelism the ranks of a replica bring a part of its tokens each.
    """
    return scenario.max_batched_tokens * joined_replicas(scenario)
