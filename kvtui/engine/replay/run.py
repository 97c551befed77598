"""A trace through a scheduler, in time: when requests wait, start, answer and end, and what the pool holds then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvtui.engine.replay.request import Request
from kvtui.engine.replay.vllm import Limits, LiveRequest, Lookups, Scheduler, SchedulerStep

StepSeconds = Callable[[SchedulerStep], float]


@dataclass(frozen=True, slots=True)
class Served:
    """The moments of one request, in seconds: it arrived, was admitted, had its first token, and its last."""

    arrived: float
    admitted: float
    answered: float
    ended: float
    answer: int

    @property
    def waited(self) -> float:
        """Until it was admitted for the first time."""
        return self.admitted - self.arrived

    @property
    def first_token(self) -> float:
        """Time to first token."""
        return self.answered - self.arrived

    @property
    def per_token(self) -> float | None:
        """Time per token after the first; None for an answer of one."""
        return (self.ended - self.answered) / (self.answer - 1) if self.answer > 1 else None


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What became of a trace.

    ``served`` requests in the order of their end; ``refused`` were longer than the server allows; ``left`` had not
    ended when nothing could run any more, because the first of them needs more blocks than there are (``stuck``).
    ``computed`` tokens took ``steps`` steps and ``seconds``; ``usable`` blocks were used ``most_used`` at once and
    ``mean_used`` on average over time. ``evictions`` is how often a request was put out.
    """

    served: tuple[Served, ...]
    refused: int
    left: int
    steps: int
    seconds: float
    computed: int
    usable: int
    most_used: int
    mean_used: float
    evictions: int
    first: Lookups
    again: Lookups

    @property
    def stuck(self) -> bool:
        """Whether a request at the head of the line could never be admitted."""
        return self.left > 0


def run(requests: Sequence[Request], limits: Limits, seconds: StepSeconds) -> ReplayOutcome:
    """Serve ``requests``, which are in the order of their arrival; ``seconds`` tells how long a step takes."""
    scheduler = Scheduler(limits)
    coming = iter([one for one in requests if one.prompt < limits.longest])
    upcoming = next(coming, None)
    now, steps, computed, evictions, most, area = 0.0, 0, 0, 0, 0, 0.0
    admitted: dict[LiveRequest, float] = {}
    answered: dict[LiveRequest, float] = {}
    served: list[Served] = []
    asked = 0
    while upcoming is not None or not scheduler.idle:
        if upcoming is not None and scheduler.idle:
            now = max(now, upcoming.arrival)
        while upcoming is not None and upcoming.arrival <= now:
            scheduler.add(upcoming)
            asked += 1
            upcoming = next(coming, None)
        step = scheduler.schedule()
        if not step.tokens and not step.evicted:
            if upcoming is None:
                break
            now = upcoming.arrival
            continue
        took = seconds(step) if step.tokens else 0.0
        used = scheduler.pool.used
        for live in step.hits:
            admitted.setdefault(live, now)
        now += took
        for live, new in step.tokens.items():
            computed += new
            if live.tokens == live.prompt and live.computed + new >= live.prompt:
                answered.setdefault(live, now)
        scheduler.finish(step)
        for live in step.finished:
            request = live.request
            served.append(
                Served(request.arrival, admitted.pop(live), answered.pop(live), now, live.tokens - live.prompt)
            )
        steps += 1
        evictions += len(step.evicted)
        most = max(most, used)
        area += used * took
    return ReplayOutcome(
        served=tuple(served),
        refused=sum(one.prompt >= limits.longest for one in requests),
        left=asked - len(served),
        steps=steps,
        seconds=now,
        computed=computed,
        usable=limits.blocks - 1,
        most_used=most,
        mean_used=area / now if now else 0.0,
        evictions=evictions,
        first=scheduler.first,
        again=scheduler.again,
    )
