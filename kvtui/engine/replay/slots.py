"""llama.cpp's server: slots that keep the prompt they had, and what happens when their cells run out.

A request takes the idle slot whose tokens begin most alike, if enough of its prompt is there, else the one that has
been idle for longest. What the slot held is put into a cache in host memory if most of it would be lost, and a better
match is fetched from there. Split, each slot has its share of the cells, and a request ends where the share does.
Unified, all slots take cells from one pool without reserving any: when it is full, idle slots are emptied, and then
*all* that run get an error and the pool is cleared. (b11549, ``tools/server``; two servers were recorded.)
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kvtui.engine.replay.content import KeyBook, own_keys
from kvtui.engine.replay.pool import KeyArray
from kvtui.engine.replay.radix import NO_KEYS, common_prefix
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.scheduling import LinedUp, LiveRequest, SchedulerStep, Shortage

BATCH = 2048
SIMILARITY = 0.1
KEPT_TO_SAVE = 0.5
KEPT_TO_LOAD = 0.25


class SlotLimits(NamedTuple):
    """``cells`` of tokens for ``slots`` together; ``host`` is how many tokens the cache in host memory has room for.

    ``batch`` tokens at most are computed in a step; ``similarity`` is the part of a prompt that a slot must have.
    """

    cells: int
    slots: int
    unified: bool
    host: int = 0
    batch: int = BATCH
    similarity: float = SIMILARITY

    @property
    def share(self) -> int:
        """The most tokens of one slot."""
        return self.cells if self.unified else self.cells // self.slots


@dataclass(slots=True, eq=False)
class ServerSlot:
    """One slot: the ``keys`` of the tokens in its ``cells``, the request in it, and when it was last ``used``."""

    number: int
    keys: KeyArray = field(default_factory=lambda: NO_KEYS)
    cells: array[int] = field(default_factory=lambda: array("i"))
    live: LiveRequest | None = None
    used: int = -1


class SlotServer(LinedUp[LiveRequest]):
    """A :class:`RequestScheduler` by the rules of llama.cpp's server, without context shift."""

    def __init__(self, limits: SlotLimits) -> None:
        super().__init__(longest=limits.share, most_sequences=limits.slots, block_sizes=(1,), usable=limits.cells)
        self.limits = limits
        self.slots = [ServerSlot(number) for number in range(limits.slots)]
        self._host: list[KeyArray] = []
        self._held = 0  # tokens in the host's cache
        self._free = array("i", range(limits.cells, 0, -1))
        self._kept = bytearray(limits.cells + 1)
        self._waiting: deque[LiveRequest] = deque()
        self._deferred: deque[LiveRequest] = deque()
        self._released = 0
        self._clock = 0
        self._keys: dict[LiveRequest, KeyArray] = {}
        self._book = KeyBook()

    @property
    def running(self) -> list[LiveRequest]:
        """Those in a slot, in the order of slots."""
        return [slot.live for slot in self.slots if slot.live is not None]

    @property
    def used(self) -> int:
        """Cells of those that run."""
        return sum(len(slot.cells) for slot in self.slots if slot.live is not None)

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting) + len(self._deferred)

    @property
    def idle(self) -> bool:
        """Whether nobody runs or waits."""
        return not self.queued and not self.running

    def found(self, block: int) -> bool:
        """Whether an idle or running slot has a token in cell ``block``."""
        return bool(self._kept[block])

    def add(self, request: Request) -> LiveRequest:
        """Let ``request`` wait."""
        self._arrived += 1
        last = min(request.prompt + request.answer, self.limits.share)
        live = LiveRequest(self._arrived, request, request.prompt, request.prompt, last)
        self._waiting.append(live)
        return live

    def schedule(self) -> SchedulerStep:
        """A token of each answer, then prompts in the order of slots, as far as the batch goes."""
        step = SchedulerStep()
        self._launch(step)
        step.order = self.running
        step.shortage = Shortage.SEQUENCES if self._deferred else None
        wanted: dict[LiveRequest, int] = {}
        budget = self.limits.batch
        for answering in (True, False):
            for slot in self.slots:
                live = slot.live
                if live is None or (live.computed == live.tokens - 1 and live.tokens > live.prompt) is not answering:
                    continue
                new = min(live.tokens - live.computed, budget)
                if new:
                    wanted[live] = new
                    budget -= new
        if not self._room(sum(wanted.values())):
            step.shortage = Shortage.BLOCKS
            step.failed = self.running
            step.order = step.failed
            for slot in self.slots:
                self._cut(slot, 0)
            return step
        for slot in self.slots:
            new = wanted.get(slot.live, 0) if slot.live is not None else 0
            if new:
                slot.cells.extend(self._take(slot, new))
        step.chunks = wanted
        return step

    def finish(self, step: SchedulerStep) -> None:
        """The tokens are there; a slot whose request has all of its own is idle, and keeps them."""
        failed = set(step.failed)
        for slot in self.slots:
            live = slot.live
            if live is None:
                continue
            if live in failed:
                live.tables = []
                self._release(slot)
                continue
            new = step.chunks.get(live, 0)
            live.computed += new
            if new and live.computed >= live.tokens:
                if live.tokens == live.prompt:
                    step.answered.append(live)
                live.tokens += 1
                if live.tokens >= live.last:
                    keys = self._keys[live]
                    own = own_keys(live.number, len(keys), live.computed)
                    slot.keys = np.concatenate([keys[: live.computed], own])
                    live.tables = []
                    step.finished.append(live)
                    self._release(slot)

    def _launch(self, step: SchedulerStep) -> None:
        """Deferred requests, one for each slot that was released, the last of them first; then those that are new."""
        ready = [self._deferred.popleft() for _ in range(min(self._released, len(self._deferred)))][::-1]
        self._released = 0
        for live in [*ready, *self._waiting]:
            if live not in self._keys:
                self._keys[live] = live.request.content.keys(1, self._book)
            slot = self._choose(live)
            if slot is None:
                self._deferred.append(live)
            else:
                self._start(slot, live, step)
        self._waiting.clear()

    def _choose(self, live: LiveRequest) -> ServerSlot | None:
        """The idle slot for ``live``, with the best that the host's cache has for it."""
        idle = [slot for slot in self.slots if slot.live is None]
        if not idle:
            return None
        keys = self._keys[live]
        best, most = None, self.limits.similarity
        for slot in idle:
            same = common_prefix(slot.keys, keys) / live.prompt
            if same > most:
                best, most = slot, same
        oldest = best is None
        if best is None:
            best = min(reversed(idle), key=lambda slot: slot.used)
        kept = common_prefix(best.keys, keys)
        if len(best.keys) and self.limits.host and (oldest or kept < KEPT_TO_SAVE * len(best.keys)):
            self._save(best.keys)
            self._load(best, keys, live.prompt)
        return best

    def _start(self, slot: ServerSlot, live: LiveRequest, step: SchedulerStep) -> None:
        if self.limits.unified:
            for other in self.slots:
                if other is not slot and other.live is None and len(other.keys):
                    if self.limits.host:
                        self._save(other.keys)
                    self._cut(other, 0)
        saved = min(common_prefix(slot.keys, self._keys[live]), live.prompt - 1)
        self._cut(slot, saved)
        slot.live = live
        live.computed, live.tables = saved, [slot.cells]
        step.hits[live] = saved
        self.first.requests += 1
        self.first.queries += live.prompt
        self.first.hits += saved

    def _save(self, keys: KeyArray) -> None:
        """Put a slot's tokens into the host's cache, unless they are there; what they contain is there no more."""
        if any(common_prefix(one, keys) == len(keys) for one in self._host):
            return
        self._host = [one for one in self._host if common_prefix(one, keys) < len(one)]
        self._host.append(keys)
        self._held = sum(map(len, self._host))
        while len(self._host) > 1 and self._held > self.limits.host:
            self._held -= len(self._host.pop(0))

    def _load(self, slot: ServerSlot, keys: KeyArray, prompt: int) -> None:
        """Give ``slot`` what the host's cache has, where more of it is kept and more of the prompt is in it."""
        same = common_prefix(slot.keys, keys)
        kept, alike, found = same / len(slot.keys), same / prompt, -1
        for at, one in enumerate(self._host):
            same = common_prefix(one, keys)
            if same / len(one) >= max(KEPT_TO_LOAD, kept) and same / len(one) > kept and same / prompt > alike:
                kept, alike, found = same / len(one), same / prompt, at
        if found < 0:
            return
        loaded = self._host.pop(found)
        self._held -= len(loaded)
        self._cut(slot, 0)
        if self._room(len(loaded)):
            slot.keys = loaded
            slot.cells.extend(self._take(slot, len(loaded)))

    def _room(self, cells: int) -> bool:
        """Whether there are so many cells, after idle slots were emptied one by one; split, each has its own."""
        if not self.limits.unified:
            return True
        for slot in self.slots:
            if len(self._free) >= cells:
                break
            if slot.live is None:
                self._cut(slot, 0)
        return len(self._free) >= cells

    def _take(self, slot: ServerSlot, count: int) -> array[int]:
        if self.limits.unified:
            taken = self._free[: -count - 1 : -1]
            del self._free[-count:]
        else:
            first = slot.number * self.limits.share + len(slot.cells) + 1
            taken = array("i", range(first, first + count))
        for cell in taken:
            self._kept[cell] = 1
        return taken

    def _cut(self, slot: ServerSlot, tokens: int) -> None:
        """Keep the first ``tokens`` of a slot, in a table of its own."""
        gone = slot.cells[tokens:]
        for cell in gone:
            self._kept[cell] = 0
        if self.limits.unified:
            self._free.extend(gone[::-1])
        slot.cells = slot.cells[:tokens]
        slot.keys = slot.keys[:tokens]

    def _release(self, slot: ServerSlot) -> None:
        assert slot.live is not None
        del self._keys[slot.live]
        slot.live = None
        self._clock += 1
        slot.used = self._clock
        self._released += 1
