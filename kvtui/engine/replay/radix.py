"""SGLang's radix tree: prefixes that are kept, which of them are in use, and which go first.

A node is a run of pages whose keys follow on each other; what begins alike shares the path from the root. Those who run
lock their path. Leaves that nobody locks can be evicted, the one used longest ago first, and always as a whole: more
may go than was asked for, and then its parent may be a leaf (0.5.23, ``mem_cache/radix_cache.py``).
"""

from __future__ import annotations

import heapq

import numpy as np

from kvtui.engine.replay.pool import NO_BLOCKS, BlockArray, KeyArray

NO_KEYS: KeyArray = np.empty(0, dtype=np.int64)


class RadixNode:
    """``pages`` with ``keys`` after those of ``parent``; ``locks`` of running requests, the time it was ``used``."""

    __slots__ = ("children", "keys", "locks", "pages", "parent", "used")

    def __init__(self, parent: RadixNode | None, keys: KeyArray, pages: BlockArray, used: int) -> None:
        self.parent = parent
        self.keys = keys
        self.pages = pages
        self.children: dict[int, RadixNode] = {}
        self.locks = 0
        self.used = used


class RadixTree:
    """A tree over pages. ``pages`` counts all that it keeps, ``evictable`` those that nobody has locked."""

    def __init__(self) -> None:
        self.root = RadixNode(None, NO_KEYS, NO_BLOCKS, 0)
        self.root.locks = 1
        self.pages = 0
        self.evictable = 0
        self._clock = 0
        self._offers = 0
        self._leaves: list[tuple[int, int, RadixNode]] = []  # candidates; some are none any more

    def match(self, keys: KeyArray) -> tuple[list[BlockArray], RadixNode]:
        """The pages of the longest prefix of ``keys`` that is there, and the node where it ends."""
        self._clock += 1
        found, node, at = list[BlockArray](), self.root, 0
        while at < len(keys):
            child = node.children.get(int(keys[at]))
            if child is None:
                break
            same = common_prefix(child.keys, keys[at:])
            if same < len(child.keys):
                child = self._split(child, same)
            node = self._touch(child)
            found.append(child.pages)
            at += same
        return found, node

    def insert(self, keys: KeyArray, pages: BlockArray) -> tuple[int, RadixNode]:
        """Keep ``pages`` under ``keys``; how many of them were there already, and the node where they end.

        Those stay the tree's: the caller's own copies of them are free.
        """
        found, node = self.match(keys)
        known = sum(map(len, found))
        if known < len(keys):
            leaf = RadixNode(node, keys[known:], pages[known:], self._clock)
            node.children[int(keys[known])] = leaf
            self.pages += len(keys) - known
            self.evictable += len(keys) - known
            self._offer(leaf)
            node = leaf
        return known, node

    def lock(self, node: RadixNode) -> None:
        """A request runs on the prefix that ends with ``node``."""
        at: RadixNode | None = node
        while at is not None and at.parent is not None:
            if not at.locks:
                self.evictable -= len(at.pages)
            at.locks += 1
            at = at.parent

    def unlock(self, node: RadixNode) -> None:
        """It does so no more."""
        at: RadixNode | None = node
        while at is not None and at.parent is not None:
            at.locks -= 1
            if not at.locks:
                self.evictable += len(at.pages)
                self._offer(at)
            at = at.parent

    def evict(self, count: int) -> BlockArray:
        """The pages of so many whole leaves that they are at least ``count``, or all that can go."""
        gone, freed = list[BlockArray](), 0
        while freed < count and self._leaves:
            used, _, leaf = heapq.heappop(self._leaves)
            if leaf.locks or leaf.children or leaf.parent is None or leaf.used != used:
                continue
            parent = leaf.parent
            del parent.children[int(leaf.keys[0])]
            leaf.parent = None
            gone.append(leaf.pages)
            freed += len(leaf.pages)
            self._offer(parent)
        self.pages -= freed
        self.evictable -= freed
        return np.concatenate(gone) if gone else NO_BLOCKS

    def _split(self, node: RadixNode, at: int) -> RadixNode:
        """Put a node with the first ``at`` pages of ``node`` above it."""
        assert node.parent is not None
        upper = RadixNode(node.parent, node.keys[:at], node.pages[:at], node.used)
        upper.locks = node.locks
        upper.children[int(node.keys[at])] = node
        node.parent.children[int(node.keys[0])] = upper
        node.parent, node.keys, node.pages = upper, node.keys[at:], node.pages[at:]
        return upper

    def _touch(self, node: RadixNode) -> RadixNode:
        node.used = self._clock
        self._offer(node)
        return node

    def _offer(self, node: RadixNode) -> None:
        """Make ``node`` a candidate, if it is a leaf that nobody has locked."""
        if not node.locks and not node.children and node.parent is not None:
            self._offers += 1
            heapq.heappush(self._leaves, (node.used, self._offers, node))


def common_prefix(first: KeyArray, second: KeyArray) -> int:
    """How many keys both begin with."""
    length = min(len(first), len(second))
    other = first[:length] != second[:length]
    return int(other.argmax()) if other.any() else length
