"""A pool of cache blocks: which are free, who holds them, and under which key a filled one can be found.

The order in which vLLM hands out blocks decides what is still cached later, so it is kept exactly: blocks are taken
from the front of a queue; released blocks that can be found again go to its back, in the order in which they are
released, and all others to its front (before 0.26 to its back, too). Block 0 is the null block: it stands in tables for
what a window has left behind, and is never taken.

Work is done for many blocks at once, in calls that loop inside the interpreter: a long prompt has thousands.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

NULL = 0


class Pool:
    """Blocks 0 to ``blocks`` - 1; ``blank_first``: released blocks that nobody can find are the next to be taken.

    ``stored`` and ``removed`` count the keys that were entered and lost by eviction.
    """

    def __init__(self, blocks: int, *, caching: bool, blank_first: bool = True) -> None:
        self.blocks = blocks
        self.caching = caching
        self._blank_first = blank_first
        self.stored = 0
        self.removed = 0
        self._blank = list(range(blocks - 1, 0, -1))  # free, nothing to be found in them; the next one last
        self._filled: OrderedDict[int, None] = OrderedDict()  # free, can be found until they are taken
        self._holders: dict[int, int] = {}
        self._key: dict[int, int] = {}
        self._block: dict[int, int] = {}
        self._doubles: dict[int, list[int]] = {}  # further blocks with the same key
        self._aliases: dict[int, list[int]] = {}  # further keys of the same block

    @property
    def free(self) -> int:
        """How many blocks can be taken."""
        return len(self._blank) + len(self._filled)

    @property
    def used(self) -> int:
        """How many blocks are held by at least one request."""
        return len(self._holders)

    @property
    def cached(self) -> int:
        """How many distinct keys can be found."""
        return len(self._block)

    def filled(self, block: int) -> bool:
        """Whether ``block`` was entered under a key, and still has it."""
        return block in self._key

    def find(self, key: int) -> int | None:
        """The block that has had ``key`` for longest, held or not."""
        return self._block.get(key)

    def run(self, keys: Sequence[int]) -> list[int]:
        """The blocks of the longest run of ``keys`` from the first that are all there."""
        blocks = list(map(self._block.get, keys))
        return blocks[: blocks.index(None)] if None in blocks else blocks  # type: ignore[return-value]

    def idle(self, blocks: Iterable[int]) -> int:
        """How many of ``blocks`` no request holds: to share them takes them from the free ones."""
        holders = self._holders
        return sum(1 for block in blocks if block and block not in holders)

    def take(self, count: int) -> list[int]:
        """``count`` blocks from the front of the queue, each with one holder; what was cached in them is lost."""
        taken = self._blank[-1 : -count - 1 : -1]
        del self._blank[len(self._blank) - len(taken) :]
        missing = count - len(taken)
        if missing:
            pop = self._filled.popitem
            evicted = [pop(last=False)[0] for _ in range(missing)]
            self._forget(evicted if self._blank_first else [block for block in evicted if block in self._key])
            taken += evicted
        self._holders.update(dict.fromkeys(taken, 1))
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Give each of ``blocks`` one holder more."""
        holders = self._holders
        for block in blocks:
            if block:
                held = holders.get(block, 0)
                if not held:
                    del self._filled[block]
                holders[block] = held + 1

    def release(self, blocks: Sequence[int]) -> None:
        """Take one holder from each of ``blocks``; those left without are free, the first to be taken again first."""
        holders, keys = self._holders, self._key
        gone = []
        for block in blocks:
            if block:
                held = holders[block]
                if held == 1:
                    del holders[block]
                    gone.append(block)
                else:
                    holders[block] = held - 1
        if not self._blank_first:
            self._filled.update(dict.fromkeys(gone))
            return
        self._filled.update(dict.fromkeys([block for block in gone if block in keys]))
        self._blank += [block for block in reversed(gone) if block not in keys]

    def enter(self, keys: Sequence[int], blocks: Sequence[int]) -> None:
        """Let each of ``blocks`` be found under its key, after those that have it already."""
        self.stored += len(keys)
        self._key.update(zip(blocks, keys, strict=True))
        if self._block.keys().isdisjoint(keys):
            self._block.update(zip(keys, blocks, strict=True))
            return
        for key, block in zip(keys, blocks, strict=True):
            if self._block.setdefault(key, block) != block:
                self._doubles.setdefault(key, []).append(block)

    def alias(self, key: int, block: int) -> None:
        """Let ``block``, which was entered before, be found under one ``key`` more."""
        if key not in self._aliases.get(block, ()):
            self._aliases.setdefault(block, []).append(key)
            self.stored += 1
            if self._block.setdefault(key, block) != block:
                self._doubles.setdefault(key, []).append(block)

    def _forget(self, blocks: Sequence[int]) -> None:
        """Let ``blocks``, all of which were entered, be found no more."""
        keys = list(map(self._key.pop, blocks))
        self.removed += len(keys)
        if not self._aliases and self._doubles.keys().isdisjoint(keys):
            deque(map(self._block.pop, keys), maxlen=0)
            return
        for block, key in zip(blocks, keys, strict=True):
            self._remove(key, block)
            for other in self._aliases.pop(block, ()):
                self._remove(other, block)
                self.removed += 1

    def _remove(self, key: int, block: int) -> None:
        others = self._doubles.get(key)
        if others is None:
            del self._block[key]
            return
        if self._block[key] == block:
            self._block[key] = others.pop(0)
        else:
            others.remove(block)
        if not others:
            del self._doubles[key]
