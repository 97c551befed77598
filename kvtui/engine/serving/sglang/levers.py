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
)
from kvtui.engine.serving.sglang.releases import KV_FORMATS


def _switches(scenario: Scenario) -> Iterator[Candidate | Idle]:
    yield from hybrid_manager(scenario)
    yield from no_prefix_caching(scenario)
    yield from smaller_steps(scenario)


LEVERS = EngineLevers(KV_FORMATS, always_paged, _switches, limits=("running requests",))
