"""``kvtui bench ensemble`` and the files that it leaves, and those of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kvtui.cli import main
from kvtui.figures import files
from kvtui.figures.figure import Histogram, Line
from tests.nightly import NIGHTLY

TIMES = {
    "raw_ms": [1.0, 1.1, 1.2, 1.3],
    "filtered_ms": [1.0, 1.1, 1.2, 1.3],
    "median_ms": 1.2,
    "p20_ms": 1.0,
    "p80_ms": 1.3,
}
FOREIGN: dict[str, Any] = {
    "baseline": {"ttft": TIMES, "decode": {"positions": [64, 128], "per_position": {"128": TIMES, "64": TIMES}}},
    "hydra_naive": {"ttft": TIMES, "decode": {"positions": [64], "per_position": {"64": TIMES}}},
    "hydra_poe": {
        "per_gamma": {
            "4": {**TIMES, "avg_accepted_tokens_per_call": 3.0, "resample_rate": 0.25, "effective_tps": 2500.0},
            "8": {**TIMES, "avg_accepted_tokens_per_call": 0.0, "resample_rate": 1.0, "effective_tps": 0.0},
        }
    },
    "metadata": {"gpu": "A100", "poe_gamma": 4},
}


def test_results_of_others_are_three_panels(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(FOREIGN))
    figure = files.read(path)["decode"]
    first, latency, speed = figure.panels
    assert {mark.name for mark in first.marks if isinstance(mark, Histogram)} == {"baseline", "hydra_naive"}
    lines = {mark.name: mark for mark in latency.marks if isinstance(mark, Line)}
    assert lines["baseline"].x.tolist() == [64, 128]
    assert lines["hydra_poe, gamma 4 (per token)"].y.tolist() == pytest.approx([0.4, 0.4])
    assert "hydra_poe, gamma 4 (25% drawn again)" in {mark.name for mark in speed.marks}
    assert any("gamma 8: no token was accepted" in note for note in figure.notes)


@pytest.mark.parametrize("kept", [["baseline"], ["hydra_naive"], ["hydra_poe"], ["hydra_poe", "metadata"]])
def test_any_part_of_results_is_drawn(tmp_path: Path, kept: list[str]) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({name: FOREIGN[name] for name in kept}))
    assert files.read(path)["decode"].panels


@pytest.mark.parametrize(
    "text", ['{"baseline": 1}', '{"baseline": {"ttft": [], "decode": {"per_position": {"x": {"median_ms": -1}}}}}']
)
def test_results_with_nothing_in_them_say_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    figure = files.read(path)["decode"]
    assert figure.panels == ()
    assert any("kvtui bench" in note for note in figure.notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--heads", "3"), "--heads: belongs to kvtui bench ensemble"),
        (("ensemble", "--heads", "1"), "heads: 1 is not from 2 to 64"),
        (("ensemble", "--heads", "x"), "--heads: "),
        (("ensemble", "--gammas", "0"), "--gammas: "),
        (("ensemble", "--beta", "nan"), "beta: nan"),
        (("ensemble", "--temperature", "hot"), "--temperature: 'hot'"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, words: tuple[str, ...], said: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["bench", *words])
    _, err = capsys.readouterr()
    assert end.value.code == 2
    assert err.startswith(f"kvtui: {said}")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kvtui", "bench", "ensemble", "--size", "fast", "--device", "cpu", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=300)


def test_a_checkpoint_that_is_none_leaves_no_folder(tmp_path: Path) -> None:
    done = bench(tmp_path, "--checkpoint", "none")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("none: no such file")
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.skipif(not NIGHTLY, reason="compiles a dozen programs")
def test_an_ensemble_is_measured_and_kept(tmp_path: Path) -> None:
    for run in ("run01", "run02"):
        done = bench(tmp_path, "--gammas", "2", "--format", "json")
        assert done.returncode == 0, done.stderr
        (folder,) = (tmp_path / "results").glob(f"*_{run}")
        results = json.loads((folder / "results.json").read_text())
        assert results.keys() == {"metadata", "kvtui", "baseline", "hydra_naive", "hydra_poe", "speculative"}
        assert results["kvtui"]["kv"]["predicted_bytes"] == results["kvtui"]["kv"]["measured_bytes"]
        assert [*results["baseline"]["decode"]["per_position"]] == ["8", "16"]
        call = results["hydra_poe"]["per_gamma"]["2"]
        assert call["avg_emitted_tokens_per_call"] >= 16
        jury = results["kvtui"]["jury"]["hydra_poe"]["2"]
        assert jury["rejections"] == 0 or 0 <= jury["suppression"] <= 1
        assert files.read(folder / "results.json")["decode"].panels
