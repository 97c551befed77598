"""What a run says of its machine, and that a plan told so decodes at that rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.bandwidth import LEAST_BYTES, offered, probed, reached
from kvtui.bench.store import StoredRun
from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.planning import grid
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.saying.explain import explain
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.setting import typed_fields
from kvtui.engine.scenario.values import scenario_from, to_values
from tests.present import present

HOST = {"bandwidth_ladder": [{"bytes": 2**28, "gbs": 31.0}, {"bytes": 2**20, "gbs": 300.0}]}


def row(floor_bytes: int | None, ms: float | None, cache: str = "contiguous") -> dict[str, Any]:
    return {"label": "row", "cache": cache, "floor_bytes": floor_bytes, "decode_step_ms_p50": ms}


def run(*rows: dict[str, Any], host: Any = HOST) -> StoredRun:
    return StoredRun(Path(), {"host": host}, list(rows), [])


def test_the_rate_of_memory_is_that_of_the_largest_working_set() -> None:
    assert present(probed(HOST)).gbs == 31.0
    assert probed({}) is None
    assert probed({"bandwidth_ladder": [{"bytes": "many", "gbs": None}, 7]}) is None


def test_the_largest_cached_step_says_what_decoding_reached() -> None:
    found = present(
        reached([row(10**6, 0.001), row(440 * 10**6, 22.0), row(10**9, 1.0, cache="none"), row(10**9, None)])
    )
    assert found.bytes == 440 * 10**6
    assert found.gbs == pytest.approx(20.0)
    assert reached([row(None, 1.0)]) is None


def test_a_small_step_gives_way_to_the_probe() -> None:
    large, small = row(LEAST_BYTES, 1.0), row(LEAST_BYTES - 1, 1.0)
    assert present(offered(run(large))).gbs == pytest.approx(LEAST_BYTES / 1e6)
    assert present(offered(run(small))).gbs == 31.0
    assert offered(run(small, host=None)) is None


@given(st.floats(0.001, 10**9, allow_nan=False))
def test_a_measured_bandwidth_is_what_a_plan_decodes_with(gbs: float) -> None:
    scenario = scenario_from({"bandwidth": str(gbs)})
    assert scenario.bandwidth_gbs == gbs
    assert scenario_from(to_values(scenario)) == scenario
    found = estimate(plan(scenario))
    assert found.decode_ms is not None
    assert found.decode_ms.low >= present(found.step_bytes) / gbs / 1e6
    arrays = grid.decode(scenario, np.array([scenario.context]), np.array([scenario.batch]))
    assert arrays[0][0] == pytest.approx(found.decode_ms.low)
    assert arrays[1][0] == pytest.approx(found.decode_ms.high)


def test_one_number_leaves_launches_as_the_only_spread() -> None:
    found = estimate(plan(scenario_from({"bandwidth": "31"})))
    assert found.decode_ms is not None
    assert found.decode_ms.low == pytest.approx(present(found.step_bytes) / 31e6, rel=1e-3)
    assert found.decode_ms.high == pytest.approx(found.decode_ms.low, rel=1e-2)


def test_it_is_explained_and_belongs_to_its_device() -> None:
    scenario = scenario_from({"bandwidth": "31 GB/s"})
    planned = plan(scenario)
    found = {e.id: e for e in explain(planned, capacity(planned), estimate(planned))}["decode"]
    assert dict(found.values)["bandwidth_gbs"] == 31.0
    assert "measured" in found.sources[0]
    other, notes = adapted(scenario, {"device": find_device("A100 80GB SXM")})
    assert other.bandwidth_gbs is None
    assert "31 GB/s" in notes[0]
    assert adapted(scenario, {"context": 1024})[0].bandwidth_gbs == 31.0


@pytest.mark.parametrize("text", ["", "fast", "0", "-3", "nan", "inf", "1e99", "31 MB/s", "٣"])
def test_what_is_no_rate_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="bandwidth: ") as caught:
        scenario_from({"bandwidth": text})
    assert "\n" not in str(caught.value)


def test_it_is_typed_and_undone_like_any_option() -> None:
    assert "bandwidth" in {option.key for option in OPTIONS}
    scenario = scenario_from({})
    assert typed_fields(scenario, "bandwidth", "31.4 GB/s") == {"bandwidth_gbs": 31.4}
    assert typed_fields(scenario, "bandwidth", "default") == {"bandwidth_gbs": None}
