"""The memory that ggml's allocator reserves for a compute graph: the highest end of any place it hands out.

The allocator goes through the graph once. A result takes the place of one that it is computed from, where its operation
allows it, the two are alike and nobody else reads the other; else it takes the smallest hole that is large enough; else
it goes to the end. What nobody reads any more leaves a hole. Read in ggml-alloc.c.

Example: x of 100 bytes, y = f(x) of 100, z = x + y of 100: x and y lie behind each other, z takes the place of x, and
200 bytes are reserved.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from kvtui.engine.serving.llamacpp.graph import Graph, Node


class Reserved(NamedTuple):
    """The ``size`` of a buffer in bytes, and what lay in it, by cause, when it grew to that; ``holes`` were between."""

    size: int
    causes: tuple[tuple[str, int], ...]
    holes: int


def reserved(graph: Graph, alignment: int) -> Reserved:
    """What is reserved for ``graph`` in places that begin at multiples of ``alignment`` bytes."""
    return _Places(graph, alignment).run()


class _Places:
    """The state of the allocator: holes below ``end`` by offset, and who lies where."""

    def __init__(self, graph: Graph, alignment: int) -> None:
        self.graph = graph
        self.mask = alignment - 1
        self.holes: list[tuple[int, int]] = []
        self.end = 0
        self.highest = 0
        self.at: dict[Node, int] = {}
        self.living: dict[Node, int] = {}
        self.peak: dict[Node, int] = {}
        self.readers: dict[Node, int] = {}
        self.views: dict[Node, int] = {}

    def run(self) -> Reserved:
        nodes, readers, views, living = self.graph.nodes, self.readers, self.views, self.living
        for node in self.graph.inputs:
            self.place(node)
        for node in nodes:
            if node.view is not None:
                views[node.view] = views.get(node.view, 0) + 1
            for read in node.reads:
                readers[read] = readers.get(read, 0) + 1
        for node in nodes:
            if node.view is None and not node.outside:
                self.place(node)
            for read in node.reads:
                left = readers[read] = readers[read] - 1
                if left or views.get(read):
                    continue
                owner = read
                if read.view is not None:
                    owner = read.view
                    views[owner] -= 1
                    if views[owner] or readers.get(owner):
                        continue
                if owner in living:
                    self.free(self.at[owner], living.pop(owner))
        causes: dict[str, int] = {}
        for node, room in self.peak.items():
            causes[node.cause] = causes.get(node.cause, 0) + room
        ordered = tuple(sorted(causes.items(), key=lambda item: -item[1]))
        return Reserved(self.highest, ordered, self.highest - sum(causes.values()))

    def place(self, node: Node) -> None:
        size = node.size + self.mask & ~self.mask
        if node.reuses:
            for read in node.reads:
                if self.taken_over(node, read, size):
                    return
        self.living[node] = size
        self.at[node] = self.hole(size)

    def taken_over(self, node: Node, read: Node, size: int) -> bool:
        """Whether ``node`` takes the place of ``read``, which nobody else reads and which is no view."""
        if read not in self.living or read.shape != node.shape or self.readers[read] != 1 or self.views.get(read):
            return False
        offset, whole = self.at[read], self.living.pop(read)
        if whole > size:
            self.free(offset + size, whole - size)
        self.living[node] = size
        self.at[node] = offset
        return True

    def hole(self, size: int) -> int:
        """The offset of a new place: the smallest hole that is large enough, of equal ones the last, or the end."""
        best, least = -1, 0
        for index, (_, room) in enumerate(self.holes):
            if room >= size and (best < 0 or room <= least):
                best, least = index, room
        if best >= 0:
            offset = self.holes[best][0]
            if least == size:
                del self.holes[best]
            else:
                self.holes[best] = (offset + size, least - size)
            return offset
        offset = self.end
        self.end += size
        if self.end > self.highest:
            self.highest = self.end
            self.peak = self.living.copy()
        return offset

    def free(self, offset: int, size: int) -> None:
        """Makes a hole, and one of it with the holes and the room at the end that it touches."""
        holes = self.holes
        index = bisect_left(holes, (offset,))
        if index < len(holes) and offset + size == holes[index][0]:
            size += holes.pop(index)[1]
        if index and sum(holes[index - 1]) == offset:
            index -= 1
            before = holes.pop(index)
            offset, size = before[0], before[1] + size
        if offset + size == self.end:
            self.end = offset
        else:
            holes.insert(index, (offset, size))
