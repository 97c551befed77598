"""What happened in a replay, step by step, for those who draw it: who holds each block, and what became of whom.

A :class:`ReplayHistory` follows the steps of a :class:`Replay` as they are made, and keeps what changed. It answers for
any step of the past: the blocks (:meth:`ReplayHistory.board`), the requests (:meth:`ReplayHistory.states`), the page
table of one request (:meth:`ReplayHistory.page_table`), the life of a request or of a block, and where the next
preemption or eviction is. It knows no engine and no screen. Example::

    scheduler = Scheduler(limits)
    history = ReplayHistory(scheduler)
    for _ in history.follow(Replay(trace.requests, scheduler, seconds)):
        ...  # a step was made; stop whenever you like, what was made is kept
    board = history.board(history.steps // 2)

What a step shows is the moment at which its blocks are given and its tokens not yet computed: those who end with it
still hold their blocks. Two histories of one trace under two policies may be shown side by side; by time they agree
through :meth:`ReplayHistory.at`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from kvtui.engine.replay.request import Request
from kvtui.engine.replay.run import Replay, TimedStep
from kvtui.engine.replay.scheduling import LiveRequest, RequestScheduler

MOST_CHANGES = 2**23
"""Changes of blocks that a history keeps (12 bytes each); a longer replay is kept up to there."""


class Phase(Enum):
    """What a request does: it waits, computes its prompt, its answer, waits again since it was put out, or is done."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    PREEMPTED = "preempted"
    DONE = "done"


class RequestState(NamedTuple):
    """One request at one step: its ``phase``, and the step ``since`` when it has been in it."""

    number: int
    phase: Phase
    since: int


class HeldBlocks(NamedTuple):
    """All blocks at one step; the place in both is the number of the block, and 0 is none.

    ``owner`` is the number of the request that has held a block for longest, or of the last one that did; 0: what is in
    it serves nobody. ``holders`` counts those that hold it now: more than one share it, and with none it is free, but
    what the owner left can be found again until it is evicted.
    """

    owner: array[int]
    holders: array[int]


class BlockChange(NamedTuple):
    """From step ``step`` on, ``block`` has this owner and so many holders (as in :class:`HeldBlocks`)."""

    step: int
    block: int
    owner: int
    holders: int


class StepSummary(NamedTuple):
    """One step in numbers: its start and duration in seconds, tokens computed, requests and blocks.

    ``evicted`` are the blocks whose content was lost in it, ``preempted`` the numbers of the requests put out,
    ``admitted`` those that began to run with the tokens that the cache saved them.
    """

    start: float
    seconds: float
    tokens: int
    running: int
    waiting: int
    used: int
    admitted: tuple[tuple[int, int], ...]
    preempted: tuple[int, ...]
    evicted: tuple[int, ...]


class ReplayHistory:
    """The steps that ``scheduler`` makes; see the module for how it is fed.

    ``full`` says that it takes no more, since there were more than ``most_changes``: what it has is kept.
    """

    def __init__(self, scheduler: RequestScheduler, most_changes: int = MOST_CHANGES) -> None:
        self.blocks = scheduler.usable
        self.block_sizes = scheduler.block_sizes
        self.full = False
        self._scheduler = scheduler
        self._most_changes = most_changes
        self._requests: list[Request] = []
        self._steps: list[StepSummary] = []
        self._starts = array("d")
        self._changed, self._owners, self._counts = array("i"), array("i"), array("i")
        self._bounds = array("q", [0])  # where the changes of each step begin, and where the last one's end
        self._now = _empty(self.blocks)
        self._keyframes = [(0, 0, _empty(self.blocks))]  # before which step, at which change
        self._phases: list[list[tuple[int, Phase]]] = []  # by request: from which step on it is in which
        self._pages: list[list[tuple[int, int, int, int]]] = []  # by request: from which step on, group, place, block
        self._tables: dict[LiveRequest, list[_Table]] = {}
        self._holders: dict[int, list[int]] = {}
        self._held_on: list[LiveRequest] = []  # they have ended, and still hold their blocks
        self._touched: dict[int, None] = {}

    @property
    def steps(self) -> int:
        """How many steps it has; they are numbered from 0."""
        return len(self._steps)

    @property
    def requests(self) -> Sequence[Request]:
        """All requests that have arrived; number n is at n - 1."""
        return self._requests

    def follow(self, replay: Replay) -> Iterator[StepSummary]:
        """Make the steps of ``replay``, which has the scheduler of this history, and keep each before it is given.

        Ends with the replay, or when the history is ``full``.
        """
        while not self.full and (timed := replay.schedule()) is not None:
            self._scheduled(timed)
            replay.finish(timed)
            self._finished(timed)
            yield self._steps[-1]

    def step(self, number: int) -> StepSummary:
        """Step ``number`` in numbers."""
        return self._steps[number]

    def at(self, seconds: float) -> int:
        """The step that is under way at ``seconds``, or the last one before; 0 before the first."""
        return max(0, bisect_right(self._starts, seconds) - 1)

    def changes(self, number: int) -> Iterator[BlockChange]:
        """What is different from the step before: to go on by one step is to apply these to a board."""
        for at in range(self._bounds[number], self._bounds[number + 1]):
            yield BlockChange(number, self._changed[at], self._owners[at], self._counts[at])

    def board(self, number: int) -> HeldBlocks:
        """All blocks at step ``number``; the arrays are the caller's."""
        at = bisect_right(self._keyframes, number, key=lambda frame: frame[0]) - 1
        _, first, held = self._keyframes[at]
        owner, holders = held.owner[:], held.holders[:]
        now = slice(first, self._bounds[number + 1])
        changed = _numbers(self._changed[now])
        # Of several changes of one block the last one stands: numpy assigns in order.
        _numbers(owner)[changed] = _numbers(self._owners[now])
        _numbers(holders)[changed] = _numbers(self._counts[now])
        return HeldBlocks(owner, holders)

    def states(self, number: int) -> list[RequestState]:
        """Every request that has arrived by step ``number``, in the order of arrival."""
        return [
            RequestState(at, *self._state(phases, number))
            for at, phases in enumerate(self._phases, start=1)
            if phases[0][0] <= number
        ]

    def phases(self, request: int) -> Sequence[tuple[int, Phase]]:
        """The life of request ``request``: from which step on it was in which phase."""
        return self._phases[request - 1]

    def page_table(self, request: int, number: int) -> list[list[int]]:
        """The blocks of a request at step ``number``, logical to physical, one list for each group of layers.

        0 stands where a window has left a block behind. Empty lists: it holds nothing then.
        """
        tables: list[list[int]] = [[] for _ in self.block_sizes]
        for step, group, place, block in self._pages[request - 1]:
            if step > number:
                break
            if place < 0:
                tables = [[] for _ in self.block_sizes]
            elif place < len(tables[group]):
                tables[group][place] = block
            else:
                tables[group].append(block)
        return tables

    def block_life(self, block: int) -> list[BlockChange]:
        """All that ever happened to ``block``."""
        # The copy is searched: an array of which there is a view cannot grow, and steps are being made meanwhile.
        places = np.flatnonzero(_numbers(self._changed[: self._bounds[self.steps]]) == block)
        return [
            BlockChange(bisect_right(self._bounds, at) - 1, block, self._owners[at], self._counts[at])
            for at in places.tolist()
        ]

    def next_preemption(self, after: int) -> int | None:
        """The first step behind ``after`` in which a request is put out; None: there is none."""
        return self._next(after, lambda step: bool(step.preempted))

    def next_eviction(self, after: int) -> int | None:
        """The first step behind ``after`` in which cached content is lost; None: there is none."""
        return self._next(after, lambda step: bool(step.evicted))

    def _next(self, after: int, wanted: Callable[[StepSummary], bool]) -> int | None:
        return next((at for at in range(max(after + 1, 0), len(self._steps)) if wanted(self._steps[at])), None)

    @staticmethod
    def _state(phases: list[tuple[int, Phase]], number: int) -> tuple[Phase, int]:
        since, phase = phases[bisect_right(phases, number, key=lambda entry: entry[0]) - 1]
        return phase, since

    def _scheduled(self, timed: TimedStep) -> None:
        """The blocks of a step are given."""
        step, number, scheduler = timed.step, timed.number, self._scheduler
        tokens = step.tokens
        for live in timed.arrived:
            self._requests.append(live.request)
            self._phases.append([(number, Phase.WAITING)])
            self._pages.append([])
        for live in step.evicted:
            self._give_back(live, number, Phase.PREEMPTED)
        lost: list[int] = []
        for live in tokens:
            self._look_at(live, number, step.hits.get(live), lost)
        for block in self._touched:
            self._note(block)
        self._touched.clear()
        self._bounds.append(len(self._changed))
        if len(self._changed) - self._keyframes[-1][1] > self.blocks:
            kept = HeldBlocks(self._now.owner[:], self._now.holders[:])
            self._keyframes.append((number + 1, len(self._changed), kept))
        self._starts.append(timed.start)
        self._steps.append(
            StepSummary(
                start=timed.start,
                seconds=timed.seconds,
                tokens=sum(tokens.values()),
                running=len(scheduler.running),
                waiting=scheduler.queued,
                used=scheduler.used,
                admitted=tuple((live.number, saved) for live, saved in step.hits.items()),
                preempted=tuple(live.number for live in step.evicted),
                evicted=tuple(lost),
            )
        )
        self.full = len(self._changed) > self._most_changes

    def _finished(self, timed: TimedStep) -> None:
        """The tokens of a step are there; what ends with it is gone in the next."""
        for live in [*self._held_on, *timed.step.finished, *timed.step.failed]:
            if not live.tables:
                self._give_back(live, timed.number + 1, Phase.DONE)
        self._held_on = [live for live in [*self._held_on, *timed.step.finished] if live.tables]

    def _look_at(self, live: LiveRequest, number: int, saved: int | None, lost: list[int]) -> None:
        """What a scheduled request has got since, and what it has left behind."""
        decoding = saved is None and live.tokens > live.prompt and live.computed == live.tokens - 1
        self._enter(live, number, Phase.DECODE if decoding else Phase.PREFILL)
        known = self._tables.get(live)
        if known is None:
            known = self._tables[live] = [_Table([], 0) for _ in live.tables]
        pages = self._pages[live.number - 1]
        for group, (table, seen) in enumerate(zip(live.tables, known, strict=True)):
            while seen.start < len(seen.blocks) and not table[seen.start]:
                block, seen.blocks[seen.start] = seen.blocks[seen.start], 0
                if block:
                    self._release(live.number, block)
                    pages.append((number, group, seen.start, 0))
                seen.start += 1
            shared = (saved or 0) // self.block_sizes[group]
            for place in range(len(seen.blocks), len(table)):
                block = table[place]
                pages.append((number, group, place, block))
                seen.blocks.append(block)
                if block:
                    self._take(live.number, block, place < shared, lost)

    def _take(self, request: int, block: int, shared: bool, lost: list[int]) -> None:
        now = self._now
        if not shared:
            if now.owner[block]:
                lost.append(block)
            now.owner[block] = request
        elif not now.holders[block]:
            now.owner[block] = request
        self._holders.setdefault(block, []).append(request)
        now.holders[block] += 1
        self._touched[block] = None

    def _release(self, request: int, block: int) -> None:
        holders, now = self._holders[block], self._now
        holders.remove(request)
        now.holders[block] -= 1
        if holders:
            now.owner[block] = holders[0]
        else:
            del self._holders[block]
            if not self._scheduler.found(block):
                now.owner[block] = 0
        self._touched[block] = None

    def _give_back(self, live: LiveRequest, number: int, phase: Phase) -> None:
        self._enter(live, number, phase)
        self._pages[live.number - 1].append((number, 0, -1, 0))
        for table in self._tables.pop(live, ()):
            for block in table.blocks:
                if block:
                    self._release(live.number, block)

    def _enter(self, live: LiveRequest, number: int, phase: Phase) -> None:
        phases = self._phases[live.number - 1]
        if phases[-1][0] == number:
            phases[-1] = (number, phase)
        elif phases[-1][1] is not phase:
            phases.append((number, phase))

    def _note(self, block: int) -> None:
        self._changed.append(block)
        self._owners.append(self._now.owner[block])
        self._counts.append(self._now.holders[block])


class _Table:
    """A table as it was last seen; before ``start`` all is left behind."""

    __slots__ = ("blocks", "start")

    def __init__(self, blocks: list[int], start: int) -> None:
        self.blocks = blocks
        self.start = start


def _numbers(values: array[int]) -> np.ndarray[tuple[int], np.dtype[np.intc]]:
    """A view of ``values``."""
    return np.frombuffer(values, dtype=np.intc)


def _empty(blocks: int) -> HeldBlocks:
    return HeldBlocks(array("i", bytes(4 * (blocks + 1))), array("i", bytes(4 * (blocks + 1))))
