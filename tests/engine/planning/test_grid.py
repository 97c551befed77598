"""The array formulas against the scalar ones, for any scenario."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning import grid
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.parts import budget, device_parts, fits
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.engine.planning.test_properties import devices, scenarios

plain = scenarios(lengths=False).map(lambda scenario: scenario._replace(shared_prefix=0))
pairs = st.lists(st.tuples(st.integers(1, 2**21), st.integers(3, 300)), min_size=1, max_size=5)


@given(plain, pairs)
def test_device_bytes_equal_the_scalar_plan(scenario: Scenario, points: list[tuple[int, int]]) -> None:
    contexts, batches = np.array(points).T
    needs = grid.device_bytes(scenario, contexts, batches)
    expected = [device_parts(scenario, context, batch) for context, batch in points]
    assert needs.total.tolist() == [parts.total for parts in expected]
    assert grid.fits(scenario, needs, np.array(budget(scenario))).tolist() == [fits(scenario, c, b) for c, b in points]


@given(plain)
def test_contexts_and_batches_broadcast(scenario: Scenario) -> None:
    contexts, batches = np.array([1, 4096, 100_000]), np.array([3, 8])
    table = grid.device_bytes(scenario, contexts[None, :], batches[:, None]).total
    assert table.shape == (2, 3)
    assert table[1, 2] == device_parts(scenario, 100_000, 8).total


@given(plain)
def test_capacities_equal_the_scalar_search(scenario: Scenario) -> None:
    found = capacity(plan(scenario))
    contexts = grid.most_context(scenario, np.array([scenario.batch]))
    assert contexts.tolist() == [MAX_TOKENS if found.context is None else found.context]
    sequences = grid.most_sequences(scenario, np.array([scenario.context]))
    assert sequences.tolist() == [MAX_BATCH if found.sequences is None else found.sequences]


@given(plain, st.lists(devices, min_size=1, max_size=4))
def test_budgets_stand_for_devices(scenario: Scenario, several: list[DeviceSpec]) -> None:
    scenario = scenario._replace(flash_attention=True)
    budgets = np.array([device.usable_bytes for device in several])
    contexts = grid.most_context(scenario, np.full(len(several), scenario.batch), budgets)
    for device, context in zip(several, contexts.tolist(), strict=True):
        alone = capacity(plan(scenario._replace(device=device))).context
        assert context == (MAX_TOKENS if alone is None else alone)


roomy = plain.map(lambda scenario: scenario._replace(device=scenario.device._replace(usable_bytes=2**62)))


@given(roomy)
@example(scenario_from({"model": "Llama-3.1-8B", "gpus": "2"}))
def test_decode_bands_equal_the_scalar_estimate(scenario: Scenario) -> None:
    times = estimate(plan(scenario))
    rates = grid.decode(scenario, np.array([scenario.context]), np.array([scenario.batch]))
    bands = [(nan, nan) if band is None else band for band in (times.decode_ms, times.tokens_per_second)]
    found = [rates.low_ms[0], rates.high_ms[0], rates.low_tokens[0], rates.high_tokens[0]]
    assert found == pytest.approx([end for band in bands for end in band], nan_ok=True)


def test_bytes_that_arrays_cannot_count_are_refused() -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B"})
    with pytest.raises(InputError, match="exactly"):
        grid.device_bytes(scenario, np.array([MAX_TOKENS]), np.array([MAX_BATCH]))


def test_unknown_weights_are_refused_as_by_the_scalar_plan() -> None:
    unknown = find_model("Llama-3.1-8B")._replace(parameters=None)
    scenario = scenario_from({"model": "Llama-3.1-8B"})._replace(model=unknown)
    with pytest.raises(InputError, match="unknown"):
        grid.device_bytes(scenario, np.array([1]), np.array([1]))


def test_every_catalogue_device_can_be_a_budget() -> None:
    scenario = scenario_from({"model": "Qwen3-8B"})
    budgets = np.array([device.usable_bytes for device in all_devices()])
    found = grid.most_sequences(scenario, np.array([8192]), budgets)
    assert (np.diff(found[np.argsort(budgets)]) >= 0).all()
