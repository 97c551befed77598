"""What comes with kvtui: every figure of trained models is drawn from it, with its seeds and marked as bundled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kvtui.bench import trained
from kvtui.bench.figures import newest
from kvtui.bench.training import corpus, runs
from kvtui.cases.training import training_set
from kvtui.commands.generate import BUNDLED
from kvtui.figures.catalogue import ENTRIES, CatalogueFigure
from kvtui.figures.figure import Panel

FIGURES = [entry for entry in ENTRIES if entry.group == "trained"]
DENSE = {plan.name.rpartition("_s")[0] for plan in training_set("bundled") if not plan.experts}
LEAST_SEEDS = 3


@pytest.mark.parametrize("entry", FIGURES, ids=[entry.id for entry in FIGURES])
def test_every_figure_of_trained_models_is_drawn_on_a_fresh_install(
    entry: CatalogueFigure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    figure = newest(entry)
    assert figure.panels
    assert all(panel.marks for panel in figure.panels)
    assert "bundled" in figure.title or any("(bundled)" in name for name in _names(figure.panels))


def test_the_dense_models_are_there_with_seeds_and_their_losses_agree() -> None:
    found = {run.name: run for run in runs.runs_in(runs.BUNDLED)}
    rows = {row["run"]: row for row in trained.read_rows(trained.BUNDLED / trained.RESULTS)}
    seeds = Counter(name.rpartition("_s")[0] for name in found)
    assert all(seeds[name] >= LEAST_SEEDS for name in DENSE)
    assert rows.keys() == found.keys()
    for name, run in found.items():
        summary = run.summary or {}
        assert summary["validation_sha256"] == corpus.VALIDATION_SHA256
        assert rows[name]["val_loss"] == pytest.approx(summary["val_loss"], rel=1e-4)
        assert rows[name]["measured_cache_mb"] == rows[name]["theoretical_cache_mb"]
        assert run.log()[-1]["step"] == run.plan.steps


def test_the_model_that_speaks_is_there_and_all_of_it_is_small() -> None:
    assert (runs.BUNDLED / BUNDLED / runs.WEIGHTS).is_file()
    size = sum(path.stat().st_size for root in (runs.BUNDLED, trained.BUNDLED) for path in root.rglob("*"))
    assert size <= 4_000_000


def _names(panels: tuple[Panel, ...]) -> list[str]:
    return [mark.name for panel in panels for mark in panel.marks]
