"""Context against concurrency, as the steps that it has: how many sequences of which context run together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.planning import grid
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.figure import Axis, Figure, Line, Panel, Scatter, floats
from kvtui.figures.scenarios import CONTEXT, spaced

LEAST_CONTEXT, USUAL_CONTEXT = 1024, 131_072
POINTS, CORNERS = 49, 16

Steps = dict[int, int]


def steps(scenario: Scenario) -> Figure:
    """The most sequences that run together against their context, and where the scenario stands.

    With an engine its own figures, and dashed the plain arithmetic. Steps down to CORNERS sequences are at the very
    token where they happen; above, where steps lie closer, at the next of the figure's contexts. Raises InputError when
    the weights are unknown, or the engine cannot serve the scenario.
    """
    alone = scenario._replace(lengths=None, shared_prefix=0)
    end = min(max(USUAL_CONTEXT, 4 * scenario.context), MAX_TOKENS)
    contexts = sorted({*spaced(min(LEAST_CONTEXT, scenario.context), end, POINTS).tolist(), scenario.context})
    plain = _plain(alone, contexts)
    lines = [_line("plain arithmetic" if scenario.engine != "none" else "most that fit", plain)]
    if scenario.engine != "none":
        lines = [_line(scenario.engine, _served(alone, contexts)), replace(lines[0], dash="dashed")]
    here = Scatter("the scenario", floats([scenario.context]), floats([scenario.batch]))
    most = Axis("sequences", scale="log2", low=1.0)
    panel = Panel("", CONTEXT, most, (*lines, here))
    return Figure("concurrency", "context against sequences that run together", "", (panel,))


def _plain(scenario: Scenario, contexts: list[int]) -> Steps:
    """The planner's steps, with both sides of the corners of the smallest batches."""
    batches = np.arange(1, CORNERS + 2)
    corners = grid.most_context(scenario, batches).tolist()
    around = {tokens for corner in corners for tokens in (corner, corner + 1) if 1 <= tokens <= contexts[-1]}
    every = np.array(sorted({*contexts, *around}))
    return dict(zip(every.tolist(), grid.most_sequences(scenario, every).tolist(), strict=True))


def _served(scenario: Scenario, contexts: list[int]) -> Steps:
    """The engine's steps: its sequences at each context, and the exact place of each drop to few of them."""

    def most(context: int) -> int:
        served = serve(scenario._replace(context=context))
        assert served is not None
        return served.max_sequences if served.fits else 0

    found = {context: most(context) for context in contexts}
    for low, high in pairwise(contexts):
        _corners(found, most, low, high)
    return found


def _corners(found: Steps, most: Callable[[int], int], low: int, high: int) -> None:
    """Halve the stretch between two contexts until each of its drops lies between neighbours."""
    if found[low] == found[high] or high - low == 1 or found[high] > CORNERS:
        return
    middle = (low + high) // 2
    found[middle] = most(middle)
    _corners(found, most, low, middle)
    _corners(found, most, middle, high)


def _line(name: str, found: Steps) -> Line:
    """Level stretches joined by upright ones; nothing where not one sequence fits or memory sets no bound."""
    xs, ys = zip(*_joined(sorted(found.items())), strict=True)
    most = np.array(ys, dtype=np.float64)
    return Line(name, floats(np.array(xs)), floats(np.where((most > 0) & (most < MAX_BATCH), most, np.nan)))


def _joined(points: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    before: int | None = None
    for context, sequences in points:
        if before is not None and sequences != before:
            yield context, before
        yield context, sequences
        before = sequences
