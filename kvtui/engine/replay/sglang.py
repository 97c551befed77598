"""SGLang's scheduler: prompts first, room estimated for answers, and retraction where the estimate was too low.

A step computes prompts, or a token of each answer, and not both. A prompt is admitted if it fits beside a share of what
the running answers may still grow to. The share starts high, sinks with every step of decoding, and is set anew when it
was too low: then requests are put out, shortest answer first, until the others can go on for a while. They wait at the
end of the line and compute their tokens again (0.5.23, ``managers/scheduler.py``, ``schedule_policy.py`` and
``schedule_batch.py``, read and not run; the tree is that of :mod:`radix`).
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kvtui.engine.replay.content import KeyBook, own_keys
from kvtui.engine.replay.pool import BlockArray, KeyArray
from kvtui.engine.replay.radix import NO_KEYS, RadixNode, RadixTree
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.scheduling import LinedUp, LiveRequest, SchedulerStep, Shortage

MOST_ANSWER = 4096
FIRST_RATIO = 0.7
LEAST_RATIO = 0.14
DECAY_STEPS = 600
STEPS_AHEAD = 20
PREFILL_TOKENS = 16_384


class RadixLimits(NamedTuple):
    """``pages`` of ``page`` tokens; ``sequences`` at once; ``chunk`` and ``prefill`` bound the prompts of a step.

    ``conservativeness`` scales the share of answers that admission reserves; without ``caching`` nothing is kept.
    """

    pages: int
    page: int
    sequences: int
    longest: int
    chunk: int
    prefill: int = PREFILL_TOKENS
    conservativeness: float = 1.0
    caching: bool = True


@dataclass(slots=True, eq=False)
class RadixRequest(LiveRequest):
    """A request on the path to ``node``, whose first ``shared`` pages are the tree's."""

    keys: KeyArray = field(default_factory=lambda: NO_KEYS)
    node: RadixNode | None = None
    shared: int = 0


class RadixScheduler(LinedUp[RadixRequest]):
    """A :class:`RequestScheduler` by the rules of SGLang."""

    def __init__(self, limits: RadixLimits) -> None:
        super().__init__(
            longest=min(limits.longest, limits.pages * limits.page - 1),  # no more than all pages hold
            most_sequences=limits.sequences,
            block_sizes=(limits.page,),
            usable=limits.pages,
        )
        self.limits = limits
        self._tree = RadixTree()
        self._free = array("i", range(limits.pages, 0, -1))
        self._kept = bytearray(limits.pages + 1)
        self._waiting: deque[RadixRequest] = deque()
        self._part: RadixRequest | None = None  # a long prompt of which a chunk is computed
        self._book = KeyBook()
        self._least = LEAST_RATIO * min(FIRST_RATIO * limits.conservativeness, 1.0)
        self._highest = min(FIRST_RATIO * limits.conservativeness, 1.0)
        self._ratio = self._highest

    @property
    def used(self) -> int:
        """Pages that somebody runs on."""
        return self.limits.pages - len(self._free) - self._tree.evictable

    def found(self, block: int) -> bool:
        """Whether page ``block`` is in the tree."""
        return bool(self._kept[block])

    def add(self, request: Request) -> RadixRequest:
        """Let ``request`` wait."""
        self._arrived += 1
        live = RadixRequest(
            self._arrived,
            request,
            request.prompt,
            request.prompt,
            min(request.prompt + request.answer, self.longest),
        )
        self._waiting.append(live)
        return live

    def schedule(self) -> SchedulerStep:
        """Prompts, if some can be admitted; else a token of each answer."""
        step = SchedulerStep(self._running)
        self._admit(step)
        if not step.chunks and self._running:
            self._decode(step)
        return step

    def finish(self, step: SchedulerStep) -> None:
        """The tokens are there; prompts and answers that are done go into the tree."""
        for live in self._running:
            new = step.chunks.get(live)
            if new is None:
                continue
            live.computed += new
            done = live.computed >= live.tokens
            if done:
                if live.tokens == live.prompt:
                    step.answered.append(live)
                live.tokens += 1
            if live.tokens >= live.last:
                step.finished.append(live)
            elif new > 1 or live in step.hits:
                self._keep(live)
        if step.finished:
            gone = set(step.finished)
            for live in self._running:
                if live in gone:
                    self._keep(live)
                    self._let_go(live)
            self._running = [live for live in self._running if live not in gone]

    def _admit(self, step: SchedulerStep) -> None:
        """Take prompts from the front of the line while there is room for them and for what runs."""
        limits, page = self.limits, self.limits.page
        answers = sum(min(live.last - live.tokens, MOST_ANSWER) for live in self._running)
        room = (len(self._free) + self._tree.evictable) * page - answers * self._ratio
        prefill, chunk = limits.prefill, limits.chunk
        if self._part is not None:
            live, self._part = self._part, None
            new = min(live.tokens - live.computed, chunk)
            if not self._extend(live, new):
                self._part = live
                return
            step.chunks[live] = new
            if live.computed + new < live.tokens:
                self._part = live
            room, prefill, chunk = room - new, prefill - new, chunk - new
        while self._waiting:
            if len(self._running) >= limits.sequences:
                step.shortage = Shortage.SEQUENCES
                return
            if chunk <= 0 or prefill <= 0 or self._part is not None:
                step.shortage = Shortage.TOKENS
                return
            live = self._waiting[0]
            pages, node = self._look_up(live)
            saved = sum(map(len, pages)) * page
            new = live.tokens - saved
            answer = min(live.last - live.tokens, MOST_ANSWER)
            self._tree.lock(node)
            if new + answer >= room or (step.chunks and new > prefill):
                self._tree.unlock(node)
                step.shortage = Shortage.BLOCKS if new + answer >= room else Shortage.TOKENS
                return
            new = min(new, chunk)
            if saved + new < live.tokens:
                new = new // page * page
            live.tables, live.node, live.shared = [array("i")], node, saved // page
            for part in pages:
                live.tables[0].frombytes(part.tobytes())
            live.computed = saved
            if not new or not self._extend(live, new):
                self._tree.unlock(node)
                live.tables, live.node, live.computed, live.shared = [], None, 0, 0
                step.shortage = Shortage.BLOCKS if new else Shortage.TOKENS
                return
            self._waiting.popleft()
            self._count(live, saved)
            step.hits[live], step.chunks[live] = saved, new
            self._running.append(live)
            if saved + new < live.tokens:
                self._part = live
            room, prefill, chunk = room - new - answer, prefill - new, chunk - new

    def _decode(self, step: SchedulerStep) -> None:
        """A token of each answer, after those were put out for whom there is no room."""
        page = self.limits.page
        if not self._room(sum(live.computed % page == 0 for live in self._running if live is not self._part)):
            self._retract(step)
        else:
            self._ratio = max(self._least, self._ratio - (self._highest - self._least) / DECAY_STEPS)
        for live in self._running:
            if live is not self._part and self._extend(live, 1):
                step.chunks[live] = 1

    def _retract(self, step: SchedulerStep) -> None:
        """Put out the shortest answers, of equals the longest prompt, until the others can go on for some steps."""
        order = sorted(self._running, key=lambda live: (live.tokens - live.prompt, -live.prompt), reverse=True)
        while len(order) > 1 and (not step.evicted or not self._room(-(-len(order) * STEPS_AHEAD // self.limits.page))):
            live = order.pop()
            self._let_go(live)
            live.computed = 0
            live.evicted += 1
            step.evicted.append(live)
            self._waiting.append(live)
        step.shortage = Shortage.BLOCKS
        gone = set(step.evicted)
        self._running = [live for live in self._running if live not in gone]
        step.order = self._running
        decoded = sum(live.tokens - live.prompt for live in self._running)
        total = sum(live.last - live.prompt for live in self._running)
        self._ratio = min(1.0, (decoded + STEPS_AHEAD * len(self._running)) / (total + 1))

    def _look_up(self, live: RadixRequest) -> tuple[list[BlockArray], RadixNode]:
        """The longest prefix in the tree without the last token."""
        if not self.limits.caching:
            return [], self._tree.root
        most = (live.tokens - 1) // self.limits.page
        if not len(live.keys):
            live.keys = live.request.content.keys(self.limits.page, self._book)
        return self._tree.match(self._keys(live, most))

    def _keys(self, live: RadixRequest, count: int) -> KeyArray:
        known = live.keys[:count]
        if len(known) == count:
            return known
        return np.concatenate([known, own_keys(live.number, len(known), count)])

    def _room(self, pages: int) -> bool:
        """Whether there are so many free pages, after evicting what is needed."""
        missing = pages - len(self._free)
        if missing > 0:
            gone = self._tree.evict(missing)
            for at in gone.tolist():
                self._kept[at] = 0
            self._free.frombytes(gone[::-1].tobytes())
        return len(self._free) >= pages

    def _extend(self, live: RadixRequest, new: int) -> bool:
        """Give ``live`` pages for ``new`` tokens more; False: there are none."""
        table = live.tables[0]
        missing = -(-(live.computed + new) // self.limits.page) - len(table)
        if missing > 0:
            if not self._room(missing):
                return False
            table.extend(self._free[: -missing - 1 : -1])
            del self._free[-missing:]
        return True

    def _keep(self, live: RadixRequest) -> None:
        """Put the whole pages of what was computed into the tree, and stand on them there."""
        if not self.limits.caching:
            return
        table, count = live.tables[0], live.computed // self.limits.page
        pages = np.array(table[:count], dtype=np.int32)
        known, node = self._tree.insert(self._keys(live, count), pages)
        for page in table[known:count]:
            self._kept[page] = 1
        assert live.node is not None
        self._tree.lock(node)
        self._tree.unlock(live.node)
        if known > live.shared:
            self._free.extend(table[live.shared : known][::-1])
            found, _ = self._tree.match(self._keys(live, known))
            shared = array("i")
            for part in found:
                shared.frombytes(part.tobytes())
            table[:known] = shared
        live.node, live.shared = node, count

    def _let_go(self, live: RadixRequest) -> None:
        """Give the pages back that are not the tree's."""
        assert live.node is not None
        self._free.extend(live.tables[0][live.shared :][::-1])
        self._tree.unlock(live.node)
        live.tables, live.node, live.shared = [], None, 0
        self._part = None if self._part is live else self._part

    def _count(self, live: RadixRequest, saved: int) -> None:
        counts = self.again if live.evicted else self.first
        counts.requests += 1
        counts.queries += live.tokens
        counts.hits += saved
