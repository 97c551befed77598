"""The other direction: how long a context, and how many sequences, the devices of a scenario can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.planning.allocation import mean_fill_percent
from kvtui.engine.planning.parts import Parts, crowded, crowded_limit, device_parts, fits, shortage
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.search import context_limit, most_spared
from kvtui.engine.planning.serve import at_once
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import AVERAGE, FULL, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtui.engine.engines.result import Serving

LINEAR_BATCHES = 16


class Users(NamedTuple):
    """How many sequences run together: ``full`` of the whole context, or ``average`` of the reference's mix of lengths.

    ``percent`` is how full the average ones are in the mean. None means that memory sets no bound.
    """

    full: int | None
    average: int | None
    percent: int


class Capacity(NamedTuple):
    """The most ``context`` tokens at the scenario's batch, and the most ``sequences`` at its context.

    None means that memory sets no bound below 2**40 tokens or a million sequences; 0 that not even one fits.
    ``context`` is what memory holds: a model's trained maximum may be lower. ``context_limit`` and ``sequences_limit``
    say in words what stops them.
    """

    context: int | None
    sequences: int | None
    context_limit: str
    sequences_limit: str


def capacity(plan: Plan) -> Capacity:
    """Both limits of ``plan``'s scenario, with every sequence as full as the scenario's fill says.

    With an engine they are the engine's own: the longest single request, and the sequences that run together.
    """
    return room(plan.scenario, plan.serving)


def room(scenario: Scenario, served: Serving | None) -> Capacity:
    """The ``capacity`` of the scenario's plan, with or without what its engine allocates.

    An engine whose pool does not fit its device beside the weights does not start: it holds nothing.
    """
    if served is not None:
        parts = None if scenario.kv_pool is None else device_parts(scenario, scenario.context, scenario.batch)
        if parts is not None and crowded(scenario, parts):
            limit = crowded_limit(scenario, parts)
            return Capacity(0, 0, limit, limit)
        return Capacity(
            served.max_context, at_once(scenario, served), served.max_context_limit, served.max_sequences_limit
        )
    scenario = scenario._replace(lengths=None, shared_prefix=0)
    context = most_spared(lambda n: _spare(scenario, n, scenario.batch), MAX_TOKENS, scenario.context)
    sequences = most_sequences(scenario)
    by_context = _limit(scenario, context, lambda: device_parts(scenario, (context or 0) + 1, scenario.batch))
    by_sequences = _limit(scenario, sequences, lambda: device_parts(scenario, scenario.context, (sequences or 0) + 1))
    return Capacity(context, sequences, context_limit(scenario, context, by_context), by_sequences)


def users(plan: Plan, known: Capacity) -> Users:
    """Both capacities of ``plan``'s scenario, whatever its own fill is; ``known`` is the one for that.

    Example: Llama-3.1-8B with paged attention on an H100 holds 3 sequences of 128K, and 11 of an average fill.
    """
    alone = plan.scenario._replace(lengths=None, shared_prefix=0)
    each = (alone._replace(fill=fill) for fill in (FULL, AVERAGE))
    full, average = (known.sequences if one == plan.scenario else _most(one, plan.serving) for one in each)
    return Users(full, average, mean_fill_percent(alone._replace(fill=AVERAGE), average or MAX_BATCH))


def _most(scenario: Scenario, served: Serving | None) -> int | None:
    if served is None:
        return most_sequences(scenario)
    parts = device_parts(scenario, scenario.context, scenario.batch)
    return 0 if crowded(scenario, parts) else at_once(scenario, served)


def most_sequences(scenario: Scenario) -> int | None:
    """The most sequences of the scenario's context that its devices hold, a shared prefix stored once.

    Fill ratios change with small batches, so those are tried one by one, the largest first. None: no bound.
    """
    if scenario.fill == AVERAGE:
        small = next((n for n in range(LINEAR_BATCHES, 0, -1) if fits(scenario, scenario.context, n)), 0)
        if small < LINEAR_BATCHES:
            return small
    return most_spared(lambda n: _spare(scenario, scenario.context, n), MAX_BATCH, scenario.batch)


def _spare(scenario: Scenario, context: int, batch: int) -> int:
    """Bytes that the fullest device has left for ``batch`` sequences of ``context`` tokens; below 0 they do not fit."""
    return -shortage(scenario, device_parts(scenario, context, batch))


def _limit(scenario: Scenario, found: int | None, parts_of_one_more: Callable[[], Parts]) -> str:
    """What stops at ``found``, in words, by the parts that one more token or sequence would need."""
    if found is None:
        return "none"
    if scenario.kv_pool is None and found:
        return "device memory"
    parts = parts_of_one_more()
    if scenario.kv_pool is None:
        return "weights" if parts.weights >= parts.cache else "kv cache"
    return crowded_limit(scenario, parts) if crowded(scenario, parts) else "kv pool"
