"""What a prefix cache could save of a trace, for every size of the cache at once, with no scheduler about it.

Every request reads the blocks of its prompt and leaves them in the cache. Where the least recently used block goes
first, and of one request the end before the start, a block is still there exactly if fewer than the cache's size of
distinct blocks were used since (Mattson and others, *Evaluation techniques for storage hierarchies*, 1970): one pass
gives that distance for all of them. A hit is a run of blocks from the start of the prompt, and since a start is always
used after its continuation, counting the single blocks that are there counts the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvtui.engine.replay.content import PrefixIds
from kvtui.engine.replay.request import Request

_RECENT = 4096


@dataclass(frozen=True, eq=False)
class Reuse:
    """How the prompts of a trace use blocks of ``block`` tokens.

    ``distances`` holds, for each whole block that was used before, how many distinct blocks were used since then, in
    order; ``request`` whose block it is. ``blocks`` are all whole blocks read, ``distinct`` those that differ.
    ``lengths`` are the prompts' tokens; ``tail`` those after the whole blocks of prompts that were sent before as
    a whole: engines that cache whole blocks only, and always compute the last token, compute these again.
    """

    block: int
    blocks: int
    distinct: int
    tail: int
    lengths: np.ndarray
    distances: np.ndarray
    request: np.ndarray

    def saved(self, sizes: Sequence[int], since: int = 0) -> list[int]:
        """Tokens that caches of ``sizes`` blocks save the requests from number ``since`` on."""
        distances = np.sort(self.distances[self.request >= since])
        return [int(count) * self.block for count in np.searchsorted(distances, np.asarray(sizes), side="left")]

    def tokens(self, since: int = 0) -> int:
        """Tokens of the prompts of the requests from number ``since`` on."""
        return int(self.lengths[since:].sum())

    @property
    def ceiling(self) -> int:
        """Tokens that a cache of any size saves."""
        return len(self.distances) * self.block


def reuse(requests: Sequence[Request]) -> Reuse | None:
    """How ``requests`` could reuse each other's prompts, in the trace's own blocks; None where it tells no prefixes."""
    told = [request.content for request in requests if isinstance(request.content, PrefixIds)]
    if not told:
        return None
    block = told[0].span
    lengths = np.array([content.length for content in told])
    wholes = np.maximum(lengths - 1, 0) // block
    counts = np.array([len(content.ids) for content in told])
    starts = np.concatenate([[0], np.cumsum(counts)])
    # The end of a prompt is used before its start, so that it is the first to go.
    used = np.concatenate([np.asarray(content.ids)[::-1] for content in told])
    before = _last_use(used)
    request = np.repeat(np.arange(len(told)), counts)
    at = counts[request] - 1 - (np.arange(len(used)) - starts[request])
    counted = (before >= 0) & (at < wholes[request])
    sent_before = before[starts[:-1]] >= 0
    distances = _distances(before, starts, request, np.flatnonzero(counted))
    return Reuse(
        block=block,
        blocks=int((lengths // block).sum()),
        distinct=len(np.unique(used)),
        tail=int((lengths - wholes * block)[sent_before].sum()),
        lengths=lengths,
        distances=distances,
        request=request[counted],
    )


def _last_use(used: np.ndarray) -> np.ndarray:
    """For each place in ``used``, the place of the same block before it; -1: there is none."""
    order = np.argsort(used, kind="stable")
    before = np.full(len(used), -1)
    same = used[order[1:]] == used[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before


def _distances(before: np.ndarray, starts: np.ndarray, request: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How many distinct blocks were used between the last use of a block and the start of its request.

    Of the uses between, those count that were not repeated before the request began: all of them, less those places
    ahead of the start whose last use lies behind the block's. The latter are counted in a sorted array, the newest of
    them in a small one of their own.
    """
    distances = np.empty(len(asked), dtype=np.int64)
    old, recent = np.empty(0, dtype=before.dtype), np.empty(0, dtype=before.dtype)
    bounds = np.searchsorted(request[asked], np.arange(len(starts)))
    repeated = before >= 0
    for number in range(len(starts) - 1):
        low, high = bounds[number], bounds[number + 1]
        if high > low:
            last = before[asked[low:high]]
            later = len(old) - np.searchsorted(old, last, side="right")
            later += len(recent) - np.searchsorted(recent, last, side="right")
            distances[low:high] = starts[number] - 1 - last - later
        piece = slice(starts[number], starts[number + 1])
        recent = np.sort(np.concatenate([recent, before[piece][repeated[piece]]]))
        if len(recent) > _RECENT:
            old, recent = np.sort(np.concatenate([old, recent])), recent[:0]
    return distances
