"""What must hold for the pool of every engine, whatever the model and the device."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.engine.serving.any_model import scenarios


def pool(scenario: Scenario) -> int:
    found = tightest_budget(scenario)
    assert found is not None
    assert found.pool == found.requested - sum(term.bytes for term in found.terms)
    assert all(0 <= term.low <= term.bytes <= term.high for term in (*found.terms, *found.beside))
    return found.pool


@given(st.data(), st.integers(1, 4096), st.integers(1, 4096))
def test_a_pool_never_grows_with_what_is_run_at_once(data: st.DataObject, few: int, more: int) -> None:
    """More sequences, more tokens of a step, or a larger physical batch leave less, or as much."""
    scenario = None
    with suppress(InputError):
        scenario = data.draw(scenarios())
    if scenario is None or scenario.engine == "none" or not scenario.model.parameters:
        return
    scenario, fewer = scenario._replace(kv_pool=None), min(few, more)
    for less, much in (
        (scenario.serving._replace(max_seqs=fewer), scenario.serving._replace(max_seqs=max(few, more))),
        (scenario.serving._replace(ubatch=fewer), scenario.serving._replace(ubatch=max(few, more))),
    ):
        assert pool(scenario._replace(serving=much)) <= pool(scenario._replace(serving=less))
    steps = [scenario._replace(max_batched_tokens=tokens) for tokens in (max(few, more), fewer)]
    assert pool(steps[0]) <= pool(steps[1])


@pytest.mark.parametrize("engine", ["vllm", "vllm@0.16", "vllm@0.19", "sglang", "tensorrt-llm", "llama.cpp"])
@pytest.mark.parametrize("model", ["Llama-3.1-8B", "gpt-oss-20b", "Qwen3-30B-A3B", "gemma-3-12b"])
def test_a_heavier_checkpoint_leaves_less(engine: str, model: str) -> None:
    formats = ("q4_k_m", "q8_0", "bf16") if engine == "llama.cpp" else ("nvfp4", "w8a8", "bf16", "fp32")
    base = {"engine": engine, "model": model, "gpu": "H100"}
    found = [pool(scenario_from({**base, "weight_dtype": one})) for one in formats]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("version", ["0.10", "0.13", "0.16", "0.17", "0.20", "0.24", "0.26", "0.29", "0.33"])
def test_sequences_of_every_release(version: str) -> None:
    sequences = ("1", "2", "7", "8", "64", "126", "127", "128", "129", "160", "256", "1024")
    found = [
        pool(scenario_from({"engine": f"vllm@{version}", "model": "Qwen3-8B", "gpu": "H100", "max_seqs": n}))
        for n in sequences
    ]
    assert found == sorted(found, reverse=True)
