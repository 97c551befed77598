"""Runs as pandas tables: the values that were stored, and runs side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from kvtui import results
from kvtui.bench import store
from kvtui.bench.runner import Outcome
from kvtui.cases.case import Case, SweepRow
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.sweep import sweep
from kvtui.cases.table import COLUMNS
from kvtui.engine.basis.errors import InputError
from tests.paths import ROOT

HOST = {"cpu_model": "pretended", "platform": "cpu"}
LABELS = ("MHA", "GQA", "MLA")


def run(out: Path, step_ms: float = 2.0, bad: str = "", repeat: int = 1) -> Path:
    """A run in ``out``; each repeat takes one millisecond more than the one before, and ``bad`` has no room."""
    rows = [SweepRow("attention_type", label, label, Case(batch=n)) for n, label in enumerate(LABELS, 1)]
    asked = sweep(rows, TimeBudget(), repeat)
    writer = store.Writer.begin(out, asked, {"what": "sweep", "size": "fast"})
    writer.host(HOST)
    names = {row.case.key: row.label for row in rows}
    for job in asked.jobs:
        found = {"status": "ok", "device": "cpu:0", "decode_step_ms_p50": step_ms + int(job.id.rpartition("-")[2]) - 1}
        if names[job.case.key] == bad:
            found = {"status": "oom", "message": "no room"}
        writer.add(Outcome(job, found, {}))
    writer.close(True)
    return writer.folder


def test_a_run_is_its_rows_with_run_host_and_device(tmp_path: Path) -> None:
    folder = run(tmp_path, bad="GQA")
    table = results.read(folder)
    assert list(table.columns) == ["run", *COLUMNS]
    assert list(table["label"]) == list(LABELS)
    assert set(table["run"]) == {folder.name}
    assert list(table["device"].dropna()) == ["cpu:0", "cpu:0"]
    assert table["kv_predicted_bytes"].dtype == "Int64"
    for row, stored in zip(table.to_dict("records"), store.read(folder).rows, strict=True):
        assert {name: None if pd.isna(row[name]) else row[name] for name in COLUMNS} == stored
    lost = table.set_index("label").loc["GQA"]
    assert (lost["status"], lost["oom"]) == ("oom", True)
    assert pd.isna(lost["decode_step_ms_p50"])


def test_a_folder_of_runs_and_several_paths_are_one_table(tmp_path: Path) -> None:
    first, second = run(tmp_path / "here"), run(tmp_path / "here")
    other = run(tmp_path / "there")
    assert list(results.read(tmp_path / "here")["run"].unique()) == [first.name, second.name]
    table = results.read(tmp_path / "here", other)
    assert list(table["run"].unique()) == [str(first), second.name, str(other)]
    assert len(table) == 9
    assert list(table.index) == list(range(9))
    csv = results.read(second / store.CSV)
    assert list(csv["run"].unique()) == [second.name]
    pd.testing.assert_frame_equal(csv[list(COLUMNS)], results.read(second)[list(COLUMNS)])
    assert results.read().empty


def test_runs_stand_side_by_side(tmp_path: Path) -> None:
    first, second = run(tmp_path, bad="MLA"), run(tmp_path, step_ms=3.0, repeat=3)
    table = results.beside(results.read(tmp_path), "decode_step_ms_p50")
    assert list(table.index) == [("attention_type", label) for label in LABELS]
    assert list(table.columns) == [first.name, second.name]
    assert list(table[second.name]) == [4.0, 4.0, 4.0]
    assert list(table[first.name].dropna()) == [2.0, 2.0]
    by_batch = results.beside(results.read(first), "decode_step_ms_p50", across="label", by=["batch_size"])
    assert by_batch.loc[1, "MHA"] == 2.0
    assert by_batch["GQA"].isna().loc[1]


@pytest.mark.parametrize("name", ["", "nothing"])
def test_where_no_run_is_there_is_an_input_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no run is there"):
        results.read(tmp_path / name)


def test_a_column_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="step: not a column"):
        results.beside(results.read(run(tmp_path)), "step")


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    folder = run(tmp_path / "results")
    section = (ROOT / "README.md").read_text().partition("### Your tables in pandas")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert folder.name in done.stdout
    assert "MLA" in done.stdout
