"""What "Model loading took": the fullest rank's tensors, and what vLLM holds of them in another form than the file.

Beside the tensors are the table of rotary positions, what PyTorch's allocator leaves with large parameters, 16-bit
copies of MLA's up-projections where they are quantised, and what the kernels of MXFP4 experts pad and keep twice.
"""

from __future__ import annotations

from collections import Counter
from math import ceil

from kvtui.engine.checkpoint.allocator import allocator_bytes
from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.ranks import EXPERTS, rank_share
from kvtui.engine.checkpoint.weights import layer_tensors, tensor_bytes
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.budget import Term, exact
from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.planning.stages import Stage
from kvtui.engine.planning.weights import expert_ranks, held_weight_bytes
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario
from kvtui.engine.serving.vllm.releases import memory_rules

MXFP4_GROUP = 32
HOPPER_VALUE_ROWS, HOPPER_VALUE_BYTES = 16, 32
HOPPER_SCALE_ROWS, HOPPER_SCALE_COLUMNS = 256, 2


def weights(scenario: Scenario, stage: Stage) -> Term:
    """What "Model loading took" on the fullest rank of ``stage``.

    Example: Qwen2.5-7B in bf16 is 14.185 GiB of tensors, 0.008 of rotary positions and 0.056 that stay with its
    parameters: 14.25, as is logged.
    """
    held = held_weight_bytes(scenario, stage)
    if scenario.skip_weights:
        return exact("weights", held, "tensors", "the model's shapes", (("tensors", held),))
    parts = [("tensors", held), ("rotary_table", rotary_bytes(scenario.model))]
    if scenario.weight_dtype != FILE_WEIGHTS and scenario.checkpoint is not None and scenario.model.parameters:
        form, layout = scenario.checkpoint, scenario.layout
        left = allocator_bytes(scenario.model, form, layout.tp, expert_ranks(scenario), stage.layers)
        others = (
            ("allocator", left),
            ("latent_copies", latent_copies(scenario, stage)),
            ("expert_kernels", mxfp4_extra(scenario, stage)),
        )
        parts += [(name, size) for name, size in others if size]
    formula = " + ".join(name for name, _ in parts)
    return exact("weights", sum(size for _, size in parts), formula, "the model's shapes; vLLM's loaders", tuple(parts))


def rotary_bytes(model: ModelSpec) -> int:
    """The table of cosines and sines that all layers share: positions × rotary elements, in 16 bits.

    Example: 131,072 positions × 128 elements of Llama-3.1-8B are 32 MiB. Where a model rotates a part of each head,
    scales positions linearly or has several tables, the catalogue says how many elements there are.
    """
    if model.rotary_elements is not None:
        return 2 * model.rotary_elements
    widths = (
        cache.rope if isinstance(cache, Latent) else cache.k_dim
        for cache, _ in model.caches
        if isinstance(cache, Latent) or (isinstance(cache, Attention) and cache.kind != "cross_attention")
    )
    return 2 * (model.max_context or 0) * max(widths, default=0)


def latent_copies(scenario: Scenario, stage: Stage) -> int:
    """MLA's up-projections once more in 16 bits, as decoding multiplies by them; views where they are 16 bits already.

    (``mla_attention.py``, ``process_weights_after_loading``.) Example: DeepSeek-V3 in fp8 on eight ranks has
    61 × 32,768 × 512 / 8 elements of them: 0.24 GiB.
    """
    form, size = scenario.checkpoint, 0
    if form is None:
        return 0
    for index, layers in _alike(scenario.model, form, stage).items():
        for tensor in layer_tensors(scenario.model.layers[index]):
            if tensor.role == "kv_b" and form.encoding(tensor, Place("layer", index)).bits != 16:
                size += layers * 2 * rank_share(tensor, scenario.layout.tp).parameters
    return size


def mxfp4_extra(scenario: Scenario, stage: Stage) -> int:
    """What the kernels of gpt-oss's MXFP4 experts take beyond the file's own tensors.

    Example: gpt-oss-120b's experts are 56.7 GiB in the file. Triton's kernels on Hopper hold their values as they are,
    their scales in another order and, before 0.25, in the file's order too: 64.38 GiB were logged, 64.39 are so found.
    Marlin's pad 2,880 rows to 3,072 and 2,944: 65.97 were logged, 65.92 are found.
    """
    form = scenario.checkpoint
    if form is None or scenario.weight_dtype != "mxfp4":
        return 0
    size = 0
    for index, layers in _alike(scenario.model, form, stage).items():
        layer = scenario.model.layers[index]
        tensors = [tensor for tensor in layer_tensors(layer) if tensor.role in EXPERTS]
        if any(tensor.role == "expert_bias" for tensor in tensors):
            place = Place("layer", index)
            shares = [rank_share(tensor, scenario.layout.tp, expert_ranks(scenario)) for tensor in tensors]
            stored = sum(tensor_bytes(tensor, form.encoding(tensor, place).held) for tensor in shares)
            size += layers * (_as_kernels_hold(layer, scenario) - stored)
    return size


def _alike(model: ModelSpec, form: CheckpointFormat, stage: Stage) -> Counter[int]:
    """How many layers of ``stage`` are like each of those with these numbers, and stored alike."""
    alike = form.first_alike(model.first_alike)
    return Counter(alike[index] for index in stage.layers)


def _as_kernels_hold(layer: Layer, scenario: Scenario) -> int:
    """Bytes of one layer's MXFP4 experts with their biases on a rank (``oracle/mxfp4.py``, ``mxfp4_utils.py``)."""
    assert layer.experts is not None
    gate = next(tensor for tensor in layer.experts.tensors if tensor.role == "expert_gate")
    ranks = expert_ranks(scenario)
    number = ceil(layer.experts.total / (ranks.number if ranks.whole else 1))
    inner, hidden = ceil(gate.rows / (1 if ranks.whole else ranks.number)), gate.columns
    hopper = scenario.device.compute_capability == (9, 0)
    inner_step, hidden_step = (64, 1) if hopper else _steps(scenario.device)
    inner, hidden = _up(inner, inner_step), _up(hidden, hidden_step)
    biases = 2 * inner + hidden
    if not hopper:
        elements = 3 * inner * hidden
        return number * (elements // 2 + elements // MXFP4_GROUP + 2 * biases)
    values = scales = ordered = 0
    for rows, columns in ((2 * inner, hidden), (hidden, inner)):
        groups = columns // MXFP4_GROUP
        values += _up(rows, HOPPER_VALUE_ROWS) * _up(columns // 2, HOPPER_VALUE_BYTES)
        scales += rows * groups
        ordered += _up(rows, HOPPER_SCALE_ROWS) * _up(groups, HOPPER_SCALE_COLUMNS)
    kept = scales if memory_rules(scenario.serving.version).scales_kept else 0
    return number * (values + ordered + kept + (2 + 4) * biases)


def _steps(device: DeviceSpec) -> tuple[int, int]:
    """What the experts' inner and hidden sizes are padded to: by TensorRT-LLM's kernels, ROCm's, XPU's or Marlin."""
    match device.platform:
        case "rocm":
            return 256, 256
        case "xpu":
            return 128, 128
        case "cpu":
            return 32, 32
    return (256, 256) if (device.compute_capability or (0, 0))[0] == 10 else (128, 256)


def _up(size: int, step: int) -> int:
    return ceil(size / step) * step
