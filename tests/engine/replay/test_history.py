"""The past of a replay: boards, page tables and lives are those that the scheduler had at each step."""

from __future__ import annotations

from array import array
from collections import Counter

from hypothesis import given

from kvtui.engine.replay.content import Told, Unknown
from kvtui.engine.replay.groups import Full
from kvtui.engine.replay.history import Phase, ReplayHistory
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.run import Replay
from kvtui.engine.replay.scheduling import SchedulerStep
from kvtui.engine.replay.vllm import Limits, Scheduler
from tests.engine.replay.test_vllm_scheduler import requests, servers


def second(_: SchedulerStep) -> float:
    return 1.0


def history_of(limits: Limits, asked: list[Request]) -> ReplayHistory:
    scheduler = Scheduler(limits)
    history = ReplayHistory(scheduler)
    for _ in history.follow(Replay(asked, scheduler, second)):
        pass
    return history


@given(servers, requests)
def test_every_step_is_as_the_scheduler_had_it(limits: Limits, asked: list[Request]) -> None:
    scheduler = Scheduler(limits)
    history = ReplayHistory(scheduler)
    replay = Replay(sorted(asked, key=lambda one: one.arrival), scheduler, second)
    tables: list[dict[int, list[list[int]]]] = []
    preempted = 0
    follow, schedule = history.follow(replay), replay.schedule

    def seen() -> object:
        timed = schedule()
        if timed is not None:
            tables.append({live.number: [list(table) for table in live.tables] for live in scheduler.running})
        return timed

    replay.schedule = seen  # type: ignore[method-assign, assignment]
    for step in follow:
        preempted += len(step.preempted)
    assert history.steps == len(tables)
    board = history.board(0)
    for number, held in enumerate(tables):
        if number:
            for change in history.changes(number):
                board.owner[change.block], board.holders[change.block] = change.owner, change.holders
        assert history.board(number) == board
        counts = Counter(block for groups in held.values() for table in groups for block in table if block)
        assert board.holders == array("i", [counts[block] for block in range(limits.blocks)])
        assert history.step(number).used == len(counts)
        for request, groups in held.items():
            assert history.page_table(request, number) == groups
        states = {state.number: state.phase for state in history.states(number)}
        assert {one for one, phase in states.items() if phase in (Phase.PREFILL, Phase.DECODE)} <= held.keys()
        assert history.step(number).waiting == sum(one in (Phase.WAITING, Phase.PREEMPTED) for one in states.values())
    assert preempted == replay.outcome().evictions
    assert all(history.phases(one + 1)[-1][1] is Phase.DONE for one in range(len(asked)))


def test_the_life_of_two_requests_and_of_a_block() -> None:
    limits = Limits(6, (Full(16),), 8, 96, 4096)
    shared = Told(((0, 32),))
    asked = [Request("a", 0, 32, 3, shared), Request("b", 1, 32, 2, shared), Request("c", 9, 76, 1, Unknown(76))]
    history = history_of(limits, asked)
    assert [phase for _, phase in history.phases(1)] == [Phase.PREFILL, Phase.DECODE, Phase.DONE]
    first = history.page_table(1, 0)[0][0]
    assert history.page_table(2, 1)[0][0] == first
    assert history.board(1).holders[first] == 2
    assert history.board(1).owner[first] == 1
    life = history.block_life(first)
    assert [(change.owner, change.holders) for change in life[:2]] == [(1, 1), (1, 2)]
    evicted = history.next_eviction(0)
    assert evicted is not None
    assert first in history.step(evicted).evicted
    assert history.board(evicted).owner[first] == 3
    assert history.next_eviction(evicted) is None
    assert history.next_preemption(-1) is None
    assert (history.at(-1), history.at(1.5), history.at(1e9)) == (0, 1, history.steps - 1)


def test_a_full_history_keeps_what_it_has() -> None:
    scheduler = Scheduler(Limits(100, (Full(16),), 8, 64, 4096))
    history = ReplayHistory(scheduler, most_changes=8)
    replay = Replay([Request("a", 0, 400, 3, Unknown(400))], scheduler, second)
    made = list(history.follow(replay))
    assert history.full
    assert history.steps == len(made) < 9
    assert history.board(history.steps - 1).holders.count(1) > 8
