"""Other orders in which a prefix cache may give blocks up: first in first out, and the best there is.

Both take the blocks of a trace one request after the other, as :mod:`reuse` does: what a prompt finds is the run of its
blocks from the start that are there, and afterwards all of them are. Unlike the least recently used, they are worked
out for each size by itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from kvtui.engine.replay.content import PrefixIds
from kvtui.engine.replay.request import Request

NEVER = 2**31 - 1


class BlockUses:
    """The blocks that the prompts of ``requests`` use, in order; requests without ids use none."""

    def __init__(self, requests: Sequence[Request]) -> None:
        told = [request.content for request in requests if isinstance(request.content, PrefixIds)]
        self.block = told[0].span if told else 1
        self._ids = [np.asarray(content.ids) for content in told]
        self._wholes = [max(0, content.length - 1) // self.block for content in told]
        self._count = 1 + max((int(ids.max()) for ids in self._ids), default=0)

    def first_in_first_out(self, size: int, since: int = 0) -> tuple[int, int]:
        """Tokens saved by a cache of ``size`` blocks that gives up the oldest: of all, and from request ``since`` on.

        A block keeps its place in the line when it is used again, so it is there as long as fewer than ``size`` came
        after it.
        """
        entered = np.full(self._count, -size - 1, dtype=np.int64)
        came, saved, late = 0, 0, 0
        for number, (ids, whole) in enumerate(zip(self._ids, self._wholes, strict=True)):
            there = entered[ids] >= came - size
            run = _run(there, whole)
            saved, late = saved + run, late + run * (number >= since)
            missing = ids[~there]
            entered[missing] = np.arange(came, came + len(missing))
            came += len(missing)
        return saved * self.block, late * self.block

    def best(self, size: int, since: int = 0) -> tuple[int, int]:
        """As :meth:`first_in_first_out`, by a cache that knows what comes: the block whose next use is last goes.

        No order can save more (Belady, *A study of replacement algorithms*, 1966). Of equals, what stands later in a
        prompt goes first; what is never used again is not kept at all.
        """
        kept = np.full(self._count, -1, dtype=np.int64)  # the request that will find it; -1: it is not there
        held: list[tuple[int, int, int]] = []
        count, saved, late = 0, 0, 0
        for number, (ids, whole, coming) in enumerate(zip(self._ids, self._wholes, self._nexts, strict=True)):
            there = kept[ids] == number
            run = _run(there, whole)
            saved, late = saved + run, late + run * (number >= since)
            count -= int(there.sum())
            kept[ids] = np.where(coming == NEVER, -1, coming)
            again = np.flatnonzero(coming != NEVER)
            for at, block, use in zip(again.tolist(), ids[again].tolist(), coming[again].tolist(), strict=True):
                heapq.heappush(held, (-use, -at, block))
            count += len(again)
            while count > size:
                use, _, block = heapq.heappop(held)
                if kept[block] == -use:
                    kept[block] = -1
                    count -= 1
        return saved * self.block, late * self.block

    @cached_property
    def _nexts(self) -> list[np.ndarray]:
        """For each block of each request, the request that uses it next."""
        coming = np.full(self._count, NEVER, dtype=np.int64)
        found = list[np.ndarray]()
        for number in range(len(self._ids) - 1, -1, -1):
            found.append(coming[self._ids[number]])
            coming[self._ids[number]] = number
        return found[::-1]


def _run(there: np.ndarray, whole: int) -> int:
    """How many blocks from the start are there, of the ``whole`` ones."""
    part = there[:whole]
    return len(part) if part.all() else int(np.argmin(part))
