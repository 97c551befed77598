"""``kvtui bench --trained`` as a user meets it: the tables, that they grow, and where a batch does not fit."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvtui.bench import trained
from kvtui.bench.nn.transformer import init_weights
from kvtui.bench.training import runs, safetensors, tokens
from kvtui.bench.training.weights import arrays_of, metadata_of
from kvtui.cases.training import TrainingPlan
from kvtui.cli import main
from tests.nightly import NIGHTLY

SMALL = TrainingPlan("MLA-4", dim=8, heads=2, blocks=1, context=16)
GIANT = TrainingPlan(dim=65_536, heads=2, blocks=4096, context=16)
COMMAND = (
    "bench",
    "--trained",
    "--inference-off",
    "--device",
    "cpu",
    "--size",
    "fast",
    "--n-warmup",
    "1",
    "--n-trials",
    "2",
)


def keep(plan: TrainingPlan, folder: Path, text: Path, weights: bool) -> None:
    """A finished run, as training leaves it, with weights that learnt nothing or without any."""
    tokenizer = tokens.characters_of("")
    vocab = len(tokenizer)
    runs.begin(folder / plan.name, plan, [text], {})
    (folder / plan.name / runs.SUMMARY).write_text(json.dumps({"vocab": vocab}))
    if weights:
        arrays = arrays_of(init_weights(plan.shape(vocab), 0), dtype=np.float16)
        safetensors.write(folder / plan.name / runs.WEIGHTS, arrays, metadata_of(plan, tokenizer))


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kvtui", *COMMAND, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=300)


def test_a_batch_that_does_not_fit_ends_its_sweep(tmp_path: Path) -> None:
    keep(GIANT, tmp_path / "runs", tmp_path / "none.txt", weights=False)
    done = bench(tmp_path, "--batch-sizes", "2", "4")
    (row,) = table(tmp_path / "results" / trained.BATCHES)
    assert (row["run"], row["batch_size"], row["oom"], row["tps"]) == (GIANT.name, "2", "true", "")
    assert f"{GIANT.name}: batch 2 does not fit; no larger one is tried" in done.stderr
    assert f"{GIANT.name}: left out: " in done.stderr


@pytest.mark.skipif(not NIGHTLY, reason="compiles two dozen programs")
def test_tables_of_trained_models_grow_and_keep_what_they_have(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("what was said and what was not said\n" * 100)
    keep(SMALL, tmp_path / "runs", text, weights=True)
    done = bench(tmp_path, "--batch-sizes", "2", "4", "--format", "json")
    assert done.returncode == 0, done.stderr

    (row,) = table(tmp_path / "results" / trained.RESULTS)
    assert tuple(row)[: len(trained.COLUMNS)] == trained.COLUMNS
    assert row["run"] == SMALL.name
    assert float(row["theoretical_cache_mb"]) == float(row["measured_cache_mb"]) == 16 * (4 + 2) * 4 / 1e6
    assert float(row["val_loss"]) > 3
    assert int(row["prefill_ms_n"]) >= 2
    assert len({row[f"tps_{n}"] for n in trained.LENGTHS}) == len(trained.LENGTHS)
    for stage in ("decode", "prefill"):
        ratio = float(row[f"{stage}_gflops"]) / float(row[f"{stage}_model_gflops"])
        assert float(row[f"{stage}_flops_ratio"]) == pytest.approx(ratio)
        assert float(row[f"{stage}_arith_int"]) > 0
    (shown,) = json.loads(done.stdout)
    assert shown["val_loss"] == pytest.approx(float(row["val_loss"]))

    batches = table(tmp_path / "results" / trained.BATCHES)
    assert tuple(batches[0])[: len(trained.BATCH_COLUMNS)] == trained.BATCH_COLUMNS
    found = {(one["run"], int(one["batch_size"])): one["oom"] for one in batches}
    assert found == {(SMALL.name, 2): "false", (SMALL.name, 4): "false"}

    before = {path.name: path.read_bytes() for path in (tmp_path / "results").glob("*.csv")}
    main_again = bench(tmp_path, "--batch-sizes", "2", "4")
    assert main_again.returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").glob("*.csv")} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--inference-off",), "--inference-off: belongs to --trained"),
        (("--runs-dir", "x"), "--runs-dir: belongs to --trained"),
        (("--batch-sizes", "4"), "--batch-sizes: belongs to --trained"),
        (("--trained",), "runs: no training runs"),
        (("--trained", "--runs-dir", "none"), "none: no training runs"),
        (("--trained", "--runs-dir", "bad"), "bad/one: config.json: line 1"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, words: tuple[str, ...], said: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad" / "one").mkdir(parents=True)
    (tmp_path / "bad" / "one" / runs.CONFIG).write_text("{")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["bench", *words])
    _, err = capsys.readouterr()
    assert end.value.code == 2
    assert err.startswith(f"kvtui: {said}")
    assert err.count("\n") == 1
