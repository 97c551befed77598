"""What a worker of a cluster does for a run: measure one case at a time, in a process of its own beside the worker.

What comes and goes is JSON text, so that no version of this package has to know another's types. The measuring process
stays for the next case, a while, since it takes seconds to start. Of one user's workers on a host that see the same
devices only one measures at a time, whatever the cluster believes about them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import platformdirs

from kvtui import __version__
from kvtui.bench.process import REPLACED_AFTER, DeadProcess, MeasuringProcess, worker_command
from kvtui.cases.protocol import Job

IDLE_SECONDS = 30.0
POLL_SECONDS = 0.1
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS")
"""The variables that give each worker of a host devices of its own."""
PACKAGES = ("jax", "jaxlib", "distributed")


class _Stopped(Exception):
    """The run whose case this is has ended."""


class _Beside:
    """This worker's measuring process, if there is one: for which device it was started, and for whom it works."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.process: MeasuringProcess | None = None
        self.host: Mapping[str, Any] = {}
        self.device: str | None = None
        self.run: str | None = None
        self.idle: Timer | None = None
        self.stopped: set[str] = set()

    def started(self, device: str | None) -> MeasuringProcess:
        """The process for ``device``, begun anew where it was for another. Raises DeadProcess."""
        if self.process is not None and self.device != device:
            self.end()
        if self.process is None:
            self.process, self.device = MeasuringProcess(worker_command(device)), device
            self.host = self.process.host()
        return self.process

    def end(self) -> None:
        """No process any more."""
        if self.process is not None:
            self.process.end()
            self.process = None


_BESIDE = _Beside()


def versions() -> dict[str, str | None]:
    """What must be alike on all machines of a run."""
    found: dict[str, str | None] = {"kvtui": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def measure(job: str, device: str | None, seconds: float, run: str) -> str:
    """The answer of ``job``: its ``host``, ``record`` and ``samples``, or why this worker is ``unable`` to measure."""
    one = Job.from_json(json.loads(job))
    with _BESIDE.lock:
        if _BESIDE.idle is not None:
            _BESIDE.idle.cancel()
        _BESIDE.run = run
        try:
            with _alone(device, run):
                process = _BESIDE.started(device)
                if run in _BESIDE.stopped:
                    raise _Stopped("the run has ended")
                answer = process.measure(one, lambda _: None, seconds)
        except (DeadProcess, _Stopped) as dead:
            _BESIDE.end()
            return json.dumps({"unable": str(dead)})
        finally:
            _BESIDE.run = None
        if answer.record["status"] in REPLACED_AFTER:
            _BESIDE.end()
        else:
            _BESIDE.idle = Timer(IDLE_SECONDS, _end_idle)
            _BESIDE.idle.daemon = True
            _BESIDE.idle.start()
        return json.dumps({"host": dict(_BESIDE.host), "record": answer.record, "samples": answer.samples})


def stop(run: str) -> None:
    """End what this worker measures for ``run``, and its process; of another run nothing is touched."""
    _BESIDE.stopped.add(run)
    if _BESIDE.run == run and _BESIDE.process is not None:
        _BESIDE.process.kill()
    elif _BESIDE.lock.acquire(blocking=False):
        try:
            _BESIDE.end()
        finally:
            _BESIDE.lock.release()


def _end_idle() -> None:
    if _BESIDE.lock.acquire(blocking=False):
        try:
            _BESIDE.end()
        finally:
            _BESIDE.lock.release()


@contextmanager
def _alone(device: str | None, run: str) -> Iterator[None]:
    """Wait until nobody else on this host measures on the devices that this process sees.

    Raises _Stopped when the run ends meanwhile.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        yield
        return
    with _lock_path(device).open("a", encoding="utf-8") as file:
        while True:
            if run in _BESIDE.stopped:
                raise _Stopped("the run has ended")
            with suppress(BlockingIOError):
                flock(file, LOCK_EX | LOCK_NB)
                break
            time.sleep(POLL_SECONDS)
        yield


def _lock_path(device: str | None) -> Path:
    on_cpu = device is not None and device.partition(":")[0] == "cpu"
    seen = "cpu" if on_cpu else "\n".join(os.environ.get(name, "") for name in VISIBLE)
    name = hashlib.sha256(f"{platform.node()}\n{seen}".encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("kvtui", appauthor=False) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
