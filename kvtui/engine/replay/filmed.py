"""Replays of one trace to be looked at step by step, one policy or two beside each other that agree in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import open_to_read
from kvtui.engine.basis.untrusted import plain, shell_word
from kvtui.engine.replay.costs import StepCosts
from kvtui.engine.replay.history import ReplayHistory, StepSummary
from kvtui.engine.replay.pace import Pace
from kvtui.engine.replay.rows import TraceRequests
from kvtui.engine.replay.run import Replay, dealt
from kvtui.engine.replay.servers import POLICIES, TITLES, server_of
from kvtui.engine.replay.synthetic import WORD, synthetic_trace
from kvtui.engine.replay.traces import read_trace
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import command_line, scenario_from, to_values

MOST_SIDES = 2
BESIDE = ("prefix", "paged")
"""What is shown side by side where nothing is named: what shared prefixes bring."""


class FilmedReplay(NamedTuple):
    """The replay under one policy: its ``name``, its ``history``, and ``steps``, which makes that longer step by step.

    ``requests`` is how many will arrive.
    """

    name: str
    history: ReplayHistory
    steps: Iterator[StepSummary]
    requests: int


class ReplayFilm(NamedTuple):
    """The ``trace`` and the ``server`` in words, and the ``sides`` that are looked at beside each other.

    ``command`` is the command line that shows it. It is that of one of ``replicas``, number ``replica`` from 0, and
    ``of`` makes that of another.
    """

    trace: str
    server: str
    command: str
    sides: tuple[FilmedReplay, ...]
    of: Callable[[int], ReplayFilm]
    replica: int = 0
    replicas: int = 1


def film_of(
    requests: TraceRequests,
    trace: str,
    scenario: Scenario,
    names: Sequence[str],
    words: str,
    costs: StepCosts | None = None,
    replica: int = 0,
) -> ReplayFilm:
    """The film of ``requests`` on the servers that ``names`` are, of SERVERS: ``scenario`` with another engine.

    ``words`` give the trace on a command line. No step is made yet. Of several replicas one is shown, with its share of
    the requests; steps last as long as at the fast end of the band. Raises InputError for more
    than two, and what :func:`server_of` and :class:`Pace` do.
    """
    if len(names) > MOST_SIDES:
        raise InputError(f"--compare: {MOST_SIDES} are shown side by side, not {len(names)}")
    sides = []
    for name in names:
        engine, policy = ("vllm", name) if name in POLICIES else (name, "prefix")
        under = scenario if engine == scenario.engine else scenario_from({**to_values(scenario), "engine": engine})
        part, scheduler = dealt(requests, under.layout.dp)[replica], server_of(under, policy)
        history = ReplayHistory(scheduler)
        steps = history.follow(Replay(part, scheduler, Pace(under, fast=True, costs=costs).seconds))
        sides.append(FilmedReplay(TITLES.get(name, name), history, steps, len(part)))
    server = f"{scenario.model.name} on {scenario.layout.devices} × {scenario.device.name}"
    command = f"kvtui replay {words} {command_line(scenario)} --compare {','.join(names)} --play"
    another = partial(film_of, requests, trace, scenario, names, words, costs)
    return ReplayFilm(trace, server, command, tuple(sides), another, replica, scenario.layout.dp)


def film_named(name: str, scenario: Scenario) -> ReplayFilm:
    """The film of the trace in the file ``name``, or of one that is made up, on the server of ``scenario``.

    Under vLLM, which stands for no engine too, prefixes are shared on one side and not on the other. Raises InputError
    for what is no trace or cannot be replayed, and OSError for a file that cannot be read.
    """
    if scenario.engine == "none":
        scenario = scenario_from({**to_values(scenario), "engine": "vllm"})
    names = BESIDE if scenario.engine == "vllm" else (scenario.engine,)
    if name.partition(":")[0] == WORD:
        trace = synthetic_trace(name)
    else:
        with open_to_read(name) as stream, TextIOWrapper(stream, encoding="utf-8-sig", errors="replace") as lines:
            trace = read_trace(lines, plain(name))
    return film_of(trace.requests, Path(name).name, scenario, names, shell_word(name))
