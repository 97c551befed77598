"""What llama.cpp can be told besides: its windows and its physical batch; its devices get whole layers."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import SMALLER_STEPS, Candidate, EngineLevers, Idle, windowed

LEAST_UBATCH = 64


def _batching(scenario: Scenario) -> Iterator[Idle]:
    yield Idle("paged attention", "llama.cpp has one cache that its slots share")


def _switches(scenario: Scenario) -> Iterator[Candidate]:
    serving = scenario.serving
    if windowed(scenario.model) and serving.swa_full:
        caveat = "no context shift, and no reuse of prompts beyond the window"
        yield Candidate("windows only, no --swa-full", {"serving": serving._replace(swa_full=False)}, caveat)
    if serving.ubatch // 4 >= LEAST_UBATCH:
        smaller = serving._replace(ubatch=serving.ubatch // 4)
        yield Candidate(f"ubatch {smaller.ubatch}", {"serving": smaller}, SMALLER_STEPS)


LEVERS = EngineLevers(
    ("q8_0", "q5_1", "q4_0"),
    _batching,
    _switches,
    weights=("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m"),
    whole_layers=True,
)
