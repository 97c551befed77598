"""What vLLM can be told besides: another release, its hybrid manager, kept states, its steps and share of memory."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.model.caches import Recurrent
from kvtui.engine.model.spec import has
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import (
    Candidate,
    EngineLevers,
    Idle,
    always_paged,
    higher_share,
    hybrid_manager,
    no_prefix_caching,
    smaller_steps,
    windowed,
)
from kvtui.engine.serving.vllm.releases import KV_FORMATS, SPAN
from kvtui.engine.serving.vllm.serve import serve


def _switches(scenario: Scenario) -> Iterator[Candidate | Idle]:
    serving = scenario.serving
    if has(scenario.model, Recurrent):
        yield from _fewer_sequences(scenario)
    if windowed(scenario.model) and serving.hybrid_manager is not False and serving.version:
        newest = serving._replace(version=SPAN.newest)
        yield Candidate(f"vllm {newest.version}", {"serving": newest}, "another release")
    else:
        yield from hybrid_manager(scenario)
    yield from no_prefix_caching(scenario)
    yield from smaller_steps(scenario)
    yield from higher_share(scenario)


def _fewer_sequences(scenario: Scenario) -> Iterator[Candidate]:
    """As many sequences as there are blocks of state, where more are refused."""
    found = serve(scenario)
    if found.refusals and found.state_slots and scenario.batch <= found.state_slots:
        fewer = scenario.serving._replace(max_seqs=found.state_slots)
        yield Candidate(f"at most {found.state_slots:,} sequences", {"serving": fewer}, "more of them wait")


LEVERS = EngineLevers(KV_FORMATS, always_paged, _switches, limits=("max_num_seqs",))
