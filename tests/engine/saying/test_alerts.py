"""The levels of what is announced, its cool-down and end, and the marks at 80 and 100 %."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.units import format_tokens
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.saying.alerts import COOL_DOWN_SECONDS, OPEN_SECONDS, Alerts, Level, announcement, level, remedy
from kvtui.engine.scenario.values import scenario_from
from tests.present import present


def planned(**values: str | bool) -> Plan:
    return plan(scenario_from(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model": "Llama-3.1-8B"}, Level.NONE),
        ({"model": "Llama-3.1-8B", "gpus": "8"}, Level.NONE),
        ({"model": "Llama-3.1-70B"}, Level.MULTI_DEVICE),
        ({"model": "Llama-3.1-70B", "gpus": "2"}, Level.NONE),
        ({"model": "Llama-3.1-405B"}, Level.MULTI_NODE),
        ({"model": "Llama-3.1-405B", "gpus": "4"}, Level.MULTI_NODE),
        ({"model": "Llama-3.1-405B", "gpus": "16"}, Level.NONE),
        ({"model": "Kimi-K2"}, Level.MULTI_NODE),
        ({"model": "Kimi-K2", "weight_dtype": "bf16"}, Level.DATACENTRE),
        ({"model": "Llama-3.1-8B", "context": "10M"}, Level.DATACENTRE),
        ({"model": "Llama-3.1-8B", "kv_pool": "1GiB", "context": "128K"}, Level.NONE),
    ],
)
def test_levels(values: dict[str, str], expected: Level) -> None:
    found = planned(**values)
    assert level(found) is expected
    notice = announcement(found)
    said = None if notice is None else (notice.id, f"{found.devices_needed} devices" in notice.text)
    assert said == (None if expected is Level.NONE else (expected.name.lower(), True))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "Llama-3.1-70B"}, "As it is, the weights alone are too much."),
        ({"context": "1M"}, "As it is, there is room for a context of {context}."),
        (
            {"context": "128K", "batch": "8"},
            "As it is, there is room for a context of {context} at batch 8 or a batch of {batch} at 128K.",
        ),
        ({"context": "8K", "kv_pool": "1MiB"}, "As it is, there is room for a context of {context}."),
        ({"context": "8K", "kv_pool": "1"}, "As it is, there is no room for one sequence."),
    ],
)
def test_the_remedy_is_what_still_fits(values: dict[str, str], said: str) -> None:
    found = planned(model="Llama-3.1-8B", **values) if "model" not in values else planned(**values)
    most = capacity(found)
    context, batch = most.context or 0, most.sequences or 0
    assert remedy(found.scenario, most) == said.format(context=format_tokens(context), batch=batch)
    named = {"context": context, "batch": batch}
    offered = {field: value for field, value in named.items() if f"{{{field}}}" in said}
    assert all(value >= 1 for value in offered.values())
    for field, value in offered.items():
        same, more = (
            found.scenario._replace(context=size) if field == "context" else found.scenario._replace(batch=size)
            for size in (value, value + 1)
        )
        assert plan(same).fits
        assert not plan(more).fits


def test_no_split_that_fits_is_at_least_several_nodes() -> None:
    found = planned(model="Llama-3.1-405B", gpu="Groq LPU v1")
    assert found.devices_needed is None
    assert level(found) >= Level.MULTI_NODE
    assert "more than 1,024 devices" in present(announcement(found)).text


def test_a_rise_opens_the_announcement_for_six_seconds() -> None:
    quiet = Alerts()
    assert not quiet.is_announced(0)
    risen = quiet.observed(Level.MULTI_DEVICE, 100)
    assert risen.is_announced(100)
    assert risen.is_announced(100 + OPEN_SECONDS - 0.01)
    assert not risen.is_announced(100 + OPEN_SECONDS)
    assert risen.observed(Level.MULTI_DEVICE, 150) == risen


def test_it_can_be_closed_by_hand() -> None:
    closed = Alerts().observed(Level.MULTI_NODE, 5).closed()
    assert not closed.is_announced(6)
    assert not closed.observed(Level.MULTI_NODE, 60).is_announced(60)


def test_a_rise_within_the_cool_down_waits() -> None:
    alerts = Alerts().observed(Level.MULTI_DEVICE, 0)
    waiting = alerts.observed(Level.DATACENTRE, 3)
    assert waiting == alerts
    shown = waiting.observed(Level.DATACENTRE, COOL_DOWN_SECONDS)
    assert shown.level is Level.DATACENTRE
    assert shown.last_shown_at == COOL_DOWN_SECONDS
    assert shown.is_announced(COOL_DOWN_SECONDS + 1)


def test_how_long_a_waiting_rise_has_to_wait() -> None:
    alerts = Alerts().observed(Level.MULTI_DEVICE, 0)
    assert Alerts().wait(Level.DATACENTRE, 0) is None
    assert alerts.wait(Level.MULTI_DEVICE, 3) is None
    wait = alerts.wait(Level.DATACENTRE, 3)
    assert wait == COOL_DOWN_SECONDS - 3
    assert alerts.observed(Level.DATACENTRE, 3 + wait).is_announced(3 + wait)


def test_a_rise_that_is_over_before_the_cool_down_is_never_shown() -> None:
    alerts = Alerts().observed(Level.MULTI_DEVICE, 0).observed(Level.MULTI_NODE, 3).observed(Level.NONE, 8)
    assert alerts.level is Level.NONE
    assert alerts.observed(Level.NONE, 20).last_shown_at == 0


def test_a_fall_is_silent_and_the_next_rise_counts() -> None:
    alerts = Alerts().observed(Level.DATACENTRE, 0).observed(Level.MULTI_DEVICE, 30)
    assert not alerts.is_announced(30)
    assert alerts.observed(Level.MULTI_NODE, 31).is_announced(31)


moments = st.lists(
    st.tuples(st.floats(0.01, 8), st.sampled_from(Level), st.booleans(), st.booleans()), min_size=1, max_size=40
)


@given(moments)
def test_the_announcement_never_opens_twice_within_the_cool_down(steps: list[tuple[float, Level, bool, bool]]) -> None:
    alerts, now, opened = Alerts(), 0.0, []
    for wait, reached, close, renew in steps:
        now += wait
        before = alerts
        alerts = alerts.observed(reached, now)
        opens = alerts.last_shown_at != before.last_shown_at
        opened += [now] * opens
        assert reached > before.level or not opens
        assert alerts.level <= reached
        alerts = alerts.closed() if close else alerts
        alerts = alerts.renewed() if renew else alerts
    assert all(second - first >= COOL_DOWN_SECONDS for first, second in pairwise(opened))
    assert bool(opened) == any(reached > Level.NONE for _, reached, *_ in steps)


def test_marks_fire_once_each_until_the_scenario_changes() -> None:
    fired = []
    alerts = Alerts()
    for used in (0.1, 0.79, 0.8, 0.85, 0.5, 0.99, 1.0, 1.01, 2.0, 0.3, 1.5):
        alerts, notices = alerts.marked(used)
        fired += [(used, notice.id, notice.severity) for notice in notices]
    assert fired == [(0.8, "near_capacity", "warning"), (1.01, "over_capacity", "critical")]
    assert alerts.marked(1.5)[1] == ()
    assert [notice.id for notice in alerts.renewed().marked(0.9)[1]] == ["near_capacity"]


def test_jumping_over_both_marks_gives_the_higher_one_alone() -> None:
    alerts, notices = Alerts().marked(1.7)
    assert [notice.id for notice in notices] == ["over_capacity"]
    assert alerts.marked(0.9)[1] == ()


def test_a_changed_scenario_keeps_the_announcements_cool_down() -> None:
    alerts = Alerts().observed(Level.MULTI_DEVICE, 0).renewed()
    assert not alerts.observed(Level.MULTI_NODE, 5).is_announced(6.5)
    assert alerts.level is Level.MULTI_DEVICE


def test_devices_that_are_there_are_to_be_split_another_way() -> None:
    """Every rank of tensor parallelism keeps all of a latent cache: eight lack the room that six stages have."""
    scenario = {"model": "DeepSeek-V3", "gpu": "H200 SXM", "gpus": "8", "weight_dtype": "fp8"}
    found = planned(**scenario, context="64K", batch="16")
    assert found.devices_needed == 6
    assert present(announcement(found)).text.endswith("6 of them would hold it, split another way")
