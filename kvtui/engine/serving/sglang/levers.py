"""What SGLang can be told besides: its window pool, kept states and its prefill chunk."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import (
    Candidate,
    EngineLevers,
    Idle,
    always_paged,
    hybrid_manager,
    no_prefix_caching,
    smaller_steps,
    windowed,
)
from kvtui.engine.serving.sglang.releases import KV_FORMATS
from kvtui.engine.serving.sglang.serve import frees_windows


def _switches(scenario: Scenario) -> Iterator[Candidate | Idle]:
    if windowed(scenario.model) and scenario.serving.hybrid_manager is None and not frees_windows(scenario):
        yield Idle("hybrid manager", "SGLang has none for this model")
    else:
        yield from hybrid_manager(scenario)
    yield from no_prefix_caching(scenario)
    yield from smaller_steps(scenario)


LEVERS = EngineLevers(KV_FORMATS, always_paged, _switches, limits=("running requests",))
