"""CUDA graphs: what capturing them takes, as vLLM estimates it before it sizes its cache.

Graphs are captured piece by piece, between the attention layers, for batches of all kinds, and from 0.11 on once more
in full for batches that only decode. Both share one pool, so that the larger of the first captures is held once; each
further graph adds its own nodes (``gpu_model_runner.py``, ``profile_cudagraph_memory``).
"""

from __future__ import annotations

from kvtui.engine.basis.units import MIB
from kvtui.engine.engines.budget import Term
from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.activations import forward_bytes, sequences
from kvtui.engine.serving.vllm.experts import expert_buffers
from kvtui.engine.serving.vllm.releases import BLACKWELL, HOPPER, MemoryRules

PIECEWISE_LAYER, FULL_LAYER = 195 * 2**10, 155 * 2**10
PIECEWISE_EXPERTS, FULL_EXPERTS = 240 * 2**10, 210 * 2**10
GRAPHS_LEAST, GRAPHS_MOST = 0.6, 1.6
CAPTURED_TOKENS, CAPTURED_TOKENS_BLACKWELL = 512, 1024
CAPTURED_GPT_OSS, CAPTURED_GPT_OSS_EARLY = 1024, 992
MOST_SPLIT_TOKENS = 992
SPLITS = 32
WIDEST_FLASH_HEAD = 256
FLASHINFER_BYTES = 394 * MIB
FIRST_BYTES = 72 * MIB
SOURCE = "vLLM's sources, 0.11 to 0.33; estimates that 45 servers of 0.19 printed"


def graphs(scenario: Scenario, memory: MemoryRules) -> Term:
    """The estimate for CUDA graphs.

    Example: Llama-3.1-8B on an H100 captures 51 sizes up to 512 in both ways. FlashAttention's splits are 256 MiB in
    the first full one, each of 50 more takes 195 and 155 KiB for each of 32 layers: 0.79 GiB, estimated as 0.84.
    """
    model, eager = scenario.model, scenario.serving.eager
    piecewise = [] if eager else captured(scenario, memory)
    decoding = sequences(scenario) * (1 + scenario.speculative_tokens)
    full = [size for size in piecewise if size <= decoding] if memory.full_graphs and _full(scenario) else []
    layers = -(-len(model.layers) // scenario.layout.pp)
    sparse = sum(layer.experts is not None for layer in model.layers) / max(1, len(model.layers))
    each = [
        int(dense + sparse * (experts - dense))
        for dense, experts in ((PIECEWISE_LAYER, PIECEWISE_EXPERTS), (FULL_LAYER, FULL_EXPERTS))
    ]
    first = 0
    if piecewise:
        first = _first_capture(scenario, max(piecewise), max(full, default=0)) + expert_buffers(scenario, memory).first
    more = [max(0, len(sizes) - 1) * layers * size for sizes, size in zip((piecewise, full), each, strict=True)]
    size = first + sum(more)
    values = (
        ("layers", layers),
        ("piecewise_sizes", len(piecewise)),
        ("full_sizes", len(full)),
        ("first_capture", first),
        ("piecewise_layer_and_size", each[0]),
        ("full_layer_and_size", each[1]),
    )
    formula = (
        "first_capture + layers × ((piecewise_sizes − 1) × piecewise_layer_and_size"
        " + (full_sizes − 1) × full_layer_and_size)"
    )
    return Term("graphs", size, int(size * GRAPHS_LEAST), int(size * GRAPHS_MOST), formula, values, SOURCE, "M")


def _first_capture(scenario: Scenario, tokens: int, decoded: int) -> int:
    """What the first captures hold: in pieces streams, libraries and a step's activations, in full the attention's."""
    step = int(forward_bytes(scenario) * tokens / scenario.max_batched_tokens)
    attention = FLASHINFER_BYTES if decoded and _flashinfer(scenario) else split_bytes(scenario, decoded)
    return max(FIRST_BYTES + step, attention)


def captured(scenario: Scenario, memory: MemoryRules) -> list[int]:
    """Batch sizes that get a CUDA graph: 1, 2, 4, every 8th up to 256, then every 8th or 16th, up to 512.

    gpt-oss asks for 1,024 whatever the number of sequences, 992 before 0.12.
    """
    capability = scenario.device.compute_capability or (0, 0)
    limit = CAPTURED_TOKENS_BLACKWELL if capability[0] == 10 and memory.fusion == "exact" else CAPTURED_TOKENS
    most = min(2 * sequences(scenario) * (1 + scenario.speculative_tokens), limit)
    if scenario.model.name.startswith("gpt-oss"):
        most = CAPTURED_GPT_OSS if memory.step_of_16 else CAPTURED_GPT_OSS_EARLY
    most = min(most, scenario.max_batched_tokens)
    sizes = [n for n in (1, 2, 4) if n <= most] + list(range(8, min(most, 255) + 1, 8))
    return sizes + list(range(256, most + 1, 16 if memory.step_of_16 else 8))


def split_bytes(scenario: Scenario, tokens: int) -> int:
    """FlashAttention 3's partial results of ``tokens``, on Hopper: 32 splits of every head's output in fp32.

    Example: 32 heads of 128 and 512 tokens: 32 · 512 · 32 · 128 · 4 B = 256 MiB; 260 were taken. Kernels of other
    devices hold none, nor do those of heads wider than 256, of fp32, or of steps above 992 tokens.
    """
    if scenario.device.compute_capability != (9, 0) or tokens > MOST_SPLIT_TOKENS or scenario.weight_dtype == "fp32":
        return 0
    return SPLITS * tokens * 4 * _widest_output(scenario.model, scenario.layout.tp) if tokens else 0


def _full(scenario: Scenario) -> bool:
    """Whether the attention kernel can be captured in full: FlashInfer's decode takes one token, but on Blackwell."""
    major = (scenario.device.compute_capability or (0, 0))[0]
    return not scenario.speculative_tokens or major == BLACKWELL or not _flashinfer(scenario)


def _flashinfer(scenario: Scenario) -> bool:
    """Whether FlashInfer computes attention, whose workspace is made when the first graph is captured.

    It is first on datacentre Blackwell; elsewhere where the cache is quantised, which FlashAttention reads on Hopper
    alone. Latents have kernels of their own, and heads wider than 256 Triton's (``cuda.py``, ``flashinfer.py``).
    """
    caches = [cache for cache, _ in scenario.model.caches if isinstance(cache, Attention)]
    if not caches or any(cache.k_dim > WIDEST_FLASH_HEAD for cache in caches):
        return False
    major = (scenario.device.compute_capability or (0, 0))[0]
    return major == BLACKWELL or (major not in (0, HOPPER) and scenario.kv.bits_per_element < 16)


def _widest_output(model: ModelSpec, tp: int) -> int:
    """Elements of one token's attention output on a rank, with what each split adds per head; 0 for other kernels."""
    widths = [0]
    for cache, _ in model.caches:
        match cache:
            case Attention() if cache.k_dim > WIDEST_FLASH_HEAD or model.family == "gemma3":
                return 0
            case Attention():
                widths.append(-(-cache.q_heads // tp) * (cache.v_dim + 1))
            case Latent():
                widths.append(-(-cache.q_heads // tp) * (cache.rank + 1))
    return max(widths)
