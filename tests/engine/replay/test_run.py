"""A trace in time: waiting, first tokens, ends, and what a step costs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve as planned_of
from kvtui.engine.replay.content import PrefixIds, Told, Unknown
from kvtui.engine.replay.groups import Chunked, Full, Sliding, States
from kvtui.engine.replay.history import ReplayHistory
from kvtui.engine.replay.pace import Pace
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.reserving import Reserving
from kvtui.engine.replay.reuse import reuse
from kvtui.engine.replay.run import Replay, dealt, run, together
from kvtui.engine.replay.scheduling import SchedulerStep, Shortage
from kvtui.engine.replay.servers import POLICIES, limits_of, radix_limits_of, server_of, slot_limits_of
from kvtui.engine.replay.vllm import Limits, Scheduler
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm.serve import serve

LLAMA = {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "engine": "vllm", "context": "8K"}


def second(_: SchedulerStep) -> float:
    return 1.0


def request(name: str, arrival: float, prompt: int, answer: int) -> Request:
    return Request(name, arrival, prompt, answer, Unknown(prompt))


def test_two_requests_second_by_second() -> None:
    limits = Limits(100, (Full(16),), 1, 32, 4096)
    outcome = run([request("a", 0, 40, 3), request("b", 1.5, 10, 1)], Scheduler(limits), second)
    first, then = outcome.served
    assert (first.admitted, first.answered, first.ended) == (0, 2, 4)
    assert (first.first_token, first.per_token) == (2, 1)
    assert (then.waited, then.first_token, then.per_token) == (2.5, 3.5, None)
    assert (outcome.steps, outcome.computed, outcome.seconds) == (5, 52, 5)


def test_time_passes_until_the_next_arrives() -> None:
    outcome = run([request("a", 100, 8, 1)], Scheduler(Limits(100, (Full(16),), 8, 64, 4096)), second)
    assert (outcome.served[0].waited, outcome.seconds) == (0, 101)


def test_what_never_fits_ends_it() -> None:
    limits = Limits(6, (Full(16),), 8, 64, 4096)
    outcome = run(
        [request("small", 0, 8, 1), request("big", 1, 200, 1), request("late", 2, 8, 1)], Scheduler(limits), second
    )
    assert outcome.stuck
    assert (len(outcome.served), outcome.left) == (1, 2)


requests = st.lists(st.tuples(st.floats(0, 50), st.integers(1, 200), st.integers(1, 30)), min_size=1, max_size=12).map(
    lambda rows: [request(str(at), *row) for at, row in enumerate(sorted(rows))]
)


@given(requests, st.integers(30, 100), st.sampled_from([16, 64, 256]))
def test_moments_are_in_order_and_nobody_is_lost(asked: list[Request], blocks: int, budget: int) -> None:
    outcome = run(asked, Scheduler(Limits(blocks, (Full(16),), 4, budget, 4096)), second)
    assert not outcome.stuck
    assert len(outcome.served) == len(asked)
    for served in outcome.served:
        assert served.arrived <= served.admitted < served.answered <= served.ended
    assert outcome.computed >= sum(one.prompt + one.answer - 1 for one in asked)
    if not outcome.evictions:
        assert outcome.computed == sum(one.prompt + one.answer - 1 for one in asked)
    assert outcome.mean_used <= outcome.most_used <= outcome.usable


@pytest.mark.parametrize("fast", [True, False])
def test_a_step_of_decoding_takes_what_the_plan_says(fast: bool) -> None:
    scenario = scenario_from({**LLAMA, "context": "4K", "batch": "3", "lengths": "4096,4096,4096"})
    scheduler = Scheduler(limits_of(scenario)._replace(budget=16_384, longest=8192))
    for name in "abc":
        scheduler.add(request(name, 0, 4096, 9))
    scheduler.finish(scheduler.schedule())
    band = estimate(plan(scenario)).decode_ms
    assert band is not None
    seconds = Pace(scenario, fast=fast).seconds(scheduler.schedule())
    assert seconds * 1e3 == pytest.approx(band.low if fast else band.high, rel=0.01)


def test_the_server_of_a_scenario_has_the_planned_pool_and_groups() -> None:
    scenario = scenario_from(LLAMA)
    limits = limits_of(scenario)
    assert limits.blocks == serve(scenario).blocks
    assert limits.groups == (Full(16),)
    assert (limits.longest, limits.budget, limits.caching) == (8192, scenario.max_batched_tokens, True)
    windows = limits_of(scenario_from({**LLAMA, "model": "gemma-3-27b"})).groups
    assert {type(group) for group in windows} == {Full, Sliding}
    assert {group.window for group in windows if isinstance(group, Sliding)} == {1024}
    chunks = limits_of(scenario_from({**LLAMA, "model": "Llama-4-Scout", "gpus": "8", "tp": "8"})).groups
    assert Chunked in {type(group) for group in chunks}
    hybrid = limits_of(scenario_from({**LLAMA, "model": "Qwen3-Next-80B-A3B", "gpus": "4", "tp": "4"}))
    assert [type(group) for group in hybrid.groups].count(States) == 3
    assert hybrid.whole_blocks == hybrid.groups[0].block > 256


def test_the_servers_of_other_engines_have_their_planned_pools() -> None:
    sglang = scenario_from({**LLAMA, "engine": "sglang"})
    planned = planned_of(sglang)
    assert planned is not None
    assert radix_limits_of(sglang).pages == planned.kv_cache_tokens
    split = slot_limits_of(scenario_from({**LLAMA, "engine": "llama.cpp", "parallel": "4", "cache_ram": "1GiB"}))
    assert (split.cells, split.slots, split.unified, split.share, split.host) == (8192, 4, False, 2048, 8192)
    unified = slot_limits_of(scenario_from({**LLAMA, "engine": "llama.cpp"}))
    assert (unified.cells, unified.slots, unified.unified, unified.share) == (8192, 4, True, 8192)
    assert unified.host == 2**33 // (128 * 1024)


def test_each_policy_serves_the_same_requests() -> None:
    scenario = scenario_from(LLAMA)
    shared = Told(((0, 600),))
    asked = [Request(str(at), at, 600, 20, shared) for at in range(12)]
    found = {policy: run(asked, server_of(scenario, policy), second) for policy in POLICIES}
    assert {len(outcome.served) for outcome in found.values()} == {12}
    assert found["prefix"].computed < found["paged"].computed == found["static"].computed
    assert found["paged"].most_used < found["continuous"].most_used
    halves = together([run(part, server_of(scenario), second) for part in dealt(asked, 2)])
    assert len(halves.served) == 12
    assert halves.usable == 2 * found["prefix"].usable
    small = server_of(scenario, share=0.1, sequences=2)
    assert small.usable == found["prefix"].usable // 10


def test_what_cannot_be_replayed_says_so() -> None:
    with pytest.raises(InputError, match=r"only vllm, sglang, llama\.cpp can be replayed, not tensorrt-llm"):
        server_of(scenario_from({**LLAMA, "engine": "tensorrt-llm"}))
    with pytest.raises(InputError, match="static is a way to use vLLM's pool"):
        server_of(scenario_from({**LLAMA, "engine": "sglang"}), "static")
    with pytest.raises(UnknownName, match="unknown policy 'pagged'; did you mean paged"):
        server_of(scenario_from(LLAMA), "pagged")
    with pytest.raises(InputError, match="cross-attention, whose blocks cannot be replayed"):
        limits_of(scenario_from({**LLAMA, "model": "Llama-3.2-11B-Vision"}))
    with pytest.raises(InputError, match="recurrent states, whose blocks cannot be replayed"):
        server_of(scenario_from({**LLAMA, "engine": "sglang", "model": "Qwen3-Next-80B-A3B", "gpus": "4", "tp": "4"}))


@given(requests, st.booleans())
def test_without_paging_everybody_is_served_in_reserved_room(asked: list[Request], static: bool) -> None:
    limits = Limits(65, (Full(16),), 4, 256, 256)
    scheduler = Reserving(limits, static=static)
    history = ReplayHistory(scheduler)
    replay = Replay(asked, scheduler, second)
    for step in history.follow(replay):
        assert step.used % 16 == 0
        assert step.used == sum(count > 0 for count in history.board(history.steps - 1).holders) <= 64
        assert step.running <= 4
    outcome = replay.outcome()
    assert len(outcome.served) == len(asked)
    assert outcome.computed == sum(one.prompt + one.answer - 1 for one in asked)
    assert outcome.evictions == outcome.first.hits == 0
    assert outcome.padding == 0 or static


def test_a_static_batch_waits_for_its_longest_and_pads_to_it() -> None:
    asked = [request("a", 0, 10, 2), request("b", 0, 30, 5), request("c", 1, 8, 1)]
    limits = Limits(65, (Full(16),), 2, 256, 256)
    static = run(asked, Reserving(limits, static=True), second)
    assert [one.ended for one in static.served] == [2, 5, 6]
    assert static.padding == 20 + 3
    assert static.short == {Shortage.SEQUENCES: 4, Shortage.TOKENS: 0, Shortage.BLOCKS: 0}
    continuous = run(asked, Reserving(limits, static=False), second)
    assert [one.ended for one in continuous.served] == [2, 3, 5]
    assert continuous.padding == 0
    paged = run(asked, Scheduler(limits), second)
    assert 0 < paged.empty_slots < continuous.empty_slots < static.empty_slots


def test_what_is_short_is_told() -> None:
    asked = [request(name, 0, 60, 9) for name in "abcd"]
    few = run(asked, Scheduler(Limits(10, (Full(16),), 8, 512, 256)), second)
    assert few.short[Shortage.BLOCKS] > few.short[Shortage.SEQUENCES] == 0
    narrow = run(asked, Scheduler(Limits(99, (Full(16),), 8, 64, 256)), second)
    assert narrow.short[Shortage.TOKENS] == 2


def test_the_course_of_a_long_replay_is_kept_in_equal_steps() -> None:
    outcome = run([request("a", 0, 8, 3000)], Scheduler(Limits(999, (Full(16),), 8, 64, 4096)), second)
    times = [one.seconds for one in outcome.course]
    assert 256 < len(times) <= 1024
    assert len({later - before for before, later in pairwise(times)}) == 1
    assert [one.used for one in outcome.course] == sorted(one.used for one in outcome.course)


@pytest.mark.parametrize("model", ["Llama-3.1-8B", "gemma-3-27b", "DeepSeek-V2-Lite"])
def test_one_request_of_the_full_context_takes_the_planned_blocks(model: str) -> None:
    scenario = scenario_from({**LLAMA, "model": model, "context": "4K", "gpus": "2", "tp": "2"})
    planned = serve(scenario)
    scheduler = server_of(scenario)
    outcome = run(
        [
            request(
                "a",
                0,
                4000,
                97,
            )
        ],
        scheduler,
        second,
    )
    assert planned.blocks_per_request is not None
    groups = len(scheduler.block_sizes)
    # Where there are windows the plan counts what a step of a long prompt needs beside them; this prompt is one step.
    assert (
        outcome.most_used == planned.blocks_per_request
        if groups == 1
        else outcome.most_used <= planned.blocks_per_request
    )
    assert len(outcome.served) == 1


@given(requests, st.integers(30, 60), st.integers(0, 60))
def test_what_can_be_saved_at_most_does_not_fall_with_the_pool(asked: list[Request], blocks: int, more: int) -> None:
    alike = [one._replace(content=PrefixIds(range(-(-one.prompt // 16)), 16, one.prompt)) for one in asked]
    found = reuse(alike, answers=True)
    assert found is not None
    assert found.saved([blocks])[0] <= found.saved([blocks + more])[0] <= found.ceiling
    without = run(alike, Scheduler(Limits(blocks, (Full(16),), 4, 256, 4096, caching=False)), second)
    assert without.first.hits == without.again.hits == 0
    shared = run(alike, Scheduler(Limits(blocks + more, (Full(16),), 4, 256, 4096)), second)
    assert shared.first.hits + shared.again.hits + shared.computed >= sum(one.prompt + one.answer - 1 for one in asked)
