"""Searches that assume nothing between the values they try."""

from __future__ import annotations

from kvtui.engine.replay.search import Sought, best, row_of


def test_no_value_is_judged_by_its_neighbour() -> None:
    pools = [(40.0, False), (60.0, True), (80.0, False), (120.0, True)]
    assert best(pools, Sought.POOL) == (60, (80,))
    assert best(pools, Sought.RATE) == (120, (40, 80))
    assert best([(1.0, False)], Sought.DEVICES) == (None, ())


def test_rows_reach_from_little_to_all() -> None:
    assert row_of(Sought.POOL)[-1] == 1
    assert 1 in row_of(Sought.RATE)
    assert row_of(Sought.MAX_SEQS, 10) == [1, 2, 3, 4, 6, 9, 10]
    for sought in Sought:
        row = row_of(sought, 64)
        assert row == sorted(set(row))
