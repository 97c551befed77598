"""What TensorRT-LLM can be told besides: its steps and share of memory."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Candidate, EngineLevers, always_paged, higher_share, smaller_steps
from kvtui.engine.serving.tensorrt.releases import KV_FORMATS


def _switches(scenario: Scenario) -> Iterator[Candidate]:
    yield from smaller_steps(scenario)
    yield from higher_share(scenario)


LEVERS = EngineLevers(KV_FORMATS, always_paged, _switches)
