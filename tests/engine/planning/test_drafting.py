"""Speculation in the planner: tokens of a step by simulation, its time by hand, its acceptance from a measured run."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning import grid
from kvtui.engine.planning.drafting import drafter, expected_tokens
from kvtui.engine.planning.estimate import Estimate, SpeculativeStep, estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.roofline import COMPUTE_EFFICIENCY, LAUNCH_SECONDS_PER_LAYER
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.sources.acceptance import measured_acceptance

HEAD = {
    "model": "Llama-3.1-8B",
    "gpu": "H200 SXM",
    "context": "8K",
    "batch": "4",
    "engine": "vllm",
    "draft_layers": "1",
}
OWN = {"model": "DeepSeek-V3", "gpu": "H200 SXM", "tp": "8", "pp": "2", "context": "8K", "batch": "8"}


def timed(values: dict[str, str], **more: str) -> Estimate:
    return estimate(plan(scenario_from({**values, **more})))


def speculation(values: dict[str, str], **more: str) -> SpeculativeStep:
    found = timed(values, **more).speculation
    assert found is not None
    return found


@pytest.mark.parametrize(("share", "drafted"), [(0.0, 3), (0.5, 1), (0.7, 3), (0.9, 8), (1.0, 4)])
def test_tokens_of_a_step_are_those_of_steps_that_were_made(share: float, drafted: int) -> None:
    random, steps, tokens = Random(7), 40_000, 0
    for _ in range(steps):
        accepted = next((n for n in range(drafted) if random.random() >= share), drafted)
        tokens += accepted + 1
    assert tokens / steps == pytest.approx(expected_tokens(share, drafted), rel=0.01)


def test_a_heads_step_by_hand() -> None:
    """Llama-3.1-8B: 32 layers of 218,112,000 weights and a head of 128,256 × 4,096; 4,096 bytes of cache a token."""
    found = speculation(HEAD, speculative_tokens="3", acceptance="0.7")
    layer, head, cache = 218_112_000, 128_256 * 4096, 4 * 8192 * 4096
    fast, slow = (share * 4800e9 for share in (0.90, 0.60))
    launch = LAUNCH_SECONDS_PER_LAYER
    drafts = [
        3e3 * ((2 * (layer + head) + cache) / rate + start) for rate, start in zip((fast, slow), launch, strict=True)
    ]
    passes = [
        1e3 * ((2 * (32 * layer + head) + 32 * cache) / rate + 32 * start)
        for rate, start in zip((fast, slow), launch, strict=True)
    ]
    assert found.draft_ms == pytest.approx(drafts, rel=1e-4)
    assert found.verify_ms == pytest.approx(passes, rel=1e-4)
    assert found.plain_ms == pytest.approx(passes, rel=1e-4), "memory binds: so many tokens cost what one does"
    assert found.tokens == pytest.approx(1 + 0.7 + 0.49 + 0.343)
    assert found.speedup.low == pytest.approx(min(2.533 * p / (p + d) for p, d in zip(passes, drafts, strict=True)))


def test_time_and_throughput_are_the_steps() -> None:
    times = timed(OWN, speculative_tokens="2", acceptance="0.8")
    found = times.speculation
    assert found is not None
    assert times.decode_ms is not None
    assert times.tokens_per_second is not None
    assert times.decode_ms == pytest.approx([ms / found.tokens for ms in found.step_ms])
    assert times.tokens_per_second.low == pytest.approx(8e3 * found.tokens / found.step_ms.high)
    assert found.plain_ms == timed(OWN).decode_ms


def test_experts_make_several_tokens_dear() -> None:
    """Each drafted token meets experts of its own, so that a pass over them reads more weights."""
    found = speculation(OWN, speculative_tokens="3")
    assert found.verify_ms.low > 1.5 * found.plain_ms.low
    assert found.assumed
    assert found.acceptance == 0.7


def test_compute_binds_where_there_are_many_tokens() -> None:
    found = speculation({**HEAD, "batch": "512", "context": "256"}, speculative_tokens="7", acceptance="0.6")
    scenario = scenario_from({**HEAD, "batch": "512", "context": "256"})
    flops = 8 * 512 * 2 * (scenario.model.active_parameters or 0)
    assert found.verify_ms.low > 1e3 * flops / (989e12 * COMPUTE_EFFICIENCY[1])
    assert found.speedup.high < 1, "drafting does not pay where the arithmetic is the limit"


@given(st.integers(1, 8), st.floats(0, 1), st.floats(0, 1))
def test_more_acceptance_is_never_slower(drafted: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    less, more = (speculation(HEAD, speculative_tokens=str(drafted), acceptance=str(share)) for share in (low, high))
    assert less.speedup.low <= more.speedup.low
    assert less.step_ms == more.step_ms
    assert more.tokens <= drafted + 1


@pytest.mark.parametrize("values", [HEAD, OWN, {**OWN, "tp": "4", "dp": "4", "pp": "1", "ep": True, "batch": "9"}])
def test_arrays_say_the_same(values: dict[str, str]) -> None:
    scenario = scenario_from({**values, "speculative_tokens": "3", "acceptance": "0.6"})
    times = estimate(plan(scenario))
    assert times.decode_ms is not None
    rates = grid.decode(scenario, np.array([scenario.context]), np.array([scenario.batch]))
    assert [rates.low_ms[0], rates.high_ms[0]] == pytest.approx(list(times.decode_ms))


def test_a_draft_model_is_read_whole() -> None:
    values = {"model": "Llama-3.1-70B", "gpu": "H200 SXM", "gpus": "2", "engine": "llama.cpp", "weight_dtype": "Q4_K_M"}
    scenario = scenario_from({**values, "draft_model": "Llama-3.2-1B", "speculative_tokens": "4", "context": "4K"})
    found = drafter(scenario)
    assert found is not None
    assert found.active == find_model("Llama-3.2-1B").active_parameters
    assert found.depth == 16
    assert found.kv.name == "fp16"


def run(path: Path, **runs: tuple[float, float, int]) -> Path:
    """A results.json of runs of (accepted a call, share that was refused, calls)."""
    names = ("avg_accepted_tokens_per_call", "resample_rate", "n_calls")
    found = {name: dict(zip(names, values, strict=True)) for name, values in runs.items()}
    path.write_text(json.dumps({"metadata": {}, "speculative": {"by_gamma": found}}))
    return path


def test_acceptance_of_a_measured_run_is_accepted_over_drafted(tmp_path: Path) -> None:
    path = run(tmp_path / "results.json", two=(30.0, 0.25, 10), four=(40.0, 0.20, 10))
    assert measured_acceptance(path) == pytest.approx(700 / 900, abs=1e-4)
    scenario = scenario_from({**HEAD, "speculative_tokens": "2", "acceptance": str(path)})
    assert scenario.acceptance == measured_acceptance(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"speculative": {}}', '{"speculative": {"resample_rate": "x"}}'])
def test_what_is_no_such_run_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        measured_acceptance(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("word", ["1.5", "-0.1", "nan", "no-such-file.json"])
def test_no_share_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="acceptance"):
        scenario_from({**HEAD, "speculative_tokens": "2", "acceptance": word})
