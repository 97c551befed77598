"""A benchmark that is going on: it runs in a thread of its own and is looked at as snapshots that never change."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Literal, NamedTuple

from kvtui.bench import store
from kvtui.bench.compare import host_differences
from kvtui.bench.runner import BackendError, Control, Event, Outcome, Progress, Started, run
from kvtui.bench.table import ms
from kvtui.cases.sweep import Sweep, repeat_of
from kvtui.cases.table import ColumnValues, Measured, sharing, table_row
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

LINES = 200
END_SECONDS = 5.0

State = Literal["starting", "running", "paused", "finished", "cancelled", "failed"]
OVER = ("finished", "cancelled", "failed")


class Snapshot(NamedTuple):
    """Where a run stands.

    ``done`` of ``total`` cases; ``case`` is the key of the one under way and ``stage`` what it has come to;
    ``seconds_left`` is None while nothing is known of it. ``last`` says what the last case came to, ``message`` why a
    run failed. ``pausing``: the case under way ends before the pause begins.
    """

    state: State
    done: int = 0
    total: int = 0
    case: str | None = None
    stage: str = ""
    seconds_left: float | None = None
    last: str = ""
    message: str = ""
    pausing: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER


class LiveRun:
    """Runs a sweep into a folder, begun by ``begin`` in the run's own thread.

    ``about`` says what was asked, ``command`` starts another worker than this interpreter's.
    """

    def __init__(self, begin: Callable[[], store.Writer], command: Sequence[str] | None = None) -> None:
        self._begin, self._command = begin, command
        self._control = Control()
        self._lock = Lock()
        self._now = Snapshot("starting")
        self._lines: deque[str] = deque(maxlen=LINES)
        self._names: dict[str, str] = {}
        self._writer: store.Writer | None = None
        self._rows: list[ColumnValues] = []
        self._places: dict[tuple[str, int], list[int]] = {}
        self._thread = Thread(target=self._run, name="kvtui-bench", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def now(self) -> Snapshot:
        """Where the run stands."""
        with self._lock:
            return self._now

    @property
    def lines(self) -> tuple[str, ...]:
        """The newest lines of the log, oldest first."""
        with self._lock:
            return tuple(self._lines)

    @property
    def folder(self) -> Path | None:
        """Where results are put; None before there is a folder."""
        return None if self._writer is None else self._writer.folder

    @property
    def rows(self) -> list[ColumnValues]:
        """A table line for every row of the sweep; those that wait have a prediction and no status."""
        return list(self._rows)

    def stored(self) -> store.Stored | None:
        """What has been measured up to now, as it would be read from the folder; None before there is one."""
        writer = self._writer
        if writer is None:
            return None
        return store.Stored(
            writer.folder, writer.about, [row for row in self._rows if row["status"]], list(writer.measured)
        )

    def pause(self) -> None:
        """Let the case under way finish, and begin no other until ``resume``."""
        self._control.pause()
        with self._lock:
            if not self._now.over:
                idle = self._now.case is None
                self._now = self._now._replace(pausing=not idle, state="paused" if idle else self._now.state)

    def resume(self) -> None:
        """Go on."""
        self._control.resume()
        self._change(pausing=False)
        if self.now.state == "paused":
            self._change(state="running")

    def cancel(self) -> None:
        """End the run now. The case under way is lost, and what was measured before is kept."""
        self._control.cancel()

    def end(self) -> None:
        """Cancel, and return when the worker is gone and the results are closed."""
        self.cancel()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        state: State = "failed"
        message = ""
        try:
            self._writer = writer = self._begin()
            self._names = {row.case.key: f"{row.group}, {row.label}" for row in reversed(writer.sweep.rows)}
            self._rows, self._places = waiting(writer.sweep)
            for one in writer.measured:
                self._put(one.case, one.repeat, _rows_of(writer.sweep, one))
            jobs, device = writer.jobs_left, writer.about.get("device")
            self._say(f"{len(jobs)} cases, results in {writer.folder}")
            self._change(total=len(jobs))
            finished = False
            try:
                end = run(
                    jobs,
                    self._heard,
                    control=self._control,
                    device=device if isinstance(device, str) else None,
                    command=self._command,
                )
                state, finished = end, end == "finished"
            finally:
                writer.close(finished)
        except (BackendError, InputError, OSError, ValueError) as error:
            state, message = "failed", plain(str(error), limit=400)
        self._say(f"{state}{': ' if message else ''}{message}")
        self._change(state=state, message=message, case=None, stage="", seconds_left=None, pausing=False)

    def _heard(self, event: Event) -> None:
        writer = self._writer
        assert writer is not None
        match event:
            case Started(host):
                self._check_host(writer, host)
                self._say(f"worker ready, JAX {host.get('jax') or 'unknown'} on {host.get('device') or 'its device'}")
            case Progress():
                self._progress(event)
            case Outcome(job, record, _):
                rows = writer.add(event)
                self._put(job.case.key, repeat_of(job), rows)
                said = _outcome(rows, record)
                self._say(f"{self._names[job.case.key]}: {said}")
                self._change(last=said)

    def _put(self, case: str, repeat: int, rows: Sequence[ColumnValues]) -> None:
        for place, row in zip(self._places.get((case, repeat), ()), rows, strict=False):
            self._rows[place] = row

    def _check_host(self, writer: store.Writer, host: Any) -> None:
        known = writer.about.get("host")
        for name, before, now in host_differences(known, host) if isinstance(known, dict) else ():
            raise InputError(f"{name}: the run was begun with {plain(str(before))}, here it is {plain(str(now))}")
        if known is None:
            writer.host(host)

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

    def _change(self, **fields: Any) -> None:
        with self._lock:
            if not self._now.over:
                self._now = self._now._replace(**fields)

    def _say(self, text: str) -> None:
        with self._lock:
            self._lines.append(f"{time.strftime('%H:%M:%S')} {plain(text, limit=400)}")


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
