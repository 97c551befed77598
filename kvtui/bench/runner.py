"""Running a sweep's jobs in one worker process that outlives its cases.

The worker leads its own process group, so that ending it is killing the group, whatever it is doing. It is replaced
after a failure, since that may have left memory or device in a bad state. One listener is told everything, in the
thread that runs.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Condition, Thread
from typing import IO, Any, Literal, NamedTuple

from kvtui.cases.protocol import PASSING, STATUSES, Job
from kvtui.engine.basis.untrusted import plain

CASE_SECONDS = 300.0
START_SECONDS = 120.0
EXIT_SECONDS = 2.0
LAST_LINES = 20
NO_BACKEND = 3
INSTALL = "JAX is not installed; pip install jax"
NO_MEMORY = "RESOURCE_EXHAUSTED", "bad_alloc", "MemoryError"
"""What XLA, its C++ library and Python say of it."""
REPLACED_AFTER = {"error", "oom", *PASSING}

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
    tally = _Tally(len(pending), listener)
    words = list(command or worker_command(device))
    worker: _Worker | None = None
    try:
        for job in pending:
            tally.hold(control)
            if skip(job):
                tally.skipped()
                continue
            if worker is None and not control.cancelled:
                worker = _Worker(words)
                control.kills(worker.kill)
                listener(Started(worker.host()))
            if worker is None or control.cancelled:
                break
            outcome = worker.measure(job, tally, case_seconds)
            if control.cancelled:
                break
            if outcome.record["status"] in REPLACED_AFTER:
                _end(worker, control)
                worker = None
            tally.ended(outcome)
    except _Dead as dead:
        if not control.cancelled:
            said = str(dead)
            full = any(sign in said for sign in NO_MEMORY)
            raise (NoMemoryError(f"out of memory: {said}") if full else BackendError(said)) from None
    finally:
        _end(worker, control)
    return "cancelled" if control.cancelled else "finished"


def worker_command(device: str | None) -> list[str]:
    """How a worker is started."""
    return [sys.executable, "-m", "kvtui.bench.worker", *([] if device is None else ["--device", device])]


class _Tally:
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


class _Dead(Exception):
    """The worker has ended; the message says how, and ``killed`` whether somebody else ended it (SIGKILL)."""

    def __init__(self, message: str, killed: bool = False) -> None:
        super().__init__(message)
        self.killed = killed


class _Worker:
    """A worker process, and threads that read its events and the end of what it writes to stderr."""

    def __init__(self, words: Sequence[str]) -> None:
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace", start_new_session=True
        )
        self._threads = [Thread(target=read, daemon=True) for read in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()

    def host(self) -> Mapping[str, Any]:
        """What the worker says of its host when it is ready. Raises _Dead when it ends or stays silent."""
        try:
            event = self._wait_for("hello", None, START_SECONDS, lambda _: None)
        except TimeoutError:
            raise _Dead(f"the worker was not ready after {START_SECONDS:.0f} s") from None
        host = event.get("host")
        return host if isinstance(host, dict) else {}

    def measure(self, job: Job, tally: _Tally, seconds: float) -> Outcome:
        """The outcome of ``job``, whatever becomes of the worker."""
        tally.stage(job, "start")
        try:
            self._send(json.dumps(job.to_json()))
            event = self._wait_for("result", job.id, seconds, lambda name: tally.stage(job, name))
        except TimeoutError:
            return _failed(job, "timeout", f"took longer than {seconds:g} s")
        except _Dead as dead:
            return _failed(job, "killed" if dead.killed else "error", str(dead))
        return _outcome(job, event)

    def kill(self) -> None:
        """End the worker and all that it started."""
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def end(self) -> None:
        """Kill the worker and free all that belongs to it."""
        self.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(EXIT_SECONDS)
        with suppress(OSError):
            _pipe(self._process.stdin).close()

    def _read(self) -> None:
        with _pipe(self._process.stdout) as lines:
            for line in lines:
                with suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict):
                        self._events.put(event)
        self._events.put(None)

    def _listen(self) -> None:
        with _pipe(self._process.stderr) as lines:
            self._said.extend(line.strip() for line in lines if line.strip())

    def _send(self, line: str) -> None:
        stdin = _pipe(self._process.stdin)
        try:
            stdin.write(line + "\n")
            stdin.flush()
        except OSError:
            raise self._dead() from None

    def _wait_for(self, name: str, job: str | None, seconds: float, stage: Callable[[str], None]) -> dict[str, Any]:
        """The next event called ``name`` of ``job``. Raises TimeoutError, and _Dead when no more events can come."""
        until = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if event is None:
                raise self._dead()
            if event.get("id") != job:
                continue
            if event.get("event") == name:
                return event
            if event.get("event") == "stage":
                stage(plain(str(event.get("stage"))))

    def _dead(self) -> _Dead:
        """How the worker ended, when it has."""
        words = self._last_words()
        return _Dead(words, self._process.returncode == -signal.SIGKILL)

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        self.end()
        if not self._said:
            return _how(self._process.returncode)
        said = plain(self._said[-1].removeprefix("kvtui: "), limit=300)
        return said if self._process.returncode == NO_BACKEND else f"{_how(self._process.returncode)}: {said}"


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _how(code: int) -> str:
    """How a process with the exit status ``code`` ended."""
    if code >= 0:
        return f"the worker ended with exit code {code}"
    if code == -signal.SIGKILL:
        return "the worker was killed (SIGKILL; the kernel does so when memory runs out)"
    return f"the worker was ended by signal {-code}"


def _end(worker: _Worker | None, control: Control) -> None:
    control.kills(None)
    if worker is not None:
        worker.end()


def _failed(job: Job, status: str, message: str) -> Outcome:
    return Outcome(job, {"status": status, "message": message}, {})


def _outcome(job: Job, event: object) -> Outcome:
    match event:
        case {"record": {"status": status} as record, "samples": dict() as samples} if status in STATUSES:
            return Outcome(job, record, samples)
    return _failed(job, "error", "the worker's answer is not a result")
