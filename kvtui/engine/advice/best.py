"""The best formats in which a scenario fits its devices, and the context that they allow.

Example: Llama-3.1-8B at 128K on an RTX 4090 does not fit in bf16. Of the formats that people run there, with those that
lose least tried first, one of weights and one of the cache are the answer: such as "Q8_0 + q8_0 KV", 128K.
"""

from __future__ import annotations

from itertools import product

from kvtui.engine.advice.fixes import FixChange, format_changes
from kvtui.engine.advice.matrix import BestFormat, MatrixAnswer, answer
from kvtui.engine.advice.risk import cache_risk, weights_risk
from kvtui.engine.basis.errors import InputError
from kvtui.engine.planning.parts import device_parts, holds
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario

MOST_RISK = 3
NOTHING = BestFormat("", "", 0)


def best_format(scenario: Scenario) -> BestFormat:
    """The formats of weights and cache with the least risk in which ``scenario`` fits as it is.

    Where none does, the smallest whose risk is no more than medium, and the context that they leave. What is published
    in fewer bits than 16, or comes from a file, is not made larger.
    """
    try:
        base = _unquantised(scenario)
        weights, cache = format_changes(base)
    except InputError:
        return NOTHING
    own = FixChange("weights", base.weight_dtype, {}), FixChange("cache", base.kv_dtype, {})
    options = (_in_order([own[0], *weights]), _in_order([own[1], *cache]))
    pairs = [pair for pair in product(*options) if _risk(pair) <= MOST_RISK]
    for pair in sorted(pairs, key=_loss):
        changed = _with(base, pair)
        if changed is not None and _holds(changed) and (found := answer(changed)).fits:
            return _best(changed, found)
    for pair in sorted(pairs, key=_loss, reverse=True):
        changed = _with(base, pair)
        if changed is not None:
            return _best(changed, answer(changed))
    return NOTHING


def _unquantised(scenario: Scenario) -> Scenario:
    model = scenario.model
    weights = scenario.weight_dtype if scenario.weight_dtype == FILE_WEIGHTS else model.published_weights or "bf16"
    return adapted(scenario, {"weight_dtype": weights, "kv_dtype": "bf16"})[0]


def _in_order(changes: list[FixChange]) -> list[FixChange]:
    return [change._replace(reach=place) for place, change in enumerate(changes)]


def _risk(pair: tuple[FixChange, ...]) -> int:
    return max(change.risk.level for change in pair)


def _loss(pair: tuple[FixChange, ...]) -> tuple[int, ...]:
    """By the higher risk, then by both together; of equals the cache gives way first."""
    levels = [change.risk.level for change in pair]
    return max(levels), sum(levels), *(change.reach for change in pair)


def _with(base: Scenario, pair: tuple[FixChange, ...]) -> Scenario | None:
    try:
        return adapted(base, {name: value for change in pair for name, value in change.fields.items()})[0]
    except InputError:
        return None


def _holds(scenario: Scenario) -> bool:
    """Whether the bytes alone fit, which is cheap to know; an engine's own units take more."""
    try:
        return holds(scenario, device_parts(scenario, scenario.context, scenario.batch))
    except InputError:
        return False


def _best(scenario: Scenario, found: MatrixAnswer) -> BestFormat:
    """What ``scenario`` allows; no more than the model was trained for."""
    most = scenario.model.max_context or scenario.context
    context = most if found.context is None else min(found.context, most)
    if not context:
        return NOTHING
    risks = weights_risk(scenario.weight_dtype, scenario.model).level, cache_risk(scenario.kv_dtype).level
    return BestFormat(scenario.weight_dtype, scenario.kv_dtype, context, max(risks))
