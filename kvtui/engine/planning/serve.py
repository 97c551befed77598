"""The one entry to all engines: a scenario in, its engine's cache out."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from kvtui.engine.engines.known import part, places_layers
from kvtui.engine.model.spec import cache_bytes
from kvtui.engine.planning.allocation import mean_fill
from kvtui.engine.planning.stages import distinct_stages, stages
from kvtui.engine.planning.windows import as_kept
from kvtui.engine.scenario.scenario import FULL

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtui.engine.engines.budget import Budget
    from kvtui.engine.engines.placement import BestSplit
    from kvtui.engine.engines.result import Serving
    from kvtui.engine.planning.stages import Stage
    from kvtui.engine.scenario.scenario import Scenario


ROUNDS = 2


def serve(scenario: Scenario) -> Serving | None:
    """The cache of the scenario's engine; None for engine ``none``.

    Raises InputError when the engine cannot serve the scenario at all.
    """
    if scenario.engine == "none":
        return None
    allocate: Callable[[Scenario], Serving] = part(scenario.engine, "serve").serve
    kept, notes = as_kept(scenario)
    found = allocate(kept)
    if not notes:
        return found
    own = (cache_bytes(stage.caches, kept.context, kept.kv, kept.layout.tp).kv for stage in stages(kept))
    return found._replace(notes=(*found.notes, *notes), entries=found.entries or tuple(own))


def at_once(scenario: Scenario, served: Serving) -> int:
    """The sequences that run together when each is as full as the scenario's fill says.

    An engine that hands out blocks holds more of them than of full ones: as many as of sequences of the average length.
    One that gives each sequence all of its room at the start holds no more. How long the average is depends on their
    number, which is found by going round once more.
    """
    if scenario.fill == FULL or served.blocks is None or not served.fits:
        return served.max_sequences
    found = served.max_sequences
    for _ in range(ROUNDS):
        share = mean_fill(scenario, max(scenario.batch, found))
        shorter = serve(scenario._replace(context=max(1, ceil(scenario.context * share)), fill=FULL, lengths=None))
        assert shorter is not None
        found = max(served.max_sequences, shorter.max_sequences)
    return found


def best_split(scenario: Scenario) -> BestSplit | None:
    """The split between devices and RAM that leaves the least to RAM; None for an engine that has none.

    Raises InputError when the weights are unknown and not skipped.
    """
    if not places_layers(scenario.engine) or scenario.layout.tp > 1:
        return None
    found: BestSplit = part(scenario.engine, "split").best_split(scenario)
    return found


def engine_budget(scenario: Scenario, stage: Stage) -> Budget | None:
    """How the scenario's engine divides the memory of a device of ``stage``; None for engine ``none``.

    Raises InputError when the weights are unknown and not skipped.
    """
    if scenario.engine == "none":
        return None
    divide: Callable[[Scenario, Stage], Budget] = part(scenario.engine, "budget").budget
    return divide(scenario, stage)


def engine_room(scenario: Scenario) -> int | None:
    """Bytes of a device that the scenario's engine may fill, its cache included; None for engine ``none``."""
    if scenario.engine == "none":
        return None
    found: int = part(scenario.engine, "budget").room(scenario)
    return found


def tightest_budget(scenario: Scenario) -> Budget | None:
    """The budget of the pipeline stage whose devices have the least left for the cache; None for engine ``none``."""
    budgets = (engine_budget(scenario, stage) for stage in distinct_stages(scenario))
    return min((found for found in budgets if found is not None), key=lambda found: found.pool, default=None)
