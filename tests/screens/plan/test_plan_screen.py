"""The Plan screen: the table and its order, levers that change the scenario, marks, export, engines and sizes."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from kvtui.app.app import KvtuiApp
from kvtui.canvas.cells import Span
from kvtui.engine.advice.best import best_format
from kvtui.engine.advice.levers import Lever, levers
from kvtui.engine.advice.matrix import METRICS, VIEWS, MatrixAnswer, MatrixSubject, Piece, answer, places, table
from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.scenario import Layout
from kvtui.engine.scenario.values import command_line, scenario_from
from kvtui.engine.serving.candidates import Idle
from kvtui.screens.plan.compare import CompareScreen
from kvtui.screens.plan.export import forms
from kvtui.screens.plan.filter import chosen, device_words, model_words, named
from kvtui.screens.plan.screen import PlanScreen
from kvtui.screens.plan.sheet import Sheet, SortKey, Wanted
from kvtui.screens.plan.table import MOST_MARKS, PlanTable
from kvtui.screens.plan.text import cell_text
from kvtui.screens.windows.engines import EnginePicker
from kvtui.screens.windows.explain import ExplainScreen
from kvtui.screens.windows.export import ExportScreen
from kvtui.screens.windows.palette import Palette
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.matrix import Grid, MatrixView, paint_grid, sight
from tests.present import present
from tests.screens.seen import text_of
from tests.screens.stand_in import ShellApp
from tests.steady import until

SIZES = [(200, 60), (120, 36), (100, 30), (80, 24)]
SCENARIO = {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "128K", "batch": "2"}
KEYS = {"[": "left_square_bracket", "]": "right_square_bracket", "/": "slash", ":": "colon"}


class StillScreen(PlanScreen):
    """The Plan screen, whose thread works only when a test says so."""

    at_work = False

    def work(self) -> None:
        if self.at_work:
            super().work()


class StillApp(ShellApp):
    """The app with that screen, at work from the beginning or not."""

    at_work = False

    def plan_screen(self) -> Screen[None]:
        screen = StillScreen(self.session)
        screen.at_work = self.at_work
        return screen


class Seen:
    """The running app and its Plan screen."""

    def __init__(self, app: KvtuiApp, screen: StillScreen, pilot: Pilot[None]) -> None:
        self.app, self.screen, self.pilot = app, screen, pilot

    async def keys(self, *names: str) -> None:
        for name in names:
            self.app.simulate_key(KEYS.get(name, name))
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Put ``text`` into the line that has the focus."""
        assert isinstance(self.app.focused, Input)
        self.app.focused.value = text
        await self.pilot.pause()

    async def until(self, holds: Callable[[], object]) -> None:
        await until(self.pilot, holds)

    async def levers(self) -> list[Lever | Idle]:
        """The levers of the scenario, worked out here and now."""
        scenario = self.app.session.scenario
        self.screen.take_levers(scenario, list(levers(scenario)))
        await self.pilot.pause()
        return self.screen.levers.found

    async def column(self, name: str) -> int:
        """All answers of a column, worked out here and now."""
        sheet = self.table.sheet
        column = sheet.table.columns.index(name)
        for row in range(len(sheet.table.rows)):
            try:
                found = answer(sheet.table.at(row, column))
            except InputError as error:
                found = MatrixAnswer(reason=str(error))
            sheet.answers[row, column] = found
        self.screen.redraw()
        await self.pilot.pause()
        return column

    def go(self, row: str, column: str) -> None:
        found = self.table.sheet.table
        self.table.cursor = found.rows.index(row), found.columns.index(column)
        self.screen.redraw()

    @property
    def table(self) -> PlanTable:
        assert self.screen.table is not None
        return self.screen.table

    @property
    def shown_rows(self) -> list[str]:
        rows, _ = self.table.shown()
        return [self.table.sheet.table.rows[row] for row in rows]

    @property
    def shown_columns(self) -> list[str]:
        _, columns = self.table.shown()
        return [self.table.sheet.table.columns[column] for column in columns]

    def text(self) -> str:
        return text_of(self.app)


def watch(
    body: Callable[[Seen], Awaitable[None]],
    size: tuple[int, int] = (100, 30),
    settings: Settings | None = None,
    at_work: bool = False,
    **values: str | bool,
) -> None:
    async def run() -> None:
        session = Session(scenario_from({**SCENARIO, **values}))
        app = StillApp(session, settings or Settings(palette="rgb", remember=False))
        app.at_work = at_work
        async with app.run_test(size=size, notifications=True) as pilot:
            app.simulate_key("3")
            await until(pilot, lambda: isinstance(app.screen, StillScreen))
            assert isinstance(app.screen, StillScreen)
            seen = Seen(app, app.screen, pilot)
            await seen.until(lambda: seen.screen.table)
            await pilot.pause(0 if at_work else None)
            await body(seen)

    asyncio.run(run())


def test_every_size_shows_the_table_around_the_scenario() -> None:
    async def body(seen: Seen) -> None:
        await seen.column("H100 SXM")
        await seen.levers()
        for width, height in SIZES:
            await seen.pilot.resize_terminal(width, height)
            await seen.pilot.pause()
            if height >= 36:
                await seen.until(lambda: "context against sequences" in seen.text())
            text = seen.text()
            assert max(map(len, text.splitlines())) <= width
            assert "max sequences at 128K · models × devices" in text
            row = next(line for line in text.splitlines() if "▶●" in line)
            assert row.split("▶●")[1].split()[0] == str(seen.app.session.capacity.sequences)
            assert ("levers: what one change does" in text) == ("+133%" in text) == (width >= 100)
            assert ("context against sequences" in text) == (height >= 36)
        await seen.pilot.resize_terminal(50, 12)
        await seen.pilot.pause()
        assert "kvtui needs 60x18, this is 50x12" in seen.text()
        await seen.keys("down", "o", "]", "tab", "space")

    watch(body, (90, 40))


def test_plain_pictures_carry_their_meaning_and_the_drawer_takes_the_place_of_the_table() -> None:
    async def body(seen: Seen) -> None:
        column = await seen.column("H100 SXM")
        answers = seen.table.sheet.answers
        answers[2, column] = answers[2, column]._replace(needed=2)
        seen.screen.redraw()
        await seen.pilot.pause()
        text = seen.text()
        assert text.isascii()
        assert ">O" in text
        assert "needs 2" in text
        await seen.levers()
        await seen.keys("tab")
        assert "levers: what one change does" in seen.text()
        assert "% $/M tokens at the most sequences" in " ".join(seen.text().replace("|", " ").split())
        assert not seen.screen.query_one(MatrixView).display
        await seen.keys("s")
        assert "models x devices" in seen.text()
        assert seen.screen.levers.at is None

    watch(body, (80, 24), Settings(palette="mono", ascii=True, remember=False))


def test_the_cell_under_the_cursor_is_what_its_plan_says_in_every_figure_and_view() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("down", "right")
        assert (seen.table.selected.model, seen.table.selected.device) == ("Llama-3.1-70B", "H100 NVL")
        assert "the weights alone need" in seen.text()
        seen.go("Qwen3-14B", "H200 SXM")
        await seen.pilot.pause()
        detail = seen.table.selected
        planned = plan(present(detail.scenario))
        room = capacity(planned)
        assert (detail.answer.context, detail.answer.sequences) == (room.context, room.sequences)
        assert detail.answer.times == estimate(planned)
        assert f"{room.context:,}" in seen.text()
        await seen.keys("home")
        assert seen.table.selected.scenario == seen.app.session.scenario
        seen.table.sheet.answers[seen.table.own] = found = answer(seen.app.session.scenario)
        for number in range(1, len(METRICS) + 1):
            await seen.keys("]")
            metric = METRICS[(2 + number) % len(METRICS)]
            assert metric.title in seen.text()
            row = next(line for line in seen.text().splitlines() if "▶●" in line)
            assert cell_text(metric, found, seen.app.session.scenario.context).text in row
        for view in ("devices × KV formats", "devices × weight formats", "models × devices"):
            await seen.keys("r")
            assert view in seen.text()
            assert seen.table.selected.scenario == seen.app.session.scenario
        await seen.keys("pagedown", "pageup", *["up"] * 5, *["left"] * 3)
        assert seen.table.cursor[0] == 0

    watch(body)


def test_sorting_by_a_column_from_both_ends_and_not_at_all_by_key_and_click() -> None:
    async def body(seen: Seen) -> None:
        column = await seen.column("H100 SXM")
        before = seen.shown_rows
        await seen.keys("o")
        answers = seen.table.sheet.answers
        rows, _ = seen.table.shown()
        counts = [present(a.sequences) for row in rows if (a := answers[row, column]).fits and not a.beyond]
        assert counts == sorted(counts, reverse=True)
        rest = [answers[row, column] for row in rows[len(counts) :]]
        assert all(not found.fits or found.beyond for found in rest)
        assert "by max sequences on H100 SXM ↓" in seen.text()
        assert seen.table.cursor[0] == rows[0]
        await seen.keys("o")
        assert "by max sequences on H100 SXM ↑" in seen.text()
        assert answers[seen.table.shown()[0][0], column].sequences == 0
        await seen.keys("o")
        assert seen.shown_rows == before
        view = seen.screen.query_one(MatrixView)
        await seen.pilot.click(MatrixView, offset=(30, view.sight.heads + 4))
        await seen.pilot.pause()
        assert seen.table.cursor == (seen.table.in_sight[0][2], seen.table.in_sight[1][0])
        await seen.pilot.click(MatrixView, offset=(30, 1))
        await seen.pilot.pause()
        assert seen.table.sorting == (SortKey(seen.table.in_sight[1][0], seen.table.metric),)

    watch(body)


def test_the_filter_takes_rows_and_columns_and_the_export_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def body(seen: Seen) -> None:
        await seen.keys("/")
        await seen.type("qwen3-30b, gemma-2- / h100 sxm,b200")
        assert seen.shown_rows == ["Qwen3-30B-A3B", "gemma-2-2b", "gemma-2-9b", "gemma-2-27b"]
        assert seen.shown_columns == ["H100 SXM", "B200", "GB200"]
        assert "1/4 × 1/3" in seen.text()
        await seen.keys("enter", "down")
        assert seen.table.selected.model == "gemma-2-2b"
        await seen.keys("/")
        await seen.type("zzz")
        assert "nothing of that name" in seen.text()
        assert "gemma" not in seen.text()
        await seen.keys("escape")
        assert len(seen.shown_rows) == len(seen.table.sheet.table.rows)

        await seen.column("H100 SXM")
        await seen.keys("/")
        await seen.type("llama-3.1 / h100 sxm, l4")
        await seen.keys("enter")
        await seen.keys("x")
        await seen.keys("down")
        assert isinstance(seen.app.screen, ExportScreen)
        await seen.type("t.csv")
        await seen.keys("enter")
        rows = list(csv.DictReader(Path("t.csv").read_text(encoding="utf-8").splitlines()))
        rows = [row for row in rows if row["column"] == "H100 SXM"]
        assert [row["row"] for row in rows] == ["Llama-3.1-8B", "Llama-3.1-70B", "Llama-3.1-405B"]
        own = seen.app.session
        assert rows[0]["max_sequences"] == str(own.capacity.sequences)
        assert float(rows[0]["tokens_per_second.low"]) == pytest.approx(present(own.estimate.tokens_per_second).low)
        assert rows[1]["fits"] == "false"

    watch(body)


def test_a_table_as_json_and_markdown() -> None:
    scenario = scenario_from(SCENARIO)
    sheet = Sheet(table(scenario, "weights"))
    row, column = present(sheet.table.place(scenario))
    sheet.answers = {(row, column): answer(scenario), (row, column + 1): MatrixAnswer(reason="it cannot be")}
    _, as_json, as_markdown = forms(sheet, [row], [column, column + 1, column + 2], METRICS[2], "max sequences")
    known, impossible, waiting = json.loads(present(as_json.make)())
    assert known["max_context_tokens"] == capacity(plan(scenario)).context
    assert known["usd_per_million_tokens.high"] == present(estimate(plan(scenario)).usd_per_million_tokens).high
    assert (impossible["max_sequences"], impossible["reason"]) == (None, "it cannot be")
    assert waiting["reason"] == "not worked out yet"
    text = present(as_markdown.make)()
    assert isinstance(text, str)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert lines[0] == ["max sequences", "bf16", "fp16", "fp8"]
    assert lines[-1] == ["H100 SXM", "3", "–", "·"]


def test_a_cell_becomes_the_scenario_a_lever_changes_it_and_what_cannot_be_says_why() -> None:
    async def body(seen: Seen) -> None:
        sheet = seen.table.sheet
        seen.go("Qwen3-8B", "H200 SXM")
        await seen.keys("enter")
        scenario = seen.app.session.scenario
        assert (scenario.model.name, scenario.device.name) == ("Qwen3-8B", "H200 SXM")
        assert seen.table.sheet is sheet
        assert seen.table.own == seen.table.cursor

        found = await seen.levers()
        before = present(seen.app.session.capacity.sequences)
        await seen.keys("tab")
        at = next(i for i, lever in enumerate(found) if lever.name == "fp8 or int8 KV")
        await seen.keys(*["down"] * at)
        assert " sequences at 128K" in seen.text()
        await seen.keys("enter")
        assert seen.app.session.scenario.kv_dtype == "fp8"
        taken = found[at]
        assert isinstance(taken, Lever)
        assert seen.app.session.capacity.sequences == present(taken.after.sequences) > before
        assert seen.table.sheet is not sheet

        again = await seen.levers()
        assert all("fp8" not in lever.name or "weights" in lever.name for lever in again if isinstance(lever, Lever))
        scenario = seen.app.session.scenario
        idle, why = next((i, lever.reason) for i, lever in enumerate(again) if isinstance(lever, Idle))
        seen.screen.action_lever(idle)
        seen.screen.action_lever(idle)
        await seen.pilot.pause()
        assert seen.app.session.scenario is scenario
        assert why[:20] in seen.text()

        await seen.keys("]")
        bands = [
            present(lever.after.times).tokens_per_second
            for lever in seen.screen.levers.found
            if isinstance(lever, Lever)
        ]
        speeds = [band.low for band in bands if band is not None]
        assert present(bands[0]).low == max(speeds)

        seen.app.session.change(layout=Layout(tp=8))
        seen.go("Qwen2.5-7B", "H100 SXM")
        scenario = seen.app.session.scenario
        await seen.keys("enter", "space", "e")
        assert "28 attention heads" in seen.text()
        assert seen.app.session.scenario is scenario
        assert not seen.table.marks
        assert seen.app.screen is seen.screen

    watch(body)


def test_marked_cells_are_compared_and_one_is_explained_and_copied() -> None:
    async def body(seen: Seen) -> None:
        for device in ("H100 SXM", "H200 SXM", "B200", "L40S", "A10"):
            seen.go("Llama-3.1-8B", device)
            await seen.keys("space")
        assert len(seen.table.marks) == MOST_MARKS
        seen.go("Llama-3.1-8B", "L40S")
        await seen.keys("space")
        await seen.keys("C")
        screen = seen.app.screen
        assert isinstance(screen, CompareScreen)
        await seen.until(lambda: "usable, GiB" in seen.text())
        assert "3 scenarios side by side" in seen.text()
        assert all(device in seen.text() for device in ("H100 SXM", "H200 SXM", "B200"))
        assert screen.command.count(" -- ") == 2
        await seen.keys("C")
        assert seen.app.screen is seen.screen

        seen.go("Qwen3-8B", "L40S")
        scenario = present(seen.table.selected.scenario)
        assert seen.screen.command == f"kvtui {command_line(scenario)}"
        assert scenario_from({**SCENARIO, "model": "Qwen3-8B", "gpu": "L40S"}) == scenario
        await seen.keys("e")
        assert isinstance(seen.app.screen, ExplainScreen)
        assert "where the numbers come from: Qwen3-8B" in seen.text()

    watch(body)


def test_an_engine_is_chosen_and_any_option_typed() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("n")
        assert isinstance(seen.app.screen, EnginePicker)
        await seen.until(lambda: "fits" in seen.text() and "…" not in seen.text())
        await seen.type("vllm@0.20.1")
        await seen.keys("enter")
        await seen.until(lambda: seen.app.screen is seen.screen)
        await seen.pilot.pause()
        scenario = seen.app.session.scenario
        assert (scenario.engine, scenario.serving.version, scenario.memory_utilization) == ("vllm", "0.20.1", 0.92)
        assert "vllm 0.20.1" in seen.text()
        assert seen.table.selected.answer.sequences == present(seen.app.session.plan.serving).max_sequences
        assert any(lever.name == "utilization 0.95" for lever in await seen.levers())

        await seen.keys(":")
        assert isinstance(seen.app.screen, Palette)
        await seen.type("kv-pool 16GiB")
        await seen.until(lambda: "kv-pool: default to 17,179,869,184" in seen.text())
        await seen.keys("enter")
        assert seen.app.session.scenario.kv_pool == 16 * 2**30
        assert "pool 16.00 GiB" in seen.text()

    watch(body)


def test_the_thread_works_out_what_is_in_sight_and_nothing_behind_another_screen() -> None:
    async def body(seen: Seen) -> None:
        screen = seen.screen
        await seen.until(lambda: screen.levers.found)
        rows, columns = seen.table.in_sight
        await seen.until(lambda: all((row, column) in seen.table.sheet.answers for row in rows for column in columns))
        for place in ((rows[3], columns[0]), (rows[5], columns[-1])):
            assert seen.table.sheet.answers[place] == answer(seen.table.sheet.table.at(*place))
        seen.app.simulate_key("1")
        await seen.until(lambda: all(worker.is_finished for worker in screen.workers if worker.group == "plan"))
        known = len(seen.table.sheet.answers)
        await asyncio.sleep(0.1)
        under_way = max(len(seen.table.sheet.table.rows), len(seen.table.sheet.table.columns))
        assert len(seen.table.sheet.answers) <= known + under_way < seen.table.sheet.cells
        seen.app.session.change(context=4096)
        seen.app.simulate_key("3")
        await seen.until(lambda: seen.table.sheet.table.scenario.context == 4096)
        await seen.until(lambda: seen.table.own in seen.table.sheet.answers)

    watch(body, (80, 24), at_work=True)


@given(st.integers(2, 90), st.integers(2, 30), st.integers(0, 40), st.integers(0, 40), st.data())
def test_the_cursor_is_always_in_sight(width: int, height: int, rows: int, columns: int, data: DataObject) -> None:
    cursor = data.draw(st.integers(0, max(0, rows - 1))), data.draw(st.integers(0, max(0, columns - 1)))
    grid = Grid(
        rows=[f"row {i}" for i in range(rows)],
        columns=[f"a column {i}" for i in range(columns)],
        heads=[f"a column {i}" for i in range(columns)],
        cell=lambda row, column: Span(f"{row}:{column}"),
        width=6,
        cursor=cursor,
    )
    seen = sight(grid, width, height, data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40)))
    text = paint_grid(grid, width, height, seen).text()
    if not rows or not columns:
        return
    assert cursor[0] in seen.rows
    assert cursor[1] in seen.columns
    assert list(seen.rows)[-1] < rows
    assert list(seen.columns)[-1] < columns
    if width > 30 and height > 8:
        assert f"{cursor[0]}:{cursor[1]}" in text
        y = next(y for y, line in enumerate(text.splitlines()) if "▶" in line)
        assert seen.row_at(y) == cursor[0]
        assert seen.column_at(text.splitlines()[y].index("▶")) == cursor[1]


def test_names_are_found_by_words_and_alternatives() -> None:
    names = ("Qwen3-8B", "Qwen3-30B-A3B", "gemma-3-4b")
    assert named(names, "") == [0, 1, 2]
    assert named(names, "qwen 30b") == [1]
    assert named(names, "8b, gemma") == [0, 2]
    assert named(names, " , ") == [0, 1, 2]


def test_models_and_devices_are_found_by_maker_use_licence_and_size() -> None:
    models, devices = all_models(), all_devices()
    coders = [models[place] for place in chosen(models, "qwen code apache <40b", model_words)]
    assert coders
    assert all(present(model.parameters) < 40e9 for model in coders)
    assert "Qwen3-Coder-Next" not in {model.name for model in coders}
    assert {devices[place].vendor for place in chosen(devices, "mac >=64gb", device_words)} == {"Apple"}
    assert min(devices[place].nominal_gb for place in chosen(devices, "apple >=64gb", device_words)) == 64
    assert chosen(devices, ">=80gb nvidia datacentre", device_words)


@pytest.mark.parametrize("view", list(VIEWS))
@pytest.mark.parametrize("values", [{}, {"fa": False}])
def test_a_sheet_hands_out_what_is_in_sight_first_and_each_cell_once(
    view: MatrixSubject, values: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Piece] = []
    monkeypatch.setattr(Sheet, "work_out", lambda _, piece: asked.append(piece))
    sheet = Sheet(table(scenario_from(values), view))
    rows, columns = (2, 3), (0, 1)
    wanted = Wanted((rows, columns), (2,), (range(8), range(4)))
    while (work := sheet.take(wanted)) is not None:
        work()
    cells = [place for piece in asked for place in places(sheet.table, piece)]
    assert len(cells) == len(set(cells))
    assert set(places(sheet.table, asked[0])) <= {(row, column) for row in rows for column in columns}
    near = {(row, column) for row in range(8) for column in range(min(4, len(sheet.table.columns)))}
    assert set(cells) == near | {(row, 2) for row in range(len(sheet.table.rows))} or len(cells) == sheet.cells
    assert (len(cells) == sheet.cells) == (not values)


def test_with_an_engine_nothing_is_worked_out_that_is_not_wanted() -> None:
    sheet = Sheet(table(scenario_from({"engine": "vllm"}), "models"))
    wanted = Wanted(((1,), (40, 41)), best=[(1, 40)])
    while (work := sheet.take(wanted)) is not None:
        work()
    assert sorted(sheet.answers) == [(1, 40), (1, 41)]
    assert sheet.answers[1, 40].best == best_format(sheet.table.at(1, 40))


def test_several_keys_order_the_rows_that_the_first_leaves_alike() -> None:
    sheet = Sheet(table(scenario_from({}), "weights"))
    sheet.answers |= {
        (0, 0): MatrixAnswer(True, 0.5, 9, 4),
        (1, 0): MatrixAnswer(True, 0.5, 9, 7),
        (2, 0): MatrixAnswer(True, 0.5, 5, 9),
        (3, 0): MatrixAnswer(False, 1.5, 0, 0),
    }
    context, sequences = SortKey(0, METRICS[1]), SortKey(0, METRICS[2])
    assert sheet.rows("", (context, sequences))[:4] == [1, 0, 2, 3]
    assert sheet.rows("", (context, sequences._replace(order="worst first")))[:3] == [0, 1, 2]
    assert 3 not in sheet.rows("", (), fitting=0)
    assert 4 in sheet.rows("", (), fitting=0)


def test_a_sheet_keeps_what_has_no_figure_last_from_both_ends() -> None:
    sheet = Sheet(table(scenario_from({}), "weights"))
    sheet.answers |= {
        (0, 0): MatrixAnswer(reason="no"),
        (1, 0): MatrixAnswer(True, 0.5, 9, 4),
        (2, 0): MatrixAnswer(True, 0.5, 9, 7),
    }
    best, worst = (sheet.rows("", (SortKey(0, METRICS[2], order),)) for order in ("best first", "worst first"))
    assert best[:3] == [2, 1, 0]
    assert worst[:3] == [1, 2, 0]


def test_a_device_of_no_catalogue_is_its_memory_and_bandwidth() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("D")
        await seen.until(lambda: isinstance(seen.app.focused, Input) and "this machine" in seen.text())
        await seen.type("48GiB 960 1")
        assert "own device: '1' is not understood" in seen.text()
        await seen.type("48")
        assert "its bandwidth is missing" in seen.text()
        await seen.type("48 GB 1.2TB/s")
        assert "own 48 GiB 1200 GB/s, no price: " in seen.text()
        await seen.keys("up")
        assert isinstance(seen.app.focused, Input)
        assert seen.app.focused.value == "16GiB 300"
        await seen.type("48GiB 960")
        await seen.keys("enter")
        scenario = seen.app.session.scenario
        assert scenario.device.name == "own 48 GiB 960 GB/s"
        assert scenario_from({**SCENARIO, "gpu": "own 48GiB 960"}) == scenario
        assert "own 48 GiB 960 GB/s" in seen.text()
        assert "H100" not in seen.text().split("own 48 GiB 960 GB/s")[0]

    watch(body)
