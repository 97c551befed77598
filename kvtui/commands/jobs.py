"""Many jobs that have one thing in common: on this machine's cores, or on a Dask cluster, as they are done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from threading import current_thread, main_thread
from typing import Any, TypeVar

from kvtui.attach.cluster import connected
from kvtui.commands.narration import say
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

J = TypeVar("J")
R = TypeVar("R")

TURN_SECONDS = 5.0


def worked_out(
    function: Callable[[J, Any], R], jobs: Sequence[J], shared: Any, dask: str | None = None
) -> Iterable[tuple[J, R]]:
    """Each of ``jobs`` with what ``function`` makes of it and of what is ``shared``, in the order in which it is done.

    The work goes to the Dask cluster at ``dask``, or to processes here. Raises InputError where Dask is not installed
    or not there, and when it loses a job.
    """
    if dask is not None:
        return _on_cluster(function, jobs, shared, dask)
    workers = min(len(jobs), os.cpu_count() or 1)
    if workers <= 1:
        return ((job, function(job, shared)) for job in jobs)
    return _in_processes(function, jobs, shared, workers)


_SHARED: tuple[Callable[[Any, Any], Any], Any] | None = None


def _receive(function: Callable[[Any, Any], Any], shared: Any) -> None:
    """A process gets what is shared once, at its start."""
    global _SHARED  # noqa: PLW0603  the process is the one thing that its jobs have in common
    _SHARED = function, shared


def _with_received(job: Any) -> Any:
    assert _SHARED is not None
    function, shared = _SHARED
    return function(job, shared)


def _in_processes(
    function: Callable[[J, Any], R], jobs: Sequence[J], shared: Any, workers: int
) -> Iterator[tuple[J, R]]:
    """From ``workers`` fresh processes: a copy of this one could wait for locks that its threads held."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_receive, initargs=(function, shared))
    try:
        with _interrupts_for_me_alone():
            asked = {pool.submit(_with_received, job): job for job in jobs}
        for done in as_completed(asked):
            yield asked[done], done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _interrupts_for_me_alone() -> Iterator[None]:
    """What is started meanwhile ignores the interrupts that a terminal sends to all of its processes."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _on_cluster(function: Callable[[J, Any], R], jobs: Sequence[J], shared: Any, address: str) -> Iterator[tuple[J, R]]:
    with connected(address) as cluster:
        if not cluster.workers():
            say(f"no worker is there yet; dask worker {plain(address, 80)} starts some")
        there = cluster.share(shared)
        for job in jobs:
            cluster.submit(job, function, job, there)
        left = len(jobs)
        while left:
            ended = cluster.wait(TURN_SECONDS)
            if ended is not None and ended.problem is not None:
                raise InputError(f"--dask: {ended.problem}")
            if ended is not None:
                left -= 1
                yield ended.call, ended.result
