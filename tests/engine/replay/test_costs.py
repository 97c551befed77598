"""The pace of steps, as measured: by a watched server's counters, and by a benchmark run's rates."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cli import main
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.snapshot import Latencies, ServerRank, Snapshot
from kvtui.engine.live.steps import seen_steps
from kvtui.engine.replay.costs import SeenSteps, StepCosts, costs_of
from tests.paths import DATA, ROOT

TRACE = str(DATA / "replay/synth_trace_160.jsonl")
SCENARIO = ["--model", "Llama-3.1-8B", "--gpu", "L40S"]
RECORDING = str(ROOT / "examples/watch/vllm-preemption.jsonl")


@given(
    st.floats(0, 0.1),
    st.floats(0, 0.01),
    st.lists(st.tuples(st.integers(1, 100), st.integers(1, 5000)), min_size=2, max_size=9),
)
def test_what_was_made_of_two_costs_gives_them_back(step: float, token: float, rows: list[tuple[int, int]]) -> None:
    seen = [SeenSteps(step * steps + token * tokens, steps, tokens) for steps, tokens in rows]
    if not all(one.seconds > 1e-6 for one in seen):
        return
    costs = costs_of(seen, "x")
    for one in seen:
        assert costs.step * one.steps + costs.token * one.tokens == pytest.approx(one.seconds, rel=1e-4)
    assert costs.fast == pytest.approx(1, rel=1e-4)
    assert costs.slow == pytest.approx(1, rel=1e-4)


def test_neither_cost_is_below_nothing() -> None:
    slower_with_fewer = costs_of([SeenSteps(1.0, 10, 1000), SeenSteps(2.0, 10, 100)], "x")
    assert slower_with_fewer.step == pytest.approx(0.15)
    assert slower_with_fewer.token == 0
    assert slower_with_fewer.fast < 1 < slower_with_fewer.slow
    with pytest.raises(InputError, match="--pace: x: has no stretch of time"):
        costs_of([], "x")


def test_bytes_and_operations_go_on_at_once() -> None:
    costs = StepCosts("x", step=1.0, byte=1e-9, operation=1e-12, fast=0.5, slow=2.0)
    assert costs.seconds(8, 3 * 10**9, 10**12, fast=True) == pytest.approx(2.0)
    assert costs.seconds(8, 10**9, 5 * 10**12, fast=False) == pytest.approx(12.0)


def snapshot(seconds: float, running: int, steps: float, tokens: float) -> Snapshot:
    rank = ServerRank(running=running, latencies={"step_tokens": Latencies((float("inf"),), (steps,), tokens)})
    return Snapshot(seconds, "x", ranks=(rank,))


def test_a_watched_server_counts_its_steps_while_it_is_busy() -> None:
    shots = [snapshot(0, 0, 0, 0), snapshot(1, 2, 10, 50), snapshot(2, 2, 40, 200), snapshot(3, 0, 41, 201)]
    assert seen_steps(shots) == [SeenSteps(1, 30, 150)]
    assert seen_steps([shots[2], shots[1]]) == []
    assert seen_steps([replace(shots[1], ranks=()), shots[2]]) == []


def test_a_recording_gives_a_replay_its_pace(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["replay", TRACE, *SCENARIO, "--requests", "20", "--pace", RECORDING]
    assert main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pace"]["source"] == "vllm-preemption.jsonl"
    assert found["pace"]["step_seconds"] + found["pace"]["token_seconds"] > 0
    assert found["served"]["fast"]["ttft_seconds"]["p50"] < found["served"]["slow"]["ttft_seconds"]["p50"]
    assert main(words) == 0
    assert "as vllm-preemption.jsonl" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*SCENARIO, "--pace", "nowhere.jsonl"], "nowhere.jsonl"),
        ([*SCENARIO, "--pace", TRACE], "is no recording of kvtui"),
        ([*SCENARIO, "--pace", "nowhere"], "nowhere"),
        (["--pace", RECORDING], "--pace: needs a scenario"),
    ],
)
def test_what_measured_nothing_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", TRACE, *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
