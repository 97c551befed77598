"""The name that was asked for stays where people read what is planned."""

from __future__ import annotations

from kvtui.engine.saying.called import called
from kvtui.engine.scenario.values import scenario_from
from kvtui.report.document import document
from kvtui.report.sections import title


def test_an_alias_stays_visible_beside_the_name_of_the_shape() -> None:
    assert called(scenario_from({"model": "Llama-3.3-70B"})) == "Llama-3.3-70B (as Llama-3.1-70B)"
    assert called(scenario_from({"model": "llama-3.1-70b"})) == "Llama-3.1-70B"
    assert called(scenario_from({"model": "Qwen3-32B"})) == "Qwen3-32B"


def test_the_title_of_a_report_has_it() -> None:
    found = document(scenario_from({"model": "Llama-3.3-70B", "dtype": "fp8", "gpus": "2"}))
    assert title(found)[0] == "Llama-3.3-70B (as Llama-3.1-70B)"
    assert found["model"]["name"] == "Llama-3.1-70B"
