"""Replays of one trace to be looked at step by step, one policy or two beside each other that agree in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvtui.engine.replay.history import ReplayHistory, StepSummary
from kvtui.engine.replay.pace import Pace
from kvtui.engine.replay.rows import TraceRequests
from kvtui.engine.replay.run import Replay, dealt
from kvtui.engine.replay.servers import server_of
from kvtui.engine.scenario.scenario import Scenario


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

    ``command`` is the command line that shows it.
    """

    trace: str
    server: str
    command: str
    sides: tuple[FilmedReplay, ...]


def filmed(
    requests: TraceRequests, trace: str, server: str, command: str, policies: Sequence[tuple[str, Scenario, str]]
) -> ReplayFilm:
    """The film of ``requests`` under each of ``policies``: what it is called, its scenario, and how its pool is used.

    No step is made yet. Of several replicas the first is shown, with its share of the requests; steps last as long as
    at the fast end of the roofline's band. Raises what :func:`server_of` and :class:`Pace` do.
    """
    sides = []
    for name, scenario, policy in policies:
        part = dealt(requests, scenario.layout.dp)[0]
        scheduler = server_of(scenario, policy)
        history = ReplayHistory(scheduler)
        steps = history.follow(Replay(part, scheduler, Pace(scenario, fast=True).seconds))
        sides.append(FilmedReplay(name, history, steps, len(part)))
    return ReplayFilm(trace, server, command, tuple(sides))
