"""What ``--find`` and ``--compare`` ask: which replays to make of a trace, and what their results say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kvtui.commands.narration import say
from kvtui.commands.replay_jobs import ReplayJob, Result, results
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.replay.costs import StepCosts
from kvtui.engine.replay.search import Sought, best, row_of
from kvtui.engine.replay.servers import POLICIES, SERVERS, TITLES, server_of
from kvtui.engine.replay.traces import Trace
from kvtui.engine.scenario.scenario import Scenario
from kvtui.report.replay.document import Objectives, holds

TOLD = 10
ENDS = {"fast": True, "slow": False}


class TraceSweep(NamedTuple):
    """Replays of ``trace``, which is called ``name``, by the words ``values`` of a scenario.

    ``keep`` and ``dask`` are those of :func:`kvtui.commands.replay_jobs.results`.
    """

    trace: Trace
    name: str
    values: Mapping[str, Any]
    objectives: Objectives
    costs: StepCosts | None
    keep: str | None
    dask: str | None

    def job(self, fast: bool, values: Mapping[str, Any] | None = None, **change: Any) -> ReplayJob:
        """The replay at one end of the band, with what is changed."""
        said = {**self.values, **(values or {})}
        words = tuple(sorted((key, value) for key, value in said.items() if value is not None))
        return ReplayJob(words, fast, objectives=self.objectives, costs=self.costs, **change)

    def gathered(self, jobs: Sequence[ReplayJob]) -> tuple[dict[ReplayJob, Result], bool]:
        """The results of ``jobs``, and whether it was stopped before all were there."""
        found: dict[ReplayJob, Result] = {}
        requests = self.trace.requests
        trace = f"{self.name}: {len(requests)} requests, {requests[-1].arrival:.6f} s"
        try:
            for job, result in results(jobs, requests, trace, keep=self.keep, dask=self.dask):
                found[job] = result
                if len(found) * TOLD // len(jobs) > (len(found) - 1) * TOLD // len(jobs):
                    say(f"{len(found)} of {len(jobs)} replays are done")
        except KeyboardInterrupt:
            say(f"stopped: {len(found)} of {len(jobs)} replays are kept")
            return found, True
        return found, False


def servers_named(words: str) -> list[str]:
    """The names in ``words``, separated by commas. Raises UnknownName for what is none of SERVERS."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    wrong = next((name for name in names if name not in SERVERS), None)
    if wrong is not None:
        raise UnknownName("server", wrong, SERVERS)
    return names


def compared(sweep: TraceSweep, words: str) -> tuple[list[dict[str, Any]], bool]:
    """The servers that ``words`` name (all for none), side by side; and whether that was stopped."""
    names = servers_named(words) or list(SERVERS)
    jobs = {
        (name, end): sweep.job(
            fast,
            {"engine": "vllm" if name in POLICIES else name},
            policy=name if name in POLICIES else "prefix",
        )
        for name in names
        for end, fast in ENDS.items()
    }
    found, stopped = sweep.gathered(list(jobs.values()))
    rows = []
    for name in names:
        ends = {end: found.get(jobs[name, end]) for end in ENDS}
        if all(ends.values()):
            rows.append({"name": TITLES.get(name, name), **_row(ends)})
    return rows, stopped


def search(sweep: TraceSweep, scenario: Scenario, word: str, wanted: float) -> tuple[dict[str, Any], bool]:
    """What ``word`` asks for under the objectives, which the share ``wanted`` of the requests must meet."""
    try:
        sought = Sought(word)
    except ValueError:
        raise UnknownName("thing to find", word, [one.value for one in Sought]) from None
    most = 0
    if sought is Sought.MAX_SEQS:
        if scenario.engine == "llama.cpp":
            raise InputError("--find: the slots of llama.cpp are --parallel, which divides its context: compare them")
        most = server_of(scenario).most_sequences
    row = row_of(sought, most)
    jobs = {(value, end): sweep.job(fast, **_change(sought, value)) for value in row for end, fast in ENDS.items()}
    found, stopped = sweep.gathered(list(jobs.values()))
    seconds = sweep.trace.requests[-1].arrival
    rows = []
    for value in row:
        ends = {end: found.get(jobs[value, end]) for end in ENDS}
        slow, fast = ends["slow"], ends["fast"]
        if slow is None or fast is None:
            continue
        span = seconds / value if sought is Sought.RATE else seconds
        held = {end: holds(result, span, wanted) for end, result in (("slow", slow), ("fast", fast))}
        rows.append({"value": value, "holds": held["slow"], "holds_fast": held["fast"], **_row(ends)})
    if all(row["problem"] for row in rows) and rows:
        raise InputError(rows[0]["problem"])
    answers = {end: best([(row["value"], row[key]) for row in rows], sought) for end, key in _HOLDS.items()}
    answer = {
        "sought": sought.value,
        "wanted_goodput": None if sweep.objectives == Objectives() else wanted,
        "answer": answers["slow"].value,
        "answer_fast": answers["fast"].value,
        "fails_beside": list(answers["slow"].failing),
        "devices_each": scenario.layout.devices // scenario.layout.dp if sought is Sought.DEVICES else None,
        "rows": rows,
    }
    return {**answer, "in_words": _in_words(answer)}, stopped


_HOLDS = {"slow": "holds", "fast": "holds_fast"}
_UNITS = {
    "rate": "times the rate of the trace",
    "devices": "replicas",
    "pool": "of the planned pool",
    "max-seqs": "at once",
}


def _row(ends: Mapping[str, Result | None]) -> dict[str, Any]:
    problem = next((result["problem"] for result in ends.values() if result and result.get("problem")), None)
    return {"problem": problem, **(dict.fromkeys(ends) if problem else ends)}


def _change(sought: Sought, value: float) -> dict[str, Any]:
    match sought:
        case Sought.RATE:
            return {"rate": value}
        case Sought.DEVICES:
            return {"replicas": int(value)}
        case Sought.POOL:
            return {"share": value}
        case Sought.MAX_SEQS:
            return {"sequences": int(value)}


def _in_words(answer: Mapping[str, Any]) -> str:
    """The answer as a sentence."""
    sought = Sought(answer["sought"])
    kind = "largest" if sought.largest else "smallest"
    if answer["answer"] is None:
        held = answer["answer_fast"]
        only = "" if held is None else f" (at the fast end of the band, {_shown(held, sought)} does)"
        return f"none of the values tried keeps the objective{only}"
    said = f"{kind} that keeps the objective: {_shown(answer['answer'], sought)}"
    if answer["devices_each"]:
        said += f", {int(answer['answer'] * answer['devices_each']):,} devices"
    if answer["answer_fast"] not in (None, answer["answer"]):
        said += f" ({_shown(answer['answer_fast'], sought)} at the fast end of the band)"
    if answer["fails_beside"]:
        side = "below" if sought.largest else "above"
        failing = ", ".join(f"{value:,.3g}" for value in answer["fails_beside"])
        said += f"; not kept {side} it: {failing}"
    return said


def _shown(value: float, sought: Sought) -> str:
    return f"{value:.1%} {_UNITS['pool']}" if sought is Sought.POOL else f"{value:,.3g} {_UNITS[sought.value]}"
