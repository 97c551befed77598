"""SGLang's tree as recorded from 0.5.23, and its scheduler: pages are conserved, and everybody is served."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.replay.content import KeyBook, Told, Unknown
from kvtui.engine.replay.history import ReplayHistory
from kvtui.engine.replay.radix import RadixTree
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.run import Replay
from kvtui.engine.replay.scheduling import SchedulerStep
from kvtui.engine.replay.sglang import RadixLimits, RadixScheduler
from tests.engine.replay.test_vllm_scheduler import requests
from tests.paths import DATA

RECORDED: dict[str, list[list[Any]]] = json.loads((DATA / "replay/sglang_radix_oracle.json").read_text())["runs"]
PROMPTS = {"a": ((100, 40),), "b": ((100, 20), (500, 30)), "d": ((900, 50),), "a[:30]": ((100, 30),)}


@pytest.mark.parametrize("page", [1, 16])
def test_the_tree_is_the_recorded_one(page: int) -> None:
    tree, book, count = RadixTree(), KeyBook(), 0
    for what, result, evictable, total in RECORDED[f"page{page}"]:
        verb, name = what.split()[:2]
        if verb == "evict":
            tree.match(Told(PROMPTS["a"]).keys(page, book))  # it was used once more in between
            found = len(tree.evict(-(-int(name) // page)))
        else:
            keys = Told(PROMPTS[name if name in PROMPTS else name[0]]).keys(page, book)
            if verb == "insert":
                found, _ = tree.insert(keys, np.arange(count, count + len(keys), dtype=np.int32))
                count += len(keys)
            else:
                found = sum(map(len, tree.match(keys)[0]))
        assert (what, found * page, tree.evictable * page, tree.pages * page) == (what, result, evictable, total)


servers = st.builds(
    RadixLimits,
    pages=st.integers(230, 400),
    page=st.just(1),
    sequences=st.integers(1, 8),
    longest=st.just(4096),
    chunk=st.sampled_from([24, 64, 8192]),
    prefill=st.sampled_from([100, 16_384]),
    conservativeness=st.sampled_from([0.1, 1.0]),
    caching=st.booleans(),
)


@given(servers, requests, st.sampled_from([1, 16]))
def test_pages_are_conserved_and_every_request_ends(limits: RadixLimits, asked: list[Request], page: int) -> None:
    limits = limits._replace(
        page=page, pages=limits.pages // page if page > 1 else limits.pages, chunk=max(limits.chunk, page)
    )
    scheduler = RadixScheduler(limits)
    history = ReplayHistory(scheduler)
    replay = Replay(sorted(asked, key=lambda one: one.arrival), scheduler, lambda _: 1.0)
    for step in history.follow(replay):
        board = history.board(history.steps - 1)
        assert step.used <= limits.pages
        assert sum(held > 0 for held in board.holders) <= step.used
        assert step.running <= limits.sequences
        free = list(scheduler._free)
        assert len(free) == len(set(free))
        kept = scheduler._tree.pages
        held = Counter(one for live in scheduler.running for one in live.tables[0][live.shared :])
        assert len(free) + kept + len(held) == limits.pages
        assert all(count == 1 for count in held.values())
        assert history.steps < 5_000
    outcome = replay.outcome()
    assert not outcome.stuck
    refused = sum(one.prompt >= scheduler.longest for one in asked)
    assert (len(outcome.served), outcome.refused) == (len(asked) - refused, refused)
    if not limits.caching:
        assert outcome.first.hits == 0
    assert scheduler.used == 0


def test_prompts_come_first_and_the_shortest_answer_goes_first() -> None:
    limits = RadixLimits(160, 1, 8, 4096, 8192)
    scheduler = RadixScheduler(limits)
    asked = [Request("a", 0, 30, 60, Unknown(30)), Request("b", 3, 20, 60, Unknown(20))]
    steps: list[SchedulerStep] = []

    def second(step: SchedulerStep) -> float:
        steps.append(step)
        return 1.0

    replay = Replay(asked, scheduler, second)
    evicted = []
    while (timed := replay.schedule()) is not None:
        evicted += [live.request.name for live in timed.step.evicted]
        replay.finish(timed)
    assert [list(step.chunks.values()) for step in steps[:5]] == [[30], [1], [1], [20], [1, 1]]
    assert evicted == ["b"]
    outcome = replay.outcome()
    assert outcome.again.requests == 1
    assert outcome.again.hits == 20
