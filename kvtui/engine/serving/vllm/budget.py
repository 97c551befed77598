"""What vLLM keeps beside its cache, term by term, before any device was asked.

The pool of a rank is what it was told to use of the device, less the weights, the peak of the profile run, what grows
outside of torch after the first look at the memory, and from 0.20.0 on an estimate of its CUDA graphs
(``gpu_worker.py``, ``determine_available_memory``).
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.engines.budget import Budget, Term, settled
from kvtui.engine.planning.stages import Stage
from kvtui.engine.planning.weights import joined_replicas
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.activations import SOURCE, activation
from kvtui.engine.serving.vllm.exchange import exchange_buffers
from kvtui.engine.serving.vllm.graphs import graphs
from kvtui.engine.serving.vllm.loading import weights
from kvtui.engine.serving.vllm.releases import MemoryRules, Rules, memory_rules, rules
from kvtui.engine.serving.vllm.runner import counts_graphs

LOADED, LOADED_EARLY_HOPPER, LOADED_EARLY = 256 * MIB, 123 * MIB, 51 * MIB
SHARED_RAM = 4.8, 1.6
GROUPS_LINKED, GROUPS_APART = {2: 328 * MIB, 4: 399 * MIB}, 164 * MIB
GROUPS_WIDE = 461 * MIB
CROSSED_GROUPS = int(1.6 * GIB)
ROCM_APART = int(2.3 * GIB)
FUSION_ROUNDED = 3 * 512 * MIB
FUSION_MIB = {9: {2: 64.0, 4: 2.0, 8: 0.5}, 10: {2: 64.0, 4: 32.0, 8: 1.0, 16: 64.0}}


def budget(scenario: Scenario, stage: Stage) -> Budget:
    """How a device of ``stage`` divides its memory; a machine profile's figures replace the estimates.

    Raises InputError when the weights are unknown and not skipped.
    """
    return budget_under(rules(scenario.serving.version), scenario, stage)


def budget_under(found: Rules, scenario: Scenario, stage: Stage) -> Budget:
    """``budget`` of a release with the rules ``found``."""
    memory, counted = memory_rules(found.version), counts_graphs(found, scenario)
    terms = settled(
        scenario.measured,
        {
            "weights": partial(weights, scenario, stage),
            "activation": partial(activation, scenario, found, memory, stage),
            "non_torch": partial(_non_torch, scenario, memory),
            "graphs": partial(graphs, scenario, memory),
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
    if counts_graphs(found, scenario):
        return share
    (captured,) = settled(measured, {"graphs": partial(graphs, scenario, memory_rules(found.version))})
    return share + captured.bytes


def _non_torch(scenario: Scenario, memory: MemoryRules) -> Term:
    """What grows outside of torch once the ranks are connected: kernels, later communicators, fused all-reduce.

    Where processor and GPU share their memory, what the server's own processes take of it while they load, compile and
    warm up grows there too: logs of three DGX Sparks leave 3.4, 5.2 and 6.3 GiB less than all else explains.
    Kernels of devices before Hopper are small: twenty starts of 0.29 without graphs on L4 have 0.15 to 0.25 GiB with
    their communicators, as starts of 0.10 on L40S and RTX 3090 have. Where replicas of several ranks have experts in
    common, NCCL makes communicators of a third kind: one such start had 1.6 GiB less than all else explains. AMD's are
    hardly known: MiniMax-M2 under 0.17.1 on two MI300X, with AITER, had 2.3 GiB less (vllm-project/recipes, 273).
    """
    device, tp = scenario.device, scenario.layout.tp
    capability = device.compute_capability or (0, 0)
    later = LOADED if memory.more_kernels and device.platform == "cuda" else LOADED_EARLY_HOPPER
    loaded = later if capability >= (9, 0) else LOADED_EARLY
    shared, apart = SHARED_RAM if memory.available_ram and device.unified and device.platform == "cuda" else (0, 0)
    ram, ram_apart = int(shared * GIB), int(apart * GIB)
    linked = "NVLink" in (device.link or "")
    joined = joined_replicas(scenario)
    groups = 0 if joined * tp == 1 else GROUPS_LINKED.get(joined * tp, GROUPS_WIDE) if linked else GROUPS_APART
    fusion = 0
    sizes = FUSION_MIB.get(capability[0], {})
    if tp in sizes and linked and memory.fusion != "none":
        fusion = FUSION_ROUNDED if memory.fusion == "rounded" else int(4 * tp * sizes[tp] * MIB)
    exchanged = exchange_buffers(scenario)
    size = loaded + groups + fusion + ram + exchanged.size
    values = [("kernels", loaded), ("communicators", groups), ("fused_all_reduce", fusion)]
    formula, values = "kernels + communicators + fused_all_reduce", values + [("shared_ram", ram)] * bool(ram)
    if exchanged.size:
        formula, values = formula + " + all_to_all", [*values, ("all_to_all", exchanged.size)]
    spread = 100 * MIB + groups // 4 + ram_apart
    crossed = CROSSED_GROUPS if joined > 1 and tp > 1 else 0
    amd = ROCM_APART if device.platform == "rocm" else 0
    return Term(
        "non_torch",
        size,
        max(0, size - spread),
        size + spread + crossed + amd + exchanged.most - exchanged.size,
        formula + " + shared_ram" * bool(ram),
        tuple(values),
        "start-up logs of H100, L40S, L4, RTX 3090, DGX Spark, GB200 and MI300X; " + SOURCE,
        "L" if ram or amd else "M",
    )
