"""How full sequences are: what it changes by arithmetic, what it leaves alone, and what an engine makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.planning.allocation import mean_fill, slots
from kvtui.engine.planning.capacity import Users, capacity, users
from kvtui.engine.planning.estimate import estimate, most_users
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import command_line, scenario_from
from tests.present import present


def both(scenario: Scenario) -> Users:
    """Both capacities of ``scenario``."""
    planned = plan(scenario)
    return users(planned, capacity(planned))


def paged(**values: str | bool) -> Scenario:
    return scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "128K", "pa": True, **values})


def test_all_are_full_unless_told_otherwise() -> None:
    assert paged().fill == "full"
    assert "fill" not in command_line(paged())
    assert scenario_from({"cb": True, "pa": True, "batch": "8"}).fill == "full"
    assert plan(paged(batch="2", cb=True)).total.kv == plan(paged(batch="2")).total.kv


@pytest.mark.parametrize(
    ("text", "fill"), [("full", "full"), ("Average", "average"), ("30%", "30%"), ("30", "30%"), ("100%", "full")]
)
def test_how_it_is_spelt(text: str, fill: str) -> None:
    assert paged(fill=text).fill == fill


@pytest.mark.parametrize("text", ["0", "101%", "half", "-3", "1e1"])
def test_what_it_cannot_be(text: str) -> None:
    with pytest.raises(UnknownName, match="full, average, 30%"):
        paged(fill=text)
    with pytest.raises(InputError):
        paged()._replace(fill=text)


@given(percent=st.integers(1, 99), batch=st.integers(1, 6))
def test_a_share_is_that_share_of_the_context_in_whole_blocks(percent: int, batch: int) -> None:
    scenario = paged(fill=f"{percent}%", batch=str(batch))
    tokens = 131_072 * percent // 100
    (slot,) = slots(scenario, scenario.context, batch)
    assert (slot.used, slot.reserved, slot.sequences) == (tokens, -(-tokens // 16) * 16, batch)
    assert plan(scenario).total.kv == batch * tokens * 131_072
    assert mean_fill(scenario, batch) * 100 == percent


def test_static_reservation_has_room_for_no_more_of_them() -> None:
    """What is set aside does not depend on what is used."""
    reserved = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "128K"})
    found = both(reserved)
    assert found.full == found.average == 3
    assert both(paged()).average == 11


@given(st.integers(1, 98))
def test_emptier_sequences_are_never_fewer(percent: int) -> None:
    fuller, emptier = (capacity(plan(paged(fill=f"{p}%"))) for p in (percent + 1, percent))
    assert present(emptier.sequences) >= present(fuller.sequences) >= 3


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_an_engine_that_hands_out_blocks_runs_as_many_as_of_shorter_ones(engine: str) -> None:
    whole = paged(engine=engine)
    full = present(serve(whole)).max_sequences
    share = whole._replace(fill="25%")
    assert capacity(plan(share)).sequences == present(serve(whole._replace(context=32_768))).max_sequences > full
    assert both(share).full == full
    assert plan(share._replace(batch=full + 1)).fits
    assert not plan(whole._replace(batch=full + 1)).fits


def test_an_engine_that_divides_its_context_runs_no_more() -> None:
    whole = scenario_from({"model": "Llama-3.1-8B", "engine": "llama.cpp", "context": "32K", "kv_dtype": "fp16"})
    assert both(whole).average == both(whole).full


def test_speed_and_cost_at_the_most_users_are_those_of_that_batch() -> None:
    scenario = paged(fill="average", batch="4")
    planned = plan(scenario)
    limits = capacity(planned)
    batch, times = present(most_users(planned.scenario, limits.sequences))
    assert batch == limits.sequences == 11
    assert times == estimate(plan(scenario._replace(batch=11)))
    assert present(times.tokens_per_second).low > present(estimate(planned).tokens_per_second).low
