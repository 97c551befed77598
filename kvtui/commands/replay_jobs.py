"""Many replays of one trace: on this machine's cores or on a Dask cluster, as they come, kept in a file and gone on.

A job is one replay: a scenario, a way to use its pool, and what is changed about it. Its result is the plain document
of the report, so that it can be sent, kept as a line of JSON, and read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kvtui.commands.jobs import worked_out
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay.costs import StepCosts
from kvtui.engine.replay.pace import Pace
from kvtui.engine.replay.rows import TraceRequests
from kvtui.engine.replay.run import dealt, run, together
from kvtui.engine.replay.servers import servers_of
from kvtui.engine.scenario.values import scenario_from
from kvtui.report.replay.document import Objectives, served

Result = dict[str, Any]


class ReplayJob(NamedTuple):
    """One replay of a trace at one end of the roofline's band.

    ``values`` are the words of the scenario. ``share`` of its planned pool is there; ``sequences`` and ``replicas``
    take the place of its own where they are given, and requests come ``rate`` times as fast. Measured ``costs``
    take the place of the roofline.
    """

    values: tuple[tuple[str, Any], ...]
    fast: bool
    policy: str = "prefix"
    rate: float = 1.0
    share: float = 1.0
    sequences: int | None = None
    replicas: int | None = None
    objectives: Objectives = Objectives()
    costs: StepCosts | None = None

    def key(self, trace: str) -> str:
        """What tells this job from all others, with the ``trace`` that it replays."""
        return json.dumps([trace, *self], sort_keys=True, default=str)


def do(job: ReplayJob, requests: TraceRequests) -> Result:
    """The replay of one job. Raises InputError for a scenario that is wrong, or whose server does not start."""
    scenario = scenario_from(dict(job.values))
    if job.rate != 1:
        requests = requests.faster(job.rate)
    seconds = Pace(scenario, fast=job.fast, costs=job.costs).seconds
    server = servers_of(scenario, job.policy, share=job.share, sequences=job.sequences)
    outcomes = [run(part, server(), seconds) for part in dealt(requests, job.replicas or scenario.layout.dp)]
    return served(together(outcomes), job.objectives)


def tried(job: ReplayJob, requests: TraceRequests) -> Result:
    """As :func:`do`, with what is wrong as the result's ``problem``."""
    try:
        return do(job, requests)
    except InputError as error:
        return {"problem": str(error)}


def results(
    jobs: Sequence[ReplayJob],
    requests: TraceRequests,
    trace: str,
    *,
    keep: str | None = None,
    dask: str | None = None,
) -> Iterator[tuple[ReplayJob, Result]]:
    """The results of ``jobs`` as they come, from a Dask cluster at ``dask`` or from processes here.

    With ``keep``, those that stand in that file are not worked out again, and each new one is added to it at once: what
    was interrupted goes on. Raises InputError for a file that is no such one, and where Dask is not installed or not
    there.
    """
    known = _kept(keep) if keep else {}
    missing = []
    for job in jobs:
        found = known.get(job.key(trace))
        if found is None:
            missing.append(job)
        else:
            yield job, found
    for job, result in worked_out(tried, missing, requests, dask):
        if keep:
            with Path(keep).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"job": job.key(trace), "result": result}) + "\n")
        yield job, result


def _kept(name: str) -> Mapping[str, Result]:
    """The results in the file ``name``. A last line that was cut off is taken out of it."""
    path = Path(name)
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole, _, cut = text.rpartition("\n")
    if cut:
        write_whole(name, f"{whole}\n" if whole else "")
    found: dict[str, Result] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            found[row["job"]] = row["result"]
        except (ValueError, TypeError, KeyError):
            raise InputError(f"--keep: {plain(name)}: row {number} is no result of a replay") from None
    return found
