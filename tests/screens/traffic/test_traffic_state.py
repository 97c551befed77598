"""What is looked at: moments, stretches of time, and what is drawn of a server."""

from __future__ import annotations

import math

import pytest

from kvtui.engine.live.history import LEAST_BEATS, MOST_BEATS, History
from kvtui.engine.live.snapshot import CachedBlocks, ServedSlot, ServerPool, ServerRank, Snapshot
from kvtui.screens.traffic.picture import pool_picture, spread, strips
from kvtui.screens.traffic.state import SPANS, SPEEDS, TrafficState
from kvtui.screens.traffic.words import sections
from tests.engine.live.captures import vllm_snapshots

ENDS = (100.0, 400.0)


def test_a_live_server_is_stopped_scrubbed_and_followed_again() -> None:
    state = TrafficState(span=60.0)
    back = state.scrubbed(-1, ENDS, live=True)
    assert (back.at, back.playing) == (398.0, False)
    assert back.scrubbed(-1000, ENDS, live=True).at == 100.0
    assert back.scrubbed(5, ENDS, live=True) == state
    held = state.paused(ENDS, live=True)
    assert held.at == 400.0
    assert held.paused((100.0, 500.0), live=True).at is None


def test_a_recording_plays_to_its_end_and_begins_again() -> None:
    state = TrafficState(speed=2.0).advanced(10, ENDS)
    assert (state.at, state.playing) == (120.0, True)
    done = state.advanced(1000, ENDS)
    assert (done.at, done.playing) == (400.0, False)
    assert done.paused(ENDS, live=False).at == 100.0
    assert not state.paused(ENDS, live=False).playing


def test_steps_stop_at_their_ends() -> None:
    state = TrafficState()
    for _ in range(20):
        state = state.zoomed(1).faster(1).moved(1, 3)
    assert (state.span, state.speed, state.row) == (SPANS[-1], SPEEDS[-1], 2)
    for _ in range(20):
        state = state.zoomed(-1).faster(-1).moved(-1, 3)
    assert (state.span, state.speed, state.row) == (SPANS[0], SPEEDS[0], 0)
    assert TrafficState().spanning((0, 290)).span == 300.0


def test_one_server_is_shown_whole_and_of_several_the_opened_one() -> None:
    assert TrafficState().address(("a",)) == "a"
    assert TrafficState().address(("a", "b")) is None
    assert TrafficState(opened="b").address(("a", "b")) == "b"
    assert TrafficState(opened="gone").address(("a", "b")) is None


@pytest.mark.parametrize(
    ("pool", "owners"),
    [
        (
            ServerPool(size=32, used=29, cached=2, empty=1, spread=1, null=1),
            {"null": 1, "held": 29, "cached": 1, "unsure": 1, "empty": 1},
        ),
        (ServerPool(size=32, used=29), {"held": 29, "unsure": 3}),
        (ServerPool(size=32, used=0, cached=0, empty=32), {"empty": 32}),
    ],
)  # fmt: skip
def test_the_banks_add_up_to_the_pool(pool: ServerPool, owners: dict[str, int]) -> None:
    picture = pool_picture(Snapshot(0.0, "x", engine="vllm", ranks=(ServerRank(pool=pool),)))
    assert picture is not None
    assert {run.owner: run.blocks for run in picture.runs} == owners
    assert picture.blocks == 32 + pool.null


def test_slots_have_a_colour_each_and_an_unknown_pool_is_one_limit() -> None:
    slots = (ServedSlot(0, 100, 30, "generating"), ServedSlot(1, 100, 20, "idle"), ServedSlot(2, 100, 7, "prompt"))
    picture = pool_picture(Snapshot(0.0, "x", ranks=(ServerRank(pool=ServerPool("token", None, 37, 20), slots=slots),)))
    assert picture is not None
    assert [(run.owner, run.blocks, run.number) for run in picture.runs] == [
        ("request", 30, 0), ("request", 7, 2), ("cached", 20, 0), ("empty", 43, 0),
    ]  # fmt: skip
    assert pool_picture(Snapshot(0.0, "x")) is None


def test_strips_are_of_what_a_server_tells() -> None:
    history = History()
    history.add(snapshot for _, snapshot in vllm_snapshots())
    beats = history.until("http://here", None)
    end = beats[-1].snapshot.time
    found = {strip.name: strip for strip in strips(beats, end, 30.0, end)}
    assert set(found) == {"held", "running", "waiting", "put out /s", "hits", "tokens/s", "TTFT p50", "TTFT p95"}
    assert (found["held"].now, found["held"].most, found["held"].top) == ("0%", "100%", 1.0)
    middle = {strip.name: strip.now for strip in strips(beats, end, 30.0, beats[3].snapshot.time)}
    assert middle["waiting"] == "7"


def test_a_silence_is_a_gap() -> None:
    history = History()
    history.add(Snapshot(float(time), "x", ranks=(ServerRank(running=1),)) for time in (0, 1, 2, 30, 31))
    values = spread(history.until("x", None), [1.0] * 5, 0.0, 60.0, 60)
    assert [index for index, value in enumerate(values) if not math.isnan(value)] == [0, 1, 2, 30, 31]
    assert history.span() == (0.0, 31.0)
    assert len(history.until("x", 2.5)) == 3
    history.add([Snapshot(5.0, "x")])
    assert len(history.until("x", None)) == 5


def test_groups_of_a_hybrid_and_ranks_are_apart() -> None:
    groups = (CachedBlocks(0, "full_attention", 20), CachedBlocks(1, "sliding_window", 7))
    pool = ServerPool(size=32, used=0, cached=27, empty=5)
    ranks = tuple(ServerRank(number, pool, running=number, cached_groups=groups) for number in (0, 1))
    history = History()
    history.add([Snapshot(1.0, "x", engine="vllm", ranks=ranks)])
    found = {section.title: section for section in sections(history.until("x", None)[-1], "now", None, "", (), 40)}
    told = ["".join(span.text for span in row) for row in found["cached, by group"].rows]
    assert [" ".join(line.split()) for line in told[:2]] == [
        "group 0 full attention 20 blocks",
        "group 1 sliding window 7 blocks",
    ]
    assert len(found["ranks"].rows) == 2


def test_what_is_kept_is_bounded_for_one_server_and_for_a_fleet() -> None:
    alone, fleet = History(), History()
    alone.add(Snapshot(float(time), "x") for time in range(5000))
    assert MOST_BEATS <= len(alone.until("x", None)) <= MOST_BEATS * 9 // 8
    assert alone.until("x", None)[-1].snapshot.time == 4999.0
    fleet.add(Snapshot(float(time), f"server {number}") for time in range(200) for number in range(100))
    assert all(LEAST_BEATS <= len(fleet.until(one, None)) <= LEAST_BEATS * 9 // 8 for one in fleet.addresses)
