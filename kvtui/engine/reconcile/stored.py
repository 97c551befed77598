"""How the weights of a log are stored: what it calls them, held against the bytes that it says were loaded.

Example: ``quantization=compressed-tensors`` names a library and no format. The model's name ends in ``-W4A16``, and its
weights would then be 5.3 GiB; the log has 5.29, so that is taken. Where neither name says a format, the one whose
weights come nearest is taken, if it comes near.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.engines.known import weight_formats
from kvtui.engine.planning.serve import engine_budget
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario

UNUSUAL = "fp32"
"""Twice a model's usual bytes: another model is likelier than that, unless the log says so."""

NEAR, FAR = 0.03, 0.10
"""Formats that lie this near are it; what a log calls its weights is doubted if they are as far apart."""


class StoredAs(NamedTuple):
    """A weight format, None where nothing tells it, and what to say of it."""

    format: str | None
    words: str = ""


def stored_as(log: BootLog, scenario: Scenario, named: Sequence[str], usual: str | None) -> StoredAs:
    """The format of the weights of ``scenario``: one that the log ``named``, else the ``usual``, else the nearest.

    ``scenario`` is the same start in any format. Logs of llama.cpp name the file's type and are believed.
    """
    first = named[0] if named else usual
    loaded = log.most("weights") if log.engine != "llama.cpp" else None
    if loaded is None or scenario.model.parameters is None:
        return StoredAs(first) if first is not None else StoredAs(None, _unknown(loaded))
    known = {form: _apart(scenario, form, loaded) for form in dict.fromkeys((*named, *((usual,) if usual else ())))}
    if known:
        best = min(known, key=lambda form: known[form])
        if known[best] <= FAR:
            return StoredAs(best)
    family = log.words.get("weight_formats", "").split() or weight_formats(log.engine) or ()
    offered = {form: _apart(scenario, form, loaded) for form in family if form != UNUSUAL}
    nearest = min(offered, key=lambda form: offered[form], default=None)
    if nearest is not None and offered[nearest] <= NEAR:
        words = f"the weights are taken to be {nearest}, by the {format_bytes(loaded.bytes)} that were loaded"
        return StoredAs(nearest, f"{words}; --weight-dtype says otherwise")
    return StoredAs(first) if first is not None else StoredAs(None, _unknown(loaded))


def weights_of(scenario: Scenario) -> int | None:
    """Weights on the fullest device of ``scenario``, as its engine counts them; None where they are unknown."""
    try:
        budgets = [engine_budget(scenario, stage) for stage in stages(scenario)]
    except InputError:
        return None
    return max((found.bytes_of("weights") for found in budgets if found is not None), default=None)


def _apart(scenario: Scenario, form: str, loaded: Size) -> float:
    """How far the weights in ``form`` are from those ``loaded``, as a share of these."""
    try:
        size = weights_of(scenario._replace(weight_dtype=form, skip_weights=False))
    except InputError:
        return float("inf")
    return float("inf") if size is None or not loaded.bytes else abs(size / loaded.bytes - 1)


def _unknown(loaded: Size | None) -> str:
    beside = f": the {format_bytes(loaded.bytes)} that were loaded are used" if loaded is not None else ""
    return f"the format of the weights is not known{beside}; name it with --weight-dtype"
