"""Levers: each gain worked out again by the slow way, losses said, and what cannot be had with its reason."""

from __future__ import annotations

from itertools import count, pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvtui.engine.advice.levers import (
    LONG_CONTEXT,
    MEASURES,
    SHORT_CONTEXT,
    Lever,
    Measure,
    effect,
    gains,
    levers,
    ranked,
)
from kvtui.engine.advice.matrix import MatrixAnswer
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.drafting import expected_tokens
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import fits
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.candidates import Idle
from tests.present import present

SCENARIOS: tuple[dict[str, str | bool], ...] = (
    {"model": "Llama-3.1-8B", "context": "128K", "batch": "8"},
    {"model": "Llama-3.1-8B", "context": "8K", "batch": "2", "pa": True, "cb": True, "fill": "average"},
    {"model": "Qwen3-Next-80B-A3B", "context": "32K", "tp": "4", "fa": False},
    {"model": "gemma-3-27b", "context": "128K", "engine": "llama.cpp"},
    {"model": "Qwen3.5-35B-A3B", "context": "64K", "engine": "vllm", "gpu": "H200 SXM"},
    {"model": "DeepSeek-V3.2", "gpu": "H200 SXM", "tp": "8", "dtype": "fp8", "context": "64K", "engine": "sglang"},
    {"model": "Llama-3.1-70B", "context": "32K", "tp": "2", "engine": "tensorrt-llm"},
)


def named(found: list[Lever | Idle], name: str) -> Lever | Idle:
    return next(lever for lever in found if lever.name == name)


def a_lever(found: list[Lever | Idle], name: str) -> Lever:
    lever = named(found, name)
    assert isinstance(lever, Lever)
    return lever


def why_idle(found: list[Lever | Idle], name: str) -> str:
    idle = named(found, name)
    assert isinstance(idle, Idle)
    return idle.reason


def words(lever: Lever | Idle) -> str:
    return effect(lever) if isinstance(lever, Lever) else lever.reason


NOUNS = {
    "max_sequences": "sequences",
    "max_context_tokens": "max context",
    "tokens_per_second": "tokens/s",
    "usd_per_million_tokens": "$/M tokens",
}


def held(scenario: Scenario) -> int | None:
    """Sequences of the scenario by its plan; with a shared prefix, by trying one number after the other."""
    if not scenario.shared_prefix:
        return capacity(plan(scenario)).sequences
    return next(batch for batch in count() if not fits(scenario, scenario.context, batch + 1))


def times_better(lever: Lever, measure: str) -> float:
    """How many times better ``measure`` is after the change, by the two answers alone; 1 where it is not known."""

    def value(found: MatrixAnswer) -> float | None:
        match measure:
            case "max_sequences":
                return inf if found.sequences is None else found.sequences
            case "max_context_tokens":
                return inf if found.context is None else found.context
        band = found.times and found.times.tokens_per_second
        return sum(band) if band else None

    if measure == "usd_per_million_tokens":
        costs = [sum(band) if band else None for band in lever.costs]
        before, after = costs[0], costs[1]
    else:
        before, after = value(lever.before), value(lever.after)
    if before == after or before is None or after is None:
        return 1.0
    if measure == "usd_per_million_tokens":
        before, after = after, before
    return after / before if before else inf


@pytest.mark.parametrize("values", SCENARIOS)
def test_every_gain_is_what_two_plans_say(values: dict[str, str | bool]) -> None:
    """Against plan, capacity and estimate of the scenario before and after, and at the other context."""
    scenario = scenario_from(values)
    other = LONG_CONTEXT if scenario.context <= SHORT_CONTEXT else SHORT_CONTEXT
    found = [lever for lever in levers(scenario) if isinstance(lever, Lever)]
    assert found
    for lever in found:
        assert lever.scenario == adapted(scenario, lever.fields)[0]
        for answer, of in ((lever.before, scenario), (lever.after, lever.scenario)):
            planned = plan(of)
            wanted = (planned.fits, capacity(planned).context, held(of), estimate(planned))
            assert (answer.fits, answer.context, answer.sequences, answer.times) == wanted
        for cost, of, room in zip(
            lever.costs,
            (scenario, lever.scenario),
            (lever.before.sequences, lever.after.sequences),
            strict=True,
        ):
            crowd = of._replace(batch=max(room, of.layout.dp), lengths=None) if room else of
            assert cost == estimate(plan(crowd)).usd_per_million_tokens, lever.name
        one_context = lever.scenario.context != scenario.context or lever.scenario.shared_prefix
        pair = tuple(held(of._replace(context=other, shared_prefix=0)) for of in (scenario, lever.scenario))
        assert lever.elsewhere == (None if one_context else pair)


@pytest.mark.parametrize("values", SCENARIOS)
def test_no_lever_loses_without_saying(values: dict[str, str | bool]) -> None:
    """What is one percent worse by the two answers is said to be worse, and nothing else is."""
    found = list(levers(scenario_from(values)))
    assert all(lever.reason for lever in found if isinstance(lever, Idle))
    for lever in found:
        if isinstance(lever, Idle):
            continue
        told = {gain.figure: gain for gain in gains(lever)}
        worse = {name for name in NOUNS if told and times_better(lever, name) < 0.99}
        said = {name for name in told.keys() & NOUNS.keys() if not told[name].better}
        assert worse <= said
        assert all(times_better(lever, name) < 1 for name in said)
        assert all(NOUNS[name] in told[name].words for name in told.keys() & NOUNS.keys())
        assert any(gain.better for gain in told.values()) or "speculati" in lever.name


def test_what_is_lost_stands_beside_what_is_gained() -> None:
    """Without speculation more fits, and the tokens that it gave are gone; a wider split costs as many devices more."""
    values = {"model": "DeepSeek-V3", "gpu": "H200 SXM", "tp": "8", "dtype": "fp8", "context": "32K", "batch": "8"}
    found = list(levers(scenario_from({**values, "speculative_tokens": "3"})))
    assert "gives up 2.5 tokens a step" in a_lever(found, "no speculation").caveat
    cost = next(gain for gain in gains(a_lever(found, "tp 16")) if gain.figure == "usd_per_million_tokens")
    assert cost.words.startswith("+")
    assert not cost.better


@given(st.sampled_from(SCENARIOS), st.sampled_from(MEASURES))
@settings(max_examples=5)
def test_the_rank_follows_the_measure(values: dict[str, str | bool], measure: Measure) -> None:
    order = ranked(levers(scenario_from(values)), measure)
    rescued = [not lever.before.fits and lever.after.fits for lever in order]
    assert rescued == sorted(rescued, reverse=True)
    for part in (True, False):
        ratios = [times_better(lever, measure) for lever, saved in zip(order, rescued, strict=True) if saved == part]
        assert all(one >= 0.99 * next_one for one, next_one in pairwise(ratios))


def test_the_words_of_a_format() -> None:
    found = list(levers(scenario_from({"context": "128K", "batch": "4", "engine": "vllm@0.20"})))
    lever = a_lever(found, "fp8 KV")
    narrow = lever.scenario._replace(context=16 * 1024)
    assert f"{present(serve(narrow)).max_sequences:,} at 16K" in effect(lever), "of what does not fit, no percents"
    assert "sequences at 128K" in effect(lever)
    assert lever.caveat == "check the answers' quality"


def test_what_cannot_be_had_says_so() -> None:
    vllm = list(levers(scenario_from({"engine": "vllm", "context": "32K"})))
    assert not any(lever.name.startswith("q4_0") for lever in vllm)
    assert "no fp4 math" in why_idle(vllm, "nvfp4 KV")
    assert "always works so" in why_idle(vllm, "paged attention, continuous batching")
    assert "multi-token-prediction" in why_idle(vllm, "speculative tokens")
    assert why_idle(vllm, "FlashAttention") == "on already"
    file = scenario_from({})._replace(
        model=scenario_from({}).model._replace(weight_bytes=2**34),
        weight_dtype="file",
        model_ref="x",
    )
    assert "file" in why_idle(list(levers(file)), "smaller weights")


def test_a_scenario_without_an_answer_has_no_levers() -> None:
    unknown = scenario_from({}).model._replace(parameters=None)
    assert list(levers(scenario_from({})._replace(model=unknown))) == []


def test_latents_are_not_divided_by_ranks_but_by_replicas() -> None:
    values: dict[str, str | bool]
    values = {"model": "DeepSeek-V2-Lite", "tp": "4", "context": "128K", "batch": "16", "pa": True}
    lever = a_lever(list(levers(scenario_from(values))), "dp 4 instead of tp 4")
    assert present(lever.after.sequences) > 2.5 * present(lever.before.sequences)


def test_a_model_that_is_too_large_gets_as_many_ranks_as_it_needs() -> None:
    scenario = scenario_from({"model": "Llama-3.1-70B", "context": "128K", "batch": "8"})
    found = list(levers(scenario))
    assert ranked(found)[0].name == "tp 8"
    assert words(ranked(found)[0]).startswith("the batch fits, 12 sequences at 128K")
    assert why_idle(found, "fp8 or int8 KV") == "not enough by itself"


def test_a_context_beyond_the_models_maximum() -> None:
    found = list(levers(scenario_from({"model": "Llama-2-7B", "context": "32K"})))
    assert "sequences, each of 4K" in words(named(found, "context 4K"))
    assert sum(lever.name == "context 4K" for lever in found) == 1


def test_drafts_cost_memory_and_say_what_they_bring() -> None:
    found = list(levers(scenario_from({"model": "DeepSeek-V3", "gpu": "H200 SXM", "tp": "8", "dtype": "fp8"})))
    lever = a_lever(found, "3 speculative tokens")
    assert any(not gain.better for gain in gains(lever))
    assert "2.5 tokens a step if 70 %" in lever.caveat


@pytest.mark.parametrize(("acceptance", "drafted", "tokens"), [(0.0, 3, 1.0), (1.0, 3, 4.0), (0.5, 2, 1.75)])
def test_expected_tokens_of_a_step(acceptance: float, drafted: int, tokens: float) -> None:
    assert expected_tokens(acceptance, drafted) == pytest.approx(tokens)


@given(st.floats(0, 0.999), st.integers(0, 20))
def test_expected_tokens_are_a_sum_of_powers(acceptance: float, drafted: int) -> None:
    """One token always, and each draft with the probability that it and all before it are accepted."""
    assert expected_tokens(acceptance, drafted) == pytest.approx(sum(acceptance**i for i in range(drafted + 1)))


def test_a_cost_beside_the_most_sequences_is_the_cost_at_that_many() -> None:
    """An fp8 cache holds twice as many sequences: a million tokens cost half, and not 3 % less as at batch 1."""
    values = {"model": "Llama-3.3-70B", "gpu": "H100 SXM", "tp": "2", "weight_dtype": "fp8", "context": "16K"}
    lever = a_lever(list(levers(scenario_from(values))), "fp8 or int8 KV")
    told = {gain.figure: gain for gain in gains(lever)}
    assert told["usd_per_million_tokens"].words == "−50 % $/M tokens at the most sequences"
    assert told["tokens_per_second"].words == "+3 % tokens/s at batch 1"


def test_what_is_on_already_is_not_offered_by_its_name() -> None:
    found = list(levers(scenario_from({"context": "32K", "cb": True, "fill": "full"})))
    assert not any("continuous batching of" in lever.name for lever in found)
    assert a_lever(found, "sequences of an average fill")
