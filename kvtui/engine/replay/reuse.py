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
from typing import NamedTuple

import numpy as np

from kvtui.engine.replay.content import PrefixIds
from kvtui.engine.replay.request import Request

_RECENT = 4096
KNEE_POINTS = 64


class Missed(NamedTuple):
    """Prompt tokens that no cache saves, by why: with what is saved at most they are all tokens.

    ``last`` and ``straddling`` were sent before, but the block of the last token is always computed, and a block that
    is not full is not kept. ``short`` are in prompts of less than a block. ``new`` are in prompts whose very first
    block was never seen: they begin with something of their own. ``diverged`` come after a prefix that was seen.
    """

    last: int
    straddling: int
    short: int
    new: int
    diverged: int


@dataclass(frozen=True, eq=False)
class Reuse:
    """How the prompts of a trace use blocks of ``block`` tokens.

    ``distances`` holds, for each whole block that was used before, how many distinct blocks were used since then, in
    order; ``request`` whose block it is. ``blocks`` are all whole blocks read, ``distinct`` those that differ.
    ``lengths`` are the prompts' tokens, and ``missed`` those that are never saved.
    """

    block: int
    blocks: int
    distinct: int
    missed: Missed
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
    def tail(self) -> int:
        """Tokens after the whole blocks of prompts that were sent before as a whole."""
        return self.missed.last + self.missed.straddling

    @property
    def knee(self) -> int | None:
        """The size from where on a block more brings less than they do on average: the farthest from the curve's chord.

        After Satopää and others, *Finding a "Kneedle" in a haystack*, 2011.
        """
        if not len(self.distances):
            return None
        low, high = int(self.distances.min()) + 1, int(self.distances.max()) + 1
        sizes = np.unique(np.round(np.geomspace(low, high, KNEE_POINTS)).astype(np.int64))
        saved = np.array(self.saved(sizes.tolist()), dtype=np.float64)
        return int(sizes[np.argmax(saved / saved[-1] - sizes / high)])

    @property
    def ceiling(self) -> int:
        """Tokens that a cache of any size saves."""
        return len(self.distances) * self.block


def reuse(requests: Sequence[Request], *, answers: bool = False) -> Reuse | None:
    """How ``requests`` could reuse each other's prompts, in the trace's own blocks; None where it tells no prefixes.

    With ``answers``, those take room in the cache as well, as they do in an engine, where each is served by itself.
    """
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
    begun_before = before[starts[1:] - 1] >= 0
    room = np.zeros(len(told), dtype=np.int64)
    if answers:
        asked = [one for one in requests if isinstance(one.content, PrefixIds)]
        room = np.array([(one.prompt + one.answer - 1) // block - one.prompt // block for one in asked])
    distances = _distances(before, starts, request, np.flatnonzero(counted), np.concatenate([[0], np.cumsum(room)]))
    rest = lengths - wholes * block
    whole = lengths % block == 0
    short = lengths < block
    new = ~begun_before & ~short
    hit = np.bincount(request[counted], minlength=len(told)) * block
    diverged = lengths - hit - np.where(sent_before, rest, 0)
    return Reuse(
        block=block,
        blocks=int((lengths // block).sum()),
        distinct=int(np.count_nonzero(before < 0)),
        missed=Missed(
            last=int(rest[sent_before & whole].sum()),
            straddling=int(rest[sent_before & ~whole].sum()),
            short=int(lengths[short & ~sent_before].sum()),
            new=int(lengths[new].sum()),
            diverged=int(diverged[~new & ~(short & ~sent_before)].sum()),
        ),
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


def _distances(
    before: np.ndarray, starts: np.ndarray, request: np.ndarray, asked: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """How many distinct blocks were used between the last use of a block and the start of its request.

    ``answers`` counts the blocks of answers before each request; an answer is used before its prompt.

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
            between = answers[number] - answers[request[last] + 1]
            distances[low:high] = starts[number] - 1 - last - later + between
        piece = slice(starts[number], starts[number + 1])
        recent = np.sort(np.concatenate([recent, before[piece][repeated[piece]]]), kind="stable")
        if len(recent) > _RECENT:
            old, recent = np.sort(np.concatenate([old, recent]), kind="stable"), recent[:0]
    return distances
