"""How llama.cpp divides a device's memory: weights and compute buffer first, and a margin that stays free."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import ceil

from kvtui.engine.basis.units import MIB
from kvtui.engine.engines.budget import Budget, Term, exact, settled
from kvtui.engine.planning.parts import logit_bytes, overhead_bytes, query_heads
from kvtui.engine.planning.stages import Stage
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.memory import memory_parts
from kvtui.engine.serving.llamacpp.placement import device_layers, placement

FIT_MARGIN_BYTES = 1024 * MIB


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How a device with the layers of ``stage`` divides its memory.

    Raises InputError when the weights are unknown and not skipped.
    """
    held = device_layers(scenario)
    devices = [number for number, layers in enumerate(held) if layers == stage.layers]
    parts = memory_parts(scenario, placement(scenario))
    weights = max((part.weight_bytes for part in parts if part.number in devices), default=0)
    return device_budget(scenario, weights)


def device_budget(scenario: Scenario, weights: int) -> Budget:
    """How a device with so many bytes of ``weights`` divides its memory; a profile's figures replace estimates.

    The margin is what ``--fit`` leaves free (``--fit-target``, 1,024 MiB).
    """
    terms = settled(
        scenario.measured,
        {
            "weights": partial(exact, "weights", weights, "tensors of the device's layers", "the model's shapes"),
            "activation": partial(_compute, scenario),
            "non_torch": partial(_context),
            "graphs": partial(exact, "graphs", 0, "none", "llama.cpp captures into its own buffers"),
        },
    )
    margin = exact("margin", FIT_MARGIN_BYTES, "--fit-target", "llama.cpp's default")
    used = Fraction(str(scenario.memory_utilization))
    return Budget(scenario.device.allocatable_bytes, used, (*terms, margin))


def room(scenario: Scenario) -> int:
    """Bytes of a device that llama.cpp may fill, the margin included."""
    return int(scenario.device.allocatable_bytes * Fraction(str(scenario.memory_utilization)))


def compute_bytes(scenario: Scenario) -> int:
    """The compute buffer of one device, a prior: logits and hidden state of one physical batch in F32.

    That gives the 258.50 MiB that builds of 2025 log for Llama-3-8B and the 298.75 MiB for Qwen3-0.6B; builds that
    bound the outputs of a batch, and other models, log less or more. Without FlashAttention the scores of the whole
    context are added.
    """
    model, ubatch = scenario.model, scenario.serving.ubatch
    scores = 0 if scenario.flash_attention else query_heads(model) * scenario.context
    return ubatch * (logit_bytes(model) + 4 * (model.hidden or 0) + 4 * scores)


def _compute(scenario: Scenario) -> Term:
    size = compute_bytes(scenario)
    return Term(
        "activation", size, size // 2, 2 * size, "ubatch × (logits + hidden + scores) × 4", (), "boot logs", "L"
    )


def _context() -> Term:
    size = overhead_bytes(1)
    return Term("non_torch", size, size // 2, ceil(size * 1.5), "context", (), "boot logs", "L")
