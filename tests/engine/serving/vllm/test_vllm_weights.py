"""What vLLM says that a rank loaded ("Model loading took"), against the weights of the checkpoint's format."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import GIB
from tests.engine.serving.vllm.test_vllm_pools import STARTS

APART = {
    ("gpt-oss-20b", "mxfp4"): "less was loaded than half of the published files have",
    (
        "Llama-3.1-70B",
        "fp8",
    ): "a byte was loaded for each parameter, where FP8-dynamic has embedding and head in 16 bits",
    ("Qwen3.5-35B-A3B", "nvfp4"): "the publisher of this checkpoint left linear attention in 16 bits",
    ("Qwen2.5-7B", "awq"): "0.1 GiB more was loaded than the files have",
}
"""Checkpoints that are not what their format usually is, or not known well enough, and what is seen of them."""

WEIGHED = {name: start for name, start in STARTS.items() if "weights" in start.logged}
USUAL = {
    name: start
    for name, start in WEIGHED.items()
    if "unexplained_weights" not in start.logged
    and (start.scenario.model.name, start.scenario.weight_dtype) not in APART
}


def error(name: str) -> float:
    """How much more is predicted than was logged, as a share of it."""
    start = WEIGHED[name]
    return float(start.divided().bytes_of("weights") / GIB / start.logged["weights"] - 1)


@pytest.mark.parametrize("name", USUAL)
def test_a_rank_loads_what_the_log_says(name: str) -> None:
    assert abs(error(name)) < 0.015


def test_most_starts_are_usual_and_the_others_are_indeed_apart() -> None:
    """Of bf16 and fp8 all but two, of others half; what is listed as apart is off by more."""
    plain = [name for name, start in WEIGHED.items() if not start.quantised]
    assert len(plain) >= 19
    assert len([name for name in plain if name not in USUAL]) == 2
    assert len(USUAL) - len(plain) + 2 >= 6
    assert min(abs(error(name)) for name in WEIGHED if name not in USUAL) > 0.015


def test_weights_of_bf16_are_right_to_half_a_thousandth_where_logs_are_that_fine() -> None:
    """Llama-3.1-8B on two and four ranks: norms on each, and the table of 131,072 rotary positions."""
    found = [start for start in WEIGHED.values() if start.scenario.model.name == "Llama-3.1-8B"]
    assert len(found) == 2
    for start in found:
        assert round(start.divided().bytes_of("weights") / GIB, 2) == start.logged["weights"]
