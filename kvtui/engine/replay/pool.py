"""A pool of cache blocks: which are free, who holds them, and under which key a filled one can be found.

The order in which vLLM hands out blocks decides what is still cached later, so it is kept exactly: blocks are taken
from the front of a queue; released blocks that can be found again go to its back, in the order in which they are
released, and all others to its front (before 0.26 to its back, too). Block 0 is the null block: it stands in tables for
what a window has left behind, and is never taken.

A long prompt has thousands of blocks, so work on many is done in arrays; an answer takes them one by one, so the same
memory is also read and written as plain numbers (the names that end in ``_of``). Keys above 0 are looked up in an
array, those below 0 (of single requests) in a table.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

NULL = 0
BlockArray = NDArray[np.int32]
KeyArray = NDArray[np.int64]
NO_BLOCKS: BlockArray = np.empty(0, dtype=np.int32)

_HELD_FOR_EVER = 2**30


class Pool:
    """BlockArray 0 to ``blocks`` - 1; ``blank_first``: released blocks that nobody can find are the next to be taken.

    ``free`` counts those that can be taken, ``cached`` the distinct keys that can be found, ``stored`` and ``removed``
    the keys that were entered and lost by eviction.
    """

    def __init__(self, blocks: int, *, caching: bool, blank_first: bool = True) -> None:
        self.blocks = blocks
        self.caching = caching
        self.free = blocks - 1
        self.cached = 0
        self.stored = 0
        self.removed = 0
        self._blank_first = blank_first
        # A stack of free blocks in which nothing can be found; the next one to be taken is on top.
        self._blank_of = array("i", [*range(blocks - 1, 0, -1), 0])
        self._blank = np.frombuffer(self._blank_of, dtype=np.int32)
        self._top = blocks - 1
        # The line of free blocks behind it, from head to tail; those that have left it have another place.
        self._line_of = array("i", bytes(4 * 4 * blocks))
        self._line = np.frombuffer(self._line_of, dtype=np.int32)
        self._place_of = array("q", [-1]) * blocks
        self._place = np.frombuffer(self._place_of, dtype=np.int64)
        self._head = self._tail = 0
        self._holders_of = array("i", bytes(4 * blocks))
        self._holders_of[NULL] = _HELD_FOR_EVER
        self._holders = np.frombuffer(self._holders_of, dtype=np.int32)
        self._key_of = array("q", bytes(8 * blocks))
        self._keys = np.frombuffer(self._key_of, dtype=np.int64)
        self._block: BlockArray = np.zeros(1024, dtype=np.int32)  # by key; 0: it cannot be found
        self._own: dict[int, int] = {}
        self._doubles: dict[int, list[int]] = {}  # further blocks with the same key
        self._aliases: dict[int, list[int]] = {}  # further keys of the same block

    @property
    def used(self) -> int:
        """How many blocks are held by at least one request."""
        return self.blocks - 1 - self.free

    def holders(self, block: int) -> int:
        """How many requests hold ``block``."""
        return self._holders_of[block]

    def filled(self, block: int) -> bool:
        """Whether ``block`` was entered under a key, and still has it."""
        return self._key_of[block] != 0

    def key(self, block: int) -> int:
        """The key under which ``block`` was entered first; 0: it cannot be found."""
        return self._key_of[block]

    def find(self, key: int) -> int | None:
        """The block that has had ``key`` for longest, held or not."""
        if key < 0:
            return self._own.get(key)
        return (int(self._block[key]) or None) if key < len(self._block) else None

    def run(self, keys: KeyArray) -> BlockArray:
        """The blocks of the longest run of ``keys`` from the first that are all there; keys below 0 come last."""
        known = int(np.count_nonzero(keys > 0))
        shared = keys[:known]
        if known and shared.max() >= len(self._block):
            shared = shared[: int(np.argmax(shared >= len(self._block)))]
        blocks = self._block[shared]
        if len(blocks) and not blocks.all():
            return blocks[: int(np.argmin(blocks != 0))]
        if len(blocks) < known or known == len(keys):
            return blocks
        own = []
        for key in keys[known:].tolist():
            block = self._own.get(key)
            if block is None:
                break
            own.append(block)
        return np.concatenate([blocks, np.array(own, dtype=np.int32)])

    def idle(self, blocks: BlockArray) -> int:
        """How many of ``blocks`` no request holds: to share them takes them from the free ones."""
        return len(blocks) - int(np.count_nonzero(self._holders[blocks]))

    def take(self, count: int) -> BlockArray:
        """``count`` blocks from the front of the queue, each with one holder; what was cached in them is lost."""
        low = max(self._top - count, 0)
        taken = self._blank[low : self._top][::-1].copy()
        self._top = low
        if len(taken) < count:
            evicted = self._next_in_line(count - len(taken))
            self._forget(evicted if self._blank_first else evicted[self._keys[evicted] != 0])
            taken = np.concatenate([taken, evicted])
        self._holders[taken] = 1
        self.free -= count
        return taken

    def take_one(self) -> int:
        """As ``take`` for one block."""
        block: int
        if self._top:
            self._top -= 1
            block = self._blank_of[self._top]
        else:
            line, places, head = self._line_of, self._place_of, self._head
            while places[line[head]] != head:
                head += 1
            block = line[head]
            places[block] = -1
            self._head = head + 1
            key = self._key_of[block]
            if key:
                self._key_of[block] = 0
                if key > 0 and not self._doubles and not self._aliases:
                    self._block[key] = 0
                    self.removed += 1
                    self.cached -= 1
                else:
                    self._forget_one(block, key)
        self._holders_of[block] = 1
        self.free -= 1
        return block

    def share(self, blocks: BlockArray) -> None:
        """Give each of ``blocks`` one holder more."""
        held = self._holders[blocks]
        idle = blocks[held == 0]
        self._place[idle] = -1
        self.free -= len(idle)
        self._holders[blocks] = held + 1

    def release(self, blocks: BlockArray) -> None:
        """Take one holder from each of ``blocks``; those left without are free, the first to be taken again first."""
        held = self._holders[blocks] - 1
        self._holders[blocks] = held
        self._holders_of[NULL] = _HELD_FOR_EVER
        gone = blocks[held == 0]
        self.free += len(gone)
        if self._blank_first:
            filled = self._keys[gone] != 0
            blank = gone[~filled][::-1]
            self._blank[self._top : self._top + len(blank)] = blank
            self._top += len(blank)
            gone = gone[filled]
        if len(gone):
            self._line_up(gone)

    def enter(self, keys: KeyArray, blocks: BlockArray) -> None:
        """Let each of ``blocks`` be found under its key, after those that have it already."""
        known = int(np.count_nonzero(keys > 0))
        shared, places = keys[:known], blocks[:known]
        if known:
            highest = int(shared.max())
            if highest >= len(self._block):
                self._block = np.concatenate([self._block, np.zeros(highest, dtype=np.int32)])
            self.stored += known
            self._keys[places] = shared
            before = self._block[shared]
            new = before == 0
            if new.all():
                self._block[shared] = places
                self.cached += known
            else:
                self._block[shared[new]] = places[new]
                self.cached += int(np.count_nonzero(new))
                twice = ~new & (before != places)
                for key, block in zip(shared[twice].tolist(), places[twice].tolist(), strict=True):
                    self._doubles.setdefault(key, []).append(block)
        for key, block in zip(keys[known:].tolist(), blocks[known:].tolist(), strict=True):
            self.enter_one(key, block)

    def enter_one(self, key: int, block: int) -> None:
        """As ``enter`` for one block, whose key is below 0."""
        self.stored += 1
        self._key_of[block] = key
        if key in self._own:
            self._name(key, block)
        else:
            self._own[key] = block
            self.cached += 1

    def alias(self, key: int, block: int) -> None:
        """Let ``block``, which was entered before, be found under one ``key`` more."""
        if key not in self._aliases.get(block, ()):
            self._aliases.setdefault(block, []).append(key)
            self.stored += 1
            self._name(key, block)

    def _name(self, key: int, block: int) -> None:
        first = self.find(key)
        if first is None:
            self.cached += 1
            self._set(key, block)
        elif first != block:
            self._doubles.setdefault(key, []).append(block)

    def _set(self, key: int, block: int) -> None:
        if key < 0:
            self._own[key] = block
            return
        if key >= len(self._block):
            self._block = np.concatenate([self._block, np.zeros(key, dtype=np.int32)])
        self._block[key] = block

    def _next_in_line(self, count: int) -> BlockArray:
        """Take ``count`` blocks from the line."""
        parts = []
        while count:
            ahead = self._line[self._head : min(self._head + count + 64, self._tail)]
            there = np.flatnonzero(self._place[ahead] == np.arange(self._head, self._head + len(ahead)))[:count]
            parts.append(ahead[there])
            count -= len(there)
            self._head += len(ahead) if count else int(there[-1]) + 1
        blocks = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._place[blocks] = -1
        return blocks

    def _line_up(self, blocks: BlockArray) -> None:
        """Put ``blocks`` at the end of the line; where there is no space left, close the gaps in it first."""
        if self._tail + len(blocks) > len(self._line):
            line = self._line[self._head : self._tail]
            line = line[self._place[line] == np.arange(self._head, self._tail)]
            self._line[: len(line)] = line
            self._place[line] = np.arange(len(line))
            self._head, self._tail = 0, len(line)
        end = self._tail + len(blocks)
        self._line[self._tail : end] = blocks
        self._place[blocks] = np.arange(self._tail, end)
        self._tail = end

    def _forget(self, blocks: BlockArray) -> None:
        """Let ``blocks``, all of which were entered, be found no more."""
        keys = self._keys[blocks]
        self._keys[blocks] = 0
        if self._aliases or (self._doubles and not self._doubles.keys().isdisjoint(keys.tolist())):
            for block, key in zip(blocks.tolist(), keys.tolist(), strict=True):
                self._forget_one(block, key)
            return
        self.removed += len(keys)
        self.cached -= len(keys)
        shared = keys > 0
        self._block[keys[shared]] = 0
        for key in keys[~shared].tolist():
            del self._own[key]

    def _forget_one(self, block: int, key: int) -> None:
        self._remove(key, block)
        self.removed += 1
        if self._aliases:
            for other in self._aliases.pop(block, ()):
                self._remove(other, block)
                self.removed += 1

    def _remove(self, key: int, block: int) -> None:
        others = self._doubles.get(key)
        if others is None:
            self.cached -= 1
            if key < 0:
                del self._own[key]
            else:
                self._block[key] = 0
            return
        if self.find(key) == block:
            self._set(key, others.pop(0))
        else:
            others.remove(block)
        if not others:
            del self._doubles[key]
