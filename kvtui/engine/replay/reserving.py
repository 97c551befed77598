"""Two ways to serve without paging, to measure the others by: a request reserves room for the longest there may be.

*Static batching* takes a batch, pads all prompts to its longest, and takes the next when the last of them has its whole
answer. *Continuous batching* admits a request as soon as another has ended (Yu and others, *Orca*, OSDI 2022). Neither
shares anything, and neither ever puts a request out.
"""

from __future__ import annotations

from array import array
from collections import deque

from kvtui.engine.replay.request import Request
from kvtui.engine.replay.scheduling import LinedUp, LiveRequest, SchedulerStep, Shortage
from kvtui.engine.replay.vllm import Limits


class Reserving(LinedUp[LiveRequest]):
    """A :class:`RequestScheduler` that reserves ``limits.longest`` tokens for each request; ``static``: in batches."""

    def __init__(self, limits: Limits, *, static: bool) -> None:
        super().__init__(
            longest=limits.longest,
            most_sequences=limits.sequences,
            block_sizes=tuple(group.block for group in limits.groups),
            usable=limits.blocks - 1,
        )
        self.limits = limits
        self._static = static
        self._waiting: deque[LiveRequest] = deque()
        self._shapes = [
            (-(-limits.longest // group.block), group.most_blocks(limits.budget, limits.longest))
            for group in limits.groups
        ]
        self._each = sum(least if cap is None else min(least, cap) for least, cap in self._shapes)
        self._places = list(range(min(self.usable // self._each, limits.sequences), 0, -1))
        self._ended: list[LiveRequest] = []  # of a static batch: they hold their places until all have ended

    @property
    def used(self) -> int:
        """Blocks that are reserved."""
        return (len(self._running) + len(self._ended)) * self._each

    def found(self, block: int) -> bool:
        """Nothing serves another request."""
        return False

    def add(self, request: Request) -> LiveRequest:
        """Let ``request`` wait."""
        self._arrived += 1
        live = LiveRequest(
            self._arrived,
            request,
            request.prompt,
            request.prompt,
            min(request.prompt + request.answer, self.limits.longest),
        )
        self._waiting.append(live)
        return live

    def schedule(self) -> SchedulerStep:
        """The whole prompts of those admitted, and a token of each of the others."""
        step = SchedulerStep(self._running)
        for live in self._running:
            step.chunks[live] = 1
        if self._static and self._running:
            step.padding = len(self._ended)
            step.shortage = Shortage.SEQUENCES if self._waiting else None
            return step
        budget = self.limits.budget - len(step.chunks)
        while self._waiting and self._places:
            live = self._waiting[0]
            if not self._static and step.hits and live.tokens > budget:
                step.shortage = Shortage.TOKENS
                break
            self._waiting.popleft()
            live.tables = self._tables(self._places.pop())
            step.hits[live], step.chunks[live] = 0, live.tokens
            budget -= live.tokens
            self._running.append(live)
        if self._waiting and step.shortage is None:
            full = len(self._running) >= self.limits.sequences
            step.shortage = Shortage.SEQUENCES if full else Shortage.BLOCKS
        if self._static and step.hits:
            widest = max(step.chunks.values())
            step.padding = sum(widest - new for new in step.chunks.values())
        return step

    def finish(self, step: SchedulerStep) -> None:
        """Every request has its next token."""
        for live, new in step.chunks.items():
            live.computed += new
            if live.tokens == live.prompt:
                step.answered.append(live)
            live.tokens += 1
            if live.tokens >= live.last:
                step.finished.append(live)
        if not step.finished:
            return
        gone = set(step.finished)
        self._running = [live for live in self._running if live not in gone]
        self._ended += step.finished
        if not self._static or not self._running:
            for live in self._ended:
                self._places.append((live.tables[0][0] - 1) // self._each + 1)
                live.tables = []
            self._ended = []

    def _tables(self, place: int) -> list[array[int]]:
        """The blocks of ``place``, counted from 1: one piece for each group, in a row."""
        start, tables = (place - 1) * self._each + 1, []
        for least, cap in self._shapes:
            count = least if cap is None else min(least, cap)
            tables.append(array("i", range(start, start + count)))
            start += count
        return tables
