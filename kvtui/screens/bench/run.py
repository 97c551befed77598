"""A benchmark that is going on: it runs in a thread of its own, and is looked at as values that never change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Literal

from kvtui.bench import store
from kvtui.bench.runner import BackendError, Control, Event, Outcome, Progress, Started, run
from kvtui.bench.table import ms
from kvtui.cases.sweep import Sweep, repeat_of
from kvtui.cases.table import ColumnValues, Measured, sharing, table_row
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

LINES = 200
END_SECONDS = 5.0

RunState = Literal["starting", "running", "paused", "finished", "cancelled", "failed"]
OVER = ("finished", "cancelled", "failed")


@dataclass(frozen=True, slots=True, eq=False)
class RunNow:
    """A run at one moment.

    ``done`` of ``total`` cases; ``case`` is the key of the one under way and ``stage`` what it has come to;
    ``seconds_left`` is None while nothing is known of it. ``last`` says what the last case came to, ``message`` why a
    run failed. ``pausing``: the case under way ends before the pause begins. ``lines`` are the newest of the log.

    ``rows`` has a table line for every row of the sweep, with a prediction and no status while it waits. ``stored`` is
    what has been measured, as it would be read from the folder; both are there as soon as there is a folder.
    """

    state: RunState = "starting"
    done: int = 0
    total: int = 0
    case: str | None = None
    stage: str = ""
    seconds_left: float | None = None
    last: str = ""
    message: str = ""
    pausing: bool = False
    lines: tuple[str, ...] = ()
    rows: tuple[ColumnValues, ...] = ()
    stored: store.StoredRun | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER

    @property
    def folder(self) -> Path | None:
        """Where results are put; None before there is a folder."""
        return None if self.stored is None else self.stored.folder

    @property
    def case_name(self) -> str:
        """The group and the label of the case under way; empty if there is none."""
        return next((f"{row['group']}, {row['label']}" for row in self.rows if row["case"] == self.case), "")


class LiveRun:
    """Runs a sweep into a folder, begun by ``begin`` in the run's own thread; ``now`` is where it stands.

    ``command`` starts another worker than this interpreter's.
    """

    def __init__(self, begin: Callable[[], store.Writer], command: Sequence[str] | None = None) -> None:
        self._begin, self._command = begin, command
        self._control = Control()
        self._lock = Lock()
        self._now = RunNow()
        self._thread = Thread(target=self._run, name="kvtui-bench", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def now(self) -> RunNow:
        """Where the run stands; the same value until something has changed."""
        with self._lock:
            return self._now

    @property
    def folder(self) -> Path | None:
        """Where results are put; None before there is a folder."""
        return self.now.folder

    def pause(self) -> None:
        """Let the case under way finish, and begin no other until ``resume``."""
        self._control.pause()
        with self._lock:
            if not self._now.over:
                idle = self._now.case is None
                self._now = replace(self._now, pausing=not idle, state="paused" if idle else self._now.state)

    def resume(self) -> None:
        """Go on."""
        self._control.resume()
        with self._lock:
            if not self._now.over:
                state: RunState = "running" if self._now.state == "paused" else self._now.state
                self._now = replace(self._now, pausing=False, state=state)

    def cancel(self) -> None:
        """End the run now. The case under way is lost, and what was measured before is kept."""
        self._control.cancel()

    def end(self) -> None:
        """Cancel, and return when the worker is gone and the results are closed."""
        self.cancel()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        state: RunState = "failed"
        message, told = "", {}
        try:
            writer = self._begin()
            listener = _Listener(writer, self._control, self._change)
            jobs, device = writer.jobs_left, writer.about.get("device")
            self._change(f"{len(jobs)} cases, results in {writer.folder}", total=len(jobs), **listener.told())
            try:
                state = run(
                    jobs,
                    listener,
                    control=self._control,
                    device=device if isinstance(device, str) else None,
                    command=self._command,
                )
            finally:
                writer.close(state == "finished")
                told = listener.told()
        except (BackendError, InputError, OSError, ValueError) as error:
            state, message = "failed", plain(str(error), limit=400)
        self._change(
            f"{state}{': ' if message else ''}{message}",
            **told,
            state=state,
            message=message,
            case=None,
            stage="",
            seconds_left=None,
            pausing=False,
        )

    def _change(self, line: str = "", **fields: Any) -> None:
        """Put ``fields`` into what is seen of the run, and ``line`` at the end of its log."""
        with self._lock:
            if line:
                said = f"{time.strftime('%H:%M:%S')} {plain(line, limit=400)}"
                fields["lines"] = (*self._now.lines, said)[-LINES:]
            self._now = replace(self._now, **fields)


class _Listener:
    """Stores what the runner tells, and hands on by ``change`` what is to be seen of it."""

    def __init__(self, writer: store.Writer, control: Control, change: Callable[..., None]) -> None:
        self._writer, self._control, self._change = writer, control, change
        self._names = {row.case.key: f"{row.group}, {row.label}" for row in reversed(writer.sweep.rows)}
        self._rows, self._places = waiting(writer.sweep)
        for one in writer.measured:
            self._put(one.case, one.repeat, _rows_of(writer.sweep, one))

    def __call__(self, event: Event) -> None:
        match event:
            case Started(host):
                self._writer.host(host)
                said = f"worker ready, JAX {host.get('jax') or 'unknown'} on {host.get('device') or 'its device'}"
                self._change(said, **self.told())
            case Progress():
                self._progress(event)
            case Outcome(job, record, _):
                rows = self._writer.add(event)
                self._put(job.case.key, repeat_of(job), rows)
                said = _outcome(rows, record)
                self._change(f"{self._names[job.case.key]}: {said}", last=said, **self.told())

    def told(self) -> dict[str, Any]:
        """The table and the results as they are now."""
        writer = self._writer
        done = [row for row in self._rows if row["status"]]
        stored = store.StoredRun(writer.folder, dict(writer.about), done, list(writer.measured))
        return {"rows": tuple(self._rows), "stored": stored}

    def _put(self, case: str, repeat: int, rows: Sequence[ColumnValues]) -> None:
        for place, row in zip(self._places.get((case, repeat), ()), rows, strict=False):
            self._rows[place] = row

    def _progress(self, event: Progress) -> None:
        job = event.under_way
        paused = self._control.paused and job is None
        self._change(
            state="paused" if paused else "running",
            done=event.done,
            total=event.total,
            case=None if job is None else job.case.key,
            stage=event.stage,
            seconds_left=event.seconds_left,
            pausing=self._control.paused and not paused,
        )


def waiting(sweep: Sweep) -> tuple[list[ColumnValues], dict[tuple[str, int], list[int]]]:
    """A table line without a status for every row and repeat, and the places of each case and repeat in that list."""
    repeats: dict[str, list[int]] = {}
    for job in sweep.jobs:
        repeats.setdefault(job.case.key, []).append(repeat_of(job))
    shared = sharing(sweep)
    rows: list[ColumnValues] = []
    places: dict[tuple[str, int], list[int]] = {}
    for row in sweep.rows:
        for repeat in sorted(repeats.get(row.case.key, ())):
            places.setdefault((row.case.key, repeat), []).append(len(rows))
            rows.append(table_row(row, repeat, {}, shared[row.case.key]))
    return rows, places


def _rows_of(sweep: Sweep, one: Measured) -> list[ColumnValues]:
    shared = sharing(sweep)[one.case]
    return [table_row(row, one.repeat, one.record, shared) for row in sweep.rows if row.case.key == one.case]


def _outcome(rows: Sequence[ColumnValues], record: Any) -> str:
    if record["status"] != "ok":
        return plain(f"{record['status']}: {record.get('message')}", limit=300)
    row = rows[0]
    step, rate = row["decode_step_ms_p50"], row["decode_tok_s"]
    parts = ["" if step is None else f"{ms(step)} ms per step", "" if rate is None else f"{rate:,.0f} tok/s"]
    shared = f" (shared by {len(rows)} rows)" if len(rows) > 1 else ""
    return ", ".join(part for part in parts if part) + shared
