"""Changes to a scenario that an engine may gain from: what the levers of all engines are made of.

``levers`` in an engine's folder has its ``EngineLevers``; every candidate among them is only a proposal, and whoever
asks works out what it does. Example: of a model with windowed layers that vLLM was told to keep in full, "hybrid
manager" is a candidate; where the manager is on, the same name comes as idle, with the reason "on already".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kvtui.engine.model.caches import Attention, Recurrent
from kvtui.engine.model.spec import ModelSpec, has

if TYPE_CHECKING:
    from kvtui.engine.scenario.scenario import Scenario

USUAL_WEIGHTS = ("fp8", "w8a8", "nvfp4", "w4a16", "awq")
LEAST_BATCHED_TOKENS = 512
HIGH_UTILIZATION = 0.95
SMALLER_STEPS = "prefill in smaller steps"


class Candidate(NamedTuple):
    """A change that may be worth making: ``fields`` of the scenario, and what to know before (``caveat``)."""

    name: str
    fields: Mapping[str, Any]
    caveat: str = ""


class Idle(NamedTuple):
    """A change that gains nothing here, or cannot be had, and why."""

    name: str
    reason: str


Proposals = Callable[["Scenario"], Iterator[Candidate | Idle]]


class EngineLevers(NamedTuple):
    """What an engine alone can say of its levers.

    ``kv`` and ``weights`` are the formats to try, ``batching`` says how memory is set aside for sequences, and
    ``switches`` are what else it can be told. ``limits`` are the words of ``Serving.max_sequences_limit`` that a larger
    ``--max-seqs`` lifts. ``whole_layers``: each device gets whole layers, and no tensor is split over ranks.
    """

    kv: tuple[str, ...]
    batching: Proposals
    switches: Proposals
    weights: tuple[str, ...] = USUAL_WEIGHTS
    limits: tuple[str, ...] = ()
    whole_layers: bool = False


def always_paged(scenario: Scenario) -> Iterator[Idle]:
    """For engines that hand out blocks and mix batches whatever they are told."""
    yield Idle("paged attention, continuous batching", f"{scenario.engine} always works so")


def hybrid_manager(scenario: Scenario) -> Iterator[Candidate | Idle]:
    """A manager that frees what windowed layers no longer need, if there are any: on again, or on already."""
    if windowed(scenario.model):
        if scenario.serving.hybrid_manager is False:
            yield Candidate("hybrid manager", {"serving": scenario.serving._replace(hybrid_manager=None)})
        else:
            yield Idle("hybrid manager", "on already")


def no_prefix_caching(scenario: Scenario) -> Iterator[Candidate]:
    """Without it no recurrent states are kept for prompts that may come back."""
    if has(scenario.model, Recurrent) and scenario.serving.prefix_caching is not False:
        without = scenario.serving._replace(prefix_caching=False)
        yield Candidate("no prefix caching", {"serving": without}, "no prompt is used again")


def smaller_steps(scenario: Scenario) -> Iterator[Candidate]:
    """A quarter of the tokens in a step, which need less memory for activations."""
    tokens = scenario.max_batched_tokens // 4
    if tokens >= LEAST_BATCHED_TOKENS:
        yield Candidate(f"{tokens:,} batched tokens", {"max_batched_tokens": tokens}, SMALLER_STEPS)


def higher_share(scenario: Scenario) -> Iterator[Candidate]:
    """A larger share of the memory, where the cache gets what is left of it."""
    planned = scenario.memory_utilization
    if planned < HIGH_UTILIZATION and scenario.kv_pool is None:
        caveat = f"instead of {planned:g}; less is left for what is not counted"
        yield Candidate(f"utilization {HIGH_UTILIZATION:g}", {"memory_utilization": HIGH_UTILIZATION}, caveat)


def windowed(model: ModelSpec) -> bool:
    """Whether some layers of ``model`` attend to a window or a chunk only."""
    return any(
        isinstance(cache, Attention) and cache.growth == "bounded" and cache.kind != "cross_attention"
        for cache, _ in model.caches
    )
