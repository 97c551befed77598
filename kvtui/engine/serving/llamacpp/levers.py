"""What llama.cpp can be told besides: its windows and its physical batch; its devices get whole layers."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import SMALLER_STEPS, Candidate, EngineLevers, Idle, windowed
from kvtui.engine.serving.llamacpp.launch import shares
from kvtui.engine.serving.llamacpp.split import best, best_split

LEAST_UBATCH = 64


def _batching(scenario: Scenario) -> Iterator[Idle]:
    yield Idle("paged attention", "llama.cpp has one cache that its slots share")


def _switches(scenario: Scenario) -> Iterator[Candidate]:
    serving = scenario.serving
    yield from _in_ram(scenario)
    if windowed(scenario.model) and serving.swa_full:
        caveat = "no context shift, and no reuse of prompts beyond the window"
        yield Candidate("windows only, no --swa-full", {"serving": serving._replace(swa_full=False)}, caveat)
    if serving.ubatch // 4 >= LEAST_UBATCH:
        smaller = serving._replace(ubatch=serving.ubatch // 4)
        yield Candidate(f"ubatch {smaller.ubatch}", {"serving": smaller}, SMALLER_STEPS)


def _in_ram(scenario: Scenario) -> Iterator[Candidate]:
    """The best split of what the devices do not hold, where nothing was said of layers and RAM."""
    serving = scenario.serving
    if scenario.ram is not None or serving.placing or serving.partition is not None or scenario.layout.tp > 1:
        return
    found = best(scenario)
    if not found.whole:
        layers = len(found.owners) + 1 - found.gpu_layers
        words = [f"{layers} of {len(found.owners) + 1} layers"] if layers else []
        words += [f"the experts of {found.cpu_moe} layers"] if found.cpu_moe else []
        needed = format_bytes(best_split(scenario).ram_bytes)
        told = serving._replace(gpu_layers=found.gpu_layers, cpu_moe=found.cpu_moe, tensor_split=shares(found))
        yield Candidate(f"{' and '.join(words)} in RAM", {"serving": told}, f"takes {needed} of RAM, and is slower")


LEVERS = EngineLevers(
    ("q8_0", "q5_1", "q4_0"),
    _batching,
    _switches,
    weights=("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m"),
    whole_layers=True,
)
