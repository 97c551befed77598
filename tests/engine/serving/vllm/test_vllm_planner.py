"""vLLM's own planning code is asked the same: blocks, groups, padding, requests, concurrency, tokens, contexts."""

from __future__ import annotations

import pytest

from tests.engine.serving.vllm.planner import Recorded, answered, recorded, wanted


@pytest.mark.parametrize("case", recorded(), ids=lambda case: case.name)
def test_a_recorded_answer_is_given(case: Recorded) -> None:
    assert answered(case) == wanted(case)
