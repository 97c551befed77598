"""A model by the name that somebody asked for, and by the one that it is planned as where that is another."""

from __future__ import annotations

from kvtui.engine.basis.untrusted import plain
from kvtui.engine.scenario.scenario import Scenario


def asked_name(scenario: Scenario) -> str:
    """The other name by which the model was asked for; empty where it was its own.

    Llama-3.3-70B has the shape of Llama-3.1-70B, and is one of its names.
    """
    asked, model = plain(scenario.ref.rpartition("/")[2]), scenario.model
    known = {alias.rpartition("/")[2].casefold() for alias in model.aliases}
    return "" if asked.casefold() == model.name.casefold() or asked.casefold() not in known else asked


def called(scenario: Scenario) -> str:
    """The model's name for a header: ``Llama-3.3-70B (as Llama-3.1-70B)``."""
    asked = asked_name(scenario)
    return f"{asked} (as {scenario.model.name})" if asked else scenario.model.name
