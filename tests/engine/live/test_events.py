"""KV events: both encodings, gaps, blocks that hold the same tokens, and the three states of the pool."""

from __future__ import annotations

import pytest
from msgpack import packb

from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.events import KvBatch, KvEvent, KvLedger, read_batch, with_cached
from kvtui.engine.live.snapshot import CachedBlocks, ServerPool
from tests.engine.live.captures import capture, vllm_snapshots


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def stored(*hashes: int | str, sequence: int = 0, group: int = 0, medium: str | None = "GPU") -> KvBatch:
    return KvBatch(sequence, 0.0, 0, (KvEvent("stored", hashes, group, "full_attention", 16, medium),))


def removed(*hashes: int | str, sequence: int) -> KvBatch:
    return KvBatch(sequence, 0.0, 0, (KvEvent("removed", hashes, medium="GPU"),))


def blocks(ledger: KvLedger) -> int:
    return sum(group.blocks for group in ledger.groups())


def test_both_encodings_are_the_same_event() -> None:
    fields = {"block_hashes": [1, 2], "parent_block_hash": None, "token_ids": [5, 6], "block_size": 16, "lora_id": None}
    as_map = packb([1.5, [{"type": "BlockStored", **fields, "medium": "GPU"}], 0])
    as_array = packb([1.5, [["BlockStored", *fields.values(), "GPU"]]])
    assert read_batch(number(3), as_map) == read_batch(number(3), as_array)
    assert read_batch(number(3), as_map).events == (KvEvent("stored", (1, 2), 0, "", 16, "GPU"),)
    assert read_batch(number(4), packb([1.0, [["AllBlocksCleared"]]])).events == (KvEvent("cleared"),)


def test_the_three_states_add_up_to_the_pool_at_every_snapshot_of_a_real_server() -> None:
    rows = sorted(capture("vllm-0.32")["rows"], key=lambda row: row["t"])
    snapshots = dict(vllm_snapshots())
    ledger, seen = KvLedger(), []
    for row in rows:
        if "seq" in row:
            ledger.apply(read_batch(number(row["seq"]), bytes.fromhex(row["payload_hex"])))
            continue
        snapshot = snapshots[row["t"]]
        rank = snapshot.ranks[0]
        pool = with_cached(rank.pool, ledger.groups(), rank.running)
        assert pool.used is not None
        assert pool.cached is not None
        assert pool.empty is not None
        assert pool.used + pool.cached + pool.empty == pool.size == 32
        assert 0 <= pool.spread <= (rank.running or 0)
        seen.append(pool)
    assert ledger.complete
    assert ledger.gaps == 0
    assert (seen[-1].used, seen[-1].cached, seen[-1].spread) == (0, blocks(ledger), 0)
    assert blocks(ledger) > 25


def test_two_blocks_of_one_hash_are_two_blocks() -> None:
    ledger = KvLedger()
    ledger.apply(stored("a", "a", "b"))
    ledger.apply(removed("a", sequence=1))
    assert blocks(ledger) == 2
    ledger.apply(removed("a", "never", sequence=2))
    assert blocks(ledger) == 1


def test_groups_are_apart_and_other_media_do_not_count() -> None:
    ledger = KvLedger()
    ledger.apply(stored(1, 2))
    ledger.apply(stored(1, sequence=1, group=3))
    ledger.apply(stored(9, sequence=2, medium="CPU"))
    assert [(group.group, group.blocks) for group in ledger.groups()] == [(0, 2), (3, 1)]


def test_a_gap_is_asked_for_and_without_an_answer_the_count_begins_anew() -> None:
    ledger = KvLedger()
    ledger.apply(stored(1))
    late = stored(5, sequence=4)
    assert ledger.missing(late) == 1
    for sequence in (1, 2, 3):
        ledger.apply(stored(sequence + 10, sequence=sequence))
    assert ledger.missing(late) is None
    ledger.apply(late)
    ledger.apply(stored(1, sequence=2))
    assert (blocks(ledger), ledger.complete, ledger.gaps) == (5, True, 0)
    ledger.apply(stored(7, sequence=9))
    assert (blocks(ledger), ledger.complete, ledger.gaps) == (1, False, 1)
    ledger.apply(KvBatch(10, 0.0, 0, (KvEvent("cleared"),)))
    assert (blocks(ledger), ledger.complete) == (0, True)


def test_who_comes_late_does_not_know_what_is_cached() -> None:
    late, early = KvLedger(), KvLedger()
    late.apply(stored(1, sequence=12))
    early.begin()
    assert (late.complete, early.complete) == (False, True)


@pytest.mark.parametrize("used", range(33))
def test_what_is_cached_is_said_with_what_it_leaves_open(used: int) -> None:
    for known in range(33):
        for running in (0, 1, 6):
            pool = with_cached(ServerPool(size=32, used=used, block_size=32), [CachedBlocks(0, "", known)], running)
            assert pool.cached is not None
            assert used + pool.cached + (pool.empty or 0) == 32
            assert 0 <= pool.spread <= min(pool.cached, running)


@pytest.mark.parametrize(
    ("sequence", "payload"),
    [
        (b"123", packb([1.0, []])),
        (number(0), b"\xc1"),
        (number(0), packb({"a": 1})),
        (number(0), packb([1.0, [["NoSuchEvent"]]])),
        (number(0), packb([1.0, [{"type": "BlockStored", "block_hashes": [[1]]}]])),
        (number(0), packb([1.0, [7]])),
        (number(0), packb([1.0, [{"type": ["BlockStored"], "block_hashes": [1]}]])),
    ],
)
def test_frames_that_are_none_are_refused_in_words(sequence: bytes, payload: bytes) -> None:
    with pytest.raises(InputError, match="event"):
        read_batch(sequence, payload)
