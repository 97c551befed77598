"""What speculative decoding buys: how many times as fast over drafted tokens and the share of them that is accepted."""

from __future__ import annotations

from functools import partial

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import counted
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.checkpoint.reads import RoutedBytes, WeightsRead
from kvtui.engine.planning.allocation import slots
from kvtui.engine.planning.drafting import TokenPass, acceptance_of, drafter, expected_tokens
from kvtui.engine.planning.estimate import speculate
from kvtui.engine.planning.weights import step_weights
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.figure import Axis, Figure, HeatMap, Line, Panel, Rule, Scatter, floats
from kvtui.figures.scenarios import caveats

SPECULATION = ("speculation", "Speculative decoding", "What do drafted tokens buy, and from what acceptance on?")
SHARES = tuple(n / 20 for n in range(1, 20))
DRAWN = (0.5, 0.6, 0.7, 0.8, 0.9)
LEVELS = (1.0, 1.5, 2.0, 3.0)
MOST = 64
DRAFTS = Axis("drafted tokens", "of a step")
FASTER = Axis("faster by", "×")


def by_drafts_and_acceptance(scenario: Scenario, most: int = 12, percent: int = 5) -> Figure:
    """Speed-up over drafted tokens and their acceptance: the middle of the roofline's band.

    Where the scenario has no drafter of its own, one with ``percent`` of the model's weights and no cache is taken.
    """
    found, who = _drafter(scenario, percent)
    drafts = tuple(range(1, min(most, MOST) + 1))
    sequences = slots(scenario, scenario.context, scenario.batch)
    rates = []
    for drafted in drafts:
        step = None if found is None else speculate(scenario, sequences, found, drafted, 0.0)
        if step is None:
            why = "No speed: the active weights, the drafter's, or the link between devices, are unknown."
            return Figure(*SPECULATION, (), (why,))
        rates.append((step.speedup.low + step.speedup.high) / 2)
    grid = np.array([list(map(partial(_faster, share), drafts, rates)) for share in SHARES])
    share = acceptance_of(scenario)
    tiles = HeatMap("faster by", floats(drafts), floats(SHARES), floats(grid), contours=LEVELS)
    at = scenario.speculative_tokens
    here = (Scatter("the scenario", floats([at]), floats([share])),) if at and at <= drafts[-1] else ()
    lines = tuple(
        Line(f"{100 * one:.0f} % accepted", floats(drafts), floats(map(partial(_faster, one), drafts, rates)))
        for one in DRAWN
    )
    panels = (
        Panel("speed-up by drafts and acceptance", DRAFTS, Axis("accepted", "share"), (tiles, *here), z=FASTER),
        Panel("speed-up by drafts", DRAFTS, FASTER, lines, rules=(Rule("y", 1.0, "no speculation"),)),
    )
    best = max(drafts, key=lambda n: _faster(share, n, rates[n - 1]))
    fastest = _faster(share, best, rates[best - 1])
    assumed = " (assumed)" if scenario.acceptance is None else ""
    notes = (
        f"{who}; batch {scenario.batch:,}. The middle of the roofline's band, confidence L.",
        f"{100 * share:.0f} % accepted{assumed}: the most is {fastest:.2f} ×, with {counted(best, 'drafted token')}.",
        *caveats(scenario),
    )
    return Figure(*SPECULATION, panels, notes)


def _faster(share: float, drafted: int, rate: float) -> float:
    """A step's speed-up by its ``rate`` where nothing is accepted."""
    return expected_tokens(share, drafted) * rate


def _drafter(scenario: Scenario, percent: int) -> tuple[TokenPass | None, str]:
    """Who drafts, and that in words."""
    serving, model = scenario.serving, plain(scenario.model.name)
    try:
        drafting = adapted(scenario, {"speculative_tokens": scenario.speculative_tokens or 1})[0]
    except InputError:
        drafting = scenario
    if drafting.speculative_tokens:
        found = drafter(drafting)
        if serving.draft_model is not None:
            return found, f"{plain(serving.draft_model.name)} drafts"
        if serving.draft_layers:
            return found, f"A head of {serving.draft_layers} layers drafts"
        return found, f"{model}'s own prediction layer drafts"
    weights, active = step_weights(scenario), scenario.model.active_parameters
    if weights is None or active is None:
        return None, ""
    share = min(percent, 100) / 100
    routed = tuple(RoutedBytes(one.total, one.active, int(share * one.bytes)) for one in weights.routed)
    size = WeightsRead(int(share * weights.always), routed)
    layers = ((scenario.model.layers[0]._replace(caches=()), max(1, round(share * len(scenario.model.layers)))),)
    return TokenPass(size, int(share * active), layers, scenario.kv), f"A drafter of {percent} % of {model}'s weights"
