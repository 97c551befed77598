"""Figures of replays: drawn from the document that the command writes, and from the one that comes with kvtui."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kvtui.bench import figures as runs
from kvtui.cli import main
from kvtui.figures import files
from kvtui.figures.catalogue import find_entry
from kvtui.figures.figure import Line
from kvtui.figures.replay import REPLAYED, hits_by_size, latency_by_rate
from tests.paths import DATA

WORDS = [
    "replay",
    str(DATA / "replay/synth_trace_160.jsonl"),
    "--requests",
    "40",
    "--model",
    "Llama-3.1-8B",
    "--gpu",
    "L40S",
]


@pytest.mark.parametrize("name", REPLAYED)
def test_each_is_drawn_from_what_comes_with_kvtui(name: str) -> None:
    figure = runs.newest(find_entry(name))
    assert figure.panels
    assert figure.notes[0].startswith("This trace came with kvtui")
    for panel in figure.panels:
        for mark in panel.marks:
            assert isinstance(mark, Line)
            assert np.isfinite(mark.y).any()


def test_what_was_replayed_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "replay.json"
    assert main([*WORDS, "--format", "json", "-o", str(path)]) == 0
    found = files.read(path)
    assert list(found) == list(REPLAYED)
    assert {name for name, figure in found.items() if figure.panels} == {"replay-use", "replay-sizes"}
    assert "--find rate" in found["replay-latency"].notes[0]
    own = runs.measured("replay", None, tmp_path)
    assert "bundled" not in own
    assert own["trace"]["requests"] == 40


def test_hits_are_those_of_the_document() -> None:
    document = json.loads(runs.BUNDLED_REPLAY.read_text())
    whole, _ = hits_by_size(document).panels
    names = [mark.name for mark in whole.marks]
    assert names == ["least recently used", "with answers", "oldest out", "at best"]
    used, _, oldest, best = (mark.y for mark in whole.marks if isinstance(mark, Line))
    assert (used <= best + 1e-9).all()
    assert (oldest <= best + 1e-9).all()
    assert {rule.label for rule in whole.rules} == {"without bounds", "knee", "the plan's pool"}
    first, *_, goodput = latency_by_rate(document).panels
    for mark in first.marks:
        assert isinstance(mark, Line)
        assert mark.low is not None
        assert (mark.low <= mark.y).all()
    held = next(rule.value for rule in goodput.rules if rule.label == "largest that holds")
    rows = document["search"]["rows"]
    assert held == pytest.approx(
        max(row["value"] for row in rows if row["holds"]) * document["trace"]["requests"] / document["trace"]["seconds"]
    )
