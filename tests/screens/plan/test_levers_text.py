"""The rows of levers, by themselves."""

from __future__ import annotations

import pytest

from kvtui.engine.advice.levers import levers
from kvtui.engine.advice.matrix import METRICS, answer
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.candidates import Idle
from kvtui.screens.plan.text import Detail, cell_text, lever_rows, verdict_words, why


@pytest.mark.parametrize("batch", ["4", "16"], ids=["fits", "does not fit"])
@pytest.mark.parametrize("width", [32, 43, 44, 60])
def test_figures_stand_under_their_names_at_every_width(batch: str, width: int) -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "32K", "batch": batch})
    found = list(levers(scenario))
    (head, *rows), shown = lever_rows(found, None, width, len(found) + 20)
    names = head[-1].text.split()
    assert names == (["seqs", "ctx", "tok/s", "$/M"] if width >= 44 else ["seqs", "tok/s", "$/M"])
    for number, row in zip(shown, rows, strict=False):
        assert sum(len(span.text) for span in row) <= width
        if not isinstance(found[number], Idle):
            assert len(row) - 2 == len(names)


def test_a_cell_beyond_the_models_own_maximum_says_the_maximum() -> None:
    scenario = scenario_from({"model": "Llama-2-7B", "gpu": "H100 SXM", "context": "16K"})
    found = answer(scenario)
    metrics = {metric.key: metric for metric in METRICS}
    assert cell_text(metrics["max_sequences"], found, scenario.context).text == "≤ 4K"
    assert cell_text(metrics["max_context_tokens"], found, scenario.context).text == "4K+"
    assert verdict_words(found)[0] == "! beyond 4K"
    assert "16K is beyond the model's own maximum of 4K" in why(Detail("", "", scenario, found))
