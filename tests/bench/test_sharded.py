"""Sharded decode on eight devices of one processor, and on those of two processes that meet on loopback.

What the planner predicts of a device is held against the shards of real arrays, and the ranks' tokens against those of
the same model on one device.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.runner import Control
from kvtui.bench.stages import events
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.prediction import kv_bytes, weight_bytes
from kvtui.cases.sharding import ShardedCase, sharded_cases
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.caches import heads_per_rank
from kvtui.figures.sharded import panels
from tests.figures.sample_rows import marks
from tests.nightly import nightly

SMALL = TransformerShape(dim=32, heads=8, head_dim=8, kv_heads=8, blocks=1, hidden=32, vocab=64, context=32)
SHAPES = {
    "MHA": SMALL,
    "GQA": replace(SMALL, kv_heads=2, kv_dtype="bf16"),
    "MQA": replace(SMALL, kv_heads=1),
    "MLA": replace(SMALL, latent=16, query_latent=16, rope_dim=4),
}


def case(name: str, tp: int, batch: int = 2) -> ShardedCase:
    return ShardedCase(name, Case(SHAPES[name], batch=batch, prompt=16), tp)


def job(*cases: ShardedCase, process: int = 0, coordinator: str | None = None) -> dict[str, Any]:
    together = {"coordinator": coordinator, "processes": 1 if coordinator is None else 2, "process": process}
    return {"cases": [one.to_json() for one in cases], "chosen": True, "calls": 2, "device": "cpu", **together}


def rows_of(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for event in events("sharded", job, Control()):
        if event["event"] == "row":
            yield event["row"]


def as_planned(row: dict[str, Any]) -> None:
    """Every device holds what the planner says, and the ranks said what one device says."""
    assert row["status"] == "ok", row["message"]
    assert row["tokens_equal"]
    assert row["donated"]
    assert row["kv_measured_bytes"] == row["kv_measured_least_bytes"] == row["kv_predicted_bytes"]
    assert row["weights_measured_bytes"] == row["weights_predicted_bytes"]
    assert row["copies"] == row["copies_predicted"]
    assert row["copies_equal"]
    assert row["sums"] == row["sums_predicted"] == 3
    assert row["sent_bytes"] * 2 == row["sent_predicted_bytes"] * 3
    assert min(row["step_ms_p50"], row["alone_ms_p50"], row["sums_ms_p50"], row["link_gbs"]) > 0
    assert 0 < row["sums_predicted_ms_low"] < row["sums_predicted_ms_high"]


def test_eight_devices_hold_what_is_planned_and_copies_where_heads_are_few() -> None:
    """Two KV heads over eight devices are two caches of four copies."""
    pytest.importorskip("jax")
    (row,) = rows_of(job(case("GQA", 8)))
    as_planned(row)
    assert (row["kv_heads"], row["kv_heads_per_device"], row["copies"]) == (2, 1, 4)
    drawn = panels([row])
    assert set(marks(drawn)) == {"GQA", "GQA, planned"}
    assert drawn.notes[0] == "Bytes of a device are as planned, to the byte."


@nightly
def test_every_attention_over_every_number_of_devices() -> None:
    pytest.importorskip("jax")
    every = [case(name, tp, batch) for name in SHAPES for tp, batch in ((2, 3), (4, 1), (8, 3))]
    rows = list(rows_of(job(*every)))
    assert len(rows) == len(every)
    for row in rows:
        as_planned(row)
        if row["label"] == "MLA":
            assert row["copies"] == row["tp"]


@nightly
def test_two_processes_are_one_machine() -> None:
    """Each has two of the four devices; both measure the same, and the first keeps it."""
    pytest.importorskip("jax")
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = f"127.0.0.1:{free.getsockname()[1]}"
    jobs = [job(case("GQA", 4), case("MLA", 4), process=process, coordinator=where) for process in (0, 1)]
    with ThreadPoolExecutor() as both:
        first, second = both.map(lambda one: list(rows_of(one)), jobs)
    for row in (*first, *second):
        as_planned(row)
        assert row["processes"] == 2
    assert [row["copies"] for row in first] == [2, 4]


@given(name=st.sampled_from(sorted(SHAPES)), tp=st.sampled_from([1, 2, 4, 8]), batch=st.integers(1, 5))
def test_all_devices_together_hold_the_whole_and_its_copies(name: str, tp: int, batch: int) -> None:
    one = case(name, tp, batch)
    planned = one.predicted()
    assert tp * planned.kv == kv_bytes(one.case) * (tp // one.parts)
    assert planned.weights * tp >= weight_bytes(one.case.shape)
    assert (planned.sent == 0) == (tp == 1)
    shape = one.case.shape
    if not shape.latent:
        assert one.local.kv_heads == heads_per_rank(shape.kv_heads, tp)
    assert ShardedCase.from_json(one.to_json()) == one


def test_what_so_many_cannot_share_is_refused() -> None:
    for wrong, why in (
        (lambda: case("MHA", 3), "tp: 3 does not divide 8 attention heads"),
        (lambda: case("MHA", 16), "tp: 16 does not divide 8 attention heads"),
        (lambda: sharded_cases("fast", [32]), "tp: 32 does not divide 8 attention heads"),
    ):
        with pytest.raises(InputError, match=why):
            wrong()
