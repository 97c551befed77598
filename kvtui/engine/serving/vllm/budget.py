"""What vLLM keeps beside its cache, term by term, before any device was asked.

The pool of a rank is what it was told to use of the device, less the weights, the peak of the profile run, what grows
outside of torch after the first look at the memory, and from 0.20.0 on an estimate of its CUDA graphs
(``gpu_worker.py``, ``determine_available_memory``). The profile run is one step of ``max_num_batched_tokens`` tokens
and one sampling of ``max_num_seqs`` sequences; it reaches the larger of the two.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from kvtui.engine.basis.units import MIB
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.budget import Budget, Term, settled
from kvtui.engine.model.caches import Attention, Latent, Recurrent
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.planning.stages import Stage
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.loading import weights
from kvtui.engine.serving.vllm.releases import MemoryRules, Rules, default_max_seqs, memory_rules, rules

SORT_UNITS, SORT_UNITS_FEW, SORT_FEW = Fraction(19, 2), Fraction(25, 2), 128
FUSED_UNITS = Fraction(7, 2)
ROWS_FROM = 8
COUNTS_UNITS = Fraction(33, 32)
FLASHINFER_BYTES = 394 * MIB
BLAS_BYTES, BLAS_BYTES_HOPPER = 8 * MIB, 32 * MIB
STATE_CHUNK = 64
LOADED_HOPPER, LOADED_HOPPER_EARLY, LOADED_OLDER = 256 * MIB, 123 * MIB, 51 * MIB
GROUPS_LINKED, GROUPS_APART = {2: 328 * MIB, 4: 399 * MIB}, 164 * MIB
GROUPS_WIDE = 461 * MIB
FUSION_ROUNDED = 3 * 512 * MIB
FUSION_MIB = {9: {2: 64.0, 4: 2.0, 8: 0.5}, 10: {2: 64.0, 4: 32.0, 8: 1.0, 16: 64.0}}
GRAPH_LAYER_BYTES, GRAPH_LAYER_LEAST, GRAPH_LAYER_MOST = 338 * 2**10, 90 * 2**10, 563 * 2**10
CAPTURED_TOKENS, CAPTURED_TOKENS_BLACKWELL = 512, 1024
SOURCE = "vLLM's sources, 0.11 to 0.33"

_QWEN3 = re.compile(r"Qwen3-[0-9.]+B")
_FEW = re.compile(r"Qwen3-[0-9.]+B|Llama-[23].*|Mistral-.*")
_SOME = re.compile(r"Qwen3-|Llama-[23]|Mistral|DeepSeek-V2|Qwen[12.5]*-MoE|Granite")


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How a device of ``stage`` divides its memory; a machine profile's figures replace the estimates.

    Raises InputError when the weights are unknown and not skipped.
    """
    return budget_under(rules(scenario.serving.version), scenario, stage)


def budget_under(found: Rules, scenario: Scenario, stage: Stage) -> Budget:
    """``budget`` of a release with the rules ``found``."""
    memory, counted = memory_rules(found.version), found.graphs_counted
    terms = settled(
        scenario.measured,
        {
            "weights": partial(weights, scenario, stage),
            "activation": partial(_activation, scenario, memory),
            "non_torch": partial(_non_torch, scenario, memory),
            "graphs": partial(_graphs, scenario, memory),
        },
    )
    share = Fraction(str(scenario.memory_utilization))
    return Budget(
        scenario.device.allocatable_bytes, share, terms if counted else terms[:-1], () if counted else terms[-1:]
    )


def room(scenario: Scenario) -> int:
    """Bytes of a device that vLLM may fill: its share, and the CUDA graphs of releases that do not count them."""
    measured, found = scenario.measured, rules(scenario.serving.version)
    share = int(scenario.device.allocatable_bytes * Fraction(str(scenario.memory_utilization)))
    if found.graphs_counted:
        return share
    (graphs,) = settled(measured, {"graphs": partial(_graphs, scenario, memory_rules(found.version))})
    return share + graphs.bytes


def _activation(scenario: Scenario, memory: MemoryRules) -> Term:
    """The peak of the profile run: hidden states with the larger of the sampler and one step's forward pass.

    Example: Llama-3.1-8B on an H100 with 0.19, 1,024 sequences of 128,256 logits in fp32 are 501 MiB, of which the
    sampler holds 3.5 at once and a buffer of 132 rows; with 8,192 hidden states that is 1.88 GiB, logged as 1.89.
    """
    model, tokens = scenario.model, scenario.max_batched_tokens
    seqs = sequences(scenario)
    hidden = model.hidden or 0
    logits = 4 * seqs * (model.vocab or 0)
    second = _second_runner(model, memory)
    units = memory.runner2_units if second else _units(memory, seqs)
    copied = int(logits * units)
    if units == SORT_UNITS:
        copied = max(copied, int(4 * (SORT_FEW - 1) * (model.vocab or 0) * SORT_UNITS_FEW))
    rows = 0
    kernel = "rows" if memory.sampler == "fused" and scenario.device.platform != "cuda" else memory.sampler
    if kernel == "rows" and not second and seqs >= ROWS_FROM:
        rows = 4 * (model.vocab or 0) * min(scenario.device.multiprocessors or seqs, seqs)
    states = 2 * tokens * hidden + 4 * seqs * hidden
    sampler = copied + rows + states
    layer, experts = forward_bytes(scenario), workspace_bytes(scenario)
    held = experts if memory.workspace_held else 0
    images = encoded(scenario)
    forward = max(layer + (experts - held), images.peak)
    kept = int(logits * COUNTS_UNITS) if second and memory.counts_kept else 0
    library = _blas(scenario.device) + _attention_workspace(scenario.device)
    size = max(sampler, forward) + held + kept + images.kept + library
    values = (
        ("max_num_seqs", seqs),
        ("max_num_batched_tokens", tokens),
        ("vocabulary", model.vocab or 0),
        ("logits_fp32", logits),
        ("copies", float(units)),
        ("sampler", sampler),
        ("forward", forward),
        ("experts_workspace", held),
        ("token_counts", kept),
        ("images", images.kept),
        ("libraries", library),
    )
    spread = size // 20 if sampler >= forward else size // 3
    return Term(
        "activation",
        size,
        size - spread,
        size + spread,
        "max(sampler, forward) + experts_workspace + token_counts + images + libraries",
        values,
        SOURCE,
        "M" if sampler >= forward else "L",
    )


def _units(memory: MemoryRules, seqs: int) -> Fraction:
    """Copies of all sequences' logits, in fp32, that the sampler of the profile run holds at once.

    Sorting holds logits in 16 bits, a copy in fp32, sorted values, 64-bit indices twice and the sort's own room; newer
    kernels the logits, their fp32 copy, probabilities, and noise or masked logits.
    """
    if memory.sampler != "sort":
        return FUSED_UNITS
    return SORT_UNITS if seqs >= SORT_FEW else SORT_UNITS_FEW


def _second_runner(model: ModelSpec, memory: MemoryRules) -> bool:
    """Whether the second model runner serves ``model`` by default."""
    sparse = any(layer.experts for layer, _ in model.counted)
    match memory.runner2:
        case "none":
            return False
        case "qwen3":
            return bool(_QWEN3.fullmatch(model.name))
        case "few":
            return bool(_FEW.fullmatch(model.name))
        case "some":
            return bool(_SOME.match(model.name)) and not (sparse and model.name.startswith("Qwen3-"))
        case "dense":
            return not sparse
    return True


def sequences(scenario: Scenario) -> int:
    """``max_num_seqs`` of the server."""
    return scenario.serving.max_seqs or default_max_seqs(scenario.device, scenario.max_batched_tokens)


def forward_bytes(scenario: Scenario) -> int:
    """Activations of the widest layer for one step, in 16 bits, experts' workspace apart.

    Four residual rows, and the rows of the layer's mixer and dense feed-forward, which tensor parallelism divides.
    """
    hidden = scenario.model.hidden or 0
    widest = max((_rows(layer, hidden) for layer, _ in scenario.model.counted), default=0)
    return 2 * scenario.max_batched_tokens * (4 * hidden + widest // scenario.layout.tp)


def _rows(layer: Layer, hidden: int) -> int:
    """Elements of one token in the mixer and the dense feed-forward (gate, up and their product)."""
    mixer = 0
    for cache in layer.caches:
        match cache:
            case Attention():
                mixer = max(mixer, (cache.q_heads + cache.kv_heads) * (cache.k_dim + cache.v_dim))
            case Latent():
                mixer = max(mixer, 2 * cache.q_heads * cache.rank)
            case Recurrent():
                channels = cache.conv_channels + cache.group_channels
                mixer = max(mixer, 4 * channels + cache.state_elements // STATE_CHUNK)
    return mixer + 3 * max(0, layer.width - _routed_width(layer, hidden))


def _routed_width(layer: Layer, hidden: int) -> int:
    """Intermediate elements of one token's routed experts."""
    if layer.experts is None or not hidden:
        return 0
    return min(layer.width, layer.experts.active * layer.experts.parameters // (3 * hidden))


def workspace_bytes(scenario: Scenario) -> int:
    """The two buffers of fused experts: 2·T·k·(max(F, H) + max(2F, H)), F the experts' width on one rank.

    Example: Mixtral-8x7B on two ranks, 2 experts of 7,168 per token: 2 · 8,192 · 2 · (7,168 + 14,336) = 0.66 GiB.
    MXFP4 experts run in a kernel of their own that has none.
    """
    if scenario.weight_dtype == "mxfp4":
        return 0
    hidden, most = scenario.model.hidden or 0, 0
    for layer, _ in scenario.model.counted:
        if layer.experts is not None and hidden:
            slices = 1 if scenario.expert_parallel else scenario.layout.tp
            width = layer.experts.parameters // (3 * hidden) // slices
            most = max(most, layer.experts.active * (max(width, hidden) + max(2 * width, hidden)))
    return 2 * scenario.max_batched_tokens * most


class Encoded(NamedTuple):
    """What a step of images takes: ``kept`` until the step ends, and the ``peak`` within the encoder."""

    kept: int
    peak: int


def encoded(scenario: Scenario) -> Encoded:
    """Images of the profile run: as many of the largest item as fill a step, their pixels and their embeddings.

    Example: gemma-3-4b in steps of 8,192 tokens has 32 images of 256, whose pixels are 32 · 4,096 · 588 · 2 B = 147 MiB
    and whose embeddings 2 · 8,192 · 2,560 B = 40 MiB.
    """
    encoder = scenario.model.encoder
    if encoder is None:
        return Encoded(0, 0)
    tokens = max(scenario.max_batched_tokens, encoder.item_tokens)
    patches = tokens // encoder.item_tokens * encoder.patches
    rows = 4 * encoder.hidden + encoder.width // scenario.layout.tp
    return Encoded(2 * patches * encoder.patch + 2 * tokens * (scenario.model.hidden or 0), 2 * patches * rows)


def _attention_workspace(device: DeviceSpec) -> int:
    """FlashInfer's workspace, where it is the attention kernel: on Blackwell."""
    return FLASHINFER_BYTES if (device.compute_capability or (0, 0)) >= (10, 0) else 0


def _blas(device: DeviceSpec) -> int:
    return BLAS_BYTES_HOPPER if device.compute_capability == (9, 0) else BLAS_BYTES


def _non_torch(scenario: Scenario, memory: MemoryRules) -> Term:
    """What grows outside of torch once the ranks are connected: kernels, later communicators, fused all-reduce."""
    device, tp = scenario.device, scenario.layout.tp
    capability = device.compute_capability or (0, 0)
    hopper = LOADED_HOPPER if memory.more_kernels else LOADED_HOPPER_EARLY
    loaded = hopper if capability >= (9, 0) else LOADED_OLDER
    linked = "NVLink" in (device.link or "")
    joined = scenario.layout.dp if scenario.expert_parallel else 1
    groups = (
        0
        if joined * tp * scenario.layout.pp == 1
        else GROUPS_LINKED.get(joined * tp, GROUPS_WIDE)
        if linked
        else GROUPS_APART
    )
    fusion = 0
    sizes = FUSION_MIB.get(capability[0], {})
    if tp in sizes and linked and memory.fusion != "none":
        fusion = FUSION_ROUNDED if memory.fusion == "rounded" else int(4 * tp * sizes[tp] * MIB)
    size = loaded + groups + fusion
    values = (("kernels", loaded), ("communicators", groups), ("fused_all_reduce", fusion))
    spread = 100 * MIB + groups // 4
    return Term(
        "non_torch",
        size,
        max(0, size - spread),
        size + spread,
        "kernels + communicators + fused_all_reduce",
        values,
        "start-up logs of H100, L40S, RTX 3090 and GB200; " + SOURCE,
        "M",
    )


def captured_sizes(scenario: Scenario, memory: MemoryRules) -> int:
    """How many batch sizes get a CUDA graph: 1, 2, 4, every 8th up to 256, then every 8th or 16th, up to 512."""
    device = scenario.device.compute_capability or (0, 0)
    limit = CAPTURED_TOKENS_BLACKWELL if device[0] == 10 and memory.fusion == "exact" else CAPTURED_TOKENS
    most = min(2 * sequences(scenario) * (1 + scenario.speculative_tokens), limit, scenario.max_batched_tokens)
    sizes = [n for n in (1, 2, 4) if n <= most] + list(range(8, min(most, 255) + 1, 8))
    return len(sizes) + len(range(256, most + 1, 16 if memory.step_of_16 else 8))


def _graphs(scenario: Scenario, memory: MemoryRules) -> Term:
    """CUDA graphs: so much for every layer and captured size. A prior from five logs, 0.09 to 0.55 MiB each."""
    layers, sizes = len(scenario.model.layers), 0 if scenario.serving.eager else captured_sizes(scenario, memory)
    each = layers * sizes
    return Term(
        "graphs",
        each * GRAPH_LAYER_BYTES,
        each * GRAPH_LAYER_LEAST,
        each * GRAPH_LAYER_MOST,
        "layers × sizes × bytes_per_layer_and_size",
        (("layers", layers), ("sizes", sizes), ("bytes_per_layer_and_size", GRAPH_LAYER_BYTES)),
        "logged graph memory of five servers",
        "L",
    )
