"""The table of the Plan screen without a terminal: cursor, order, filter, marks, and what a scenario changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.advice.levers import Lever, levers
from kvtui.engine.advice.matrix import METRICS, VIEWS, answer, table
from kvtui.engine.basis.errors import InputError
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.candidates import Idle
from kvtui.screens.plan import table as plan_table
from kvtui.screens.plan.levers import LeverList
from kvtui.screens.plan.table import MOST_MARKS, PlanTable
from tests.present import present

SCENARIO = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "128K", "batch": "2"})


def changed(**fields: object) -> Scenario:
    return adapted(SCENARIO, fields)[0]


def at(found: PlanTable, row: str, column: str) -> None:
    rows, columns = found.sheet.table.rows, found.sheet.table.columns
    found.cursor = rows.index(row), columns.index(column)


def test_the_cursor_begins_at_the_scenarios_own_cell_and_returns_to_it() -> None:
    found = PlanTable(SCENARIO)
    assert found.selected.scenario == SCENARIO
    found.move(3, -2)
    assert found.selected.scenario != SCENARIO
    found.to_own()
    assert found.selected.scenario == SCENARIO


def test_the_cell_under_the_cursor_is_worked_out_when_it_is_not_known() -> None:
    found = PlanTable(SCENARIO)
    assert found.sheet.answers == {}
    assert found.selected.answer == answer(SCENARIO)


def test_every_table_has_the_scenarios_own_cell_and_forgets_order_and_filter() -> None:
    found = PlanTable(SCENARIO)
    for _ in VIEWS:
        found.sort()
        found.filter("h100")
        found.next_subject()
        assert (found.sorting, found.wanted) == ((), "")
        assert found.selected.scenario == SCENARIO
    assert found.subject == "models"


def test_another_scenario_keeps_tables_with_the_same_cells() -> None:
    found = PlanTable(SCENARIO)
    sheet = found.sheet
    at(found, "Qwen3-8B", "H200 SXM")
    taken = found.selected.scenario
    assert taken is not None
    found.follow(taken)
    assert found.sheet is sheet
    assert found.cursor == found.own == (sheet.table.rows.index("Qwen3-8B"), sheet.table.columns.index("H200 SXM"))
    found.follow(changed(context=4096))
    assert found.sheet is not sheet
    assert found.sheet.table.scenario.context == 4096


@pytest.mark.parametrize("ask", [lambda found: found.follow(changed(context=4096)), lambda found: found.next_subject()])
def test_catalogues_that_cannot_be_read_any_more_change_nothing(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[PlanTable], object]
) -> None:
    found = PlanTable(SCENARIO)
    found.move(2, 2)
    before = found.sheet, found.cursor, found.own, found.scenario, found.subject

    def broken(*_: object) -> None:
        raise InputError("models.toml: line 3")

    monkeypatch.setattr(plan_table, "table", broken)
    monkeypatch.setattr("kvtui.engine.advice.matrix.table", broken)
    with pytest.raises(InputError, match="line 3"):
        ask(found)
    assert (found.sheet, found.cursor, found.own, found.scenario, found.subject) == before
    assert found.selected.scenario is not None


def test_marks_are_taken_away_again_and_there_are_no_more_than_four() -> None:
    found = PlanTable(SCENARIO)
    for device in ("H100 SXM", "H200 SXM", "B200", "L40S"):
        at(found, "Llama-3.1-8B", device)
        assert found.mark() == ""
    at(found, "Llama-3.1-8B", "A10")
    assert found.mark() == f"{MOST_MARKS} are marked already: take one away first"
    at(found, "Llama-3.1-8B", "B200")
    assert found.mark() == ""
    assert [scenario.device.name for scenario in found.marks] == ["H100 SXM", "H200 SXM", "L40S"]
    assert found.to_compare() == tuple(found.marks)
    assert sorted(present(found.grid().marks).values()) == ["1", "2", "3"]


def test_what_cannot_be_is_not_marked_and_says_why() -> None:
    found = PlanTable(changed(layout=SCENARIO.layout.__class__(tp=8)))
    at(found, "Qwen2.5-7B", "H100 SXM")
    assert "28 attention heads" in found.mark()
    assert not found.marks


def test_a_single_mark_and_no_mark_are_compared_with_the_scenario() -> None:
    found = PlanTable(SCENARIO)
    assert found.to_compare() == (SCENARIO,)
    at(found, "Llama-3.1-8B", "B200")
    other = found.selected.scenario
    assert found.to_compare() == (SCENARIO, other)
    found.mark()
    found.to_own()
    assert found.to_compare() == (SCENARIO, other)


def test_pointing_at_what_is_not_shown_does_nothing() -> None:
    found = PlanTable(SCENARIO)
    found.filter("llama-3.1 / h100 sxm")
    before = found.cursor
    assert not found.point(70, 0)
    assert not found.point(0, 1)
    assert found.cursor == before
    assert found.point(0, 0)
    assert not found.point(1, None)
    assert found.cursor == (found.shown()[0][1], before[1])


def test_a_filter_that_hides_the_cursor_moves_it_and_one_that_hides_all_does_not() -> None:
    found = PlanTable(SCENARIO)
    found.filter("gemma-2 / b200")
    assert found.selected.model == "gemma-2-2b"
    assert found.selected.device == "B200"
    cursor = found.cursor
    found.filter("zzz")
    found.move(1, 1)
    assert found.cursor == cursor
    assert found.grid().rows == []


def test_what_is_in_sight_is_worked_out_first() -> None:
    found = PlanTable(SCENARIO)
    found.filter("qwen3")
    found.saw(range(2, 4), range(1))
    work = found.next_work(found.sheet)
    assert work is not None
    work()
    assert {row for row, _ in found.sheet.answers} == {found.shown()[0][2]}


operations = st.one_of(
    st.tuples(st.just("move"), st.integers(-200, 200), st.integers(-200, 200)),
    st.tuples(st.just("filter"), st.sampled_from(["", "qwen", "/ h100", "llama, gemma / apple", "zzz", "/ zzz"])),
    st.tuples(st.just("point"), st.none() | st.integers(0, 120), st.none() | st.integers(0, 90)),
    st.tuples(st.just("next_metric"), st.sampled_from([-1, 1])),
    st.tuples(st.sampled_from(["sort", "sort_also", "only_fitting", "to_own", "next_subject", "mark"])),
    st.tuples(st.just("follow"), st.sampled_from([SCENARIO, changed(context=4096), changed(batch=7)])),
)


@given(st.lists(operations, max_size=8))
def test_whatever_is_done_the_cursor_is_a_cell_and_the_grid_shows_it_where_it_is_shown(
    sequence: list[tuple[Any, ...]],
) -> None:
    found = PlanTable(SCENARIO)
    for name, *values in sequence:
        getattr(found, name)(*values)
        rows, columns = found.shown()
        assert found.cursor[0] in range(len(found.sheet.table.rows))
        assert found.cursor[1] in range(len(found.sheet.table.columns))
        grid = found.grid()
        assert len(grid.rows) == len(rows)
        if found.cursor[0] in rows and found.cursor[1] in columns:
            assert (rows[grid.cursor[0]], columns[grid.cursor[1]]) == found.cursor
        if found.sorting and found.sorting[0].column in columns:
            signs = {columns.index(key.column): "↓↑"[key.order == "worst first"] for key in found.sorting}
            assert grid.sorted_by == signs
        assert sorted(rows) == found.sheet.rows(found.wanted, (), found.fitting)


def test_levers_are_ranked_with_the_figure_and_idle_ones_come_last() -> None:
    found = list(levers(SCENARIO))
    shown = LeverList()
    assert (shown.selected, shown.at) == (None, None)
    shown.use(3)
    assert shown.at is None
    for metric in METRICS:
        shown.take(SCENARIO, found, metric)
        assert sorted(map(id, shown.found)) == sorted(map(id, found))
        kinds = [isinstance(lever, Idle) for lever in shown.found]
        assert kinds == sorted(kinds)
    shown.use(0)
    shown.move(-5)
    assert shown.at == 0
    shown.move(1000)
    assert shown.at == len(found) - 1
    assert isinstance(shown.selected, Idle)
    shown.use(0)
    assert isinstance(shown.selected, Lever)
    shown.clear()
    assert (shown.found, shown.of, shown.at) == ([], None, None)


def test_the_sheet_of_a_table_is_that_of_the_catalogues() -> None:
    assert PlanTable(SCENARIO).sheet.table == table(SCENARIO, "models")
