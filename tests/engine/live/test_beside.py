"""The plan beside a server, what binds it, and what is worth changing."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.advisor import findings
from kvtui.engine.live.beside import plan_beside
from kvtui.engine.live.binds import binds
from kvtui.engine.live.check import NAMES, figures, holds, read_condition
from kvtui.engine.live.interval import Interval, between
from kvtui.engine.live.snapshot import Latencies, ServerPool, ServerRank, Snapshot
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.values import scenario_from
from tests.engine.live.captures import vllm_snapshots

H100 = {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "8192", "engine": "vllm"}


def server(blocks: int, used: int = 0, **more: object) -> Snapshot:
    """A vLLM server of Llama-3.1-8B with a pool of so many blocks, one of which is the engine's own."""
    pool = ServerPool(size=blocks - 1, used=used, block_size=16, tokens=blocks * 16, null=1)
    known = {"running": 1, "waiting": 0, **{key: more.pop(key) for key in list(more) if key in ServerRank.__slots__}}
    config = {"block_size": "16", "cache_dtype": "auto", "num_gpu_blocks": str(blocks)}
    snapshot = Snapshot(
        100.0, "x", engine="vllm", release="0.20.0", model="meta-llama/Llama-3.1-8B-Instruct", context=8192
    )
    return replace(snapshot, ranks=(ServerRank(pool=pool, **known),), config=config, **more)  # type: ignore[arg-type]


def test_a_server_is_planned_by_its_name_and_labels() -> None:
    found = plan_beside(server(2048), {})
    rows = {row.id: row for row in found.rows}
    assert found.scenario.model.name == "Llama-3.1-8B"
    assert found.scenario.kv_pool == 2048 * 2 * 2**20
    assert rows["blocks"].predicted == rows["blocks"].observed == 2048
    assert rows["kv_cache_tokens"].verdict == "agrees"
    assert not found.known_device


def test_with_its_device_the_pool_is_predicted_and_a_smaller_one_is_a_finding() -> None:
    planned = serve(scenario_from({**H100, "engine": "vllm@0.20"}))
    assert planned is not None
    assert planned.blocks is not None
    blocks = planned.blocks * 3 // 4
    snapshot = server(blocks)
    plan = plan_beside(snapshot, {"gpu": "H100 SXM"})
    (row,) = [row for row in plan.rows if row.id == "pool"]
    assert row.observed == blocks * 2 * 2**20
    assert row.predicted is not None
    assert row.predicted > row.observed
    assert plan.measured.non_torch is not None
    found = {finding.id: finding for finding in findings([snapshot], plan)}
    assert "25% smaller than planned" in found["small-pool"].seen
    assert found["small-pool"].flag == "--gpu-memory-utilization"


def test_a_profile_of_a_server_plans_its_own_pool() -> None:
    snapshot = server(25_000)
    plan = plan_beside(snapshot, {"gpu": "H100 SXM"})
    again = plan.scenario._replace(kv_pool=None, serving=plan.scenario.serving._replace(measured=plan.measured))
    planned = serve(again)
    assert planned is not None
    assert planned.blocks == 25_000


def test_other_labels_than_the_plan_differ() -> None:
    snapshot = server(2048)
    pool = snapshot.ranks[0].pool._replace(tokens=2048 * 16 + 5)
    differs = plan_beside(replace(snapshot, ranks=(replace(snapshot.ranks[0], pool=pool),)), {})
    assert {row.id: row.verdict for row in differs.rows}["kv_cache_tokens"] == "differs"


def test_what_cannot_be_planned_says_why() -> None:
    with pytest.raises(InputError, match="there is none of Ollama"):
        plan_beside(replace(server(9), engine="ollama"), {})
    with pytest.raises(InputError, match="unknown model 'a/b'; --model says which"):
        plan_beside(replace(server(9), model="a/b"), {})


def test_sglang_is_planned_too() -> None:
    pool = ServerPool("token", 65536, 8192, 4096, 53248, block_size=1, tokens=65536)
    snapshot = Snapshot(
        1.0, "x", engine="sglang", release="0.5.23", model="Qwen/Qwen3-8B", ranks=(ServerRank(pool=pool),)
    )
    found = plan_beside(replace(snapshot, context=32768), {"gpu": "H100 SXM"})
    assert {row.id for row in found.rows} >= {"kv_cache_tokens"}


@pytest.mark.parametrize(
    ("snapshot", "interval", "what"),
    [
        (server(33, 31, waiting=3), Interval(1.0), "pool"),
        (server(33, 10, waiting=3, running=8, most_running=8), Interval(1.0), "sequences"),
        (server(33, 10, waiting=3, step_tokens=256), Interval(1.0, step_tokens=250.0), "tokens"),
        (server(33, 20), Interval(1.0, preemptions=2.0), "pool"),
        (server(33, 10, waiting=3), Interval(1.0), "unknown"),
        (server(33, 0, running=0), Interval(1.0), "nothing"),
        (server(33, 31), Interval(1.0), "nothing"),
        (Snapshot(0.0, "x", "silent", "nothing listens there"), Interval(0.0), "unknown"),
        (Snapshot(0.0, "x", engine="ollama"), Interval(0.0), "unknown"),
    ],
)
def test_what_binds(snapshot: Snapshot, interval: Interval, what: str) -> None:
    found = binds(snapshot, interval)
    assert found.what == what
    assert found.words


def test_preemptions_are_the_first_finding_with_what_a_smaller_cache_brings() -> None:
    snapshots = [snapshot for _, snapshot in vllm_snapshots()]
    first, *_ = findings(snapshots, plan_beside(server(33), {}))
    assert first.id == "preemption"
    assert "8 requests were put out" in first.seen
    assert "--gpu-memory-utilization or --kv-cache-dtype fp8" in first.flag
    assert "528 → 1,056 tokens by the plan" in first.brings


def test_a_context_that_nobody_uses_and_sequences_that_never_ran_are_findings() -> None:
    lengths = {"prompt_length": Latencies((500.0, 1000.0, inf), (90.0, 100.0, 100.0), 9.0)}
    lengths["answer_length"] = Latencies((100.0, inf), (100.0, 100.0), 9.0)
    seen = server(2048, latencies=lengths, totals={"finished": 100.0}, most_running=256)
    history = [replace(seen, time=float(time)) for time in (0, 60, 300)]
    found = {finding.id: finding for finding in findings(history, plan_beside(seen, {}))}
    assert found["context"].seen == "no request had more than 1,100 of the 8,192 tokens that each may have"
    assert found["context"].flag == "--max-model-len 1100"
    assert "full sequences by the plan" in found["context"].brings
    assert found["sequences"].flag == "--max-num-seqs 2"


def test_prefix_caching_that_is_off_or_finds_nothing_and_skewed_ranks() -> None:
    off = replace(server(33), config={"enable_prefix_caching": "False"})
    assert [finding.id for finding in findings([off], None)] == ["prefix-off"]
    short = {"prompt_length": Latencies((10.0, inf), (100.0, 100.0), 9.0)}
    none = server(33, latencies=short, totals={"query_tokens": 5000.0, "hit_tokens": 0.0})
    assert [finding.id for finding in findings([none], None)] == ["prefix-block"]
    both = server(33, 30)
    other = replace(server(33, 2).ranks[0], number=1)
    skewed = replace(both, ranks=(*both.ranks, other))
    assert [finding.id for finding in findings([skewed], None)] == ["skew"]
    assert findings([], None) == ()


def test_conditions() -> None:
    snapshot = vllm_snapshots()[2][1]
    told = figures(snapshot, between(vllm_snapshots()[0][1], snapshot))
    assert set(told) == set(NAMES)
    assert holds(read_condition("kv_used < 90 %"), told) is False
    assert holds(read_condition("waiting<=5"), told)
    assert holds(read_condition("kv_cached > 1%"), told) is None
    assert read_condition(" ttft_p95 <= 500 ms ").limit == 0.5
    for wrong in ("", "kv_used", "kv_used < x", "nothing < 3", "kv_used < 9 GiB", "kv_used << 3"):
        with pytest.raises(InputError):
            read_condition(wrong)
