"""Every rule that differs between releases decides something, and is told in words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm.releases import CHANGES, SPAN, Rules, changes, defaults_under, rules
from kvtui.engine.serving.vllm.serve import serve_under

RELEASES = [f"0.{minor}" for minor in range(int(SPAN.oldest[2:]), int(SPAN.newest[2:]) + 1)]
SCENARIOS = [
    scenario_from({"engine": "vllm", **values})
    for values in (
        {"model": "Llama-3.1-8B", "context": "1000"},
        {"model": "Llama-3.1-8B", "context": "1000", "gpu": "B200"},
        {"model": "gemma-3-27b", "context": "32K"},
        {"model": "gpt-oss-20b", "context": "32K", "draft_layers": "1"},
        {"model": "Llama-4-Scout", "context": "64K", "gpus": "8"},
        {"model": "Qwen3.5-27B", "context": "32K", "gpus": "2"},
        {"model": "Qwen3.5-27B", "context": "32K", "kv_pool": "4GiB"},
        {"model": "Qwen3-30B-A3B", "context": "256K", "pp": "2", "pp_partition": "16,32", "kv_pool": "18GiB"},
    )
]


def outcome(found: Rules, scenario: Scenario) -> tuple[object, ...]:
    return serve_under(found, scenario), defaults_under(found, scenario.model, scenario.device)


def values_of(field: str) -> set[Any]:
    """All values that ``field`` has in some release."""
    return {getattr(rules(release), field) for release in RELEASES}


@pytest.mark.parametrize("field", Rules._fields)
def test_every_rule_by_itself_changes_an_outcome(field: str) -> None:
    """A pair of rules that differ in one field alone, and a scenario that is answered differently."""
    pairs = [
        (found, found._replace(**{field: other}))
        for found in map(rules, RELEASES)
        for other in sorted(values_of(field) - {getattr(found, field)})
    ]
    assert pairs
    assert any(outcome(one, scenario) != outcome(other, scenario) for one, other in pairs for scenario in SCENARIOS)


def test_every_rule_has_words_for_its_change() -> None:
    assert set(CHANGES) == set(Rules._fields) - {"version"}


@pytest.mark.parametrize(("older", "newer"), pairwise(RELEASES))
def test_a_release_is_told_of_exactly_where_it_plans_in_another_way(older: str, newer: str) -> None:
    assert bool(changes(newer, older)) == (rules(newer)._replace(version=older) != rules(older))


def test_a_rule_that_ends_is_not_told_as_one_that_begins() -> None:
    assert changes("0.14", "0.13") == [
        "with pipeline stages, the start-up check compares the whole model with one rank"
    ]
    assert changes("0.16", "0.15") == [f"no longer: {changes('0.14', '0.13')[0]}"]
    assert changes("0.31", "0.30") == []
