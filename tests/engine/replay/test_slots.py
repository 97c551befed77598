"""llama.cpp's slots: two recorded servers of four slots over 1,024 cells, split and unified, and what always holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.replay.content import Told, Unknown
from kvtui.engine.replay.history import ReplayHistory
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.run import Replay
from kvtui.engine.replay.slots import SlotLimits, SlotServer
from tests.engine.replay.test_vllm_scheduler import requests
from tests.paths import DATA

ARRIVALS = {"split": {0: [0, 1], 1: [2, 4, 3, 5, 6, 7]}, "unified": {0: [0], 1: [1, 2, 3, 4, 5, 7, 6]}}
"""Which of the recorded requests came before which step, as their slots and first decodes tell."""


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"replay/llamacpp_{name}.json").read_text())
    return found


def prompt(number: int) -> Request:
    """Four tokens are common to all; request 6 is 4 again, and 7 is 5."""
    length, answer = (130, 180) if number < 4 else (132, 120)
    alike = number - 2 if number > 5 else number
    return Request(str(number), 0, length, answer, Told(((0, 4), (1000 * (alike + 1), length - 4))))


@pytest.mark.parametrize("name", ["split", "unified"])
def test_the_recorded_servers(name: str) -> None:
    document = recorded(name)
    server = SlotServer(
        SlotLimits(document["n_ctx_total"], document["n_parallel"], document["kv_unified"], host=100_000)
    )
    decodes, failed = 0, list[str]()
    told: dict[int, dict[str, int]] = {}
    decoded: list[tuple[int, list[int]]] = []
    step_number = 0
    while not server.idle or step_number < 2:
        for number in ARRIVALS[name].get(step_number, ()):
            server.add(prompt(number))
        step = server.schedule()
        slots = {slot.live: slot.number for slot in server.slots if slot.live}
        for live, saved in step.hits.items():
            told[int(live.request.name)] = {"id_slot": slots[live], "cache_n": saved, "prompt_n": live.prompt - saved}
        server.finish(step)
        for live in step.finished:
            told[int(live.request.name)] |= {
                "predicted_n": live.tokens - live.prompt,
                "tokens_cached": live.computed,
            }
        failed += [live.request.name for live in step.failed]
        decodes += 1
        step_number += 1
        decoded.append((decodes, [slot.live.tokens - slot.live.prompt if slot.live else 0 for slot in server.slots]))
    keys = ("id_slot", "cache_n", "prompt_n", "predicted_n", "tokens_cached")
    for row in document["results"]:
        assert {key: told[row["i"]][key] for key in keys} == {key: row[key] for key in keys}
    assert sorted(failed) == ([] if name == "split" else ["0", "1", "2", "3"])
    # The recorded counter has two more: the last batch was halved, and two of its parts went well.
    seen, compared = dict(decoded), 0
    shift = 0 if name == "split" else 1
    for snapshot in document["snapshots"]:
        steps = snapshot["decodes"] - (shift if snapshot["decodes"] > 127 else 0)
        if all(slot["decoded"] for slot in snapshot["slots"]) and steps in seen:
            # Slots were read first, then the counter: a decode may have ended in between.
            assert [slot["decoded"] for slot in snapshot["slots"]] in (seen[steps], seen[steps - 1])
            compared += 1
    assert compared > 10
    assert max(seen) == document["snapshots"][-1]["decodes"] - shift


servers = st.builds(
    SlotLimits,
    cells=st.sampled_from([600, 1000]),
    slots=st.sampled_from([1, 2, 3]),
    unified=st.booleans(),
    host=st.sampled_from([0, 300, 5000]),
    batch=st.sampled_from([32, 2048]),
    similarity=st.just(0.1),
)


@given(servers, requests)
def test_cells_are_conserved_and_nobody_is_lost(limits: SlotLimits, asked: list[Request]) -> None:
    server = SlotServer(limits)
    history = ReplayHistory(server)
    replay = Replay(sorted(asked, key=lambda one: one.arrival), server, lambda _: 1.0)
    for step in history.follow(replay):
        cells = [cell for slot in server.slots for cell in slot.cells]
        assert len(cells) == len(set(cells)) <= limits.cells
        assert sum(server._kept) == len(cells)
        if limits.unified:
            assert len(server._free) + len(cells) == limits.cells
        assert step.running <= limits.slots
        assert server._held == sum(map(len, server._host))
        assert history.steps < 5_000
    outcome = replay.outcome()
    assert not outcome.stuck
    assert len(outcome.served) + outcome.failed + outcome.refused == len(asked)
    assert limits.unified or not outcome.failed


def test_a_prompt_finds_the_slot_that_begins_alike() -> None:
    shared = Told(((0, 100),))
    asked = [Request("a", 0, 100, 5, shared), Request("b", 0, 80, 5, Unknown(80)), Request("c", 20, 100, 5, shared)]
    outcome = [0, 0]
    for slots in (1, 2):
        replay = Replay(asked, server := SlotServer(SlotLimits(512, slots, False)), lambda _: 1.0)
        while (timed := replay.schedule()) is not None:
            replay.finish(timed)
        outcome[slots - 1] = server.first.hits
    assert outcome == [0, 99]
