"""``kvtui bench --trained``: loss, cache and speed of the models that ``kvtui train`` made, in tables that grow.

Three stages, each in a process of its own: the losses of the stored weights, the speed of each different shape, and
throughput by batch. What a table has already is not measured again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kvtui.bench import runner, store, table, trained
from kvtui.bench.runner import BackendError, Control, Event, Outcome, Started
from kvtui.bench.stages import TaskError, events
from kvtui.bench.training import runs as training_runs
from kvtui.bench.training.runs import TrainingRun
from kvtui.cases.protocol import Job, TimeBudget
from kvtui.cases.sweep import BUDGETS
from kvtui.commands.answer import Answer
from kvtui.commands.interrupts import cancelling, exit_code
from kvtui.commands.measuring import budget_of, need_jax
from kvtui.commands.narration import say
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import parse_count
from kvtui.engine.basis.untrusted import plain
from kvtui.output.table import Column, render

if TYPE_CHECKING:
    import argparse

FAILED, NO_BACKEND = 1, 3
MOST_BATCH = 4096
SHOWN = (
    Column("run", "run"),
    Column("params_m", "weights", "right", 4, lambda millions: f"{millions:.2f} M"),
    Column("theoretical_cache_mb", "cache", "right", 1, lambda size: f"{size * 1e3:.1f} kB"),
    Column("measured_cache_mb", "measured", "right", 5, lambda size: f"{size * 1e3:.1f} kB"),
    Column("val_loss", "loss", "right", 0, lambda loss: f"{loss:.4f}"),
    Column("prefill_ms", "prefill ms", "right", 3, table.ms),
    *(Column(f"tps_{n}", f"tok/s at {n}", "right", 2, lambda rate: f"{rate:,.0f}") for n in trained.LENGTHS),
    Column("decode_flops_ratio", "XLA/model FLOPs", "right", 6, lambda ratio: f"{ratio:.2f}"),
    Column("status", "status", priority=7),
)


@dataclass
class TrainedBench:
    """What is measured, and the lines of both tables so far."""

    runs: Sequence[TrainingRun]
    out: Path
    budget: TimeBudget
    batches: Sequence[int]
    device: str | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    batch_rows: list[dict[str, Any]] = field(default_factory=list)
    host: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, args: argparse.Namespace, size: str) -> Self:
        """What the options ask for. Raises InputError for wrong ones, no finished runs, and tables of other kinds."""
        need_jax()
        found = training_runs.runs_in(Path(args.runs_dir or training_runs.OUT))
        for run in found:
            if run.summary is None:
                say(f"{run.name}: is not finished, and left out")
        finished = [run for run in found if run.summary is not None]
        if not finished:
            raise InputError(f"{plain(str(args.runs_dir or training_runs.OUT))}: no finished training runs")
        words = args.batch_sizes or map(str, trained.BATCH_SIZES)
        batches = sorted({parse_count(word, "--batch-sizes", MOST_BATCH) for word in words})
        out = Path(args.out or store.OUT)
        rows = trained.read_rows(out / trained.RESULTS)
        batch_rows = trained.read_rows(out / trained.BATCHES)
        for run in finished:
            trained.shape_of(run)
        return cls(finished, out, budget_of(args, BUDGETS[size]), batches, args.device, rows, batch_rows)

    def run(self, answer: Answer, form: str) -> int:
        """Measure what is missing, write the tables, print the first, and return the exit code."""
        control = Control()
        try:
            with cancelling(control) as received:
                self._results(control)
                self._batches(control)
        except BackendError as error:
            say(str(error))
            return NO_BACKEND
        except TaskError as error:
            say(f"bench: {error}")
            return FAILED
        say(f"{len(self.rows)} models in {self.out / trained.RESULTS}, {len(self.batch_rows)} rows by batch")
        answer.write(self._table(answer, form))
        if received:
            say("interrupted; the same command measures the rest")
            return exit_code(received)
        return FAILED if any(row.get("status") in table.FAILED for row in self.rows) else 0

    def _table(self, answer: Answer, form: str) -> str:
        names = {run.name for run in self.runs}
        rows = [{column.key: row.get(column.key) for column in SHOWN} for row in self.rows if row["run"] in names]
        form = "markdown" if form == "md" else "json" if form == "jsonl" else form
        return render(SHOWN, rows, form, answer.width, answer.color, answer.ascii_only)

    def _results(self, control: Control) -> None:
        there = {row["run"] for row in self.rows}
        pending = [run for run in self.runs if run.name not in there]
        if not pending:
            say("every model is measured already")
            return
        losses = self._losses(pending, control)
        members: dict[str, list[TrainingRun]] = {}
        timed = {row.get("speed_of"): row for row in self.rows if row.get("status") == "ok"}
        for run in pending:
            key = trained.speed_case(trained.shape_of(run)).key
            if run.name in losses and key in timed:
                self.rows.append(trained.row_of_same_shape(run, losses[run.name], timed[key]))
                self._write_results()
            elif run.name in losses:
                members.setdefault(key, []).append(run)
        known = [run for some in members.values() for run in some]
        jobs = trained.speed_jobs(known, self.budget)

        def listener(event: Event) -> None:
            match event:
                case Started(host):
                    self.host = host
                case Outcome(job, record, _):
                    for run in members[job.id]:
                        self.rows.append(trained.result_row(run, losses[run.name], record, self.host))
                    self._write_results()
                    _tell(", ".join(run.name for run in members[job.id]), record)

        if jobs and not control.cancelled:
            runner.run(jobs.values(), listener, control=control, device=self.device)

    def _write_results(self) -> None:
        trained.write_rows(self.out / trained.RESULTS, (*trained.COLUMNS, *trained.OWN_COLUMNS), self.rows)

    def _losses(self, pending: Sequence[TrainingRun], control: Control) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        job = {"folders": [str(run.folder) for run in pending]}
        for event in events("evaluate", job, control, self.device):
            name = Path(str(event.get("folder"))).name
            if event["event"] == "loss":
                found[name] = event
                say(f"{name}: validation loss {event['val_loss']:.4f}")
            else:
                say(f"{name}: left out: {event.get('message')}")
        return found

    def _batches(self, control: Control) -> None:
        there = {(row["run"], row["batch_size"]) for row in self.batch_rows}
        full = {row["run"] for row in self.batch_rows if row.get("oom") is True}
        by_job: dict[str, TrainingRun] = {}
        jobs: list[Job] = []
        for run in trained.representatives(self.runs):
            for batch in self.batches:
                if (run.name, batch) not in there:
                    jobs.append(trained.batch_job(run, batch, self.budget))
                    by_job[jobs[-1].id] = run

        def listener(event: Event) -> None:
            match event:
                case Started(host):
                    self.host = host
                case Outcome(job, record, _):
                    run = by_job[job.id]
                    if record["status"] == "oom":
                        full.add(run.name)
                        say(f"{run.name}: batch {job.case.batch} does not fit; no larger one is tried")
                    self.batch_rows.append(trained.batch_row(run, job, record, self.host))
                    columns = (*trained.BATCH_COLUMNS, *trained.OWN_BATCH_COLUMNS)
                    trained.write_rows(self.out / trained.BATCHES, columns, self.batch_rows)
                    _tell(f"{run.name}, batch {job.case.batch}", record)

        if any(by_job[job.id].name not in full for job in jobs) and not control.cancelled:
            runner.run(
                jobs, listener, control=control, device=self.device, skip=lambda job: by_job[job.id].name in full
            )


def _tell(name: str, record: Mapping[str, Any]) -> None:
    if record["status"] != "ok":
        say(f"{name}: {record['status']}: {record.get('message')}")
    elif (step := record.get("decode_step_ms_p50")) is not None:
        say(f"{name}: {table.ms(step)} ms per step")
