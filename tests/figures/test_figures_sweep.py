"""The sweep's figures: what rows say is what is drawn, whoever wrote the table and however much of it there is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.cases.groups import GROUPS, SweepGroup
from kvtui.cases.prediction import prefill_flops
from kvtui.cases.table import COLUMNS, table_row
from kvtui.engine.basis.units import format_bytes
from kvtui.figures.clouds import case_of
from kvtui.figures.figure import Bars, Cloud, HeatMap, Line, Scatter
from kvtui.figures.json import to_json
from kvtui.figures.measured import distinct, number, once
from kvtui.figures.sweep import FIGURES
from kvtui.plots.ticks import AxisSpan, ticks
from tests.figures.sample_rows import foreign_rows, marks, of_kind, record, said, sweep_rows

FULL = sweep_rows("full")
BY_GROUP = {
    "01": "attention_type",
    "02": "scale",
    "03": "batch_size",
    "04": "context_len",
    "05": "dtype",
    "06": "kv_cache",
    "07": "moe",
    "08": "activation",
    "09": "pos_encoding",
    "10": "gqa_vs_cache",
    "11": "scale_dtype",
    "12": "batch_attn",
    "13": "sampling",
}
EVERY = list(FIGURES)


def of(group: str) -> list[dict[str, Any]]:
    return [row for row in FULL if row["group"] == group]


def test_all_are_there() -> None:
    assert [f"{n:02}" for n in range(1, 22)] == EVERY[:21]
    assert EVERY[21:] == ["bytes", "roofline"]


@pytest.mark.parametrize("rows", [FULL, foreign_rows("full")], ids=["ours", "foreign"])
@pytest.mark.parametrize("id", EVERY)
def test_each_is_drawn_from_the_table_alone(id: str, rows: list[dict[str, Any]]) -> None:
    figure = FIGURES[id](rows)
    assert figure.id == id
    if rows is not FULL and id in {"bytes", "roofline"}:
        assert figure.panels == ()
        assert figure.notes
        return
    assert figure.panels
    for panel in figure.panels:
        assert panel.marks
    json.loads(to_json(figure))


@pytest.mark.parametrize("id", EVERY)
def test_each_says_why_it_is_empty(id: str) -> None:
    figure = FIGURES[id]([])
    assert figure.panels == ()
    assert len(figure.notes) == 1


@pytest.mark.parametrize("id", list(BY_GROUP))
def test_a_group_needs_no_other_group(id: str) -> None:
    assert to_json(FIGURES[id](of(BY_GROUP[id]))) == to_json(FIGURES[id](FULL))
    others = [row for row in FULL if row["group"] != BY_GROUP[id]]
    assert "No rows of group " + BY_GROUP[id] in said(FIGURES[id](others))


def test_bars_are_the_rows_with_their_bands() -> None:
    figure = FIGURES["01"](FULL)
    prefill, decode, cache = of_kind(Bars, (panel.marks[0] for panel in figure.panels))
    by_label = {row["label"]: row for row in of("attention_type")}
    assert set(figure.panels[0].categories) == set(by_label)
    for panel, bars in zip(figure.panels, (prefill, decode, cache), strict=True):
        assert bars.values.tolist() == sorted(bars.values.tolist(), reverse=True), panel.title
    rows = [by_label[name] for name in figure.panels[0].categories]
    assert prefill.low is not None
    assert prefill.values.tolist() == [row["prefill_ms_p50"] for row in rows]
    assert prefill.low.tolist() == [row["prefill_ms_p20"] for row in rows]
    rows = [by_label[name] for name in figure.panels[1].categories]
    assert decode.values.tolist() == [row["decode_tok_s"] for row in rows]
    assert decode.low == pytest.approx([1e3 / row["decode_step_ms_p80"] for row in rows])
    rows = [by_label[name] for name in figure.panels[2].categories]
    assert cache.values == pytest.approx([row["kv_predicted_bytes"] for row in rows])


def test_lines_are_sorted_and_ideal_growth_starts_at_the_first_point() -> None:
    shuffled = sorted(FULL, key=lambda row: row["case"])
    figure = FIGURES["03"](shuffled)
    lines = marks(figure)
    for line in lines.values():
        assert (np.diff(line.x) > 0).all()
    (ideal,) = (line for name, line in lines.items() if name.startswith("in proportion"))
    base = lines[ideal.name.removeprefix("in proportion to ")]
    assert ideal.y == pytest.approx(base.y[0] * base.x)
    assert ideal.dash == "dotted"


def test_cache_by_context_is_bytes() -> None:
    line = marks(FIGURES["04"](FULL), 1)["MHA"]
    assert line.y == pytest.approx(2 * 256 * 6 * 4 * line.x)


def test_with_and_without_a_cache() -> None:
    throughput, _prefill, sizes = FIGURES["06"](FULL).panels
    lines = {line.name: line for line in of_kind(Line, throughput.marks)}
    assert lines["MHA, cache on"].dash == "solid"
    assert lines["MHA, cache off"].dash == "dashed"
    assert lines["MHA, cache on"].x.tolist() == [1, 8, 32]
    assert len(next(line for line in of_kind(Line, sizes.marks) if line.name == "MHA").x) == 6


def test_speed_up_is_fp32_over_bf16() -> None:
    figure = FIGURES["11"](FULL)
    for panel, series in zip(figure.panels, ("prefill", "decode_step"), strict=True):
        line = next(mark for mark in of_kind(Line, panel.marks) if mark.name == "MHA")
        rows = [row for row in of("scale_dtype") if row["attn_variant"] == "MHA"]
        by = {(row["params_m"], row["dtype"]): row[f"{series}_ms_p50"] for row in rows}
        assert line.y == pytest.approx([by[at, "fp32"] / by[at, "bf16"] for at in line.x.tolist()])
        assert panel.rules[0].value == 1.0


def test_formats_are_series_of_their_own() -> None:
    names = {bars.name for bars in FIGURES["05"](FULL).panels[0].marks}
    assert names == {"fp32", "bf16", "fp32, KV bf16", "fp32, KV int8", "bf16, KV int8"}


def test_overtaking_is_found() -> None:
    rows = [dict(row) for row in of("batch_attn") if row["attn_variant"] in {"MHA", "MLA"}]
    for row in rows:
        row["decode_tok_s"] = row["batch_size"] * (10 if row["attn_variant"] == "MHA" else row["batch_size"])
    assert "MLA overtakes MHA between batch 8 and 16." in said(FIGURES["12"](rows))
    for row in rows:
        row["decode_tok_s"] = 1.0
    assert "No attention changes places" in said(FIGURES["12"](rows))


def test_attention_by_batch_as_a_map() -> None:
    panel = FIGURES["12"](FULL).panels[-1]
    (tiles,) = of_kind(HeatMap, panel.marks)
    assert tiles.z.shape == (tiles.y.size, 7)
    row = next(row for row in of("batch_attn") if row["attn_type"] == "MHA" and row["batch_size"] == 8)
    held = format_bytes(round(row["kv_predicted_bytes"] / 8), 1)
    i = panel.y.names.index(f"MHA, {held}")
    assert i == len(panel.y.names) - 1, "the smallest cache is first"
    assert tiles.z[i, list(tiles.x).index(8)] == pytest.approx(row["decode_tok_s"])
    assert [tick.label for tick in ticks(AxisSpan(panel.y, -0.5, i + 0.5), 2)] == list(panel.y.names)


def test_projections_say_what_size_and_colour_stand_for() -> None:
    sized, colored = FIGURES["18"](FULL).panels[3], FIGURES["20"](FULL).panels[3]
    assert sized.title == "prompt by weights, size: prefill time"
    (mha,) = (mark for mark in of_kind(Scatter, sized.marks) if mark.name == "MHA")
    rows = [row for row in once(FULL) if row["attn_variant"] == "MHA"]
    assert mha.sizes is not None
    assert sorted(mha.sizes) == sorted(row["prefill_ms_p50"] for row in rows)
    assert colored.title == "prefill time by prefill work, colour: throughput"
    quarters = of_kind(Scatter, colored.marks)
    counts = [mark.x.size for mark in quarters]
    assert len(quarters) == 4
    assert sum(counts) == len(once(FULL))
    speeds = sorted(row["decode_tok_s"] for row in once(FULL))
    ends = [
        float(end.replace(",", "")) for mark in quarters for end in mark.name.removesuffix(" tokens/s").split(" to ")
    ]
    assert ends == sorted(ends)
    assert ends[0] == pytest.approx(speeds[0], rel=0.01)
    assert ends[-1] == pytest.approx(speeds[-1], rel=0.01)
    assert all(sum(counts[:k]) >= k * len(speeds) / 4 - 1 for k in (1, 2, 3))


def test_counts_that_pandas_wrote_are_whole() -> None:
    rows = [{**row, "dim": float(row["dim"]), "num_blocks": float(row["num_blocks"])} for row in of("kv_cache")]
    assert FIGURES["06"](rows).panels[0].title == FIGURES["06"](of("kv_cache")).panels[0].title


def test_sampling_is_timed_with_the_first_token() -> None:
    assert FIGURES["13"](FULL).panels[0].title == "first token, sampling included"
    foreign = FIGURES["13"](foreign_rows())
    assert foreign.panels[0].title == "prefill"
    assert "no sampling in it" in said(foreign)


def test_labels_drop_what_all_have_in_the_same_place() -> None:
    assert distinct(["vocab 9 · greedy · MHA", "vocab 9 · T 1 · MHA"]) == (
        {"vocab 9 · greedy · MHA": "greedy", "vocab 9 · T 1 · MHA": "T 1"},
        ("vocab 9", "MHA"),
    )
    for labels in (["a · b"], ["a · b", "a"], ["a · b", "c · d"], []):
        assert distinct(labels) == ({label: label for label in labels}, ())


def test_repeats_are_joined_in_the_widest_band() -> None:
    rows = of("attention_type")
    slower = [
        {**row, "repeat": 2, **{k: 2 * v for k, v in row.items() if k.startswith("prefill_ms") and v}} for row in rows
    ]
    once, twice = of_kind(Bars, (FIGURES["01"](table).panels[0].marks[0] for table in (rows, [*rows, *slower])))
    assert once.high is not None
    assert twice.values == pytest.approx(1.5 * once.values)
    assert twice.low == pytest.approx(once.low)
    assert twice.high == pytest.approx(2 * once.high)


def test_failures_are_counted_with_their_reasons() -> None:
    rows = [dict(row) for row in of("attention_type")]
    rows[0] |= {"status": "oom", "oom": True, "decode_step_ms_p50": None, "decode_tok_s": None}
    rows[1] |= {"status": "error", "message": "bad\x1bthing", "decode_step_ms_p50": None, "decode_tok_s": None}
    figure = FIGURES["01"](rows)
    assert f"2 of {len(rows)} rows were not measured: 1 oom, 1 error (bad" in said(figure)
    assert "\x1b" not in said(figure)
    assert len(figure.panels[1].categories) == len(rows) - 2


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_row_tells_its_case(group: SweepGroup) -> None:
    for row in group.rows("full"):
        found = case_of(table_row(row, 1, record(row.case)))
        assert found is not None
        assert found.shape == row.case.shape
        assert (found.batch, found.prompt, found.cache) == (row.case.batch, row.case.prompt, row.case.cache)


def test_flops_are_the_models_own() -> None:
    figure = FIGURES["18"](FULL)
    by_work = figure.panels[2]
    drawn = {x for mark in of_kind(Scatter, by_work.marks) for x in mark.x.tolist()}
    assert drawn == {float(prefill_flops(row.case)) for group in GROUPS for row in group.rows("full")}
    assert "causal" in said(figure)


def test_foreign_rows_tell_the_same_work() -> None:
    def work(rows: list[dict[str, Any]]) -> dict[str, int]:
        cases = {row["label"]: case_of(row) for row in rows if row["group"] == "attention_type"}
        return {label: prefill_flops(case) for label, case in cases.items() if case is not None}

    assert len(work(sweep_rows())) == sum(row["group"] == "attention_type" for row in sweep_rows())
    assert work(foreign_rows()) == work(sweep_rows())


def test_equal_cases_are_drawn_once() -> None:
    drawn = sum(mark.x.size for mark in of_kind(Cloud, FIGURES["17"](FULL).panels[0].marks))
    assert drawn == len({row["case"] for row in FULL})


def test_predicted_bytes_beside_measured_ones() -> None:
    figure = FIGURES["bytes"](FULL)
    cases = {row["case"] for row in FULL if row["kv_predicted_bytes"]}
    assert f"All {len(cases)} caches are as predicted, to the byte." in said(figure)
    rows = [dict(row) for row in of("attention_type")]
    rows[0]["kv_measured_bytes"] *= 2
    assert f"1 of {len(rows)} caches differ from what was predicted, {rows[0]['label']} by +100.00%" in said(
        FIGURES["bytes"](rows)
    )


def test_the_machines_roofline() -> None:
    figure = FIGURES["roofline"](of("attention_type"))
    roof = figure.panels[0].marks[0]
    assert isinstance(roof, Line)
    assert roof.name == "machine, fp32"
    assert roof.y == pytest.approx(np.minimum(20e9 * roof.x, 100e9))
    points = marks(figure)["MHA"]
    row = of("attention_type")[0]
    assert points.x[0] == row["model_flops"] / row["floor_bytes"]
    assert points.y[0] == row["model_flops"] / row["decode_step_ms_p50"] * 1e3


def test_the_roofline_says_what_remains_over_each_attentions_bytes() -> None:
    rows = [
        {**row, "floor_ratio": ratio} for row, ratio in zip(of("attention_type")[:3], (1.5, 2.25, 3.0), strict=True)
    ]
    names = dict.fromkeys(str(row["attn_variant"]) for row in rows)
    (note,) = [note for note in FIGURES["roofline"](rows).notes if "median over cases" in note and "times" in note]
    assert note.startswith("A step takes so many times what reading its bytes does")
    assert all(f"{name} " in note for name in names)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=True), st.text(max_size=5)
)


@given(st.data())
def test_no_table_is_too_odd(data: DataObject) -> None:
    rows = [dict(row) for row in data.draw(st.lists(st.sampled_from(FULL), min_size=1, max_size=12))]
    for row in rows:
        for column in data.draw(st.lists(st.sampled_from(COLUMNS), max_size=6)):
            if column != "group":
                row[column] = data.draw(anything)
    if data.draw(st.booleans()):
        column = data.draw(st.sampled_from(COLUMNS))
        rows = [{key: value for key, value in row.items() if key != column} for row in rows]
    for draw in FIGURES.values():
        json.loads(to_json(draw(rows)), parse_constant=pytest.fail)


@given(anything)
def test_numbers_are_finite_or_none(value: float | str | None) -> None:
    found = number({"x": value}, "x")
    assert found is None or np.isfinite(found)


def test_what_several_machines_measured_is_never_one_series() -> None:
    """Every row was measured by two machines, and each group is drawn with both."""
    rows = [row | {"machine": name} for row in sweep_rows() for name in ("here", "there")]
    names = {mark.name for make in FIGURES.values() for panel in make(rows).panels for mark in panel.marks}
    assert {"MHA, here", "MHA, there", "here", "there", "here, fp32", "there, fp32"} <= names
    assert "MHA" not in names
    alone = [row | {"machine": "here"} for row in sweep_rows()]
    for id, make in FIGURES.items():
        if id != "roofline":
            assert to_json(make(alone)) == to_json(make(sweep_rows()))
