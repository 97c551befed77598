"""Made-up traces: what was asked for is there on average, and one seed is one trace."""

from __future__ import annotations

from itertools import islice, pairwise
from statistics import mean, median, stdev

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.content import PrefixIds
from kvtui.engine.replay.reuse import reuse
from kvtui.engine.replay.synthetic import parse_mix, requests_of, synthetic_trace


def test_one_seed_is_one_trace() -> None:
    assert synthetic_trace("synthetic:requests=50") == synthetic_trace("synthetic:requests=50,seed=1")
    assert synthetic_trace("synthetic:requests=50") != synthetic_trace("synthetic:requests=50,seed=2")


@pytest.mark.parametrize(("arrivals", "spread"), [("constant", 0.0), ("poisson", 1.0), ("gamma:3", 3.0)])
def test_requests_come_at_the_rate_and_with_the_bursts(arrivals: str, spread: float) -> None:
    word = f"synthetic:requests=4000,rate=5,turns=1,prompt=100,answer=1,arrivals={arrivals}"
    times = [one.arrival for one in synthetic_trace(word).requests]
    gaps = [later - before for before, later in pairwise(times)]
    assert min(gaps) >= 0
    assert mean(gaps) == pytest.approx(0.2, rel=0.1)
    assert stdev(gaps) / mean(gaps) == pytest.approx(spread, rel=0.15, abs=1e-9)


def test_a_day_has_a_noon_and_a_night() -> None:
    trace = synthetic_trace("synthetic:requests=4000,rate=4,turns=1,prompt=9,answer=1,arrivals=diurnal:1000")
    first = sum(one.arrival % 1000 < 500 for one in trace.requests)
    assert first > 2.5 * (4000 - first)


def test_lengths_follow_their_distributions() -> None:
    word = "synthetic:requests=3000,turns=1,shared=0x0,prompt=lognormal:700:0.5,answer=10-20"
    requests = synthetic_trace(word).requests
    assert median(one.prompt for one in requests) == pytest.approx(700, rel=0.05)
    assert {one.answer for one in requests} == set(range(10, 21))
    long = synthetic_trace("synthetic:requests=3000,turns=1,shared=0x0,prompt=exponential:300,answer=7").requests
    assert mean(one.prompt for one in long) == pytest.approx(300, rel=0.06)


def test_system_prompts_and_turns_are_shared() -> None:
    alone = reuse(synthetic_trace("synthetic:requests=300,turns=1,shared=0x0").requests)
    assert alone is not None
    assert alone.ceiling == 0
    system = synthetic_trace("synthetic:requests=300,turns=1,shared=3x500,prompt=100,answer=9").requests
    found = reuse(system)
    assert found is not None
    assert found.ceiling == (300 - 3) * 496
    turns = reuse(synthetic_trace("synthetic:requests=300,turns=4,shared=0x0").requests)
    assert turns is not None
    assert turns.ceiling > 0.4 * turns.tokens()
    for one in system:
        assert isinstance(one.content, PrefixIds)
        assert len(one.content.ids) == -(-one.prompt // 16)


def test_a_million_are_made_one_by_one() -> None:
    requests = requests_of(parse_mix("synthetic:requests=1000000,prompt=20,answer=5"))
    assert len(list(islice(requests, 1000))) == 1000


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("synthetic:rats=3", "unknown part of a synthetic trace 'rats'; did you mean rate"),
        ("synthetic:rate", "rate needs a value"),
        ("synthetic:rate=fast", "rate is 'fast', not a number"),
        ("synthetic:prompt=0", "prompt is '0', not a distribution"),
        ("synthetic:prompt=9-3", "not a distribution"),
        ("synthetic:arrivals=sometimes", "arrivals is 'sometimes'"),
        ("synthetic:shared=4", "shared is '4', not system prompts such as 4x512"),
    ],
)
def test_what_is_wrong_is_said(word: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_mix(word)
