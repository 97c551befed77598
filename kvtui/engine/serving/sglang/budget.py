"""How SGLang divides a device's memory: a static share for weights and pools, and the rest for everything else."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import ceil

from kvtui.engine.basis.units import MIB
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.budget import Budget, Term, exact, settled
from kvtui.engine.planning.parts import overhead_bytes
from kvtui.engine.planning.stages import Stage
from kvtui.engine.planning.weights import held_weight_bytes
from kvtui.engine.scenario.scenario import Layout, Scenario
from kvtui.engine.serving.sglang.releases import by_size

WIDE_TP = 4
METADATA_MIB, CHUNK_MIB, RANK_MIB, GRAPH_MIB = 512, Fraction(3, 2), Fraction(1024, 8), 2
LARGE_DEVICE_MIB, LARGE_RESERVE_MIB = 60 * 1024, 10 * 1024


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How a device of ``stage`` divides its memory; a machine profile's figures replace the estimates.

    Free before the weights are loaded is all but what is outside of torch; of that the static share is for weights and
    pools, and what is left of it stays for activations and CUDA graphs. Raises InputError when the weights are unknown
    and not skipped.
    """
    terms = settled(
        scenario.measured,
        {"weights": partial(_weights, scenario, stage), "non_torch": partial(_non_torch, scenario)},
    )
    before = scenario.device.allocatable_bytes - sum(term.bytes for term in terms if term.id == "non_torch")
    share = static_share(scenario)
    room = before - int(before * share)
    rest = exact("activation", room, "free × (1 − mem_fraction_static)", "SGLang's model runner", (("free", before),))
    return Budget(scenario.device.allocatable_bytes, Fraction(1), (*terms, rest))


def room(scenario: Scenario) -> int:
    """Bytes of a device that SGLang may fill: all of them, since what its share leaves is for everything else."""
    return scenario.device.allocatable_bytes


def static_share(scenario: Scenario) -> Fraction:
    """The share of memory for weights and pools: the one chosen, or SGLang's own."""
    chosen = Fraction(str(scenario.memory_utilization))
    return chosen if chosen < 1 else mem_fraction_static(scenario.device, scenario.max_batched_tokens, scenario.layout)


def mem_fraction_static(device: DeviceSpec, chunk: int, layout: Layout) -> Fraction:
    """The share of memory for weights and pools that SGLang chooses, to three decimals.

    All but 512 MiB, 1.5 MiB per token of a prefill ``chunk``, 2 MiB per sequence in CUDA graphs, 128 MiB per rank; at
    least 10 GiB are kept on devices of more than 60 GiB (``server_args.py``, ``_handle_gpu_memory_settings``).
    """
    memory = Fraction(device.usable_bytes, MIB)
    _, narrow, wide = by_size(device)
    graphs = GRAPH_MIB * (narrow if layout.tp < WIDE_TP else wide)
    reserved = METADATA_MIB + CHUNK_MIB * max(chunk, 2048) + RANK_MIB * layout.tp * layout.pp + graphs
    if memory > LARGE_DEVICE_MIB:
        reserved = max(reserved, Fraction(LARGE_RESERVE_MIB))
    return max(Fraction(0), Fraction(round((memory - reserved) / memory * 1000), 1000))


def _weights(scenario: Scenario, stage: Stage) -> Term:
    size = held_weight_bytes(scenario, stage)
    return exact("weights", size, "the fullest rank's share of the checkpoint", "the model's shapes")


def _non_torch(scenario: Scenario) -> Term:
    """The driver's context and the ranks' communicators: a prior."""
    size = overhead_bytes(scenario.layout.tp * scenario.layout.pp)
    return Term(
        "non_torch", size, size // 2, ceil(size * 1.5), "context + communicators", (), "boot logs of H100 and 5090", "L"
    )
