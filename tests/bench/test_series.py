"""How samples are taken: real programs stepped through, and the rules of warming up and collecting on known timings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench import series
from kvtui.bench.compiled import Program, build
from kvtui.bench.nn import transformer
from kvtui.bench.series import Advance, GenerationState, Inputs, Timed
from kvtui.cases.case import Case, Sampler, TransformerShape
from kvtui.cases.protocol import TimeBudget

SHAPE = TransformerShape(dim=32, heads=2, head_dim=16, kv_heads=1, blocks=2, hidden=32, vocab=32, context=24)
CASE = Case(SHAPE, batch=2, prompt=5, sampler=Sampler(temperature=0.8, top_k=8))


@pytest.fixture(scope="module")
def ready() -> tuple[dict[str, Program], Inputs]:
    """The compiled programs of CASE and its inputs."""
    jax.config.update("jax_disable_most_optimizations", True)  # type: ignore[no-untyped-call]
    compiled = build(series.sources(CASE, series.names(CASE))).programs
    jax.config.update("jax_disable_most_optimizations", False)  # type: ignore[no-untyped-call]
    return compiled, series.inputs(CASE, series.init_weights(SHAPE))


def opened(ready: tuple[dict[str, Program], Inputs]) -> tuple[GenerationState, Mapping[str, Advance]]:
    compiled, inputs = ready
    state = series.start(CASE, compiled, inputs)
    return state, series.advances(CASE, compiled, inputs, state)


def test_the_cache_starts_with_the_prompts_own_keys_and_values(ready: tuple[dict[str, Program], Inputs]) -> None:
    _, inputs = ready
    state, _ = opened(ready)
    assert state.at == CASE.prompt
    empty = transformer.init_cache(SHAPE, CASE.batch, CASE.cache_length, "contiguous")
    _, expected = jax.jit(lambda *given: transformer.prefill(SHAPE, *given))(inputs.weights, inputs.prompt, empty)
    leaves = zip(jax.tree.leaves(state.cache), jax.tree.leaves(expected), strict=True)
    for array, wanted in leaves:
        np.testing.assert_allclose(array, wanted, atol=1e-5)
        assert np.all(np.any(np.asarray(array)[:, : CASE.prompt] != 0, axis=-1))
        assert not np.any(np.asarray(array)[:, CASE.prompt :])


def test_a_scan_makes_the_tokens_that_single_steps_make(ready: tuple[dict[str, Program], Inputs]) -> None:
    alone, ways = opened(ready)
    single = []
    for _ in range(series.scan_steps(CASE)):
        single.append(np.asarray(alone.rest[0]))
        alone = ways["decode_step"](alone).state
    state, ways = opened(ready)
    together = ways["decode_scan"](state).state
    assert together.at == alone.at == CASE.prompt + series.scan_steps(CASE)
    assert int(together.rest[1]) == together.at
    np.testing.assert_array_equal(together.rest[0], alone.rest[0])
    assert len({tuple(tokens) for tokens in single}) > 1


def test_decoding_goes_to_the_last_slot_and_begins_again_behind_the_prompt(
    ready: tuple[dict[str, Program], Inputs],
) -> None:
    state, ways = opened(ready)
    positions = []
    for _ in range(2 * (CASE.cache_length - CASE.prompt) + 1):
        _, at, state = ways["decode_step"](state)
        positions.append(at)
        assert int(state.rest[1]) == at + 1
    whole = list(range(CASE.prompt, CASE.cache_length))
    assert positions == [*whole, *whole, CASE.prompt]


def test_a_prefill_between_steps_brings_generation_back_to_the_prompt(ready: tuple[dict[str, Program], Inputs]) -> None:
    state, ways = opened(ready)
    first = np.asarray(state.rest[0])
    for _ in range(3):
        state = ways["decode_step"](state).state
    (prefill, ttft), at, state = ways["prefill"](state)
    assert (at, state.at) == (0, CASE.prompt)
    assert 0 < prefill < ttft
    np.testing.assert_array_equal(state.rest[0], first)


def test_the_prompt_is_random_but_always_the_same() -> None:
    prompt = np.asarray(series.inputs(CASE, series.init_weights(SHAPE)).prompt)
    assert prompt.shape == (CASE.batch, CASE.prompt)
    assert len(np.unique(prompt)) > 3
    np.testing.assert_array_equal(prompt, series.inputs(CASE, series.init_weights(SHAPE)).prompt)
    longer = series.inputs(replace(CASE, batch=1), series.init_weights(SHAPE)).prompt
    assert longer.shape == (1, CASE.prompt)


def test_only_cases_with_a_cache_have_a_scan() -> None:
    assert series.names(CASE) == ("prefill", "first", "decode_step", "decode_scan")
    assert series.names(replace(CASE, cache="none")) == ("prefill", "first", "decode_step")


@given(st.integers(1, 23))
def test_a_scan_never_needs_more_room_than_there_is(prompt: int) -> None:
    assert 1 <= series.scan_steps(replace(CASE, prompt=prompt)) <= min(16, 24 - prompt)


def clock(times: Iterable[float]) -> Advance:
    """A series whose samples take the given milliseconds, without taking any time."""
    left = iter(times)
    return lambda state: Timed((next(left),), state.at, GenerationState(state.at + 1, (), ()))


START = GenerationState(0, (), ())


@pytest.mark.parametrize(
    ("times", "warmup", "calls", "steady"),
    [
        ([9, 9, 9, 1, 1, 1, 1, 1, 1], 3, 8, True),
        ([1] * 6, 3, 6, True),
        ([1] * 8, 8, 8, True),
        ([], 0, 0, False),
    ],
)
def test_warming_up_goes_on_until_two_windows_agree(times: list[float], warmup: int, calls: int, steady: bool) -> None:
    state, found = series.warm_up(clock(times), START, TimeBudget(warmup=warmup, seconds=60))
    assert (state.at, found) == (calls, steady)


def test_warming_up_ends_with_its_time_but_not_before_its_least_calls() -> None:
    state, steady = series.warm_up(clock([8.0, 4.0, 2.0, 1.0]), START, TimeBudget(warmup=4, seconds=0))
    assert (state.at, steady) == (4, False)


@given(st.integers(1, 50), st.integers(0, 100), st.sampled_from([1, 2]), st.sampled_from([0.0, 60.0]))
def test_samples_are_as_many_as_the_budget_says(trials: int, most: int, share: int, seconds: float) -> None:
    budget = TimeBudget(trials=trials, most=most, seconds=seconds)
    state, ms, positions = series.collect(clock(range(1000)), START, budget, share)
    least = -(-trials // share)
    assert len(ms) == (max(least, most // share) if seconds else least)
    left_out = 1 if seconds else 0
    assert ms == [(number,) for number in range(left_out, len(ms) + left_out)], "a short first call is no sample"
    assert positions == [number for (number,) in ms]
    assert state.at == len(ms) + left_out
