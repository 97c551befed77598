"""``kvtui grid``: the catalogue on its devices, here and on a cluster, and each cell is what its own plan says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvtui.cli import main
from kvtui.commands import grid
from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import scenario_from

WORDS = ["--devices", "rtx 3090", "--format", "json", "--context", "8K"]


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["grid", *words, *WORDS]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_each_cell_is_what_its_own_plan_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--models", "llama-3")
    assert len(found) > 10
    assert {row["column"] for row in found} == {"RTX 3090", "RTX 3090 Ti"}
    for row in found:
        scenario = scenario_from({"model": row["row"], "gpu": row["column"], "context": "8K"})
        own = plan(scenario)
        room = capacity(own)
        assert row["fits"] == own.fits
        assert (row["max_context_tokens"], row["max_sequences"]) == (room.context, room.sequences)


def test_formats_on_devices_and_refusals_are_rows(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "kv", "--model", "Qwen3-8B", "--engine", "vllm")
    assert {row["row"] for row in found} == {"RTX 3090", "RTX 3090 Ti"}
    latent = next(row for row in found if row["column"] == "fp8_ds_mla")
    assert latent["fits"] is None
    assert "fp8_ds_mla" in latent["reason"]
    assert main(["grid", "weights", "--model", "Qwen3-8B", *WORDS[:2]]) == 0
    shown = capsys.readouterr().out
    assert "yes" in shown
    assert "no" in shown


def test_a_cluster_gives_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    distributed = pytest.importorskip("distributed")
    here = rows(capsys, "--models", "qwen3-8")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="inproc://"
    ) as cluster:
        assert rows(capsys, "--models", "qwen3-8", "--dask", cluster.scheduler_address) == here


def test_what_was_worked_out_is_printed_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def until_stopped(function: Any, lines: list[grid.GridLine], shared: Any, dask: str | None) -> Any:
        yield lines[0], function(lines[0], shared)
        raise KeyboardInterrupt

    monkeypatch.setattr("kvtui.commands.jobs.worked_out", until_stopped)
    assert main(["grid", "--models", "llama-3", *WORDS]) == 130
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)) == 2
    assert "kvtui: interrupted; 1 of " in shown.err


def test_what_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for words, why in (
        (["--models", "no such"], "unknown model 'no such'"),
        (["--devices", "no such"], "unknown device 'no such'"),
        (["kv", "--models", "llama"], "--models: the table of kv is of one model"),
        (["prices"], "unknown table 'prices'"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["grid", *words])
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith(f"kvtui: {why}")
    scenario = scenario_from({})
    with pytest.raises(UnknownName, match="my own model"):
        grid.cells(grid.GridLine("models", "my own model", ()), scenario)
