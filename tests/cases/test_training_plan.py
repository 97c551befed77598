"""What is trained: the plans, their models and the named sets."""

from __future__ import annotations

import json

import pytest

from kvtui.cases.prediction import model_spec
from kvtui.cases.training import SETS, TrainingPlan, training_set
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import cache_bytes


def test_the_cache_of_each_attention_is_that_of_its_name() -> None:
    per_token = {}
    for attention in ("MHA", "GQA-2", "MQA", "MLA-16"):
        spec = model_spec(TrainingPlan(attention=attention).shape(107))
        per_token[attention] = cache_bytes(spec.caches, 1, FORMATS["fp32"]).kv // 4
    assert per_token == {"MHA": 2 * 2 * 4 * 16, "GQA-2": 2 * 2 * 2 * 16, "MQA": 2 * 2 * 16, "MLA-16": 2 * (16 + 8)}


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_of_runs_with_names_of_their_own(name: str) -> None:
    plans = training_set(name)
    assert len({plan.name for plan in plans}) == len(plans)
    assert [TrainingPlan.from_json(json.loads(json.dumps(plan.to_json()))) for plan in plans] == plans


def test_the_tiny_set_is_part_of_what_comes_with_kvtui() -> None:
    assert set(training_set("tiny")) <= set(training_set("bundled"))
    seeds = {(plan.attention, plan.dim, plan.experts): 0 for plan in training_set("bundled")}
    for plan in training_set("bundled"):
        seeds[plan.attention, plan.dim, plan.experts] += 1
    assert set(seeds.values()) == {3}


@pytest.mark.parametrize(
    "values",
    [
        {"attention": "SWA"},
        {"attention": "GQA-3"},
        {"attention": "MLA-"},
        {"attention": "MLA-999999"},
        {"dim": 0},
        {"dim": True},
        {"dim": 10**9},
        {"heads": 3},
        {"experts": "4"},
        {"experts": "2/4"},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"tokens": "word"},
        {"context": 1},
        {"seed": -1},
        {"colour": "red"},
        {"steps": "many"},
    ],
)
def test_what_cannot_be_trained_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TrainingPlan.from_json(values)
