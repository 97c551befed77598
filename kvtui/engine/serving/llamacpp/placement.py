"""Where llama.cpp puts each layer, by its own rules (``load_tensors`` in llama-model.cpp).

The last ``-ngl`` layers are on the devices, the output layer being one behind the last; builds before PR 18148
(December 2025) counted the output layer last instead of first. They are dealt out by ``--tensor-split``, or by the free
memory of the devices, which are alike here: layer i of n with shares up to s of the whole goes to the first device
whose s exceeds i ÷ n. The input embedding is always in RAM. ``--n-cpu-moe`` leaves the routed experts of the first
layers there, and ``--no-kv-offload`` all caches. Without ``-ngl`` everything is on the devices, or, where the RAM is
known, as much as they hold.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

from kvtui.engine.engines.known import part
from kvtui.engine.engines.placement import RAM, Placement
from kvtui.engine.planning.stages import stage_layers
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.drafter import draft_layers
from kvtui.engine.serving.llamacpp.releases import build_of


@lru_cache(maxsize=128)
def placement(scenario: Scenario) -> Placement:
    """Where the scenario's layers lie: as it says, or as they fit best."""
    serving = scenario.serving
    if serving.gpu_layers is None and not serving.cpu_moe and scenario.ram is not None and scenario.layout.tp == 1:
        found: Placement = part(scenario.engine, "split").best(scenario)
        return found
    return placed(scenario, serving.gpu_layers, serving.cpu_moe, serving.tensor_split)


def device_layers(scenario: Scenario) -> tuple[range, ...]:
    """The model's own layers on each device, which tensor parallelism takes for one stage's several devices."""
    found, layers, tp = placement(scenario), len(scenario.model.layers), scenario.layout.tp
    held = [found.layers(device) for device in range(found.devices)]
    if tp == 1:
        return tuple(range(min(one.start, layers), min(one.stop, layers)) for one in held)
    stages = stage_layers(layers, scenario.layout.pp)
    ends = tuple(accumulate(stages))
    return tuple(range(end - count, end) for end, count in zip(ends, stages, strict=True) for _ in range(tp))


def placed(
    scenario: Scenario, gpu_layers: int | None, cpu_moe: int, shares: tuple[float, ...] | None = None
) -> Placement:
    """The placement under ``-ngl gpu_layers`` (None: all), ``--n-cpu-moe cpu_moe`` and ``--tensor-split shares``."""
    serving, layout = scenario.serving, scenario.layout
    layers = len(scenario.model.layers)
    blocks = layers + len(draft_layers(scenario))
    partition, devices = serving.partition, layout.tp * layout.pp
    if partition:
        devices = len(partition)
        owners = [device for device, count in enumerate(partition) for _ in range(count)]
        owners += [devices - 1] * (blocks + 1 - layers)
    else:
        owners = _dealt(blocks, blocks + 1 if gpu_layers is None else gpu_layers, _edges(devices, shares), scenario)
        if serving.main_gpu is not None:
            owners = [at if at == RAM else serving.main_gpu for at in owners]
    return Placement(tuple(owners[:-1]), owners[-1], devices, min(cpu_moe, layers), serving.kv_offload)


def _edges(devices: int, shares: tuple[float, ...] | None) -> tuple[float, ...]:
    """The sums of the devices' shares, the last of which is the whole."""
    return tuple(accumulate(shares or (1.0,) * devices))


def _dealt(blocks: int, gpu_layers: int, edges: tuple[float, ...], scenario: Scenario) -> list[int]:
    """The owner of each of the ``blocks`` and of the output layer behind them."""
    on_devices = min(gpu_layers, blocks + 1)
    output_first = build_of(scenario.serving.version).output_first
    start = max(blocks + output_first - gpu_layers, 0)
    owners = []
    for number in range(blocks + 1):
        place = number - start
        if place < 0 or place >= on_devices:
            owners.append(RAM)
        else:
            owners.append(sum(edge * on_devices <= place * edges[-1] for edge in edges))
    return owners
