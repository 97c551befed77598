"""Steps of vLLM's own scheduler, recorded from 0.32 and 0.33: scheduled tokens, hits, order, blocks, evictions."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.content import PrefixIds, Told, Unknown
from kvtui.engine.replay.groups import CacheGroup, Chunked, Full, Sliding, States
from kvtui.engine.replay.recorded import read_recorded, run_recorded
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.traces import read_trace
from kvtui.engine.replay.vllm import Limits, Scheduler, order_of
from tests.paths import DATA, ROOT

MOONCAKE = ROOT.parent / "shared/facts/data/traces"
RECORDED = sorted((DATA / "replay").glob("vllm_[oh]*.json"))
RANDOM: list[dict[str, Any]] = [
    case
    for name in ("vllm_random", "vllm_random_kinds")
    for case in json.loads(gzip.decompress((DATA / f"replay/{name}.json.gz").read_bytes()))["cases"]
]
COUNTED = (
    "steps",
    "scheduled_tokens",
    "peak_used_blocks",
    "preemptions",
    "preemptions_total",
    "first_step",
    "finish_step",
)


def check(document: dict[str, Any]) -> None:
    """Every step and every count is as recorded. A count of 0 may be left out there."""
    told = run_recorded(read_recorded(document, document["name"]))
    for wanted, step in zip(document["steps"], told["steps"], strict=True):
        assert step == {**wanted, "preempted": sorted(wanted["preempted"])}
    for name in COUNTED:
        assert told["summary"][name] == document["summary"][name]
    for name in ("prefix", "events"):
        assert Counter(told["summary"][name]) == Counter(document["summary"][name])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem.removeprefix("vllm_"))
def test_recorded_scenarios_step_by_step(path: Any) -> None:
    check(json.loads(path.read_text()))


@pytest.mark.parametrize("at", range(0, len(RANDOM), 10))
def test_recorded_at_random_step_by_step(at: int) -> None:
    for document in islice(RANDOM, at, at + 10):
        check(document)


def test_without_recorded_steps_it_ends_when_nothing_can_run_again() -> None:
    document = json.loads((DATA / "replay/vllm_o9_grows_past_pool.json").read_text())
    seen = document.pop("steps")
    told = run_recorded(read_recorded(document, "o9"))
    assert told["stuck"] is True
    assert told["steps"] == seen[: len(told["steps"])]
    assert all(not step["sched"] for step in seen[len(told["steps"]) :])


def test_a_request_that_goes_round_in_a_circle_ends_the_replay() -> None:
    document = json.loads((DATA / "replay/vllm_circle.json").read_text())
    assert run_recorded(read_recorded(document, "circle"))["steps"] == document["steps"]
    seen = document.pop("steps")
    told = run_recorded(read_recorded(document, "circle"))
    assert told["stuck"] is True
    assert 4 < len(told["steps"]) < len(seen)
    assert told["steps"][-1]["preempted"] == ["q01"]


def run(limits: Limits, requests: list[Request], at: dict[str, int] | None = None) -> tuple[Scheduler, Counter[str]]:
    """All ``requests`` to the end, one arrival a step where ``at`` does not say otherwise."""
    scheduler, counts = Scheduler(limits), Counter[str]()
    coming = sorted(requests, key=lambda request: request.arrival)
    while coming or not scheduler.idle:
        while coming and coming[0].arrival <= counts["steps"]:
            scheduler.add(coming.pop(0))
        step = scheduler.schedule()
        counts["steps"] += 1
        counts["tokens"] += sum(step.tokens.values())
        counts["evicted"] += len(step.evicted)
        counts["most"] = max(counts["most"], scheduler.pool.used)
        scheduler.finish(step)
    return scheduler, counts


@pytest.mark.parametrize("row", json.loads((DATA / "replay/vllm_synth160_sweep.json").read_text())["runs"])
def test_a_trace_of_160_requests_over_pools_and_watermarks(row: dict[str, Any]) -> None:
    with (DATA / "replay/synth_trace_160.jsonl").open() as lines:
        trace = read_trace(lines, "synth_trace_160")
    limits = Limits(
        row["num_blocks"],
        (Full(16),),
        row["max_num_seqs"],
        row["max_num_batched_tokens"],
        4096,
        caching=row["prefix_caching"],
        watermark=row["watermark"],
    )
    first = trace.requests[0].arrival + 0.05
    scheduler, counts = run(
        limits,
        [one._replace(arrival=round((one.arrival + first) / 0.05)) for one in trace.requests],
    )
    assert counts["steps"] == row["steps"]
    assert counts["tokens"] == row["scheduled_tokens"]
    assert counts["evicted"] == row["preemptions_total"]
    assert counts["most"] == row["peak_used_blocks"]
    if row["prefix_caching"]:
        assert scheduler.first.queries == row["prefix"]["queries"]
        assert scheduler.first.hits == row["prefix"]["hits"]


@pytest.mark.parametrize("name", ["conversation", "synthetic"])
def test_the_first_requests_of_mooncake_in_small(name: str) -> None:
    path = MOONCAKE / f"mooncake_{name}_trace.jsonl"
    if not path.is_file():
        pytest.skip("the traces of Mooncake are not part of the repository")
    with path.open() as lines:
        trace = read_trace(islice(lines, 400), path.name)
    small = trace.requests.resized(1 / 32)
    asked = [one._replace(arrival=int(one.arrival * 10 + 1e-6)) for one in small]
    for row in json.loads((DATA / f"replay/vllm_mooncake_{name}400_scaled.json").read_text())["runs"]:
        limits = Limits(row["num_blocks"], (Full(16),), row["max_num_seqs"], row["max_num_batched_tokens"], 200_000)
        scheduler, counts = run(limits, asked)
        assert counts["steps"] == row["steps"]
        assert counts["tokens"] == row["scheduled_tokens"]
        assert counts["evicted"] == row["preemptions_total"]
        assert counts["most"] == row["peak_used_blocks"]
        assert (scheduler.first.queries, scheduler.first.hits) == (row["prefix"]["queries"], row["prefix"]["hits"])
        assert scheduler.pool.stored == row["events"]["BlockStored_blocks"]
        assert scheduler.pool.removed == row["events"].get("BlockRemoved_blocks", 0)


groups = st.one_of(
    st.just(Full(16)),
    st.just(Full(32)),
    st.builds(Sliding, st.sampled_from([16, 32]), st.integers(1, 150)),
    st.builds(Chunked, st.just(16), st.sampled_from([64, 128])),
)
prompts = st.one_of(
    st.builds(
        lambda ids, short: PrefixIds(ids, 16, 16 * len(ids) - short),
        st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True),
        st.integers(0, 15),
    ),
    st.builds(lambda first, length: Told(((first, length),)), st.integers(0, 3), st.integers(1, 140)),
    st.builds(Unknown, st.integers(1, 140)),
)


def length(content: Any) -> int:
    return content.length if hasattr(content, "length") else sum(count for _, count in content.spans)


requests = st.lists(
    st.tuples(st.integers(0, 30), prompts, st.integers(1, 60), st.integers(-2, 2)), min_size=1, max_size=8
).map(
    lambda rows: [
        Request(f"q{number}", arrival, length(content), answer, content, priority)
        for number, (arrival, content, answer, priority) in enumerate(rows)
    ]
)
servers = st.builds(
    Limits,
    blocks=st.integers(60, 200),
    groups=st.lists(groups, min_size=1, max_size=2)
    .map(tuple)
    .filter(lambda found: not any(isinstance(one, Chunked) for one in found) or len({one.block for one in found}) == 1),
    sequences=st.integers(1, 8),
    budget=st.sampled_from([32, 64, 256]),
    longest=st.just(4096),
    priority=st.booleans(),
    caching=st.booleans(),
    watermark=st.sampled_from([0.0, 0.05]),
    reserve=st.booleans(),
    threshold=st.sampled_from([0, 24]),
    chunked=st.just(True),
    ahead=st.sampled_from([0, 3]),
    interval=st.sampled_from([None, 0]),
    whole_blocks=st.just(0),
    order=st.sampled_from([order_of(()), order_of((0, 19)), order_of((0, 32))]),
)


@given(servers, requests)
def test_blocks_are_conserved_and_every_request_ends(limits: Limits, asked: list[Request]) -> None:
    scheduler = Scheduler(limits)
    coming = sorted(asked, key=lambda request: request.arrival)
    ended: Counter[str] = Counter()
    number = 0
    while coming or not scheduler.idle:
        while coming and coming[0].arrival <= number:
            scheduler.add(coming.pop(0))
        step = scheduler.schedule()
        held = Counter(block for live in scheduler.running for table in live.tables for block in table if block)
        pool = scheduler.pool
        assert pool.used == len(held)
        assert pool.free == pool.blocks - 1 - len(held)
        assert all(pool.holders(block) == held[block] for block in range(1, pool.blocks))
        assert sum(step.tokens.values()) <= limits.budget
        assert len(scheduler.running) <= limits.sequences
        for live, tokens in step.tokens.items():
            assert tokens > 0
            assert live.computed + tokens <= live.tokens
        if not limits.caching:
            assert not any(step.hits.values())
        scheduler.finish(step)
        ended.update(live.request.name for live in step.finished)
        number += 1
        assert number < 5_000
    assert ended == Counter(request.name for request in asked)
    assert scheduler.pool.used == 0
    assert scheduler.pool.free == limits.blocks - 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {}}, "x: config.num_blocks: is missing"),
        ({"requests": []}, "x: requests: is empty"),
        ({"requests": [{"id": "a", "prompt_len": 8, "max_tokens": 1, "prompt": [[1, 9]]}]}, "do not add up to"),
        ({"requests": [{"id": "a", "prompt_len": 8, "max_tokens": 1}] * 2}, "'a' is there twice"),
        ({"requests": [{"id": "a", "prompt_len": 0, "max_tokens": 1}]}, "must be from 1"),
        ({"requests": 3}, "must be a list"),
    ],
)
def test_what_is_wrong_with_a_recorded_scenario_is_said(change: dict[str, Any], said: str) -> None:
    document = json.loads(RECORDED[0].read_text())
    with pytest.raises(InputError, match=said):
        read_recorded({**document, **change}, "x")


def test_a_group_that_is_none_is_named() -> None:
    document = json.loads((DATA / "replay/vllm_h2_full_swa_dense.json").read_text())
    document["config"]["groups"] = ["full(block16)", "sliding(block16)"]
    with pytest.raises(InputError, match=r"'sliding\(block16\)' is not a group of layers such as full"):
        read_recorded(document, "x")


def one_group(group: CacheGroup) -> Limits:
    return Limits(100, (group,), 8, 512, 4096)


@given(st.integers(1, 600), st.integers(1, 200))
def test_one_request_takes_the_blocks_that_its_tokens_need(prompt: int, answer: int) -> None:
    limits = one_group(Full(16))
    _, counts = run(limits, [Request("a", 0, prompt, answer, Unknown(prompt))])
    assert counts["most"] == -(-(prompt + answer - 1) // 16)
    assert counts["tokens"] == prompt + answer - 1


@given(servers, requests)
def test_recurrent_states_are_conserved_beside_attention(limits: Limits, asked: list[Request]) -> None:
    limits = limits._replace(groups=(States(16), Full(16), States(16)), ahead=0, whole_blocks=16, threshold=0)
    scheduler, _ = run(limits, asked)
    assert scheduler.pool.used == 0
    assert scheduler.pool.free == limits.blocks - 1


@pytest.mark.parametrize(("interval", "hits"), [(None, [96, 48]), (0, [96, 0])])
def test_a_state_is_kept_at_the_ends_of_steps_and_found_again(interval: int | None, hits: list[int]) -> None:
    prompt = Told(((0, 100),))
    limits = Limits(99, (States(16), Full(16)), 8, 48, 4096, interval=interval, whole_blocks=16)
    scheduler = Scheduler(limits)
    scheduler.add(Request("a", 0, 100, 3, prompt))
    steps, tables = list[int](), list[list[bool]]()
    while not scheduler.idle:
        step = scheduler.schedule()
        steps += step.tokens.values()
        tables.append([bool(block) for live in scheduler.running for block in live.tables[0]])
        scheduler.finish(step)
    assert steps == [48, 48, 4, 1, 1]
    assert tables[0] == [False, False, True]
    assert tables[1] == [False, False, True, False, False, True]
    assert tables[2] == [False] * 5 + [True, True]
    assert tables[3] == [False] * 6 + [True]
    # Of 99 tokens at most the state after 96 is there; of 90 only that after 48, if it is kept where no prompt ends.
    scheduler.add(Request("b", 9, 100, 1, prompt))
    scheduler.add(Request("c", 9, 90, 1, Told(((0, 90),))))
    assert list(scheduler.schedule().hits.values()) == hits
