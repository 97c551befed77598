"""How full the sequences are, in the words that stand beside every capacity."""

from __future__ import annotations

from kvtui.engine.planning.allocation import mean_fill_percent
from kvtui.engine.scenario.scenario import AVERAGE, FULL, Scenario


def fill_words(scenario: Scenario, batch: int) -> str:
    """How full each of ``batch`` sequences is: ``all full``, ``30 % full on average``, ``each 30 % full``.

    The lengths of a scenario that has its own are ``of their own lengths``.
    """
    if scenario.lengths is not None:
        return "of their own lengths"
    if scenario.fill == FULL:
        return "all full" if batch > 1 else "full"
    share = f"{mean_fill_percent(scenario, batch)} % full"
    return f"{share} on average" if scenario.fill == AVERAGE else f"each {share}"
