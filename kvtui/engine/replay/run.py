"""A trace through a scheduler, in time: when requests wait, start, answer and end, and what the pool holds then."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, overload

from kvtui.engine.replay.request import Request
from kvtui.engine.replay.scheduling import LiveRequest, Lookups, RequestScheduler, SchedulerStep, Shortage
from kvtui.engine.replay.standstill import Standstill

MOST_INSTANTS = 1024

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


class ServedRequests(Sequence[Served]):
    """Many of them, in 36 bytes each."""

    def __init__(self) -> None:
        self._moments, self._answers = array("d"), array("i")

    def append(self, one: Served) -> None:
        """Add one at the end."""
        self._moments.extend((one.arrived, one.admitted, one.answered, one.ended))
        self._answers.append(one.answer)

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, at: int) -> Served: ...

    @overload
    def __getitem__(self, at: slice) -> list[Served]: ...

    def __getitem__(self, at: int | slice) -> Served | list[Served]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        place = range(len(self))[at]
        arrived, admitted, answered, ended = self._moments[4 * place : 4 * place + 4]
        return Served(arrived, admitted, answered, ended, self._answers[place])


class Instant(NamedTuple):
    """A step in the course of a replay: its start in seconds, and requests, blocks and tokens in it.

    ``tokens`` are in the pool for those that run, in ``slots`` of their tables: of what is shared each counts its part.
    ``looked_up`` and ``saved`` are prompt tokens from the beginning to here, ``evictions`` as well.
    """

    seconds: float
    running: int
    waiting: int
    used: int
    tokens: int
    slots: int
    looked_up: int
    saved: int
    evictions: int


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What became of a trace.

    ``served`` requests in the order of their end; ``refused`` were longer than the server allows; ``failed`` got
    an error while they ran; ``left`` had arrived
    and not ended, because the first of them needs more blocks than there are (``stuck``), or the replay was stopped.
    ``computed`` tokens took ``steps`` steps and ``seconds``; ``usable`` blocks were used ``most_used`` at once and
    ``mean_used`` on average over time. ``evictions`` is how often a request was put out; ``computed`` counts what is
    computed again for it, and not the ``padding`` of batches. ``short`` tells for how many seconds requests waited for
    want of what. ``course`` are some steps in equal distances, at most 1,024.
    """

    served: Sequence[Served]
    refused: int
    failed: int
    left: int
    stuck: bool
    steps: int
    seconds: float
    computed: int
    padding: int
    usable: int
    most_used: int
    mean_used: float
    evictions: int
    short: Mapping[Shortage, float]
    course: Sequence[Instant]
    first: Lookups
    again: Lookups

    @property
    def empty_slots(self) -> float:
        """The part of the slots in tables that holds no token: ends of blocks, and what is reserved."""
        slots = sum(one.slots for one in self.course)
        return 1 - sum(one.tokens for one in self.course) / slots if slots else 0.0


class TimedStep(NamedTuple):
    """Step ``number``, from 0, which starts at ``start`` and takes ``seconds``; ``arrived`` came just before it."""

    number: int
    start: float
    seconds: float
    step: SchedulerStep
    arrived: tuple[LiveRequest, ...]


class Replay:
    """Serves ``requests``, which come in the order of their arrival, by ``scheduler``.

    ``seconds`` tells how long a step takes. Requests are taken one by one, as they arrive: a generator will do. What
    was computed so far can be asked for at any moment.
    """

    def __init__(self, requests: Iterable[Request], scheduler: RequestScheduler, seconds: StepSeconds) -> None:
        self.scheduler = scheduler
        self.stuck = False
        self._seconds = seconds
        self._coming = iter(requests)
        self._now, self._steps, self._computed, self._evictions = 0.0, 0, 0, 0
        self._most, self._area = 0, 0.0
        self._asked, self._refused = 0, 0
        self._admitted: dict[LiveRequest, float] = {}
        self._answered: dict[LiveRequest, float] = {}
        self._served = ServedRequests()
        self._padding = self._failed = 0
        self._short = dict.fromkeys(Shortage, 0.0)
        self._course: list[Instant] = []
        self._stride = 1
        self._standstill = Standstill()
        self._upcoming = self._next()

    def schedule(self) -> TimedStep | None:
        """The next step, whose blocks are given and whose tokens are still to come; None: the replay has ended.

        :meth:`finish` goes with it, before the next.
        """
        scheduler = self.scheduler
        arrived: list[LiveRequest] = []
        while self._upcoming is not None or not scheduler.idle:
            if self._standstill.reached and self._upcoming is None:
                self.stuck = True
                return None
            if self._upcoming is not None and (scheduler.idle or self._standstill.reached):
                self._now = max(self._now, self._upcoming.arrival)
            while self._upcoming is not None and self._upcoming.arrival <= self._now:
                arrived.append(scheduler.add(self._upcoming))
                self._asked += 1
                self._upcoming = self._next()
            step = scheduler.schedule()
            busy = step.chunks or step.others
            if busy or step.evicted or step.failed:
                took = self._seconds(step) if busy else 0.0
                return TimedStep(self._steps, self._now, took, step, tuple(arrived))
            if self._upcoming is None:
                self.stuck = True
                return None
            self._now = self._upcoming.arrival
        return None

    def finish(self, timed: TimedStep) -> None:
        """The tokens of ``timed`` are there."""
        scheduler, step, took = self.scheduler, timed.step, timed.seconds
        used = scheduler.used
        if timed.number % self._stride == 0:
            self._look(timed)
        for live in step.hits:
            self._admitted.setdefault(live, timed.start)
        now = self._now = timed.start + took
        self._computed += step.computed
        scheduler.finish(step)
        for live in step.answered:
            self._answered[live] = now
        for live in step.finished:
            admitted, answered = self._admitted.pop(live), self._answered.pop(live)
            self._served.append(Served(live.request.arrival, admitted, answered, now, live.tokens - live.prompt))
        for live in step.failed:
            self._admitted.pop(live)
            self._answered.pop(live, None)
        self._failed += len(step.failed)
        self._steps += 1
        self._padding += step.padding
        if step.shortage is not None:
            self._short[step.shortage] += took
        self._evictions += len(step.evicted)
        self._standstill.look(step, empty=bool(step.evicted) and not scheduler.running)
        self._most = max(self._most, used)
        self._area += used * took

    def go_on(self, steps: int) -> bool:
        """Make so many steps; False: it ended before."""
        for _ in range(steps):
            timed = self.schedule()
            if timed is None:
                return False
            self.finish(timed)
        return True

    def outcome(self) -> ReplayOutcome:
        """What became of the requests so far."""
        return ReplayOutcome(
            served=self._served,
            refused=self._refused,
            failed=self._failed,
            left=self._asked - len(self._served) - self._failed,
            stuck=self.stuck,
            steps=self._steps,
            seconds=self._now,
            computed=self._computed,
            padding=self._padding,
            usable=self.scheduler.usable,
            most_used=self._most,
            mean_used=self._area / self._now if self._now else 0.0,
            evictions=self._evictions,
            short=dict(self._short),
            course=tuple(self._course),
            first=self.scheduler.first,
            again=self.scheduler.again,
        )

    def _look(self, timed: TimedStep) -> None:
        """Keep what this step looks like; where there are many already, every other one of them."""
        scheduler, step = self.scheduler, timed.step
        size = scheduler.block_sizes[0]
        running, chunks = scheduler.running, step.chunks
        tokens = sum(live.computed + (1 if live.quiet else chunks.get(live, 0)) for live in running)
        slots = sum(len(live.tables[0]) for live in running) * size
        if len(scheduler.block_sizes) == 1:
            slots = max(slots, scheduler.used * size)
        self._course.append(
            Instant(
                timed.start,
                len(running),
                scheduler.queued,
                scheduler.used,
                tokens,
                slots,
                scheduler.first.queries,
                scheduler.first.hits,
                self._evictions + len(step.evicted),
            )
        )
        if len(self._course) > MOST_INSTANTS:
            del self._course[1::2]
            self._stride *= 2

    def _next(self) -> Request | None:
        """The next request that the server does not refuse."""
        for request in self._coming:
            if request.prompt < self.scheduler.longest:
                return request
            self._refused += 1
        return None


def dealt(requests: Sequence[Request], replicas: int) -> list[Sequence[Request]]:
    """``requests`` dealt out to ``replicas`` in turn, as a router without any knowledge does."""
    return [requests] if replicas == 1 else [requests[first::replicas] for first in range(replicas)]


def together(outcomes: Sequence[ReplayOutcome]) -> ReplayOutcome:
    """The outcome of several replicas as one; ``course`` is that of the first."""
    first = outcomes[0]
    if len(outcomes) == 1:
        return first
    return replace(
        first,
        served=[one for outcome in outcomes for one in outcome.served],
        stuck=any(outcome.stuck for outcome in outcomes),
        seconds=max(outcome.seconds for outcome in outcomes),
        short={kind: sum(outcome.short[kind] for outcome in outcomes) for kind in Shortage},
        first=_summed([outcome.first for outcome in outcomes]),
        again=_summed([outcome.again for outcome in outcomes]),
        **{
            name: sum(getattr(outcome, name) for outcome in outcomes)
            for name in (
                "refused",
                "failed",
                "left",
                "steps",
                "computed",
                "padding",
                "usable",
                "most_used",
                "mean_used",
                "evictions",
            )
        },
    )


def _summed(lookups: Sequence[Lookups]) -> Lookups:
    return Lookups(
        sum(one.requests for one in lookups), sum(one.queries for one in lookups), sum(one.hits for one in lookups)
    )


def run(requests: Iterable[Request], scheduler: RequestScheduler, seconds: StepSeconds) -> ReplayOutcome:
    """Serve ``requests`` to the end."""
    replay = Replay(requests, scheduler, seconds)
    while (timed := replay.schedule()) is not None:
        replay.finish(timed)
    return replay.outcome()
