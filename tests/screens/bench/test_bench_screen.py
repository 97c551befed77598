"""The Bench screen: from the choice of groups to rows that arrive, with the real worker on the smallest cases."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from kvtui.app.app import KvtuiApp
from kvtui.bench import store
from kvtui.bench.runner import Outcome
from kvtui.cases.case import Case, SweepRow, TransformerShape
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.sweep import Sweep, sweep
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import command_line, scenario_from
from kvtui.screens.bench.choice import Choice, seconds_per_case
from kvtui.screens.bench.leave import LeaveScreen
from kvtui.screens.bench.results import ResultTable
from kvtui.screens.bench.run import LiveRun, waiting
from kvtui.screens.bench.screen import BenchScreen
from kvtui.screens.bench.state import VIEWS, Opened, TableOrder
from kvtui.screens.bench.table import results
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.figure import FigureView
from tests.bench.pretend_worker import GATE, let_through
from tests.nightly import sampled
from tests.paths import ROOT
from tests.present import present
from tests.screens.seen import text_of

PRETEND = [sys.executable, str(ROOT / "tests" / "bench" / "pretend_worker.py")]
SIZES = [(200, 60), (120, 36), (100, 30), (80, 24)]
LOOKS = [
    Settings(palette="rgb"),
    Settings(palette="ansi", theme="kvtui-light"),
    Settings(palette="mono"),
    Settings(ascii=True),
]
TINY = TransformerShape(dim=16, heads=2, head_dim=8, kv_heads=2, blocks=1, hidden=32, context=32)
QUICK = TimeBudget(warmup=1, trials=2, most=5, seconds=0.01)
ABOUT = {"what": "sweep", "size": "fast", "groups": ["attention_type"]}
HOST = {
    "cpu_model": "pretended",
    "platform": "cpu",
    "bandwidth_ladder": [{"bytes": 2**20, "gbs": 90.0}, {"bytes": 2**28, "gbs": 31.4159}],
    "matmul_gflops": {"fp32": 100.0},
}


def rows_of(batches: tuple[int, ...]) -> list[SweepRow]:
    return [SweepRow("attention_type", f"batch {n} · MHA", "MHA", Case(TINY, batch=n, prompt=8)) for n in batches]


def sweep_of(*batches: int) -> Sweep:
    return sweep(rows_of(batches), QUICK)


def record(batch: int, factor: float = 1.0) -> dict[str, object]:
    spread = {"p20": 0.9, "p50": 1.0, "p80": 1.1, "mad": 0.01, "n": 5}
    series = {
        f"{name}_ms_{key}": value * batch * factor
        for name in ("prefill", "ttft", "decode_step")
        for key, value in spread.items()
    }
    return {
        "status": "ok",
        "tokens_per_second": 1000.0 / factor,
        "kv_measured_bytes": batch * 4096,
        "floor_bytes": 10_000 * batch,
        "model_flops": 50_000,
        "bandwidth_before_gbs": 30.0,
        "matmul_gflops": 100.0,
        "floor_ratio": 2.0,
        **series,
    }


def stored(out: Path, batches: tuple[int, ...], factor: float = 1.0, finished: bool = True, bad: int = 0) -> Path:
    """A run in ``out``; the case of batch ``bad`` failed."""
    writer = store.Writer.begin(
        out, sweep_of(*batches), {"what": "sweep", "size": "fast", "groups": ["attention_type"]}
    )
    writer.host(HOST)
    jobs = writer.jobs_left if finished else writer.jobs_left[:-1]
    for job in jobs:
        found = record(job.case.batch, factor)
        if job.case.batch == bad:
            found = {"status": "error", "message": "ValueError: no such \x1b[31mluck"}
        writer.add(Outcome(job, found, {"decode_step": [1.0, 1.1]}))
    writer.close(finished)
    return writer.folder


class Benched(KvtuiApp):
    """The app with a Bench screen that stores in a folder of the test's, and measures ``sweep``."""

    def __init__(self, out: Path, worker: list[str] | None, settings: Settings) -> None:
        self.out, self.worker = out, worker
        super().__init__(Session(scenario_from({"gpu": "H100 SXM"})), settings)

    def memory_screen(self) -> Screen[None]:
        return Screen()

    def bench_screen(self) -> Screen[None]:
        return BenchScreen(self.session, out=self.out, worker=self.worker)


class Seen:
    def __init__(self, app: Benched, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> BenchScreen:
        return next(screen for screen in self.app._screen_stacks["bench"] if isinstance(screen, BenchScreen))

    @property
    def table(self) -> ResultTable:
        return self.screen.query_one(ResultTable)

    async def keys(self, *names: str) -> None:
        for name in names:
            self.app.simulate_key(name)
            await self.pilot.pause()

    async def until(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.text()
            await asyncio.sleep(0.02)
        await self.pilot.pause()

    def text(self) -> str:
        return text_of(self.app)

    def column(self, key: str) -> list[str]:
        if key not in self.table.columns:
            return []
        return [str(self.table.get_cell(row.key, key)).strip() for row in self.table.ordered_rows]

    async def start(self, asked: Sweep) -> LiveRun:
        """Run ``asked`` as ``r`` runs what is chosen."""
        self.screen.begin(lambda: store.Writer.begin(self.app.out, asked, ABOUT))
        assert isinstance(self.app.benchmark, LiveRun)
        return self.app.benchmark


def bench(
    out: Path,
    body: Callable[[Seen], Awaitable[None]],
    size: tuple[int, int] = (120, 36),
    worker: list[str] | None = PRETEND,
    settings: Settings | None = None,
) -> None:
    async def run() -> None:
        app = Benched(out, worker, settings or Settings(palette="rgb", remember=False))
        async with app.run_test(size=size, notifications=True) as pilot:
            app.switch_mode("bench")
            await pilot.pause()
            seen = Seen(app, pilot)
            await seen.until(lambda: seen.screen.query_one(ResultTable).row_count)
            await body(seen)

    asyncio.run(run())


def test_before_the_first_run_the_screen_explains_and_predicts(tmp_path: Path) -> None:
    async def body(seen: Seen) -> None:
        await seen.until(lambda: "predicted by the planner" in seen.text())
        text = seen.text()
        assert "sweep fast · predicted, not measured" in text
        assert "30 rows, 16 different cases" in text
        await seen.until(lambda: seen.table.row_count == 30)
        assert set(seen.column("mark")) == {"·"}
        await seen.keys("z")
        await seen.until(lambda: seen.screen.state.choice.size == "default")
        await seen.until(lambda: seen.table.row_count == len(Choice(size="default").sweep.rows))
        await seen.keys("a")
        await seen.until(lambda: seen.table.row_count == 0)
        await seen.keys("r")
        assert seen.app.benchmark is None
        await seen.keys("d")
        await seen.until(lambda: seen.table.row_count == 4)

    bench(tmp_path, body)


def test_a_real_run_shows_its_rows_draws_figures_and_is_kept(tmp_path: Path) -> None:
    async def body(seen: Seen) -> None:
        run = await seen.start(sweep_of(1, 2))
        await seen.until(lambda: run.now.done >= 1, 60)
        await seen.until(lambda: run.now.over)
        await seen.until(lambda: "✓" in seen.column("mark")[0])
        assert run.now.state == "finished"
        await seen.until(lambda: seen.column("mark") == ["✓", "✓"])
        assert all(cell.endswith("=") for cell in seen.column("kv"))
        assert all(float(cell.rstrip("×").replace(",", "")) > 0 for cell in seen.column("floor"))
        found = store.read(present(run.now.folder))
        assert [row["status"] for row in found.rows] == ["ok", "ok"]
        assert found.about["finished"] is not None
        await seen.until(lambda: "figure 1 of 3" in seen.text())
        plot = seen.screen.query_one(FigureView)
        before = present(plot.cells).text()
        await seen.keys("right_square_bracket")
        await seen.until(lambda: present(plot.cells).text() != before)

    bench(tmp_path, body, worker=None)


@pytest.mark.parametrize("size", [(200, 60), (160, 46), (120, 36)])
def test_the_figure_has_room_beside_what_was_found_and_the_table(tmp_path: Path, size: tuple[int, int]) -> None:
    rows = [replace(row, group=f"group {n}") for n in range(8) for row in rows_of((2 * n + 1, 2 * n + 2))]
    writer = store.Writer.begin(tmp_path, sweep(rows, QUICK), ABOUT)
    writer.host(HOST)
    for job in writer.jobs_left:
        writer.add(Outcome(job, record(job.case.batch), {"decode_step": [1.0, 1.1]}))
    writer.close(True)

    async def body(seen: Seen) -> None:
        await seen.pilot.resize_terminal(*size)
        plot = seen.screen.query_one(FigureView)
        await seen.until(lambda: plot.cells is not None and "─" in plot.cells.text())
        await seen.until(lambda: plot.size.height >= 9)
        assert "no room" not in seen.text()
        assert "what was found" in seen.text()

    bench(tmp_path, body)


def test_cancelling_does_not_wait_for_the_case_and_keeps_what_was_measured(tmp_path: Path) -> None:
    async def body(seen: Seen) -> None:
        run = await seen.start(hanging_last())
        await seen.until(lambda: run.now.done == 2 and run.now.stage == "compile")
        await seen.keys("i")
        await seen.until(lambda: run.now.over)
        assert run.now.state == "cancelled"
        await seen.until(lambda: "unfinished" in seen.text())
        assert [row["status"] for row in store.read(present(run.now.folder)).rows] == ["ok", "ok"]

    bench(tmp_path, body)


def hanging_last() -> Sweep:
    """Two cases, and one that never ends."""
    asked = sweep_of(1, 2, 14)
    return replace(asked, jobs=tuple(sorted(asked.jobs, key=lambda job: job.case.batch)))


def test_pausing_holds_after_the_case_and_r_goes_on_with_an_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker answers a case when the test lets it, so that no case ends before its time."""
    gate = tmp_path / "gate"
    let_through(gate, 0)
    monkeypatch.setenv(GATE, str(gate))

    async def body(seen: Seen) -> None:
        run = await seen.start(sweep_of(*range(1, 7)))
        await seen.until(lambda: run.now.stage == "compile")
        await seen.keys("p")
        assert run.now.pausing
        assert run.now.done == 0
        let_through(gate, 3)
        await seen.until(lambda: run.now.state == "paused")
        assert run.now.done == 1
        await seen.until(lambda: "paused" in seen.text())
        await seen.keys("p")
        await seen.until(lambda: run.now.done == 3)
        await seen.keys("i")
        await seen.until(lambda: isinstance(seen.screen.state.shown, Opened))
        assert len(store.read(present(run.now.folder)).measured) == 3
        await seen.until(lambda: "unfinished" in seen.text())
        let_through(gate, 3)
        await seen.keys("r")
        again = seen.app.benchmark
        assert isinstance(again, LiveRun)
        assert again is not run
        await seen.until(lambda: again.now.over)
        assert again.now.state == "finished"
        assert again.now.folder == run.now.folder
        assert again.now.total == 3
        assert len(store.read(present(run.now.folder)).measured) == 6

    bench(tmp_path / "runs", body)


def test_a_killed_worker_is_reported_and_the_run_goes_on(tmp_path: Path) -> None:
    async def body(seen: Seen) -> None:
        run = await seen.start(sweep_of(13, 1, 15))
        await seen.until(lambda: isinstance(seen.screen.state.shown, Opened))
        assert run.now.state == "finished"
        await seen.until(lambda: seen.column("mark") == ["✗", "✓", "✗"])
        seen.table.move_cursor(row=0)
        await seen.pilot.pause()
        await seen.until(lambda: "SIGKILL" in seen.text())
        assert any("SIGKILL" in line for line in run.now.lines)
        await seen.keys("v", "v", "v")
        assert seen.screen.view == "log"
        await seen.until(lambda: "SIGKILL" in seen.text())

    bench(tmp_path, body, size=(200, 60))


def test_leaving_asks_while_a_run_goes_on_and_leaves_no_worker(tmp_path: Path) -> None:
    pids: list[int] = []

    async def body(seen: Seen) -> None:
        run = await seen.start(sweep_of(14))
        await seen.until(lambda: run.now.case is not None)
        pids.append(present(run.now.stored).about["host"]["pid"])
        await seen.keys("1")
        await seen.keys("q")
        await seen.until(lambda: isinstance(seen.app.screen, LeaveScreen))
        await seen.until(lambda: "0 of 1 cases" in seen.text())
        await seen.keys("escape")
        assert seen.app.is_running
        assert not run.now.over
        await seen.keys("q", "enter")

    bench(tmp_path, body)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_older_runs_open_sort_and_compare(tmp_path: Path) -> None:
    first = stored(tmp_path, (1, 2, 3), bad=3)
    second = stored(tmp_path, (1, 2, 4), factor=2.0)

    async def body(seen: Seen) -> None:
        await seen.until(lambda: second.name in seen.text())
        await seen.keys("o")
        await seen.until(lambda: "show which run" in seen.text() and first.name in seen.text())
        await seen.keys(*"run01", "enter")
        await seen.until(lambda: seen.app.screen is seen.screen)
        await seen.until(lambda: seen.column("mark") == ["✓", "✓", "✗"])
        seen.table.move_cursor(row=2)
        await seen.pilot.pause()
        await seen.until(lambda: "no such" in seen.text())
        assert "\x1b" not in seen.text()
        await seen.keys("s")
        shown = [column.key for column in seen.table.columns_shown]
        await seen.until(lambda: seen.screen.state.order == TableOrder(shown[1]))
        await seen.keys(*["s"] * (shown.index("step") - 1))
        await seen.until(lambda: seen.screen.state.order == TableOrder("step"))
        await seen.until(lambda: seen.column("step") == ["1.000", "2.000", "–"])
        await seen.keys("S")
        await seen.until(lambda: seen.column("step") == ["2.000", "1.000", "–"])
        await seen.keys("C")
        await seen.until(lambda: "compare" in seen.text() and second.name in seen.text())
        await seen.keys(*"run02", "enter")
        await seen.until(lambda: seen.app.screen is seen.screen)
        await seen.until(lambda: "slower" in seen.column("verdict"))
        assert {"only in A", "only in B"} <= set(seen.column("verdict"))
        await seen.until(lambda: seen.column("ratio")[seen.column("verdict").index("slower")] == "2.000")
        await seen.until(lambda: seen.screen.command == f"kvtui bench --compare {first} {second}")
        await seen.keys("escape")
        await seen.until(lambda: seen.column("mark") == ["✓", "✓", "✗"])
        await seen.until(lambda: seen.screen.command == f"kvtui bench --plot-only --out {first}")

    bench(tmp_path, body)


def test_the_measured_bandwidth_of_this_machines_device_goes_into_plans_and_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, (1, 2))
    monkeypatch.setattr("kvtui.bench.bandwidth.cpu_model", lambda: HOST["cpu_model"])

    async def body(seen: Seen) -> None:
        session = seen.app.session
        await seen.until(lambda: "measured on pretended" in seen.text())
        await seen.keys("B")
        assert session.scenario.bandwidth_gbs is None
        session.set_text("gpu", CPU)
        before = session.estimate
        await seen.until(lambda: "plan with 31.4 GB/s" in seen.text())
        await seen.keys("B")
        scenario = session.scenario
        assert scenario.bandwidth_gbs == 31.4
        step = present(session.estimate.step_bytes)
        assert present(session.estimate.decode_ms).low == pytest.approx(step / 31.4e9 * 1e3, rel=0.01)
        await seen.until(lambda: "in use" in seen.text())
        words = command_line(scenario)
        assert "--bandwidth 31.4" in words
        again = scenario_from({"gpu": CPU, "bandwidth": "31.4"})
        assert estimate(plan(again)).decode_ms == session.estimate.decode_ms
        await seen.keys("B")
        assert session.estimate == before

    bench(tmp_path, body)


CPU = "CPU DDR5-4800 8-channel"


@pytest.mark.parametrize(("size", "look"), list(zip(SIZES, LOOKS, strict=True)))
@sampled(2)
def test_every_size_and_view_shows_results(tmp_path: Path, size: tuple[int, int], look: Settings) -> None:
    stored(tmp_path, (1, 2, 3), bad=2)

    async def body(seen: Seen) -> None:
        for _ in VIEWS:
            await seen.keys("v")
            assert seen.screen.has_class(f"-view-{seen.screen.view}")
            text = seen.text()
            assert max(map(len, text.splitlines())) <= size[0]
            if look.ascii:
                assert text.isascii()
        seen.screen.show(replace(seen.screen.state, view="table"))
        await seen.pilot.pause()
        text = seen.text()
        assert "step ms" in text
        assert "tok/s" in text
        await seen.keys("G", "G")
        await seen.keys("right_square_bracket")
        await seen.until(lambda: "figure 1 of 3" in seen.text() and "Attention variants" in seen.text())
        await seen.keys("right_square_bracket")
        await seen.until(lambda: "figure 2 of 3" in seen.text() and "Predicted and measured" in seen.text())

    bench(tmp_path, body, size=size, settings=replace(look, remember=False))


def test_without_jax_the_screen_says_what_to_install_and_still_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stored(tmp_path, (1, 2))
    monkeypatch.setattr("kvtui.screens.bench.screen.find_spec", lambda name: None)

    async def body(seen: Seen) -> None:
        await seen.until(lambda: "JAX is not installed; pip install" in seen.text())
        await seen.until(lambda: folder.name in seen.text())
        await seen.until(lambda: seen.table.row_count == 2)
        await seen.keys("r")
        assert seen.app.benchmark is None

    bench(tmp_path, body)


def test_the_screen_loads_no_jax() -> None:
    code = (
        "import sys, kvtui.screens.bench.screen, kvtui.screens.bench.figures, kvtui.figures.sweep, "
        "kvtui.figures.decode, "
        "kvtui.plots.draw, kvtui.plots.plotext; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", f"import json\n{code}"], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"jax", "jaxlib", "matplotlib", "pandas"}


def test_sorting_puts_what_has_no_value_last_either_way() -> None:
    rows = waiting(sweep_of(1, 2, 3))[0]
    table = results([{**rows[0], "decode_tok_s": 2.0}, rows[1], {**rows[2], "decode_tok_s": 5.0}])
    for descending, order in ((False, ["1", "3", "2"]), (True, ["3", "1", "2"])):
        assert [line.cells["batch"].text for line in table.sorted(TableOrder("rate", descending))] == order
    assert table.sorted(TableOrder(None, True)) == table.lines


def test_the_pace_is_that_of_a_run_of_the_same_kind() -> None:
    choice = Choice()
    jobs: dict[str, Any] = {"sweep": {"jobs": [{}] * 10}}
    about = {"what": "sweep", "size": "fast", "started": "2026-01-01T00:00:00+00:00", **jobs}
    assert seconds_per_case(choice, [{**about, "finished": "2026-01-01T00:00:30+00:00"}]) == (3.0, True)
    assert seconds_per_case(choice, [{**about, "finished": None}])[1] is False
    assert seconds_per_case(choice, [{**about, "size": "full", "finished": "2026-01-01T00:00:30+00:00"}])[1] is False


def test_shares_add_up_to_the_sweep() -> None:
    for size in ("fast", "default", "full"):
        choice = Choice(size=size)
        shares = choice.shares
        assert sum(share.rows for share in shares.values()) == len(choice.sweep.rows)
        assert sum(share.cases for share in shares.values()) == len(choice.sweep.jobs)


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.screens.bench import test_bench_screen
from kvtui.bench import store
from kvtui.screens.bench.run import LiveRun
run = LiveRun(lambda: store.Writer.begin(Path(sys.argv[1]), test_bench_screen.long_last(), {"what": "sweep"}))
run.start()
while run.now.done < 1 or run.now.case is None:
    assert not run.now.over, run.now.message
    time.sleep(0.01)
print("measured", flush=True)
time.sleep(60)
"""


def long_last() -> Sweep:
    """A case that is measured at once, and one that takes a minute."""
    asked = sweep_of(1, 2)
    first, second = sorted(asked.jobs, key=lambda job: job.case.batch)
    return replace(asked, jobs=(first, replace(second, budget=TimeBudget(warmup=1, trials=10**7, seconds=60.0))))


def workers_of(parent: int) -> set[int]:
    """The processes that ``parent`` started and that are still there."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.add(int(status.parent.name))
    return found


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_app_leaves_no_worker_and_loses_nothing_measured(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path), str(ROOT)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert present(process.stdout).readline() == "measured\n"
        workers = workers_of(process.pid)
        process.send_signal(signal.SIGKILL)
    assert workers
    until = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(alive, workers))
    assert len(store.read(store.find_run(tmp_path)).measured) == 1
