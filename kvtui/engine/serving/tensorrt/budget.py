"""How TensorRT-LLM divides a device's memory: a fraction of what is free after loading is for the cache."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from kvtui.engine.engines.budget import Budget, Term, exact, settled
from kvtui.engine.planning.parts import activation_bytes, overhead_bytes
from kvtui.engine.planning.stages import Stage
from kvtui.engine.planning.weights import held_weight_bytes
from kvtui.engine.scenario.scenario import Scenario

FREE_MEMORY_FRACTION = Fraction(9, 10)
"""The LLM API's own share of free memory, for which a scenario's utilization of 1 stands."""

PRIOR = "a prior: no log was compared"


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How a device of ``stage`` divides its memory; a machine profile's figures replace the estimates.

    Raises InputError when the weights are unknown and not skipped.
    """
    terms = settled(
        scenario.measured,
        {
            "weights": partial(_weights, scenario, stage),
            "activation": partial(_activation, scenario),
            "non_torch": partial(_non_torch, scenario),
            "graphs": partial(exact, "graphs", 0, "not known", PRIOR),
        },
    )
    share = free_share(scenario)
    free = scenario.device.allocatable_bytes - sum(term.bytes for term in terms)
    room = max(0, free) - int(max(0, free) * share)
    margin = exact("margin", room, "free × (1 − fraction)", "TensorRT-LLM's KvCacheConfig", (("free", max(0, free)),))
    return Budget(scenario.device.allocatable_bytes, Fraction(1), (*terms, margin))


def room(scenario: Scenario) -> int:
    """Bytes of a device that TensorRT-LLM may fill: all of them, what its fraction leaves free included."""
    return scenario.device.allocatable_bytes


def free_share(scenario: Scenario) -> Fraction:
    """The share of free memory that is for the cache: the one chosen, or the LLM API's own."""
    chosen = Fraction(str(scenario.memory_utilization))
    return chosen if chosen < 1 else FREE_MEMORY_FRACTION


def _weights(scenario: Scenario, stage: Stage) -> Term:
    size = held_weight_bytes(scenario, stage)
    return exact("weights", size, "the fullest rank's share of the checkpoint", "the model's shapes")


def _activation(scenario: Scenario) -> Term:
    size = activation_bytes(scenario, scenario.max_batched_tokens, scenario.batch)
    return Term("activation", size, size // 2, 2 * size, "rows of one step and its logits", (), PRIOR, "L")


def _non_torch(scenario: Scenario) -> Term:
    size = overhead_bytes(scenario.layout.tp * scenario.layout.pp)
    return Term("non_torch", size, size // 2, 2 * size, "context + communicators", (), PRIOR, "L")
