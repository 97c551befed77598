"""Differences of snapshots: rates, percentiles against the observations themselves, and servers that begin anew."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.live.interval import (
    InTime,
    between,
    changes,
    has_restarted,
    lifetime,
    met,
    percentiles,
    share_within,
)
from kvtui.engine.live.snapshot import DeviceReading, Latencies, ServerPool, ServerRank, Snapshot

BOUNDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, inf)


def histogram(times: list[float]) -> Latencies:
    counts = tuple(float(sum(time <= bound for time in times)) for bound in BOUNDS)
    return Latencies(BOUNDS, counts, sum(times))


def at(time: float, number: int = 0, times: tuple[float, ...] = (), **totals: float) -> Snapshot:
    rank = ServerRank(number, ServerPool(size=10, used=1), totals=totals, latencies={"ttft": histogram(list(times))})
    return Snapshot(time, "x", engine="vllm", ranks=(rank,))


def test_rates_are_differences_over_time() -> None:
    before = at(10, generation_tokens=900, query_tokens=100, hit_tokens=50)
    found = between(before, at(20, generation_tokens=1400, query_tokens=300, hit_tokens=100))
    assert (found.seconds, found.tokens_per_second, found.hit_rate) == (10, 50, 0.25)
    assert found.preemptions is None
    assert found.prompt_tokens_per_second is None


def test_counters_that_fell_began_anew() -> None:
    before, after = at(10, generation_tokens=900, preemptions=4), at(20, generation_tokens=100, preemptions=9)
    found = between(before, after)
    assert found.restarted
    assert found.tokens_per_second == 10
    assert found.preemptions == 9
    assert not between(after, at(30, generation_tokens=150, preemptions=9)).restarted


def test_another_start_of_the_process_is_a_restart() -> None:
    before, after = replace(at(1), started=1000.0), replace(at(2), started=2000.0)
    assert has_restarted(before, after)
    assert not has_restarted(before, replace(after, started=1000.5))


def test_times_are_those_of_the_interval_alone() -> None:
    before, after = at(0, times=(4.0,) * 50), at(10, times=(4.0,) * 50 + (0.15,) * 20)
    found = between(before, after).ttft
    assert found is not None
    assert found.count == 20
    assert 0.1 < found.p50 < found.p95 <= 0.2
    whole = lifetime(after).ttft
    assert whole is not None
    assert whole.p95 > 2


def test_ten_and_ten() -> None:
    found = percentiles(Latencies((1.0, 2.0, inf), (10.0, 20.0, 20.0), 25.0))
    assert found is not None
    assert (found.p50, found.beyond) == (1.0, False)
    assert found.p95 == pytest.approx(1.9)
    assert percentiles(Latencies((1.0, inf), (0.0, 0.0), 0.0)) is None
    beyond = percentiles(Latencies((1.0, inf), (0.0, 5.0), 50.0))
    assert beyond is not None
    assert (beyond.p95, beyond.beyond) == (1.0, True)


def test_shares_within_objectives() -> None:
    found = Latencies((1.0, 2.0, inf), (10.0, 20.0, 20.0), 25.0)
    assert [share_within(found, seconds) for seconds in (0.0, 0.5, 1.0, 1.5, 9.0)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert share_within(Latencies((1.0, inf), (10.0, 20.0), 25.0), 5.0) == 0.5
    before, after = at(0, times=(4.0,) * 50), at(10, times=(4.0,) * 50 + (0.15,) * 20)
    assert met(before, after, 0.2, None) == InTime(1.0)
    found_since_start = met(None, after, 0.2, 0.1)
    assert found_since_start.first_token == pytest.approx(20 / 70)
    assert found_since_start.per_token is None


@given(st.lists(st.tuples(st.sampled_from(BOUNDS[:-1]), st.sampled_from(BOUNDS[:-1])), min_size=1, max_size=80))
def test_goodput_lies_in_its_band(requests: list[tuple[float, float]]) -> None:
    """Of requests whose own times are known, the share that met both objectives lies between the two ends."""
    firsts, tokens = ([request[which] for request in requests] for which in (0, 1))
    rank = ServerRank(0, latencies={"ttft": histogram(firsts), "tpot": histogram(tokens), "itl": histogram([4.0])})
    found = met(None, Snapshot(1, "x", engine="vllm", ranks=(rank,)), 0.5, 0.2)
    assert found.goodput is not None
    least, most = found.goodput
    both = sum(first <= 0.5 and token <= 0.2 for first, token in requests) / len(requests)
    assert least - 1e-9 <= both <= most + 1e-9
    assert not found.of_tokens


def test_tokens_stand_in_where_no_request_is_told() -> None:
    rank = ServerRank(0, latencies={"ttft": histogram([0.1]), "itl": histogram([0.1, 1.0])})
    found = met(None, Snapshot(1, "x", engine="sglang", ranks=(rank,)), 0.5, 0.2)
    assert found == InTime(1.0, 0.5, of_tokens=True, goodput=None)


@given(st.lists(st.floats(0.001, 4.9), min_size=40, max_size=200))
def test_percentiles_lie_in_the_bucket_of_the_true_ones(times: list[float]) -> None:
    found = percentiles(histogram(times))
    assert found is not None
    ordered = sorted(times)
    for value, share in ((found.p50, 0.5), (found.p95, 0.95)):
        rank = min(len(times) - 1, max(0, -int(-share * len(times) // 1) - 1))
        true = ordered[rank]
        bucket = next(number for number, bound in enumerate(BOUNDS) if true <= bound)
        low = BOUNDS[bucket - 1] if bucket else 0.0
        assert low <= value <= BOUNDS[bucket]


def test_energy_is_divided_by_tokens() -> None:
    def powered(time: float, joules: float, tokens: float) -> Snapshot:
        return replace(at(time, generation_tokens=tokens), devices=(DeviceReading("gpu", watts=300.0, joules=joules),))

    found = between(powered(0, 1000, 0), powered(10, 4000, 600))
    assert (found.joules_per_token, found.watts) == (5, 300)


def test_ranks_add_up_and_can_be_asked_alone() -> None:
    def both(time: float, first: float, second: float) -> Snapshot:
        ranks = (*at(time, 0, generation_tokens=first).ranks, *at(time, 1, generation_tokens=second).ranks)
        return replace(at(time), ranks=ranks)

    before, after = both(0, 0, 0), both(2, 10, 30)
    assert between(before, after).tokens_per_second == 20
    assert between(before, after, rank=1).tokens_per_second == 15


def test_what_changed_of_the_server_is_said() -> None:
    silent = Snapshot(5, "x", "silent", "nothing listens there")
    up = replace(at(6, finished=9), model="A")
    assert changes(silent, up) == ("it answers again",)
    assert changes(up, silent) == ("silent",)
    assert changes(up, replace(at(7, finished=1), model="B")) == ("it restarted", "its model changed from A to B")
    assert changes(replace(up, state="asleep"), up) == ("it woke up",)
    assert changes(up, replace(up, time=7)) == ()
