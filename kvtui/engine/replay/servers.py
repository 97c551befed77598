"""The server of a scenario, as a replay needs it: its pool, its groups of layers, and its limits on a step."""

from __future__ import annotations

from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.groups import CacheGroup, Chunked, Full, Sliding
from kvtui.engine.replay.vllm import Limits, order_of
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.vllm.releases import default_max_seqs, rules
from kvtui.engine.serving.vllm.serve import layered, serve

REPLAYED = ("vllm",)
"""The engines whose scheduler is known here."""


def limits_of(scenario: Scenario) -> Limits:
    """One replica of ``scenario`` under vLLM: the planned pool and what follows from its options.

    Raises InputError for another engine, for a model with recurrent states or cross-attention, whose blocks are not
    replayed, and for a server that does not start.
    """
    if scenario.engine not in REPLAYED:
        raise InputError(f"--engine: only {', '.join(REPLAYED)} can be replayed, not {scenario.engine}")
    found = rules(scenario.serving.version)
    planned = serve(scenario)
    if planned.refusals or not planned.fits:
        reason = planned.refusals[0] if planned.refusals else "one request of the full context does not fit its pool"
        raise InputError(f"the server would not start: {reason}")
    laid = layered(scenario, found)
    groups: list[CacheGroup] = []
    for group in laid.grouping.groups:
        cap = group.specs[0].spec.cap
        match group.kind:
            case "full":
                groups.append(Full(group.block))
            case "window":
                groups.append(Sliding(group.block, cap))
            case "chunk":
                groups.append(Chunked(group.block, cap))
            case kind:
                what = {"state": "recurrent states", "cross": "cross-attention"}[kind]
                raise InputError(f"--model: {scenario.model.name} has {what}, whose blocks cannot be replayed")
    assert planned.blocks is not None
    return Limits(
        blocks=planned.blocks + (0 if found.null_block else 1),
        groups=tuple(groups),
        sequences=scenario.serving.max_seqs or default_max_seqs(scenario.device, scenario.max_batched_tokens),
        budget=scenario.max_batched_tokens,
        longest=scenario.context,
        caching=scenario.serving.prefix_caching is not False,
        ahead=scenario.speculative_tokens,
        order=order_of(tuple(int(part) for part in found.version.split(".")[:2])),
    )
