"""The slide: one SVG file of 16 : 9 that says what the report says."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from kvtui.engine.advice.fixes import fixes
from kvtui.engine.scenario.values import scenario_from
from kvtui.plots.card import card
from kvtui.report.document import document
from kvtui.report.sections import verdict


@pytest.mark.parametrize("values", [{"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"}, {"gpu": "H100 SXM"}])
def test_a_slide_has_the_verdict_the_frontier_and_the_fixes_or_the_room(values: dict[str, str]) -> None:
    scenario = scenario_from(values)
    root = ElementTree.fromstring(card(scenario).encode())
    assert int(root.get("width", 0)) * 9 == int(root.get("height", 0)) * 16
    words = " ".join(node.text for node in root.iter() if node.text)
    fits, sentence = verdict(document(scenario))
    assert sentence in words
    assert "Context against concurrency" in words
    assert "weights" in words
    assert ("max sequences" if fits else fixes(scenario)[0].name) in words
