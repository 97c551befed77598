"""What the Bench screen shows, without a terminal: from one situation to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.store import StoredRun
from kvtui.cases.case import Case, SweepRow
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.sweep import sweep
from kvtui.cases.table import Measured
from kvtui.screens.bench import state as states
from kvtui.screens.bench.choice import Choice
from kvtui.screens.bench.run import RunNow, RunState, waiting
from kvtui.screens.bench.state import BenchState, Compared, Live, Opened, Predicted, TableOrder
from kvtui.screens.bench.table import table_of
from tests.present import present

ASKED = sweep([SweepRow("attention_type", f"batch {n}", "MHA", Case(batch=n)) for n in (1, 2)], TimeBudget())
WAITING = tuple(waiting(ASKED)[0])
BEGUN = RunNow()


def run(name: str, cases: int = 2, finished: str | None = "2026-01-01T00:00:00+00:00") -> StoredRun:
    """A run in the folder ``name`` of which so many cases are measured."""
    about = {"what": "sweep", "size": "fast", "finished": finished}
    rows = [{**row, "status": "ok"} for row in WAITING[:cases]]
    return StoredRun(Path(name), about, rows, [Measured(row["case"], 1, {"status": "ok"}, {}) for row in rows])


def now(name: str, cases: int, state: RunState = "running") -> RunNow:
    """A run that was begun in the folder ``name``, after so many cases."""
    going = run(name, cases, finished=None)
    return RunNow(state, done=cases, total=2, rows=(*going.rows, *WAITING[cases:]), stored=going)


A, B = run("a"), run("b")


def test_the_newest_run_is_shown_at_first_but_not_over_what_was_asked_for() -> None:
    assert states.found(BenchState(), [], A).shown == Opened(A)
    assert states.found(BenchState(), [], None).shown == Predicted()
    asked = states.opened(BenchState(), B)
    assert states.found(asked, [], A).shown == Opened(B)
    assert states.found(states.chosen(asked, Choice(size="full")), [], A).shown == Predicted()


def test_another_choice_shows_its_predictions_unless_a_run_is_going_on() -> None:
    state = states.chosen(states.opened(BenchState(), A), Choice(groups=("moe",)))
    assert state.shown == Predicted()
    assert len(table_of(state).lines) == len(Choice(groups=("moe",)).sweep.rows)
    going = states.looked(states.begun(state, BEGUN), now("c", 1))
    assert isinstance(states.chosen(going, Choice()).shown, Live)
    assert states.chosen(going, Choice()).choice == Choice()


def test_a_run_that_was_begun_is_shown_once_it_has_rows() -> None:
    for before in (BenchState(), states.opened(BenchState(), A)):
        state = states.begun(before, BEGUN)
        assert state.going
        assert state.shown == before.shown
        assert table_of(state) == table_of(before)
        state = states.looked(state, replace(BEGUN, lines=("starting",)))
        assert state.shown == before.shown
        state = states.looked(state, now("c", 0))
        assert isinstance(state.shown, Live)
        assert [line.cells["mark"].text for line in table_of(state).lines] == ["·", "·"]
        state = states.looked(state, now("c", 1))
        assert [line.cells["mark"].text for line in table_of(state).lines] == ["✓", "·"]


@pytest.mark.parametrize("end", ["finished", "cancelled", "failed"])
def test_a_run_that_is_over_is_a_stored_run(end: RunState) -> None:
    state = states.looked(states.begun(states.opened(BenchState(), A), BEGUN), now("c", 0))
    over = now("c", 1, end)
    state = states.looked(state, over)
    assert state.shown == Opened(present(over.stored))
    assert not state.going
    assert state.unfinished == Path("c")
    assert states.back(state).shown == Opened(present(over.stored))


@pytest.mark.parametrize(
    ("before", "after"), [(BenchState(), Predicted()), (states.opened(BenchState(), A), Opened(A))]
)
def test_a_run_that_measured_nothing_leaves_nothing(before: BenchState, after: Opened | Predicted) -> None:
    going = states.looked(states.begun(before, BEGUN), now("c", 0))
    assert states.looked(going, now("c", 0, "cancelled")).shown == after
    assert states.looked(states.begun(before, BEGUN), RunNow("failed", message="no device")).shown == after


def test_another_run_can_be_looked_at_while_one_goes_on() -> None:
    state = states.looked(states.begun(BenchState(), BEGUN), now("c", 0))
    state = states.opened(state, A)
    state = states.looked(state, now("c", 1))
    assert state.shown == Opened(A)
    assert state.going
    newest = now("c", 1)
    assert states.back(states.looked(state, newest)).shown == Live(newest)
    assert states.opened(states.looked(state, newest), run("c", 0)).shown == Live(newest)
    assert states.looked(state, now("c", 2, "finished")).shown == Opened(A)


def test_runs_are_compared_and_what_was_shown_comes_back() -> None:
    assert states.compared(BenchState(), A) == BenchState()
    state = states.compared(states.opened(BenchState(), A), B)
    assert isinstance(state.shown, Compared)
    assert (state.shown.a, state.shown.b) == (A, B)
    assert state.command == "kvtui bench --compare a b"
    again = states.compared(state, run("a c"))
    assert again.command == "kvtui bench --compare a 'a c'"
    assert states.back(again).shown == Opened(A)
    assert states.back(again).command == "kvtui bench --plot-only --out a"


def test_a_run_that_ends_while_it_is_compared_comes_back_as_a_stored_one() -> None:
    state = states.looked(states.begun(BenchState(), BEGUN), now("c", 1))
    state = states.compared(state, A)
    over = now("c", 2, "finished")
    state = states.looked(state, over)
    assert isinstance(state.shown, Compared)
    assert states.back(state).shown == Opened(present(over.stored))


def test_only_an_unfinished_run_that_is_shown_can_be_gone_on_with() -> None:
    half = run("half", 1, finished=None)
    assert BenchState().unfinished is None
    assert states.opened(BenchState(), A).unfinished is None
    assert states.opened(BenchState(), replace(A, about={})).unfinished is None
    state = states.opened(BenchState(), half)
    assert state.unfinished == Path("half")
    assert states.compared(state, A).unfinished == Path("half")
    assert states.chosen(state, Choice()).unfinished is None


def test_orders() -> None:
    keys = ("step", "rate")
    order = TableOrder()
    seen = [order := order.following(keys) for _ in range(4)]
    assert seen == [TableOrder("step"), TableOrder("rate"), TableOrder(), TableOrder("step")]
    assert TableOrder("gone").following(keys) == TableOrder()
    assert TableOrder("step").by("step") == TableOrder("step", True)
    assert TableOrder("step", True).by("step") == TableOrder("step")
    assert TableOrder("step", True).by("rate") == TableOrder("rate")
    assert TableOrder("step").turned().turned() == TableOrder("step")


def test_views_and_figures_go_round() -> None:
    view, short = "both", "table"
    assert [view := states.next_view(view, False) for _ in range(4)] == ["table", "figure", "log", "both"]
    assert [short := states.next_view(short, True) for _ in range(3)] == ["figure", "log", "table"]
    names = ("01", "02", "bytes")
    assert [states.next_figure(names, name, 1) for name in (*names, "gone", "")] == ["02", "bytes", "01", "02", "02"]
    assert states.next_figure(names, "01", -1) == "bytes"
    assert states.next_figure((), "01", 1) == ""


STEPS: dict[str, Callable[[BenchState, int], BenchState]] = {
    "choose": lambda state, n: states.chosen(state, Choice(size=("fast", "default")[n % 2])),
    "open": lambda state, n: states.opened(state, (A, B)[n % 2]),
    "compare": lambda state, n: states.compared(state, (A, B)[n % 2]),
    "back": lambda state, n: states.back(state),
    "find": lambda state, n: states.found(state, [], A),
    "begin": lambda state, n: state if state.going else states.begun(state, BEGUN),
    "look": lambda state, n: states.looked(state, now("c", n % 3)) if state.going else state,
    "end": lambda state, n: states.looked(state, now("c", n % 3, "cancelled")) if state.going else state,
    "fail": lambda state, n: states.looked(state, RunNow("failed")) if state.begun == BEGUN else state,
}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 5)), max_size=30))
def test_whatever_is_done_in_whatever_order(steps: list[tuple[str, int]]) -> None:
    """There is always something to show, a live run is one that goes on, and what is opened stays at hand."""
    state = BenchState()
    for name, n in steps:
        state = STEPS[name](state, n)
        shown = state.shown
        assert table_of(state).columns
        assert (state.run is None) == isinstance(shown, Predicted)
        if isinstance(shown, Live):
            assert state.going
            assert shown.now is state.begun
            assert len(table_of(state).lines) == len(WAITING)
        if isinstance(shown, Opened):
            assert state.opened is shown.run
        if isinstance(shown, Compared):
            assert not isinstance(states.back(state).shown, Compared)
        assert state.command.startswith("kvtui bench")
