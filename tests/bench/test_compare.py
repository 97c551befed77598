"""Two runs: nothing differs between a run and itself, a shift beyond the noise is found, and noise is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.compare import Spread, compare, joined, verdict
from kvtui.bench.host import host_differences
from kvtui.bench.store import StoredRun
from kvtui.cases.groups import find_groups
from kvtui.cases.table import ColumnValues, table_row
from tests.present import present

ROWS = find_groups(["attention_type"])[0].rows("default")


def row(index: int, factor: float = 1.0, repeat: int = 1, **changes: Any) -> ColumnValues:
    record: dict[str, Any] = {"status": "ok"}
    for series in ("prefill", "decode_step"):
        middle = factor * (1 + index)
        spread = {"p50": middle, "p20": 0.98 * middle, "p80": 1.02 * middle, "mad": 0.01 * middle}
        record |= {f"{series}_ms_{name}": value for name, value in spread.items()}
    return {**table_row(ROWS[index], repeat, record), **changes}


def run_of(*rows: ColumnValues, **host: object) -> StoredRun:
    return StoredRun(Path("run"), {"host": host}, list(rows), [])


WHOLE = run_of(*(row(index) for index in range(len(ROWS))), jax="0.10.2")


def test_a_run_does_not_differ_from_itself() -> None:
    found = compare(WHOLE, WHOLE)
    assert found.changed == ()
    assert found.hosts == ()
    assert len(found.rows) == 2 * len(ROWS)
    assert {(one.verdict, one.ratio) for one in found.rows} == {("same", 1.0)}


def test_a_shifted_row_is_found_alone() -> None:
    shifted = run_of(*(row(index, 1.3 if index == 2 else 1.0) for index in range(len(ROWS))))
    found = compare(WHOLE, shifted).changed
    assert {(one.label, one.series, one.verdict) for one in found} == {
        (ROWS[2].label, "prefill", "slower"),
        (ROWS[2].label, "decode_step", "slower"),
    }
    assert all(one.ratio == pytest.approx(1.3) for one in found)
    assert {one.verdict for one in compare(shifted, WHOLE).changed} == {"faster"}


def test_missing_rows_changed_status_and_other_cases() -> None:
    other = run_of(row(0), row(1, status="oom"), row(2, case="elsewhere"), row(3, label="new"))
    found = {(one.label, one.verdict): one.note for one in compare(run_of(*map(row, range(4))), other).changed}
    assert found == {
        (ROWS[1].label, "status"): "ok → oom",
        (ROWS[2].label, "other case"): "the label stands for different cases",
        (ROWS[3].label, "only in A"): "",
        ("new", "only in B"): "",
    }


def test_other_machines_are_said() -> None:
    here, there = run_of(cpu_model="Xeon", cores=2, jax="0.10.2", load_average=0.1), run_of(cpu_model="EPYC", cores=2)
    assert compare(here, there).hosts == (("cpu_model", "Xeon", "EPYC"), ("jax", "0.10.2", None))
    assert host_differences({}, {}) == ()


def test_without_bands_there_is_a_ratio_but_no_verdict() -> None:
    bare: dict[str, Any] = {
        f"{series}_ms_{name}": None for series in ("prefill", "decode_step") for name in ("p20", "p80", "mad")
    }
    found = compare(run_of(row(0, **bare)), run_of(row(0, 2.0, **bare)))
    assert {(one.ratio, one.verdict) for one in found.rows} == {(2.0, "unjudged")}
    assert found.changed == ()


def test_drift_between_repeats_widens_the_band() -> None:
    steady = run_of(row(0), row(0, 1.01, 2), row(0, 0.99, 3))
    drifting = run_of(row(0), row(0, 1.3, 2), row(0, 0.8, 3))
    later = run_of(row(0, 1.15), row(0, 1.16, 2), row(0, 1.14, 3))
    assert {one.verdict for one in compare(steady, later).rows} == {"slower"}
    assert {one.verdict for one in compare(drifting, later).rows} == {"same"}


times = st.floats(0.01, 1000)
shares = st.floats(0, 0.5)


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    middle = draw(times)
    low, high, mad = draw(shares), draw(shares), draw(shares)
    return Spread(middle, middle * (1 - low), middle * (1 + high), middle * mad)


@given(spreads(), spreads())
def test_verdicts_are_symmetric_and_need_a_gap(a: Spread, b: Spread) -> None:
    opposite = {"same": "same", "faster": "slower", "slower": "faster"}
    assert verdict(a, a) == "same"
    assert verdict(b, a) == opposite[verdict(a, b)]
    if verdict(a, b) != "same":
        low, high = sorted((a, b), key=lambda one: one.p50)
        assert present(low.p80) < present(high.p20)
        assert high.p50 - low.p50 > 3 * 1.4826 * max(present(a.mad), present(b.mad))


@given(st.lists(spreads(), min_size=1, max_size=5))
def test_joined_repeats_cover_every_one_of_them(several: list[Spread]) -> None:
    found = joined(several)
    assert found.p20 == min(present(one.p20) for one in several)
    assert found.p80 == max(present(one.p80) for one in several)
    assert min(one.p50 for one in several) <= found.p50 <= max(one.p50 for one in several)
    assert present(found.mad) >= max(present(one.mad) for one in several)
    assert joined([several[0]]) == several[0]


def test_rows_of_several_machines_are_compared_with_those_of_the_same() -> None:
    both = run_of(row(0, machine="H"), row(0, 9.0, machine="X"))
    found = compare(both, run_of(row(0, 9.0, machine="X"), row(0, machine="H")))
    assert {one.verdict for one in found.rows} == {"same"}
    assert {one.label for one in found.rows} == {f"{ROWS[0].label}, H", f"{ROWS[0].label}, X"}
