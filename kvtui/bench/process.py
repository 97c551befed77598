"""A measuring process (``bench.worker``) and whoever gives it its jobs, one after another.

It leads its own process group, so that ending it is killing the group, whatever it is doing.
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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import IO, Any, NamedTuple

from kvtui.bench.child import NO_BACKEND
from kvtui.bench.host import machine_stamp
from kvtui.cases.protocol import PASSING, STATUSES, Job
from kvtui.engine.basis.untrusted import plain

START_SECONDS = 120.0
EXIT_SECONDS = 2.0
LAST_LINES = 20
REPLACED_AFTER = {"error", "oom", *PASSING}
"""After these a process may be in a bad state, and the next job has another."""


class WorkerRow(NamedTuple):
    """What became of a job: its flat ``record``, stamped with the machine, and raw ``samples`` by series."""

    record: Mapping[str, Any]
    samples: Mapping[str, Any]


def worker_command(device: str | None) -> list[str]:
    """How a worker is started."""
    return [sys.executable, "-m", "kvtui.bench.worker", *([] if device is None else ["--device", device])]


def failed(status: str, message: str, host: Mapping[str, Any]) -> WorkerRow:
    """The answer of a job that has none but a reason; ``host`` is what the worker said of its machine."""
    return WorkerRow({"status": status, "message": message, **machine_stamp(host)}, {})


class DeadProcess(Exception):
    """The worker has ended; the message says how, and ``killed`` whether somebody else ended it (SIGKILL)."""

    def __init__(self, message: str, killed: bool = False) -> None:
        super().__init__(message)
        self.killed = killed


class MeasuringProcess:
    """The process, and threads that read its events and the end of what it writes to stderr."""

    def __init__(self, words: Sequence[str]) -> None:
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._host: Mapping[str, Any] = {}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace", start_new_session=True
        )
        self._threads = [Thread(target=read, daemon=True) for read in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()

    def host(self) -> Mapping[str, Any]:
        """What the worker says of its host when it is ready. Raises DeadProcess when it ends or stays silent."""
        try:
            event = self._wait_for("hello", None, START_SECONDS, lambda _: None)
        except TimeoutError:
            raise DeadProcess(f"the worker was not ready after {START_SECONDS:.0f} s") from None
        host = event.get("host")
        self._host = host if isinstance(host, dict) else {}
        return self._host

    def measure(self, job: Job, stage: Callable[[str], None], seconds: float) -> WorkerRow:
        """What becomes of ``job``, whatever becomes of the worker; ``stage`` is told how far it is."""
        try:
            self._send(json.dumps(job.to_json()))
            event = self._wait_for("result", job.id, seconds, stage)
        except TimeoutError:
            return failed("timeout", f"took longer than {seconds:g} s", self._host)
        except DeadProcess as dead:
            return failed("killed" if dead.killed else "error", str(dead), self._host)
        match event:
            case {"record": {"status": status} as record, "samples": dict() as samples} if status in STATUSES:
                return WorkerRow({**record, **machine_stamp(self._host)}, samples)
        return failed("error", "the worker's answer is not a result", self._host)

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
        """The next event called ``name`` of ``job``. Raises TimeoutError, and DeadProcess at the events' end."""
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

    def _dead(self) -> DeadProcess:
        """How the worker ended, when it has."""
        words = self._last_words()
        return DeadProcess(words, self._process.returncode == -signal.SIGKILL)

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
