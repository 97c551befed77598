"""How llama.cpp divides a device's memory: weights and compute buffer first, and a margin that stays free."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import ceil

from kvtui.engine.basis.units import MIB
from kvtui.engine.engines.budget import Budget, Term, exact, settled
from kvtui.engine.engines.placement import RAM
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.parts import overhead_bytes
from kvtui.engine.planning.stages import Stage
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.buffers import Split
from kvtui.engine.serving.llamacpp.cells import divided
from kvtui.engine.serving.llamacpp.compute import ServerSetup, device_compute, device_host_compute, host_compute
from kvtui.engine.serving.llamacpp.memory import DRAFT_FORMAT, MemoryPart, memory_parts
from kvtui.engine.serving.llamacpp.placement import device_layers, placement
from kvtui.engine.serving.llamacpp.releases import build_of
from kvtui.engine.serving.llamacpp.reserved import Reserved

FIT_MARGIN_BYTES = 1024 * MIB
LOW, HIGH = 0.9, 1.1
"""The band of a device's compute buffer, about what the graph says: what kernels of a back end need besides."""


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How a device with the layers of ``stage`` divides its memory.

    Raises InputError when the weights are unknown and not skipped.
    """
    held = device_layers(scenario)
    parts = [part for part in memory_parts(scenario, placement(scenario)) if part.number != RAM]
    found = [part for part in parts if held[part.number] == stage.layers] or parts
    return device_budget(scenario, max(found, key=lambda part: part.weight_bytes), own_cells(scenario))


def device_budget(scenario: Scenario, part: MemoryPart, cells: Split) -> Budget:
    """How the device of ``part``, with caches of ``cells``, divides its memory; a profile's figures replace estimates.

    The margin is what ``--fit`` leaves free (``--fit-target``, 1,024 MiB).
    """
    weights = part.weight_bytes
    terms = settled(
        scenario.measured,
        {
            "weights": partial(exact, "weights", weights, "tensors of the device's layers", "the model's shapes"),
            "activation": partial(_compute, scenario, part, cells),
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
    """The compute buffer of the device that has the largest, from the graph of a batch (``compute``)."""
    return max(reserved.size for reserved in computes(scenario, own_cells(scenario)))


def own_cells(scenario: Scenario) -> Split:
    """The cells of the scenario's own context and slots."""
    return divided(scenario, scenario.context, scenario.serving.parallel)


def computes(scenario: Scenario, cells: Split) -> tuple[Reserved, ...]:
    """The compute buffers of the scenario's devices over ``cells``, in order, each with what lies in it by cause."""
    parts = memory_parts(scenario, placement(scenario))
    return tuple(_reserved(scenario, part, cells) for part in parts if part.number != RAM)


def _reserved(scenario: Scenario, part: MemoryPart, cells: Split) -> Reserved:
    """The compute buffer of the device of ``part``."""
    start = start_of(scenario, cells)._replace(copies=part.copies)
    if scenario.device.platform == "cpu":
        return host_compute(scenario.model, start)
    if not part.span:
        return Reserved(0, (), 0)
    return device_compute(scenario.model, start, part.span, part.output, part.copied)


def host_compute_bytes(scenario: Scenario, computing: bool, cells: Split, copies: int = 1) -> int:
    """The compute buffer in RAM: all of a batch's graph where layers are ``computing`` there, else its inputs."""
    reserve = host_compute if computing else device_host_compute
    return reserve(scenario.model, start_of(scenario, cells)._replace(copies=copies)).size


def start_of(scenario: Scenario, cells: Split) -> ServerSetup:
    """What decides over the compute buffers of ``scenario`` with ``cells`` besides its model."""
    return ServerSetup(cells, scenario.kv, scenario.kv.v, scenario.flash_attention, build_of(scenario.serving.version))


def _compute(scenario: Scenario, part: MemoryPart, cells: Split) -> Term:
    """The compute buffer as a term; what kernels add to it differs between back ends."""
    found = _reserved(scenario, part, cells)
    size, causes = found.size, found.causes
    if scenario.serving.draft_model is not None:
        drafting = _draft_compute(scenario, scenario.serving.draft_model, cells)
        size, causes = size + drafting, (*causes, ("draft model's", drafting))
    formula = " + ".join(name for name, _ in causes)
    return Term("activation", size, ceil(size * LOW), ceil(size * HIGH), formula, causes, "the graph", "M")


def _draft_compute(scenario: Scenario, draft: ModelSpec, cells: Split) -> int:
    """The compute buffer of a draft model, whose cache is F16 whatever that of the model is."""
    start = start_of(scenario, cells)._replace(k=DRAFT_FORMAT, v=DRAFT_FORMAT)
    if scenario.device.platform == "cpu":
        return host_compute(draft, start).size
    return device_compute(draft, start, range(len(draft.layers)), True).size


def _context() -> Term:
    size = overhead_bytes(1)
    return Term("non_torch", size, size // 2, ceil(size * 1.5), "context", (), "boot logs", "L")
