"""The other direction for an engine: what fits a stepped cost, and which pool or layout a scenario would need."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtui.engine.capacity import most
from kvtui.engine.units import MAX_BYTES, MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtui.engine.scenario import Scenario
    from kvtui.engine.serving.result import Serving


def longest(holds: Callable[[int], bool], guess: int) -> int | None:
    """The longest context for which the falling predicate ``holds``: 0 if none does, None if no length is too long."""
    return most(lambda tokens: tokens == 0 or holds(tokens), MAX_TOKENS, guess)


def context_limit(scenario: Scenario, found: int | None, otherwise: str) -> str:
    """What stops the context ``found`` from growing, in words: the model's training, or ``otherwise``."""
    trained = scenario.model.max_context
    if trained is not None and (found is None or found > trained):
        return "model's maximum context"
    return "none" if found is None else otherwise


def holds(scenario: Scenario, serving: Serving) -> bool:
    """Whether the engine starts and runs all of the scenario's sequences at once, each at full context."""
    return serving.fits and serving.max_sequences >= scenario.batch


def least_pool(scenario: Scenario) -> int | None:
    """The fewest bytes of cache per device with which the engine holds ``scenario``; None if no pool is enough."""
    from kvtui.engine.serving.serve import serve

    def too_small(size: int) -> bool:
        trial = replace(scenario, kv_pool=size)
        found = serve(trial)
        return found is not None and not holds(trial, found)

    below = most(lambda size: size == 0 or too_small(size), MAX_BYTES)
    return None if below is None else below + 1


def best_tp(scenario: Scenario) -> int | None:
    """The tensor parallelism with the most sequences per device among those that hold the scenario; None if none does.

    Of equals the smallest is taken: every rank more costs collectives.
    """
    from kvtui.engine.scenario import NODE_DEVICES, valid_tps
    from kvtui.engine.serving.serve import serve

    best: tuple[float, int] | None = None
    for tp in valid_tps(scenario.model):
        if tp > NODE_DEVICES:
            break
        trial = replace(scenario, layout=scenario.layout._replace(tp=tp))
        found = serve(trial)
        if found is None or not holds(trial, found):
            continue
        density = found.max_sequences / trial.layout.devices
        if best is None or density > best[0]:
            best = density, tp
    return None if best is None else best[1]
