"""What a film showed, in one sentence for its end, and how the moment that a figure belongs to is named."""

from __future__ import annotations

from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.planning.capacity import Capacity
from kvtui.engine.planning.plan import Plan
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.scenario.scenario import Scenario


def moment(scenario: Scenario, tokens: int) -> str:
    """The film's position in words: ``at full context``, or ``at 5,242 tokens``."""
    return "at full context" if tokens == scenario.context else f"at {tokens:,} tokens"


def end_words(plan: Plan, capacity: Capacity) -> tuple[str, ...]:
    """What was to be seen of ``plan``'s cache from its first token to the last, from the longest to the shortest words.

    Example: "8 sequences grew to 60K tokens, all full: their cache to 60.00 GiB beside 14.96 GiB of weights, 96 % of
    the device".
    """
    scenario, parts = plan.scenario, plan.per_device
    batch = scenario.batch
    grew = f"{batch:,} sequence{'s' if batch > 1 else ''} grew to {format_tokens(scenario.context)} tokens"
    if not scenario.skip_weights:
        cache = f"cache {format_bytes(parts.cache)} beside {format_bytes(parts.weights)} of weights"
    else:
        cache = f"cache {format_bytes(parts.cache)}"
    device = "the device" if plan.devices == 1 else f"the fullest of {plan.devices:,} devices"
    if parts.total <= plan.usable_per_device:
        end = f"{parts.total / plan.usable_per_device:.0%} of {device}"
    elif capacity.context:
        end = f"{device} was full at {capacity.context:,} tokens"
    else:
        end = f"{format_bytes(parts.total - plan.usable_per_device)} more than {device} has"
    full = fill_words(scenario, batch)
    return f"{grew}, {full}: {cache}, {end}", f"{grew}: {end}", end
