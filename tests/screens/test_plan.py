"""The Plan screen: the table and its order, levers that change the scenario, marks, export, engines and sizes."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from kvtui.app import KvtuiApp
from kvtui.engine.capacity import capacity
from kvtui.engine.levers import Idle, Lever
from kvtui.engine.matrix import METRICS, Answer, table
from kvtui.engine.options import command_line, scenario_from
from kvtui.engine.plan import plan
from kvtui.engine.roofline import estimate
from kvtui.screens.explain import ExplainScreen
from kvtui.screens.export import ExportScreen
from kvtui.screens.plan import MOST_MARKS, PlanScreen
from kvtui.screens.plan_compare import CompareScreen
from kvtui.screens.plan_pickers import EnginePicker
from kvtui.screens.plan_sheet import Sheet, Sorting, named
from kvtui.screens.plan_text import cell_text
from kvtui.screens.prompt import PromptScreen
from kvtui.session import Session
from kvtui.settings import Settings
from kvtui.widgets.matrix import MatrixView

SIZES = [(200, 60), (120, 36), (100, 30), (80, 24)]
SCENARIO = {"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "128K", "batch": "2"}
KEYS = {"[": "left_square_bracket", "]": "right_square_bracket", "/": "slash", ":": "colon"}


class Seen:
    """The running app and its Plan screen."""

    def __init__(self, app: KvtuiApp, screen: PlanScreen, pilot: Pilot[None]) -> None:
        self.app, self.screen, self.pilot = app, screen, pilot

    async def keys(self, *names: str) -> None:
        for name in names:
            self.app.simulate_key(KEYS.get(name, name))
        await self.pilot.pause()

    async def until(self, holds: Callable[[], object]) -> None:
        for _ in range(400):
            if holds():
                break
            await asyncio.sleep(0.02)
        assert holds()
        await self.pilot.pause()

    async def levers(self) -> list[Lever | Idle]:
        await self.until(lambda: self.screen._levers_of == self.app.session.scenario)
        return self.screen._levers

    async def column(self, name: str) -> int:
        """Wait until all of a column is known."""
        sheet = self.screen.sheet
        column = sheet.table.columns.index(name)
        await self.until(lambda: all((row, column) in sheet.answers for row in range(len(sheet.table.rows))))
        return column

    def go(self, row: str, column: str) -> None:
        found = self.screen.sheet.table
        self.screen._cursor = found.rows.index(row), found.columns.index(column)
        self.screen.redraw()

    @property
    def shown_rows(self) -> list[str]:
        rows, _ = self.screen._shown()
        return [self.screen.sheet.table.rows[row] for row in rows]

    @property
    def shown_columns(self) -> list[str]:
        _, columns = self.screen._shown()
        return [self.screen.sheet.table.columns[column] for column in columns]

    def text(self) -> str:
        return "\n".join(
            "".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()
        )


def watch(
    body: Callable[[Seen], Awaitable[None]],
    size: tuple[int, int] = (120, 36),
    settings: Settings | None = None,
    **values: str | bool,
) -> None:
    async def run() -> None:
        session = Session(scenario_from({**SCENARIO, **values}))
        app = KvtuiApp(session, settings or Settings(palette="rgb", remember=False))
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            app.simulate_key("3")
            await pilot.pause()
            assert isinstance(app.screen, PlanScreen)
            await body(Seen(app, app.screen, pilot))

    asyncio.run(run())


@pytest.mark.parametrize("size", SIZES)
def test_every_size_shows_the_table_around_the_scenario(size):
    async def body(seen: Seen) -> None:
        await seen.until(lambda: seen.screen._cursor in seen.screen.sheet.answers)
        text = seen.text()
        assert "max sequences at 128K · models × devices" in text
        assert "▶●" in text
        assert max(map(len, text.splitlines())) <= size[0]
        row = next(line for line in text.splitlines() if "▶●" in line)
        assert row.split("▶●")[1].split()[0] == str(seen.app.session.capacity.sequences)
        assert ("levers: what one change does" in text) == (size[0] >= 100)
        assert ("context against sequences" in text) == (size[1] >= 36)

    watch(body, size)


def test_too_small_a_terminal_says_what_is_needed():
    async def body(seen: Seen) -> None:
        assert "kvtui needs 60x18, this is 50x12" in seen.text()
        await seen.keys("down", "o", "]", "tab", "space")

    watch(body, (50, 12))


def test_the_plain_pictures_carry_their_meaning_without_colour():
    async def body(seen: Seen) -> None:
        await seen.column("H100 SXM")
        text = seen.text()
        assert text.isascii()
        assert ">O" in text
        assert "X 0" in text

    watch(body, settings=Settings(palette="mono", ascii=True, remember=False))


def test_the_cursor_moves_and_the_cell_is_described():
    async def body(seen: Seen) -> None:
        await seen.keys("down", "right")
        detail = seen.screen.selected
        found = plan(replace(detail.scenario, model_ref=""))
        assert (detail.model, detail.device) == ("Llama-3.1-70B", "H100 NVL")
        assert detail.answer.fits is found.fits is False
        assert "the weights alone need" in seen.text()
        await seen.keys("home")
        assert seen.screen.selected.scenario == seen.app.session.scenario
        await seen.keys("pagedown", "pageup", *["up"] * 5, *["left"] * 3)
        assert seen.screen._cursor[0] == 0

    watch(body)


def test_every_figure_and_view_is_what_the_engine_says():
    async def body(seen: Seen) -> None:
        for number in range(1, len(METRICS) + 1):
            await seen.keys("]")
            metric = METRICS[(2 + number) % len(METRICS)]
            assert metric.title in seen.text()
            shown = cell_text(metric, seen.screen.selected.answer).text
            row = next(line for line in seen.text().splitlines() if "▶●" in line)
            assert shown in row
        for view in ("devices × KV formats", "devices × weight formats", "models × devices"):
            await seen.keys("w")
            assert view in seen.text()
            assert seen.screen.selected.scenario == seen.app.session.scenario

    watch(body)


def test_sorting_by_a_column_from_both_ends_and_not_at_all():
    async def body(seen: Seen) -> None:
        column = await seen.column("H100 SXM")
        before = seen.shown_rows
        await seen.keys("o")
        answers = seen.screen.sheet.answers
        rows, _ = seen.screen._shown()
        counts = [a.sequences for row in rows if (a := answers[row, column]).fits]
        assert counts == sorted(counts, reverse=True)
        assert all(not answers[row, column].fits for row in rows[len(counts) :])
        assert "↓H100 SXM" in seen.text()
        assert seen.screen._cursor[0] == rows[0]
        await seen.keys("o")
        assert "↑H100 SXM" in seen.text()
        assert answers[seen.screen._shown()[0][0], column].sequences == 0
        await seen.keys("o")
        assert seen.shown_rows == before

    watch(body)


def test_the_filter_takes_rows_and_columns():
    async def body(seen: Seen) -> None:
        await seen.keys("/")
        await seen.pilot.press(*"qwen3 30b, gemma-2", "slash", *"h100 sxm,b200")
        assert seen.shown_rows == ["Qwen3-30B-A3B", "gemma-2-2b", "gemma-2-9b", "gemma-2-27b"]
        assert seen.shown_columns == ["H100 SXM", "B200", "GB200"]
        assert "4 of 108 rows" in seen.text()
        await seen.keys("enter", "down")
        assert seen.screen.selected.model == "gemma-2-2b"
        await seen.keys("/")
        await seen.pilot.press(*"zzz")
        assert "nothing of that name" in seen.text()
        await seen.keys("escape")
        assert len(seen.shown_rows) == len(seen.screen.sheet.table.rows)

    watch(body)


def test_a_cell_becomes_the_scenario_and_the_table_stays():
    async def body(seen: Seen) -> None:
        await seen.column("H100 SXM")
        sheet = seen.screen.sheet
        seen.go("Qwen3-8B", "H200 SXM")
        await seen.keys("enter")
        scenario = seen.app.session.scenario
        assert (scenario.model.name, scenario.device.name) == ("Qwen3-8B", "H200 SXM")
        assert seen.screen.sheet is sheet
        assert seen.screen._own == seen.screen._cursor
        await seen.keys("b")
        assert seen.screen.sheet is not sheet
        assert f"batch {scenario.batch * 2}" in seen.text()

    watch(body)


def test_a_cell_that_cannot_be_says_why_and_is_not_taken():
    async def body(seen: Seen) -> None:
        seen.go("Qwen2.5-7B", "H100 SXM")
        await seen.keys("enter", "space", "e")
        assert "28 attention heads" in seen.text()
        assert seen.app.session.scenario.model.name == "Llama-3.1-8B"
        assert not seen.screen._marks
        assert seen.app.screen is seen.screen

    watch(body, tp="8")


def test_a_lever_is_applied_to_the_scenario():
    async def body(seen: Seen) -> None:
        found = await seen.levers()
        before = seen.app.session.capacity.sequences
        await seen.keys("tab")
        at = next(i for i, lever in enumerate(found) if lever.name == "fp8 or int8 KV")
        await seen.keys(*["down"] * at)
        assert "+133 % sequences at 128K" in seen.text()
        await seen.keys("enter")
        assert seen.app.session.scenario.kv_dtype == "fp8"
        assert seen.app.session.capacity.sequences == found[at].after.sequences > before
        again = await seen.levers()
        assert all("fp8" not in lever.name or "weights" in lever.name for lever in again if isinstance(lever, Lever))

    watch(body)


def test_a_lever_that_gains_nothing_says_so_and_changes_nothing():
    async def body(seen: Seen) -> None:
        found = await seen.levers()
        before = seen.app.session.scenario
        at = next(i for i, lever in enumerate(found) if isinstance(lever, Idle))
        seen.screen.action_lever(at)
        seen.screen.action_lever(at)
        await seen.pilot.pause()
        assert seen.app.session.scenario is before
        assert found[at].reason[:20] in seen.text()

    watch(body)


def test_levers_follow_the_figure():
    async def body(seen: Seen) -> None:
        await seen.levers()
        await seen.keys("]")
        best = seen.screen._levers[0]
        speeds = [
            lever.after.times.tokens_per_second.low
            for lever in seen.screen._levers
            if isinstance(lever, Lever) and lever.after.times.tokens_per_second is not None
        ]
        assert best.after.times.tokens_per_second.low == max(speeds)

    watch(body)


def test_marked_cells_are_compared_side_by_side():
    async def body(seen: Seen) -> None:
        for device in ("H100 SXM", "H200 SXM", "B200", "L40S", "A10"):
            seen.go("Llama-3.1-8B", device)
            await seen.keys("space")
        assert len(seen.screen._marks) == MOST_MARKS
        seen.go("Llama-3.1-8B", "L40S")
        await seen.keys("space", "c")
        screen = seen.app.screen
        assert isinstance(screen, CompareScreen)
        await seen.until(lambda: "usable, GiB" in seen.text())
        assert "3 scenarios side by side" in seen.text()
        for device in ("H100 SXM", "H200 SXM", "B200"):
            assert device in seen.text()
        assert screen.command.count(" -- ") == 2
        await seen.keys("c")
        assert seen.app.screen is seen.screen

    watch(body)


def test_the_cell_is_explained_and_copied():
    async def body(seen: Seen) -> None:
        seen.go("Qwen3-8B", "L40S")
        scenario = seen.screen.selected.scenario
        assert seen.screen.command == f"kvtui {command_line(scenario)}"
        assert scenario_from({**SCENARIO, "model": "Qwen3-8B", "gpu": "L40S"}) == replace(scenario)
        await seen.keys("e")
        assert isinstance(seen.app.screen, ExplainScreen)
        assert "where the numbers come from: Qwen3-8B" in seen.text()

    watch(body)


def test_the_table_is_exported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def save(seen: Seen, kind: int, name: str) -> str:
        await seen.keys("x", *["down"] * kind)
        assert isinstance(seen.app.screen, ExportScreen)
        seen.app.screen._field.value = name
        await seen.keys("enter")
        return Path(name).read_text(encoding="utf-8")

    async def body(seen: Seen) -> None:
        await seen.column("H100 SXM")
        await seen.keys("/")
        await seen.pilot.press(*"llama-3.1", "slash", *"h100 sxm", "enter")
        rows = list(csv.DictReader((await save(seen, 1, "t.csv")).splitlines()))
        assert [row["row"] for row in rows] == ["Llama-3.1-8B", "Llama-3.1-70B", "Llama-3.1-405B"]
        own = seen.app.session
        assert rows[0]["max_sequences"] == str(own.capacity.sequences)
        assert float(rows[0]["tokens_per_second.low"]) == pytest.approx(own.estimate.tokens_per_second.low)
        assert rows[1]["fits"] == "false"
        found = json.loads(await save(seen, 2, "t.json"))
        assert found[0]["max_context_tokens"] == own.capacity.context
        assert found[1]["usd_per_million_tokens.low"] is None
        shown = await save(seen, 3, "t.md")
        assert "| Llama-3.1-8B | 3 |" in " ".join(shown.split())

    watch(body)


def test_an_engine_is_chosen_and_its_figures_shown():
    async def body(seen: Seen) -> None:
        await seen.keys("E")
        assert isinstance(seen.app.screen, EnginePicker)
        await seen.until(lambda: "tensorrt-llm" in seen.text())
        await seen.pilot.press(*"vllm@0.20", "enter")
        await seen.until(lambda: seen.app.screen is seen.screen)
        scenario = seen.app.session.scenario
        assert (scenario.engine, scenario.serving.version, scenario.memory_utilization) == ("vllm", "0.20", 0.9)
        assert "vllm 0.20" in seen.text()
        await seen.until(lambda: seen.screen._own in seen.screen.sheet.answers)
        assert seen.screen.selected.answer.sequences == seen.app.session.plan.serving.max_sequences
        await seen.levers()
        assert any(lever.name == "utilization 0.95" for lever in seen.screen._levers)

    watch(body)


def test_any_option_can_be_typed():
    async def body(seen: Seen) -> None:
        await seen.keys(":")
        assert isinstance(seen.app.screen, PromptScreen)
        await seen.pilot.press(*"kv-pool 16GiB")
        assert "kv-pool: default to 17,179,869,184" in seen.text()
        await seen.keys("enter")
        assert seen.app.session.scenario.kv_pool == 16 * 2**30
        assert "pool 16.00 GiB" in seen.text()
        await seen.keys(":", "up")
        assert seen.app.screen._value == ""
        await seen.pilot.press(*" nonsense", "enter")
        assert isinstance(seen.app.screen, PromptScreen)

    watch(body)


def test_nothing_is_worked_out_behind_another_screen():
    async def body(seen: Seen) -> None:
        await seen.keys("1")
        await asyncio.sleep(0.1)
        known = len(seen.screen.sheet.answers)
        await asyncio.sleep(0.2)
        assert len(seen.screen.sheet.answers) == known < seen.screen.sheet.cells
        seen.app.session.change(context=4096)
        await seen.keys("3")
        await seen.until(lambda: seen.screen._own in seen.screen.sheet.answers)
        assert "max sequences at 4K" in seen.text()

    watch(body, engine="vllm")


def test_the_drawer_takes_the_place_of_the_table():
    async def body(seen: Seen) -> None:
        await seen.levers()
        await seen.keys("tab")
        assert "levers: what one change does" in seen.text()
        assert not seen.screen.query_one(MatrixView).display
        await seen.keys("s")
        assert "models × devices" in seen.text()
        assert seen.screen._lever_at is None

    watch(body, (80, 24))


def test_clicks_choose_sort_and_take():
    async def body(seen: Seen) -> None:
        view = seen.screen.query_one(MatrixView)
        seen.screen.on_matrix_view_pointed(MatrixView.Pointed(0, 0))
        found = seen.screen._cursor
        assert found == (seen.screen._visible[0][0], seen.screen._visible[1][0]) or found[0] == 0
        seen.screen.on_matrix_view_pointed(MatrixView.Pointed(None, found[1]))
        assert seen.screen._sorting.column == found[1]
        await seen.pilot.click(MatrixView, offset=(30, view.sight.heads + 4))
        await seen.pilot.pause()
        row = seen.screen._shown()[0].index(seen.screen._cursor[0])
        assert row == view.sight.rows.start + 2

    watch(body)


def test_names_are_found_by_words_and_alternatives():
    names = ("Qwen3-8B", "Qwen3-30B-A3B", "gemma-3-4b")
    assert named(names, "") == [0, 1, 2]
    assert named(names, "qwen 30b") == [1]
    assert named(names, "8b, gemma") == [0, 2]
    assert named(names, " , ") == [0, 1, 2]


def test_a_sheet_hands_out_what_is_in_sight_first_and_each_piece_once():
    sheet = Sheet(table(scenario_from({"engine": "vllm"}), "models"))
    first = sheet.take((50, 51), (40, 41), 3)
    assert first.line == 50
    assert 40 in first.devices
    seen = [first]
    while (piece := sheet.take((50, 51), (40, 41), 3)) is not None:
        seen.append(piece)
    assert seen[1].line == 51
    assert len(seen) == len(set(seen))
    assert sum(len(piece.devices) for piece in seen) == sheet.cells
    in_order = [piece for piece in seen if 3 in piece.devices]
    assert seen[2] == in_order[0]
    assert sheet.rows("", METRICS[2], Sorting(0)) == list(range(len(sheet.table.rows)))


def test_a_sheet_keeps_what_has_no_figure_last_from_both_ends():
    sheet = Sheet(table(scenario_from({}), "weights"))
    sheet.answers |= {(0, 0): Answer(reason="no"), (1, 0): Answer(True, 0.5, 9, 4), (2, 0): Answer(True, 0.5, 9, 7)}
    best, worst = (sheet.rows("", METRICS[2], Sorting(0, order)) for order in ("best first", "worst first"))
    assert best[:3] == [2, 1, 0]
    assert worst[:3] == [1, 2, 0]


def test_the_summary_agrees_with_plan_capacity_and_estimate():
    async def body(seen: Seen) -> None:
        seen.go("Qwen3-14B", "H200 SXM")
        detail = seen.screen.selected
        planned = plan(detail.scenario)
        room, times = capacity(planned), estimate(planned)
        assert (detail.answer.context, detail.answer.sequences) == (room.context, room.sequences)
        assert detail.answer.times == times
        assert f"{room.context:,}" in seen.text()

    watch(body)
