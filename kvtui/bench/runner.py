"""Running a sweep's jobs in one worker process that outlives its cases.

The worker is replaced after a failure, since that may have left memory or device in a bad state. One listener is told
everything, in the thread that runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Condition
from typing import Any, Literal, NamedTuple

from kvtui.bench.process import REPLACED_AFTER, DeadProcess, MeasuringProcess, worker_command
from kvtui.cases.protocol import Job

CASE_SECONDS = 300.0
INSTALL = "JAX is not installed; pip install jax"
NO_MEMORY = "RESOURCE_EXHAUSTED", "bad_alloc", "MemoryError"
"""What XLA, its C++ library and Python say of it."""

End = Literal["finished", "cancelled"]


class BackendError(RuntimeError):
    """No worker can start: JAX is missing or broken, or the device is not there. The message is one line."""


class NoMemoryError(BackendError):
    """The backend is there, and the machine has no memory for it to begin with."""


class Started(NamedTuple):
    """A worker is ready; ``host`` says versions, device, cores and the bandwidth ladder."""

    host: Mapping[str, Any]


class Progress(NamedTuple):
    """``done`` of ``total`` jobs, the one under way, the stage that it has reached, and the seconds left if known."""

    done: int
    total: int
    under_way: Job | None
    stage: str
    seconds_left: float | None


class Outcome(NamedTuple):
    """A job has ended: its flat ``record``, and raw ``samples`` by series. A failure is a record with its status."""

    job: Job
    record: Mapping[str, Any]
    samples: Mapping[str, Any]


Event = Started | Progress | Outcome
RunListener = Callable[[Event], None]


class Control:
    """The reins of a run, to be held in any thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._kill: Callable[[], None] | None = None
        self.paused = False
        self.cancelled = False

    def pause(self) -> None:
        """Let the case under way finish and begin no other."""
        with self._changed:
            self.paused = True

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self.paused = False
            self._changed.notify_all()

    def cancel(self) -> None:
        """End the run now; the case under way is lost."""
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()
            if self._kill is not None:
                self._kill()

    def wait_while_paused(self) -> None:
        """Return when the run may go on or is cancelled."""
        with self._changed:
            self._changed.wait_for(lambda: self.cancelled or not self.paused)

    def kills(self, action: Callable[[], None] | None) -> None:
        """Set what ends the work under way; done at once when the run is already cancelled."""
        with self._changed:
            self._kill = action
            if self.cancelled and action is not None:
                action()


def run(
    jobs: Iterable[Job],
    listener: RunListener,
    *,
    control: Control | None = None,
    device: str | None = None,
    case_seconds: float = CASE_SECONDS,
    command: Sequence[str] | None = None,
    skip: Callable[[Job], bool] = lambda job: False,
) -> End:
    """Measure ``jobs`` in order, telling ``listener`` of everything, until they are done or the run is cancelled.

    A case that takes longer than ``case_seconds`` gets the status timeout. ``command`` starts a worker other
    than this interpreter's. A job that ``skip`` is true of at its turn is left out. Raises BackendError when no worker
    can start; whatever ``listener`` raises ends the run.
    """
    pending, control = list(jobs), control or Control()
    tally = Tally(len(pending), listener)
    words = list(command or worker_command(device))
    worker: MeasuringProcess | None = None
    try:
        for job in pending:
            tally.hold(control)
            if skip(job):
                tally.skipped()
                continue
            if worker is None and not control.cancelled:
                worker = MeasuringProcess(words)
                control.kills(worker.kill)
                listener(Started(worker.host()))
            if worker is None or control.cancelled:
                break
            outcome = _measured(worker, job, tally, case_seconds)
            if control.cancelled:
                break
            if outcome.record["status"] in REPLACED_AFTER:
                _end(worker, control)
                worker = None
            tally.ended(outcome)
    except DeadProcess as dead:
        if not control.cancelled:
            said = str(dead)
            full = any(sign in said for sign in NO_MEMORY)
            raise (NoMemoryError(f"out of memory: {said}") if full else BackendError(said)) from None
    finally:
        _end(worker, control)
    return "cancelled" if control.cancelled else "finished"


def _measured(worker: MeasuringProcess, job: Job, tally: Tally, seconds: float) -> Outcome:
    tally.stage(job, "start")
    return Outcome(job, *worker.measure(job, lambda name: tally.stage(job, name), seconds))


class Tally:
    """Counts what is done, and how long that took without pauses."""

    def __init__(self, total: int, listener: RunListener) -> None:
        self._total, self._listener = total, listener
        self._done, self._paused, self._start = 0, 0.0, time.monotonic()

    def hold(self, control: Control) -> None:
        """Wait while the run is paused."""
        since = time.monotonic()
        control.wait_while_paused()
        self._paused += time.monotonic() - since

    def stage(self, under_way: Job | None, name: str) -> None:
        """Tell how far the run is."""
        spent = time.monotonic() - self._start - self._paused
        left = spent / self._done * (self._total - self._done) if self._done else None
        self._listener(Progress(self._done, self._total, under_way, name, left))

    def skipped(self) -> None:
        """Count no longer on a job."""
        self._total -= 1

    def ended(self, outcome: Outcome) -> None:
        """Count a job and hand its outcome on."""
        self._done += 1
        self._listener(outcome)
        self.stage(None, "done")


def _end(worker: MeasuringProcess | None, control: Control) -> None:
    control.kills(None)
    if worker is not None:
        worker.end()
