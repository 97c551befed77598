"""The one entry to all engines: a scenario in, its engine's cache out."""

from __future__ import annotations

from collections.abc import Callable

from kvtui.engine.engines.known import part
from kvtui.engine.engines.result import Serving
from kvtui.engine.scenario.scenario import Scenario


def serve(scenario: Scenario) -> Serving | None:
    """The cache of the scenario's engine; None for engine ``none``.

    Raises InputError when the engine cannot serve the scenario at all.
    """
    if scenario.engine == "none":
        return None
    allocate: Callable[[Scenario], Serving] = part(scenario.engine, "serve").serve
    return allocate(scenario)
