"""The steps of context against concurrency, each of them against one plan or one engine of its own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures.concurrency import CORNERS, steps
from kvtui.figures.figure import Line, Scatter


@pytest.mark.parametrize(
    "values",
    [
        {"context": "128K", "batch": "3"},
        {"context": "32K", "batch": "20", "model": "gemma-3-27b"},
        {"context": "64K", "engine": "vllm", "model": "Qwen3.5-35B-A3B", "gpu": "H200 SXM"},
        {"context": "64K", "engine": "llama.cpp"},
    ],
)
def test_every_point_is_the_most_that_fits_and_few_sequences_end_at_the_very_token(values: dict[str, str]) -> None:
    scenario = scenario_from(values)

    def most(context: int) -> int:
        tried = scenario._replace(context=context)
        if scenario.engine == "none":
            return capacity(plan(tried)).sequences or 0
        served = serve(tried)
        assert served is not None
        return served.max_sequences if served.fits else 0

    line, *_, here = steps(scenario).panels[0].marks
    assert isinstance(line, Line)
    assert isinstance(here, Scatter)
    assert (here.x[0], here.y[0]) == (scenario.context, scenario.batch)
    points = [(int(x), y) for x, y in zip(line.x, line.y, strict=True)]
    level = [after for before, after in pairwise(points) if after[0] != before[0]]
    assert any(context == scenario.context for context, _ in points)
    for (_, before), (_, after) in pairwise(points):
        assert np.isnan(after) or np.isnan(before) or after <= before
    corners = [
        (context, before, after)
        for (_, before), (context, after) in pairwise(points)
        if after < before <= CORNERS and after > 0
    ]
    assert corners
    for context, before, after in corners:
        assert (most(context - 1), most(context)) == (before, after)
    for context, _ in level[:: max(1, len(level) // 12)]:
        known = [y for x, y in points if x == context]
        assert (most(context) or np.nan) == pytest.approx(known[-1], nan_ok=True)


def test_an_engine_stands_beside_the_plain_arithmetic() -> None:
    marks = steps(scenario_from({"engine": "vllm", "context": "16K"})).panels[0].marks
    assert [mark.name for mark in marks] == ["vllm", "plain arithmetic", "the scenario"]
    plain = marks[1]
    assert isinstance(plain, Line)
    assert plain.dash == "dashed"
