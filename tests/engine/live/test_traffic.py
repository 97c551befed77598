"""The traffic of a watched server: what its counters and histograms tell, and no more."""

from __future__ import annotations

import json
from math import inf

import pytest

from kvtui.cli import main
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.snapshot import Latencies, ServerRank, Snapshot
from kvtui.engine.live.traffic import traffic
from tests.paths import ROOT


def snapshot(time: float, finished: float, running: int, waiting: int = 0) -> Snapshot:
    bounds = (10.0, 100.0, inf)
    prompts = Latencies(bounds, (0.0, finished, finished), 40.0 * finished)
    answers = Latencies(bounds, (finished, finished, finished), 4.0 * finished)
    rank = ServerRank(
        running=running,
        waiting=waiting,
        totals={"finished": finished},
        latencies={"prompt_length": prompts, "answer_length": answers},
    )
    return Snapshot(time, "x", ranks=(rank,))


def test_as_many_come_as_end_and_are_under_way_more() -> None:
    found = traffic([snapshot(100, 0, 0), snapshot(101, 0, 2, 1), snapshot(102, 5, 0), snapshot(103, 5, 0)], "x")
    assert [one.time for one in found[:3]] == pytest.approx([100 + 1 / 6, 100.5, 100 + 5 / 6])
    assert [one.time for one in found[3:]] == pytest.approx([101.25, 101.75])
    assert sum(one.prompt for one in found) == pytest.approx(5 * 40, abs=3)
    assert all(10 <= one.prompt <= 100 for one in found)
    assert sum(one.answer for one in found) == pytest.approx(5 * 4, abs=3)


def test_a_new_process_counts_from_nothing() -> None:
    assert len(traffic([snapshot(0, 0, 0), snapshot(1, 3, 0), snapshot(2, 1, 0), snapshot(3, 2, 0)], "x")) == 4


@pytest.mark.parametrize(
    ("shots", "said"),
    [
        ([], "no request came"),
        ([snapshot(0, 3, 0), snapshot(1, 3, 0)], "no request came"),
        ([snapshot(0, 0, 0), snapshot(1, 0, 2)], "tells no lengths"),
        ([snapshot(0, 0, 0), snapshot(1, 1e15, 0)], "more than 1,000,000 requests"),
    ],
)
def test_what_no_trace_can_be_made_of_is_said(shots: list[Snapshot], said: str) -> None:
    with pytest.raises(InputError, match=said):
        traffic(shots, "x")


def test_the_recording_of_a_real_server_is_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(ROOT / "examples/watch/vllm-preemption.jsonl"), "--format", "json"]) == 0
    trace = json.loads(capsys.readouterr().out)["trace"]
    assert (trace["form"], trace["requests"]) == ("recording", 16)
    assert trace["prompt_tokens"]["total"] == pytest.approx(3328, abs=8)
    assert trace["answer_tokens"]["total"] == pytest.approx(2560, abs=8)
