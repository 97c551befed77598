"""The decode panels from any part of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.cases.sweep import decode_rows
from kvtui.cases.table import Measured, table_row
from kvtui.figures.decode import panels, results_of
from kvtui.figures.json import to_json
from kvtui.plots.density import kernel_density
from kvtui.plots.keep import keep
from tests.figures.sample_rows import marks, said

SAMPLES = [10.0 + 0.1 * n for n in range(40)]


def stats(ms: float) -> dict[str, float | list[float]]:
    return {"raw_ms": [ms], "filtered_ms": [ms], "median_ms": ms, "p20_ms": 0.9 * ms, "p80_ms": 1.3 * ms, "n": 1}


def draft(ms: float, accepted: float, tps: float) -> dict[str, float]:
    return {"median_ms": ms, "avg_accepted_tokens_per_call": accepted, "effective_tps": tps}


RESULTS = {
    "metadata": {"gpu": "any"},
    "baseline": {
        "ttft": {"raw_ms": [*SAMPLES, 99.0], "filtered_ms": SAMPLES},
        "decode": {
            "positions": [128, 1024, 64],
            "per_position": {"128": stats(5.0), "1024": stats(8.0), "64": stats(4.0)},
        },
    },
    "hydra_naive": {"decode": {"per_position": {"128": stats(9.0)}}},
    "hydra_poe": {
        "ttft": {"raw_ms": [30.0, 31.0, 33.0]},
        "per_gamma": {
            "8": {
                "median_ms": 400.0,
                "avg_accepted_tokens_per_call": 80.0,
                "effective_tps": 200.0,
                "resample_rate": 0.25,
            },
            "4": {"median_ms": 300.0, "avg_accepted_tokens_per_call": 100.0, "effective_tps": 333.3},
            "2": {"median_ms": 300.0, "avg_accepted_tokens_per_call": 0.0, "effective_tps": 0.0},
        },
    },
}


def test_positions_are_sorted_as_numbers_with_their_bands() -> None:
    line = marks(panels(RESULTS), 1)["baseline"]
    assert line.x.tolist() == [64, 128, 1024]
    assert line.y.tolist() == [4, 5, 8]
    assert line.low == pytest.approx(0.9 * line.y)
    assert line.high == pytest.approx(1.3 * line.y)


def test_tokens_per_second_are_the_inverse() -> None:
    line = marks(panels(RESULTS), 2)["baseline"]
    assert line.y == pytest.approx([250, 200, 125])
    assert line.low == pytest.approx(line.y / 1.3)
    assert (line.low < line.y).all()
    assert (line.y < line.high).all()


def test_first_tokens_are_a_density_of_one() -> None:
    figure = panels(RESULTS)
    histogram = marks(figure)["baseline"]
    assert histogram.bins == 30
    assert histogram.samples.tolist() == SAMPLES
    x, y = kernel_density(histogram.samples)
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.03)
    assert "baseline: 1 of 41 first tokens lie far outside" in said(figure)


def test_outliers_are_found_where_the_file_does_not_say() -> None:
    figure = panels({"a": {"ttft": {"raw_ms": [*SAMPLES, 99.0]}}})
    assert marks(figure)["a"].samples.max() < 20
    assert "1 of 41" in said(figure)


def test_speculation_is_a_level_line_for_each_gamma() -> None:
    figure = panels(RESULTS)
    slow, fast = marks(figure, 1), marks(figure, 2)
    assert set(slow["hydra_poe, gamma 8 (per token)"].y) == {5.0}
    assert set(slow["hydra_poe, gamma 4 (per token)"].y) == {3.0}
    assert set(fast["hydra_poe, gamma 8 (25% drawn again)"].y) == {200.0}
    assert fast["hydra_poe, gamma 4"].dash == "dashed"
    assert "gamma 2: no token was accepted" in said(figure)
    assert not any("gamma 2" in name for name in (*slow, *fast))


def test_nothing_is_a_note() -> None:
    nothing: tuple[dict[str, Any], ...] = ({}, {"baseline": {}}, {"metadata": {"ttft": {"raw_ms": [1.0]}}}, {"a": 7})
    for results in nothing:
        figure = panels(results)
        assert figure.panels == ()
        assert "kvtui bench decode measures them" in said(figure)


@given(st.data())
def test_any_subset_of_keys_is_drawn(data: DataObject) -> None:
    def pruned(value: Any) -> Any:
        if not isinstance(value, dict):
            return data.draw(st.sampled_from([value, value, value, None, "odd", [None, -1.0, float("nan")]]))
        return {key: pruned(part) for key, part in value.items() if data.draw(st.integers(0, 3))}

    to_json(panels(pruned(RESULTS)))


def test_our_own_runs_are_results() -> None:
    rows, positions = decode_rows("fast")
    table, measured = [], []
    for row in rows:
        for repeat in (1, 2):
            points = [{"position": at, "p20": 1.0, "p50": 2.0, "p80": 3.0, "n": 5} for at in positions]
            samples = {"ttft": [7.0, 8.0], **{f"curve_{at}": [repeat * at / 64.0] for at in positions}}
            table.append(table_row(row, repeat, {"status": "ok"}))
            measured.append(Measured(row.case.key, repeat, {"curve": points}, samples))
    results = results_of(table, measured)
    assert list(results) == [row.label for row in rows]
    assert results_of([*table, *table], measured) == results, "rows that share a measurement add nothing"
    figure = panels(results)
    line = marks(figure, 1)[rows[0].label]
    assert line.x.tolist() == list(positions)
    assert line.y == pytest.approx([1.5 * at / 64 for at in positions])
    assert {tuple(mark.samples.tolist()) for mark in marks(figure).values()} == {(7, 7, 8, 8)}
    without = [one._replace(samples={}) for one in measured]
    assert set(marks(panels(results_of(table, without)))[rows[0].label].y) == {2.0}


def test_a_step_of_a_batch_gives_as_many_tokens() -> None:
    figure = panels({"a": {"decode": {"per_position": {"64": {**stats(4.0), "batch": 8}}}}})
    assert marks(figure, 1)["a"].y.tolist() == [2000.0]


def test_the_panels_are_kept_as_pictures(tmp_path: Path) -> None:
    keep(tmp_path, "graph", panels(RESULTS))
    assert "<svg" in (tmp_path / "graph.svg").read_text("utf-8")
    assert {path.suffix for path in tmp_path.iterdir()} <= {".svg", ".png"}
