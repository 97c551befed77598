"""The figures of an ensemble benchmark: their identities, and that nothing is divided by nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cases.ensembles import PLANS, CallCounts, EnsemblePlan, call_timings, step_timings, timings
from kvtui.engine.basis.errors import InputError

samples = st.lists(st.floats(0.01, 1000), min_size=2, max_size=60)


@given(samples)
def test_statistics_are_of_what_is_left_between_the_fences(raw: list[float]) -> None:
    found = timings(raw)
    low, high = np.percentile(raw, [25, 75])
    kept = sorted(one for one in raw if low - 1.5 * (high - low) <= one <= high + 1.5 * (high - low))
    assert found["raw_ms"] == raw
    assert found["filtered_ms"] == pytest.approx(kept)
    assert found["n"] == len(kept)
    assert found["median_ms"] == round(kept[len(kept) // 2], 4)
    assert found["p20_ms"] == round(kept[int(0.2 * len(kept))], 4)
    assert found["p80_ms"] == round(kept[int(0.8 * len(kept))], 4)
    assert step_timings(raw)["tps"] == pytest.approx(1e3 / found["median_ms"], rel=1e-3)


@given(samples, st.integers(0, 40), st.integers(0, 9))
def test_the_counts_are_those_of_the_measured_calls(raw: list[float], accepted: int, resampled: int) -> None:
    counts = [CallCounts(accepted, resampled, accepted + resampled, 5)] * len(raw)
    found = call_timings(raw, counts)
    middle = found["median_ms"]
    assert found["n_calls"] == len(raw)
    assert found["avg_accepted_tokens_per_call"] == accepted
    assert found["effective_tps"] == pytest.approx(1e3 * accepted / middle)
    assert found["emitted_tps"] == pytest.approx(1e3 * (accepted + resampled) / middle)
    if accepted:
        assert found["per_token_ms"] == pytest.approx(middle / accepted)
        assert found["resample_rate"] == pytest.approx(resampled / (accepted + resampled))
        assert found["emitted_tps"] == pytest.approx(found["effective_tps"] / (1 - found["resample_rate"]))
    else:
        assert found["per_token_ms"] is None
        assert found["resample_rate"] in (None, 1.0)


@pytest.mark.parametrize("size", PLANS)
def test_plans_come_back_from_json(size: str) -> None:
    plan = PLANS[size]
    assert EnsemblePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.length > plan.prompt_length + plan.new_tokens + max(plan.gammas)


@pytest.mark.parametrize(
    "fields", [{"heads": 1}, {"gammas": (0,)}, {"beta": 0.0}, {"beta": float("nan")}, {"temperature": -1.0}]
)
def test_what_cannot_be_measured_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(InputError):
        EnsemblePlan(**fields)  # type: ignore[arg-type]
