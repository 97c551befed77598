"""The peak of vLLM's profile run: one step of ``max_num_batched_tokens`` tokens, one sampling of ``max_num_seqs``.

The run reaches the larger of the two; workspaces of experts, images and libraries stand beside both.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from kvtui.engine.basis.units import MIB
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.budget import Term
from kvtui.engine.model.caches import Attention, Latent, Recurrent
from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.stages import Stage
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.experts import expert_buffers
from kvtui.engine.serving.vllm.releases import MemoryRules, Rules, default_max_seqs
from kvtui.engine.serving.vllm.runner import profiles_images, second_runner

SORT_UNITS, SORT_UNITS_FEW, SORT_FEW = Fraction(19, 2), Fraction(25, 2), 128
FUSED_UNITS = Fraction(7, 2)
ROWS_FROM = 8
COUNTS_UNITS = Fraction(33, 32)
BLAS_BYTES, BLAS_BYTES_HOPPER = 8 * MIB, 32 * MIB
STATE_CHUNK = 64
RESIDUAL_ROWS, HANDED_ON_ROWS = 4, 2
EIGHT_BIT_ACTIVATIONS = ("w8a8", "fp8")
ONE_BY_ONE = frozenset({"gemma4", "gemma4_text"})
SOURCE = "vLLM's sources, 0.11 to 0.33"


def activation(scenario: Scenario, found: Rules, memory: MemoryRules, stage: Stage) -> Term:
    """The peak of the profile run: hidden states with the larger of the sampler and one step's forward pass.

    Example: Llama-3.1-8B on an H100 with 0.19, 1,024 sequences of 128,256 logits in fp32 are 501 MiB, of which the
    sampler holds 3.5 at once and a buffer of 132 rows; with 8,192 hidden states that is 1.88 GiB, logged as 1.89.
    Pipeline stages but the last do not sample; all hold what one hands to the next.
    """
    model, tokens, last = scenario.model, scenario.max_batched_tokens, stage.layers.stop == len(scenario.model.layers)
    seqs = sequences(scenario) if last else 0
    hidden, width = model.hidden or 0, element_bytes(scenario)
    logits = 4 * seqs * (model.vocab or 0)
    second = second_runner(found, scenario)
    units = memory.runner2_units if second else _units(memory, seqs)
    copied = int(logits * (units + Fraction(width - 2, 4)))
    if units == SORT_UNITS and last:
        copied = max(copied, int(4 * (SORT_FEW - 1) * (model.vocab or 0) * SORT_UNITS_FEW))
    rows = 0
    kernel = "rows" if memory.sampler == "fused" and scenario.device.platform != "cuda" else memory.sampler
    if kernel == "rows" and not second and seqs >= ROWS_FROM:
        rows = 4 * (model.vocab or 0) * min(scenario.device.multiprocessors or seqs, seqs)
    states = width * (tokens + 2 * seqs) * hidden
    sampler = copied + rows + states
    experts = expert_buffers(scenario, memory)
    images = encoded(scenario) if profiles_images(found, scenario) else Encoded(0, 0)
    residual = RESIDUAL_ROWS * width * tokens * hidden
    forward = max(forward_bytes(scenario), residual + experts.step)
    kept = int(logits * COUNTS_UNITS) if second and memory.counts_kept else 0
    library = blas_bytes(scenario.device)
    handed = HANDED_ON_ROWS * width * tokens * hidden if scenario.layout.pp > 1 else 0
    step = max(sampler, forward) + experts.held + images.kept
    size = max(step, images.peak) + kept + library + handed
    values = (
        ("max_num_seqs", seqs),
        ("max_num_batched_tokens", tokens),
        ("vocabulary", model.vocab or 0),
        ("logits_fp32", logits),
        ("copies", float(units)),
        ("sampler", sampler),
        ("forward", forward),
        ("experts_workspace", experts.held),
        ("images", images.kept),
        ("encoder", images.peak),
        ("token_counts", kept),
        ("libraries", library),
        ("handed_on", handed),
    )
    sampled = sampler >= forward and step >= images.peak
    spread = size // 20 if sampled else size // 3
    return Term(
        "activation",
        size,
        size - spread,
        size + spread,
        "max(max(sampler, forward) + experts_workspace + images, encoder) + token_counts + libraries + handed_on",
        values,
        SOURCE,
        "M" if sampled else "L",
    )


def _units(memory: MemoryRules, seqs: int) -> Fraction:
    """Copies of all sequences' logits, in fp32, that the sampler of the profile run holds at once.

    Sorting holds logits in 16 bits, a copy in fp32, sorted values, 64-bit indices twice and the sort's own room; newer
    kernels the logits, their fp32 copy, probabilities, and noise or masked logits.
    """
    if memory.sampler != "sort":
        return FUSED_UNITS
    return SORT_UNITS if seqs >= SORT_FEW else SORT_UNITS_FEW


def sequences(scenario: Scenario) -> int:
    """``max_num_seqs`` of the server."""
    return scenario.serving.max_seqs or default_max_seqs(scenario.device, scenario.max_batched_tokens)


def forward_bytes(scenario: Scenario) -> int:
    """Activations of the widest layer for one step, experts' workspace apart.

    Four residual rows, and the rows of the layer's mixer or of its dense feed-forward, which tensor parallelism
    divides. Example: CodeLlama-7B, 8,192 tokens of 4 · 4,096 + 3 · 11,008 elements in 16 bits: 0.75 GiB; with 0.03 of
    libraries 0.77 were logged.
    """
    hidden, halved = scenario.model.hidden or 0, scenario.weight_dtype.startswith(EIGHT_BIT_ACTIVATIONS)
    widest = max((_rows(layer, hidden, halved) for layer, _ in scenario.model.counted), default=0)
    rows = RESIDUAL_ROWS * hidden + widest // scenario.layout.tp
    return element_bytes(scenario) * scenario.max_batched_tokens * rows


def element_bytes(scenario: Scenario) -> int:
    """Bytes of one activation: 16 bits, but of a server in fp32."""
    return 4 if scenario.weight_dtype == "fp32" else 2


def _rows(layer: Layer, hidden: int, halved: bool) -> int:
    """Elements of one token in the mixer or the dense feed-forward (gate, up and their product), whichever is more.

    ``halved`` is a product that is turned into 8 bits for the next matrix, and held so too.
    """
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
    dense = max(0, layer.width - _routed_width(layer, hidden))
    return max(mixer, 3 * dense + (dense // 2 if halved else 0))


def _routed_width(layer: Layer, hidden: int) -> int:
    """Intermediate elements of one token's routed experts."""
    if layer.experts is None or not hidden:
        return 0
    return min(layer.width, layer.experts.active * layer.experts.parameters // (3 * hidden))


class Encoded(NamedTuple):
    """What a step of images takes: ``kept`` until the step ends, and the ``peak`` within the encoder."""

    kept: int
    peak: int


def encoded(scenario: Scenario) -> Encoded:
    """Images of the profile run: as many of the largest item as fill a step, their pixels and their embeddings.

    Example: gemma-3-4b in steps of 8,192 tokens has 32 images of 256, whose pixels are 32 · 4,096 · 588 · 2 B = 147 MiB
    and whose embeddings 2 · 8,192 · 2,560 B = 40 MiB. A layer of the encoder holds its input with the joined q, k and
    v, both of q and k twice more as they are rotated, and the result; or input and norm with both sides of the
    feed-forward's activation. Where positions are learned, their embeddings stay throughout: Qwen3.5-9B's largest
    image has 65,536 patches of 11 · 1,152 elements at the widest, 1.55 GiB, and 0.19 GiB of pixels. Gemma 4's encoder
    takes one image after the other.
    """
    model, tp = scenario.model, scenario.layout.tp
    encoder = model.encoder
    if encoder is None:
        return Encoded(0, 0)
    tokens = max(scenario.max_batched_tokens, encoder.item_tokens)
    items = tokens // encoder.item_tokens
    inner = (3 if encoder.gated else 2) * encoder.width
    held = 2 if encoder.positions else 0
    attention = (1 + held) * encoder.hidden + 8 * encoder.hidden // tp
    rows = max(attention, (2 + held // 2) * encoder.hidden + inner // tp)
    together = 1 if model.family in ONE_BY_ONE else items
    pixels = items * encoder.patches * encoder.patch
    kept = pixels + items * encoder.item_tokens * (model.hidden or 0)
    return Encoded(2 * kept, 2 * (together * encoder.patches * rows + pixels))


def blas_bytes(device: DeviceSpec) -> int:
    """Workspace of cuBLAS: 32 MiB on Hopper, 8 MiB elsewhere."""
    return BLAS_BYTES_HOPPER if device.compute_capability == (9, 0) else BLAS_BYTES
