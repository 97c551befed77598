"""What TensorRT-LLM can be told besides: windows, its steps and share of memory."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Candidate, EngineLevers, always_paged, higher_share, smaller_steps, windowed
from kvtui.engine.serving.tensorrt.releases import KV_FORMATS


def _switches(scenario: Scenario) -> Iterator[Candidate]:
    if windowed(scenario.model) and scenario.serving.hybrid_manager is not True:
        yield Candidate("max_attention_window", {"serving": scenario.serving._replace(hybrid_manager=True)})
    yield from smaller_steps(scenario)
    yield from higher_share(scenario)


LEVERS = EngineLevers(KV_FORMATS, always_paged, _switches, limits=("max_num_seqs",))
