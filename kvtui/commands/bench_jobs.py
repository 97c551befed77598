"""A sweep's jobs on a Dask cluster: each on a device of its own, as they come, and told to a listener as a run here is.

A case whose process or worker was killed, or that took too long, is tried again by whoever is free. A worker that
cannot measure at all, without JAX or the device, gets no more cases.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from kvtui.attach.cluster import DEVICE, DaskCluster, Ended
from kvtui.bench import elsewhere
from kvtui.bench.host import host_differences
from kvtui.bench.process import WorkerRow, failed
from kvtui.bench.runner import CASE_SECONDS, BackendError, Control, End, Outcome, RunListener, Started, Tally
from kvtui.cases.protocol import PASSING, STATUSES, Job
from kvtui.cases.table import is_number
from kvtui.engine.basis.untrusted import plain
from kvtui.output.harmless import clean

TRIES = 3
WAIT_SECONDS = 60.0
TURN_SECONDS = 1.0
MOST_CHARACTERS = 2**26
START_A_WORKER = 'dask worker ADDRESS --nthreads 1 --nworkers 1 --resources "device=1"'
MUST_AGREE = ("kvtui", "jax", "jaxlib", "distributed", "python")


class _Call(NamedTuple):
    """A job's ``attempt``, from 1."""

    job: Job
    attempt: int


def run(
    jobs: Iterable[Job],
    listener: RunListener,
    cluster: DaskCluster,
    *,
    control: Control,
    device: str | None = None,
    say: Callable[[str], None],
    case_seconds: float = CASE_SECONDS,
    wait_seconds: float = WAIT_SECONDS,
) -> End:
    """Measure ``jobs`` on the workers of ``cluster``, telling ``listener`` of everything, in this thread.

    ``say`` is told of workers that are missing, unable, or of other versions. Raises BackendError when there is no
    worker that can measure for ``wait_seconds``, and LostClusterError when the scheduler goes; whatever ends the run,
    the cluster is left without work of it.
    """
    return _Run(cluster, listener, control, device, say, case_seconds, wait_seconds).work(list(jobs))


class _Run:
    """A run under way: who cannot measure, and which machines are known."""

    def __init__(
        self,
        cluster: DaskCluster,
        listener: RunListener,
        control: Control,
        device: str | None,
        say: Callable[[str], None],
        case_seconds: float,
        wait_seconds: float,
    ) -> None:
        self._cluster, self._listener, self._control, self._say = cluster, listener, control, say
        self._device, self._case_seconds, self._wait_seconds = device, case_seconds, wait_seconds
        self._name = uuid4().hex
        self._unable: dict[str, str] = {}
        self._hosts: list[Mapping[str, Any]] = []
        self._told: set[str] = set()

    def work(self, jobs: list[Job]) -> End:
        tally, left = Tally(len(jobs), self._listener), len(jobs)
        self._look()
        try:
            for job in jobs:
                self._submit(_Call(job, 1))
            self._control.kills(self._cluster.wake)
            tally.stage(None, "waiting")
            waited = time.monotonic()
            while left and not self._control.cancelled:
                ended = self._cluster.wait(TURN_SECONDS)
                if ended is None:
                    waited = self._while_there_is_one(waited)
                    continue
                waited = time.monotonic()
                outcome = self._outcome(ended)
                if outcome is not None:
                    left -= 1
                    tally.ended(outcome)
        finally:
            self._control.kills(None)
            self._cluster.forget()
            if not self._cluster.lost:
                self._cluster.everywhere(elsewhere.stop, self._name)
        return "cancelled" if self._control.cancelled else "finished"

    def _look(self) -> None:
        """Say what is to be said of the workers there are now, and has not been said."""
        here, lines = elsewhere.versions(), []
        for address, there in self._cluster.everywhere(elsewhere.versions).items():
            if not isinstance(there, dict):
                self._unable[address] = plain(f"kvtui does not answer: {there}", 300)
            elif there.get("jax") is None:
                self._unable[address] = "JAX is not installed there"
            else:
                lines += [
                    f"{address}: {name} {there.get(name)} there, {here.get(name)} here"
                    for name in MUST_AGREE
                    if there.get(name) != here.get(name)
                ]
        lines += [f"{address}: {why}" for address, why in self._unable.items()]
        if not self._able() and not self._unable:
            address = plain(self._cluster.address, 80)
            lines.append(
                f"no worker with a device is there yet; {START_A_WORKER.replace('ADDRESS', address)} starts one"
            )
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self._say(line)

    def _able(self) -> list[str]:
        there = self._cluster.workers().items()
        return [address for address, devices in there if devices >= 1 and address not in self._unable]

    def _submit(self, call: _Call) -> None:
        words = json.dumps(call.job.to_json())
        on = self._able() if self._unable else None
        if on == []:
            raise BackendError(self._why_nobody())
        given = words, self._device, self._case_seconds, self._name
        self._cluster.submit(call, elsewhere.measure, *given, device=True, on=on)

    def _while_there_is_one(self, waited: float) -> float:
        """Since when nobody could measure, now that nothing has ended since ``waited``."""
        now = time.monotonic()
        if self._able():
            return now
        if now - waited > self._wait_seconds:
            raise BackendError(self._why_nobody())
        return waited

    def _why_nobody(self) -> str:
        why = "; ".join(f"{address}: {reason}" for address, reason in self._unable.items())
        return plain(f"no worker can measure: {why or f'none has the resource {DEVICE}'}", 500)

    def _outcome(self, ended: Ended) -> Outcome | None:
        """What a call came to; None when its job is tried again."""
        job, attempt = ended.call
        answer = self._answer(ended)
        if answer is None:
            self._submit(ended.call)
            return None
        if answer.record["status"] in PASSING and not ended.worker_died and attempt < TRIES:
            self._submit(_Call(job, attempt + 1))
            return None
        return Outcome(job, *answer)

    def _answer(self, ended: Ended) -> WorkerRow | None:
        """The answer of a worker; None of one that cannot measure, which gets no more cases."""
        if ended.problem is not None:
            if not ended.worker_died:
                self._look()
            return failed("killed", ended.problem, {})
        match _read(ended.result):
            case {"unable": str() as why}:
                self._unable[ended.worker] = plain(why, 300)
                self._look()
                return None
            case {
                "host": dict() as host,
                "record": {"status": str() as status} as record,
                "samples": dict() as samples,
            }:
                if status in STATUSES:
                    self._told_of(clean(host))
                    return WorkerRow(clean(record), {plain(name): _numbers(some) for name, some in samples.items()})
        return failed("error", "the worker's answer is not a result", {})

    def _told_of(self, host: Mapping[str, Any]) -> None:
        """Tell the listener of a machine that has not measured before."""
        if not any(
            host.get("host") == known.get("host") and not host_differences(host, known) for known in self._hosts
        ):
            self._hosts.append(host)
            self._listener(Started(host))


def _read(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) and len(text) <= MOST_CHARACTERS else None
    except (ValueError, RecursionError):
        return None


def _numbers(values: object) -> list[float]:
    return [one for one in values if is_number(one)] if isinstance(values, list) else []
