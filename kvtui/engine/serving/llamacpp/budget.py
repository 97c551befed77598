"""How llama.cpp divides a device's memory: weights and compute buffer first, and a margin that stays free."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import ceil

from kvtui.engine.basis.units import MIB
from kvtui.engine.checkpoint.weights import stored
from kvtui.engine.engines.budget import Budget, Term, exact, settled
from kvtui.engine.planning.parts import logit_bytes, overhead_bytes, query_heads
from kvtui.engine.planning.stages import Stage
from kvtui.engine.planning.weights import weight_bytes
from kvtui.engine.scenario.scenario import Scenario

FIT_MARGIN_BYTES = 1024 * MIB


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How the device with the ``stage``'s even share of the layers divides its memory.

    Raises InputError when the weights are unknown and not skipped.
    """
    return device_budget(scenario, Fraction(stage.held, len(scenario.model.layers) * scenario.layout.tp))


def device_budget(scenario: Scenario, share: Fraction) -> Budget:
    """How a device with a ``share`` of the model's layers divides its memory; a profile's figures replace estimates.

    The margin is what ``--fit`` leaves free (``--fit-target``, 1,024 MiB).
    """
    terms = settled(
        scenario.measured,
        {
            "weights": partial(_weights, scenario, share),
            "activation": partial(_compute, scenario),
            "non_torch": partial(_context),
            "graphs": partial(exact, "graphs", 0, "none", "llama.cpp captures into its own buffers"),
        },
    )
    margin = exact("margin", FIT_MARGIN_BYTES, "--fit-target", "llama.cpp's default")
    used = Fraction(str(scenario.memory_utilization))
    return Budget(scenario.device.allocatable_bytes, used, (*terms, margin))


def compute_bytes(scenario: Scenario) -> int:
    """The compute buffer of one device, a prior: logits and hidden state of one physical batch in F32.

    That gives the 258.50 MiB that builds of 2025 log for Llama-3-8B and the 298.75 MiB for Qwen3-0.6B; builds that
    bound the outputs of a batch, and other models, log less or more. Without FlashAttention the scores of the whole
    context are added.
    """
    model, ubatch = scenario.model, scenario.serving.ubatch
    scores = 0 if scenario.flash_attention else query_heads(model) * scenario.context
    return ubatch * (logit_bytes(model) + 4 * (model.hidden or 0) + 4 * scores)


def _weights(scenario: Scenario, share: Fraction) -> Term:
    size = ceil((weight_bytes(scenario) - _host_bytes(scenario)) * share)
    formula = "(file − embedding in host memory) × the device's share of the layers"
    return exact("weights", size, formula, "the model's shapes")


def _host_bytes(scenario: Scenario) -> int:
    """The input embedding, which llama.cpp leaves on the CPU; one that is the output as well is on a device too."""
    model, form = scenario.model, scenario.checkpoint
    tied = all(tensor.role != "head" for tensor in model.outside)
    if tied or form is None or scenario.skip_weights:
        return 0
    return sum(one.bytes for one in stored(model, form) if one.tensor.role == "embedding" and one.part == "outside")


def _compute(scenario: Scenario) -> Term:
    size = compute_bytes(scenario)
    return Term(
        "activation", size, size // 2, 2 * size, "ubatch × (logits + hidden + scores) × 4", (), "boot logs", "L"
    )


def _context() -> Term:
    size = overhead_bytes(1)
    return Term("non_torch", size, size // 2, ceil(size * 1.5), "context", (), "boot logs", "L")
