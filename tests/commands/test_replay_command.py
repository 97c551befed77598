"""``kvtui replay`` as a user meets it: a trace, a recorded scenario, and what is wrong with either."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from kvtui.cli import main
from kvtui.engine.replay.run import Replay
from tests.nightly import NIGHTLY
from tests.paths import DATA

TRACE = str(DATA / "replay/synth_trace_160.jsonl")
RECORDED = str(DATA / "replay/vllm_o1_share_preempt.json")
SCENARIO = ["--model", "Llama-3.1-8B", "--gpu", "L40S"]


def replay(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["replay", *words]) == 0
    return capsys.readouterr().out


def test_a_trace_says_what_a_cache_saves(capsys: pytest.CaptureFixture[str]) -> None:
    text = replay(capsys, TRACE)
    assert "160 requests in 23.9 s" in text
    assert "mooncake, times in milliseconds, 16 tokens for each prefix id" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_pool_of_a_scenario_is_among_the_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(replay(capsys, TRACE, *SCENARIO, "--format", "json"))
    planned = [size for size in found["reuse"]["sizes"] if size["planned"]]
    assert len(planned) == 1
    assert planned[0]["cache_tokens"] == found["pool"]["tokens"] // 16 * 16
    assert planned[0]["saved"] == found["reuse"]["ceiling"] > 0.6
    assert "◀ the plan's pool" in replay(capsys, TRACE, *SCENARIO)
    assert main([*found["pool"]["scenario"].split()[1:-1], "vllm"]) == 0


def test_a_scenario_serves_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(replay(capsys, TRACE, *SCENARIO, "--slo", "ttft=60ms,tpot=0.04s", "--format", "json"))["served"]
    for end in found.values():
        assert end["requests"] == 160
        assert end["prompt_tokens_looked_up"] == 26_852
        assert 0 < end["prompt_tokens_saved"] <= 18_800
        assert end["ttft_seconds"]["p50"] <= end["ttft_seconds"]["p95"] <= end["ttft_seconds"]["p99"]
        assert 0 <= end["goodput"] <= 1
    assert found["fast"]["seconds"] < found["slow"]["seconds"]
    assert found["fast"]["goodput"] >= found["slow"]["goodput"]
    text = replay(capsys, TRACE, *SCENARIO)
    assert "served   160 requests in 2" in text
    assert "goodput" not in text


def test_a_trace_may_be_cut_and_hastened(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(replay(capsys, TRACE, *SCENARIO, "--requests", "50", "--rate", "1000", "--format", "json"))
    assert found["trace"]["requests"] == found["served"]["slow"]["requests"] == 50
    assert found["trace"]["seconds"] < 0.01
    assert "the server cannot keep up" in replay(capsys, TRACE, *SCENARIO, "--requests", "50", "--rate", "1000")


def test_prompts_beyond_the_context_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = replay(capsys, TRACE, *SCENARIO, "--context", "256")
    refused = int(text.partition("refused  ")[2].split()[0])
    served = int(text.partition("served   ")[2].split()[0])
    assert refused + served == 160
    assert refused > 0


def test_tables_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(StringIO(replay(capsys, TRACE, "--format", "csv"))))
    saved = [float(row["saved"]) for row in rows]
    assert saved == sorted(saved)
    assert "| cache tokens |" in replay(capsys, TRACE, "--format", "markdown")


def test_a_recorded_scenario_gives_the_recorded_steps(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(replay(capsys, RECORDED, "--steps", "--format", "json"))
    assert told["steps"] == json.loads(Path(RECORDED).read_text())["steps"]
    assert "steps" not in json.loads(replay(capsys, RECORDED, "--format", "json"))
    assert "3 requests in 44 steps" in replay(capsys, RECORDED)


def test_a_request_that_never_fits_ends_the_replay(capsys: pytest.CaptureFixture[str]) -> None:
    stuck = replay(capsys, str(DATA / "replay/vllm_o8_prompt_never_fits.json"))
    assert "stuck: the request at the head of the line needs more blocks than there are" in stuck


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl"),
        (["nowhere.json"], "nowhere.json"),
        ([TRACE, "--steps"], "--steps: only a recorded scenario has steps"),
        ([RECORDED, "--steps"], "--steps: goes with --format json"),
        ([RECORDED, "--format", "csv"], "a recorded scenario is told as text or json"),
        ([TRACE, "--tokens-per-id", "0"], "--tokens-per-id"),
        ([TRACE, "--slo", "ttft=soon"], "--slo: 'ttft=soon' is not an objective such as ttft=500ms"),
        ([TRACE, "--rate", "0"], "--rate: '0' is not a number from 1e-06 to 1,000,000"),
        ([TRACE, "--longer", "1e7"], "--longer: '1e7' is not a number from 1e-06 to 1,000,000"),
        ([TRACE, "--requests", "none"], "--requests"),
        ([TRACE, "--model", "Llama-3.2-11B-Vision"], "has cross-attention, whose blocks cannot be replayed"),
        ([TRACE, "--model", "Llama-3.1-70B", "--gpu", "L40S"], "the server would not start"),
        ([TRACE, *SCENARIO, "--find", "luck"], "unknown thing to find 'luck'"),
        ([TRACE, "--find", "rate"], "need a scenario"),
        ([TRACE, *SCENARIO, "--compare", "pagged"], "unknown server 'pagged'; did you mean paged"),
        ([TRACE, *SCENARIO, "--goodput", "none"], "--goodput: 'none' is not a share such as 95%"),
        ([TRACE, *SCENARIO, "--dask", "tcp://127.0.0.1:1"], "--dask: goes with --find or --compare"),
        ([TRACE, "--format", "xml"], "unknown format 'xml'"),
        ([TRACE, "--engine", "none", "--model", "Llama-3.1-8B"], "--engine: a replay needs the pool of an engine"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_servers_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(replay(capsys, TRACE, *SCENARIO, "--requests", "40", "--compare", "--format", "json"))["compared"]
    found = {row["name"]: row["slow"] for row in rows}
    assert list(found) == [
        "static batching",
        "continuous batching",
        "vllm, paged",
        "vllm, prefixes shared",
        "sglang",
        "llama.cpp",
    ]
    assert {one["requests"] for one in found.values()} == {40}
    assert found["static batching"]["tokens_padding"] > 0
    assert found["continuous batching"]["empty_slots"] > 0.9 > found["vllm, paged"]["empty_slots"]
    assert found["vllm, prefixes shared"]["tokens_computed"] < found["vllm, paged"]["tokens_computed"]
    assert found["sglang"]["prompt_tokens_saved"] >= found["vllm, prefixes shared"]["prompt_tokens_saved"] > 0
    words = [TRACE, *SCENARIO, "--requests", "40", "--compare", "paged,prefix"]
    assert "vllm, paged" in replay(capsys, *words)
    assert len(list(csv.DictReader(StringIO(replay(capsys, *words, "--format", "csv"))))) == 2
    page = replay(capsys, *words, "--format", "html")
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "vllm, prefixes shared" in page


FOUND = [("rate", 15), ("max-seqs", 12), *([("devices", 16), ("pool", 13)] if NIGHTLY else [])]


@pytest.mark.parametrize(("what", "count"), FOUND)
def test_the_largest_load_and_the_smallest_machine(what: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    words = [TRACE, *SCENARIO, "--requests", "24", "--max-seqs", "64", "--slo", "ttft=100ms", "--find", what]
    found = json.loads(replay(capsys, *words, "--format", "json"))["search"]
    assert len(found["rows"]) == count
    holding = [row["value"] for row in found["rows"] if row["holds"]]
    assert found["answer"] == (max if what in ("rate", "max-seqs") else min)(holding)
    assert all(row["slow"]["goodput"] >= 0.95 for row in found["rows"] if row["holds"])


def test_results_are_kept_and_gone_on_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.jsonl"
    words = [TRACE, *SCENARIO, "--requests", "20", "--compare", "paged,prefix", "--keep", str(kept), "--format", "json"]
    first = replay(capsys, *words)
    lines = kept.read_text().splitlines()
    assert len(lines) == 4
    kept.write_text("\n".join([*lines[:2], lines[2][:50]]))
    assert replay(capsys, *words) == first
    assert len(kept.read_text().splitlines()) == 4
    kept.write_text("{}\n")
    with pytest.raises(SystemExit):
        main(["replay", *words])
    assert "row 1 is no result of a replay" in capsys.readouterr().err


def test_a_cluster_gives_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    distributed = pytest.importorskip("distributed")
    words = [TRACE, *SCENARIO, "--requests", "20", "--compare", "paged,prefix", "--format", "json"]
    here = replay(capsys, *words)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="inproc://"
    ) as cluster:
        assert replay(capsys, *words, "--dask", cluster.scheduler_address) == here


def test_what_was_worked_out_is_kept_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = iter([True, True])

    def until_stopped(one: Replay, steps: int) -> bool:
        if next(turns, None) is None:
            raise KeyboardInterrupt
        return go_on(one, 20)

    go_on = Replay.go_on
    monkeypatch.setattr(Replay, "go_on", until_stopped)
    assert main(["replay", TRACE, *SCENARIO, "--format", "json"]) == 130
    found = json.loads(capsys.readouterr().out)
    assert found["complete"] is False
    assert [found["served"][end]["steps"] for end in ("fast", "slow")] == [20, 20]


def test_what_was_served_is_kept_when_the_rest_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvtui.report.replay.document.reuse", stop)
    assert main(["replay", TRACE, *SCENARIO, "--requests", "9"]) == 130
    text = capsys.readouterr().out
    assert "served   9 requests" in text
    assert "reuse    not worked out, since it was stopped" in text


def test_made_up_traces_and_kvtuis_own_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "made.jsonl"
    words = ["synthetic:requests=60,rate=4,seed=3", "--requests", "11-50", "--longer", "0.5", "--format", "json"]
    made = json.loads(replay(capsys, *words, "--save-trace", str(saved)))
    assert made["trace"]["requests"] == 40
    back = json.loads(replay(capsys, str(saved), "--format", "json"))
    assert back["reuse"] == made["reuse"]
    assert back["trace"]["prompt_tokens"] == made["trace"]["prompt_tokens"]
    assert "synthetic, times in seconds" in replay(capsys, words[0])
