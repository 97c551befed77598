"""The best split of a model between devices and RAM, and the words to start it with.

Everything on the devices if they hold it. Else, of a model with experts, all layers with their attention, caches and
shared weights, and the experts of as few layers as possible in RAM: of those a token reads a small part. Else as many
layers as fit, the experts in RAM. Devices of one kind get equal numbers of layers; where only another division fits, as
much as they hold, from the first on.
"""

from __future__ import annotations

from collections.abc import Callable

from kvtui.engine.engines.placement import RAM, BestSplit, Placement
from kvtui.engine.planning.search import most
from kvtui.engine.scenario.scenario import Scenario, has_experts
from kvtui.engine.serving.llamacpp.cells import divided
from kvtui.engine.serving.llamacpp.launch import commands
from kvtui.engine.serving.llamacpp.memory import memory_parts
from kvtui.engine.serving.llamacpp.placement import placed
from kvtui.engine.serving.llamacpp.room import holds, memory_uses


def best(scenario: Scenario) -> Placement:
    """The placement of ``scenario`` that leaves the least to RAM; all layers there if the devices hold none."""
    layers = len(scenario.model.layers)

    def place(cpu_moe: int) -> Placement | None:
        return _holding(scenario, None, cpu_moe)

    if (found := place(0)) is not None:
        return found
    if not has_experts(scenario.model):
        return best_layers(scenario, 0)
    if place(layers) is None:
        return best_layers(scenario, layers)
    kept = most(lambda number: place(layers - number) is not None, layers) or 0
    return place(layers - kept) or placed(scenario, None, layers)


def best_layers(scenario: Scenario, cpu_moe: int) -> Placement:
    """The placement with the most layers on the devices, all of a layer or, with ``cpu_moe``, all but its experts."""
    blocks = len(placed(scenario, None, 0).owners) + 1
    number = most(lambda number: number == 0 or _holding(scenario, number, cpu_moe) is not None, blocks)
    return _holding(scenario, number, cpu_moe) or placed(scenario, 0, 0)


def best_split(scenario: Scenario) -> BestSplit:
    """The ``best`` placement, whatever the scenario says of layers, with the command lines that start it."""
    free = scenario._replace(
        serving=scenario.serving._replace(gpu_layers=None, cpu_moe=0, tensor_split=None, main_gpu=None)
    )
    found = best(free)
    cells = divided(free, free.context, free.serving.parallel)
    parts = memory_parts(free, found)
    uses = memory_uses(free, parts, cells)
    ram = [use for use in uses if use.number == RAM]
    return BestSplit(
        gpu_layers=found.gpu_layers,
        cpu_moe=found.cpu_moe,
        fits=holds(free, found, cells) and not any(use.missing for use in ram),
        ram_bytes=sum(use.total for use in ram),
        commands=commands(free, found, best_layers(free, 0) if found.cpu_moe else found),
    )


def _holding(scenario: Scenario, gpu_layers: int | None, cpu_moe: int) -> Placement | None:
    """The even placement if every device holds its part, else an uneven one, else None."""
    cells = divided(scenario, scenario.context, scenario.serving.parallel)
    even = placed(scenario, gpu_layers, cpu_moe, scenario.serving.tensor_split)
    if holds(scenario, even, cells):
        return even
    if even.devices == 1 or scenario.serving.tensor_split or scenario.serving.partition:
        return None
    return _filled(even, lambda trial: holds(scenario, trial, cells))


def _filled(even: Placement, fits: Callable[[Placement], bool]) -> Placement | None:
    """The layers of ``even`` with as many as fit on the first device, then on the next; None if some are left over."""
    owners = [*even.owners, even.output]
    start = sum(at == RAM for at in owners)
    left, device = len(owners) - start, 0
    counts: list[int] = []
    while left and device < even.devices:

        def trial(number: int, device: int = device) -> bool:
            return fits(_with_counts(even, start, [*counts, number], device))

        taken = most(trial, left)
        counts.append(left if taken is None else taken)
        left -= counts[-1]
        device += 1
    return None if left else _with_counts(even, start, counts, device)


def _with_counts(even: Placement, start: int, counts: list[int], device: int) -> Placement:
    """``even`` with ``counts`` layers on its devices from layer ``start`` on, and all behind them in RAM."""
    owners = [RAM] * start + [number for number, count in enumerate(counts) for _ in range(count)]
    owners += [RAM] * (len(even.owners) + 1 - len(owners))
    return even._replace(owners=tuple(owners[:-1]), output=owners[-1])
