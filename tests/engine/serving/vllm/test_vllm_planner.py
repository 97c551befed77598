"""vLLM's own planning code is asked the same: blocks, groups, padding, requests, concurrency, tokens, contexts."""

from __future__ import annotations

import pytest

from tests.engine.serving.vllm.planner import Recorded, answered, recorded, wanted
from tests.paths import DATA


@pytest.mark.parametrize("case", recorded(), ids=lambda case: case.name)
def test_a_recorded_answer_is_given(case: Recorded) -> None:
    assert answered(case) == wanted(case)


MIXES = recorded((DATA / "vllm" / "planner_mixes.json").read_text())


@pytest.mark.parametrize("case", MIXES, ids=lambda case: case.name)
def test_a_mix_that_no_released_model_has(case: Recorded) -> None:
    asked, ours = wanted(case), answered(case)
    pools = [{key: pool[key] for key in asked["pools"][0]} for pool in ours["pools"]]
    assert {**{key: ours[key] for key in asked}, "pools": pools} == asked
