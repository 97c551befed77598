"""Fixes: each is planned again and fits, none is idle or dominated, and less to ask for is never dearer."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.advice.fixes import MOST_FIXES, Fix, burden, criteria, fixes
from kvtui.engine.advice.risk import LEVELS, cache_risk, weights_risk
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import device_parts, shortage
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from, to_values
from kvtui.report.listings import format_sizes

Values = dict[str, str | bool]

SCENARIOS: tuple[Values, ...] = (
    {"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"},
    {"model": "Llama-3.1-8B", "gpu": "RTX 4090", "context": "128K", "batch": "4"},
    {"model": "Llama-3.3-70B", "engine": "vllm", "context": "32K", "batch": "35"},
    {"model": "Llama-3.1-70B", "engine": "sglang", "context": "32K", "batch": "8"},
    {"model": "Llama-3.1-70B", "engine": "tensorrt-llm", "context": "32K", "batch": "8"},
    {"model": "gemma-3-27b", "gpu": "RTX 4090", "engine": "llama.cpp", "weight_dtype": "q8_0", "context": "128K"},
    {"model": "DeepSeek-R1", "context": "32K", "batch": "8"},
    {"model": "Qwen3-Next-80B-A3B", "context": "1M", "batch": "8", "cb": True, "fill": "average", "pa": True},
    {"model": "Llama-3.1-8B", "context": "64K", "batch": "4", "kv_pool": "8GiB"},
)


def found(values: Values) -> tuple[Scenario, tuple[Fix, ...]]:
    scenario = scenario_from(values)
    return scenario, fixes(scenario)


def fits(scenario: Scenario) -> bool:
    try:
        return plan(scenario).fits
    except InputError:
        return False


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda values: f"{values['model']} {values.get('engine', '')}")
def test_every_fix_is_what_its_own_plan_says_and_each_change_is_needed(values: Values) -> None:
    scenario, offered = found(values)
    assert 1 <= len(offered) <= MOST_FIXES
    for fix in offered:
        planned = plan(fix.scenario)
        assert planned.fits
        assert adapted(scenario, fix.fields)[0] == fix.scenario
        limits, times = capacity(planned), estimate(planned)
        assert fix.answer.context == limits.context
        assert fix.scenario.shared_prefix or fix.answer.sequences == limits.sequences
        assert fix.answer.times == times
        after = fix.scenario
        assert fix.free_bytes == -shortage(after, device_parts(after, after.context, after.batch)) >= 0
        engine = [change for change in fix.changes if change.fields == {"engine": "llama.cpp"}]
        others = [change for change in fix.changes if change not in engine]
        assert 1 <= len(others) <= 3
        for fewer in combinations(others, len(others) - 1):
            fields = {name: value for change in (*fewer, *engine) for name, value in change.fields.items()}
            assert not fits(adapted(scenario, fields)[0]), f"{fix.name} works without a part of it"


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda values: f"{values['model']} {values.get('engine', '')}")
def test_fixes_are_ranked_and_none_is_dominated(values: Values) -> None:
    scenario, offered = found(values)
    assert all(first.burden <= second.burden for first, second in pairwise(offered))
    for one, other in combinations(offered, 2):
        pairs = list(zip(criteria(scenario, one), criteria(scenario, other), strict=True))
        assert any(a < b for a, b in pairs), f"{other.name} dominates {one.name}"
        assert any(a > b for a, b in pairs), f"{one.name} dominates {other.name}"
    for fix in offered:
        assert (
            fix.burden
            == burden(scenario, fix.changes)
            > max(burden(scenario, fix.changes[:part]) for part in range(len(fix.changes)))
        )


def test_what_fits_needs_no_fix() -> None:
    assert fixes(scenario_from({"model": "Llama-3.1-8B"})) == ()


@given(
    batch=st.integers(1, 40),
    less=st.integers(0, 39),
    context=st.sampled_from([8192, 16384, 32768, 65536, 131072]),
    shorter=st.sampled_from([1, 2, 4]),
)
def test_to_ask_for_less_never_makes_the_cheapest_fix_dearer(batch: int, less: int, context: int, shorter: int) -> None:
    """Everything that fixes the larger wish fixes the smaller, and giving up part of it gives up less."""
    scenario = scenario_from({"model": "Qwen3-32B", "gpu": "H100 SXM"})._replace(context=context, batch=batch)
    smaller = scenario._replace(context=context // shorter, batch=max(1, batch - less))
    larger_fixes, smaller_fixes = fixes(scenario), fixes(smaller)
    if larger_fixes and smaller_fixes:
        assert smaller_fixes[0].burden <= larger_fixes[0].burden + 1e-9
    elif smaller_fixes:
        assert not plan(scenario).fits


def test_a_flag_is_cheaper_than_a_format_and_that_than_devices() -> None:
    """Qwen3-32B in bf16 on a 4090 needs 4 devices; in IQ4_XS with a q8_0 cache it fits one."""
    _, offered = found(SCENARIOS[0])
    assert offered[0].name == "iq4_xs weights + q8_0 KV, with llama.cpp"
    assert offered[0].risk.word == "low to medium"
    four = next(fix for fix in offered if fix.name == "4 devices (tp 4)")
    assert four.risk.level == 0
    assert four.answer.sequences == 3


def test_formats_that_one_engine_runs_are_planned_with_it_and_name_it() -> None:
    """What is the answer without an engine is one when the engine is named, from a command line too."""
    scenario = scenario_from({"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K"})
    offered = fixes(scenario)
    gguf = [fix for fix in offered if fix.scenario.weight_dtype in ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs")]
    assert len(gguf) > 1
    for fix in gguf:
        assert fix.scenario.engine == "llama.cpp"
        assert "with llama.cpp" in fix.name
        assert plan(scenario_from(to_values(fix.scenario))).fits
    named = {fix.name for fix in fixes(adapted(scenario, {"engine": "llama.cpp"})[0])}
    assert {fix.name.removesuffix(", with llama.cpp") for fix in gguf} <= named


def test_a_format_of_five_bits_or_more_is_never_of_high_risk_and_only_plain_rounding_has_no_row() -> None:
    model = find_model("Llama-3.1-8B")
    risks = {size.name: (size.bits_per_weight, weights_risk(size.name, model)) for size in format_sizes(model)}
    assert not {name for name, (bits, risk) in risks.items() if bits >= 5 and risk.word == "high"}
    assert {name for name, (_, risk) in risks.items() if "outliers" in risk.source} == {"int4"}
    for mixture, base in (("ud-q8_k_xl", "q8_0"), ("ud-q4_k_xl", "q4_k_m"), ("ud-iq1_s", "iq1_s")):
        assert risks[mixture][1] == risks[base][1]
    assert "w4a16-g32-experts" not in risks, "without experts it is bf16"


def test_published_weights_risk_nothing_and_four_bits_of_cache_risk_the_most() -> None:
    model, other = find_model("DeepSeek-R1"), find_model("Llama-3.1-8B")
    assert weights_risk("fp8", model).level == 0 == weights_risk("bf16", other).level
    assert weights_risk("fp8", other).word == "low"
    assert weights_risk("Q4_K_M", other).word == "low to medium"
    assert cache_risk("fp8").word == cache_risk("q8_0").word == "low"
    assert cache_risk("int4").word == cache_risk("q4_0").word == "high" == LEVELS[-1]
    for risk in (weights_risk("fp8", other), weights_risk("q4_k_m", other), cache_risk("int4"), cache_risk("fp8")):
        assert risk.source


def test_after_another_change_there_may_be_more_sequences_than_slots() -> None:
    """Qwen3.6-27B in NVFP4 fits an RTX 5090, but vLLM has fewer blocks of state than it takes sequences by default."""
    scenario = scenario_from({"engine": "vllm", "model": "Qwen3.6-27B", "weight_dtype": "fp8", "gpu": "RTX 5090"})
    first = fixes(scenario)[0]
    assert [change.axis for change in first.changes] == ["weights", "setting"]
    served = serve(first.scenario)
    assert served is not None
    assert served.starts
    assert 0 < (first.scenario.serving.max_seqs or 0) <= (served.state_slots or 0)
