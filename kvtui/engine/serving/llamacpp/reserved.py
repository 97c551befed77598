"""The memory that ggml's allocator reserves for a compute graph: the highest end of any place it hands out.

The allocator goes through the graph once. A result takes the place of one that it is computed from, where its operation
allows it, the two are alike and nobody else reads the other; else it takes the smallest hole that is large enough; else
it goes to the end. What nobody reads any more leaves a hole. Read in ggml-alloc.c.

Example: x of 100 bytes, y = f(x) of 100, z = x + y of 100: x and y lie behind each other, z takes the place of x, and
200 bytes are reserved.

Which results need a place when, and who takes over whose, does not hang on sizes: these orders of a graph are worked
out once for all contexts. Where they lie does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kvtui.engine.serving.llamacpp.graph import Graph, Node

NEW, READ = -1, -2
GraphStep = tuple[int, int]
"""A result, by number, and the one whose place it takes over; or NEW for a place of its own, or that it is READ up."""


class Reserved(NamedTuple):
    """The ``size`` of a buffer in bytes, and what lay in it, by cause, when it grew to that; ``holes`` were between."""

    size: int
    causes: tuple[tuple[str, int], ...]
    holes: int


class GraphOrder(NamedTuple):
    """What an allocator does for a graph, in ``order``; the ``causes`` of the results that need a place, by number."""

    order: tuple[GraphStep, ...]
    causes: tuple[str, ...]


def reserved(graph: Graph, alignment: int) -> Reserved:
    """What is reserved for ``graph`` in places that begin at multiples of ``alignment`` bytes."""
    return reserved_by(steps_of(graph), placed_sizes(graph), alignment)


def steps_of(graph: Graph) -> GraphOrder:
    """What an allocator does for ``graph``."""
    return _Reading(graph).run()


def placed_sizes(graph: Graph) -> tuple[int, ...]:
    """Bytes of the results of ``graph`` that need a place, by number."""
    return tuple(node.size for node in (*graph.inputs, *graph.nodes) if _needs_place(node))


def _needs_place(node: Node) -> bool:
    return node.view is None and not node.outside


def reserved_by(steps: GraphOrder, sizes: Sequence[int], alignment: int) -> Reserved:
    """What is reserved where results of these ``sizes`` are handled in ``steps``."""
    rooms = [size + alignment - 1 & -alignment for size in sizes]
    places = _Places()
    at, highest, grown = [0] * len(rooms), 0, 0
    for done, (number, of) in enumerate(steps.order, 1):
        if of == READ:
            places.free(at[number], rooms[number])
        elif of == NEW:
            at[number] = places.taken(rooms[number])
            if places.end > highest:
                highest, grown = places.end, done
        else:
            at[number], left = at[of], rooms[of] - rooms[number]
            if left > 0:
                places.free(at[of] + rooms[number], left)
    causes: dict[str, int] = {}
    for number in _living(steps.order[:grown]):
        causes[steps.causes[number]] = causes.get(steps.causes[number], 0) + rooms[number]
    ordered = tuple(sorted(causes.items(), key=lambda item: -item[1]))
    return Reserved(highest, ordered, highest - sum(causes.values()))


def _living(order: Sequence[GraphStep]) -> Iterable[int]:
    """The results that have a place after these steps, the oldest first."""
    living: dict[int, None] = {}
    for number, of in order:
        if of == READ:
            del living[number]
        else:
            living.pop(of, None)
            living[number] = None
    return living


class _Reading:
    """Who still reads what, as the allocator goes through a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[GraphStep] = []
        self.numbers: dict[Node, int] = {}
        self.living: set[Node] = set()
        self.readers: dict[Node, int] = {}
        self.views: dict[Node, int] = {}

    def run(self) -> GraphOrder:
        nodes, readers, views, living = self.graph.nodes, self.readers, self.views, self.living
        for node in self.graph.inputs:
            self.place(node)
        for node in nodes:
            if node.view is not None:
                views[node.view] = views.get(node.view, 0) + 1
            for read in node.reads:
                readers[read] = readers.get(read, 0) + 1
        for node in nodes:
            if _needs_place(node):
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
                    living.remove(owner)
                    self.steps.append((self.numbers[owner], READ))
        return GraphOrder(tuple(self.steps), tuple(node.cause for node in self.numbers))

    def place(self, node: Node) -> None:
        number = self.numbers[node] = len(self.numbers)
        self.living.add(node)
        for read in node.reads if node.reuses else ():
            if self.free_to_take(node, read):
                self.living.remove(read)
                self.steps.append((number, self.numbers[read]))
                return
        self.steps.append((number, NEW))

    def free_to_take(self, node: Node, read: Node) -> bool:
        """Whether ``node`` takes the place of ``read``, which nobody else reads and which is no view."""
        alike = read in self.living and read.shape == node.shape
        return alike and self.readers[read] == 1 and not self.views.get(read)


class _Places:
    """The places that an allocator has handed out lie below ``end``, with holes between, by offset."""

    def __init__(self) -> None:
        self.holes: list[tuple[int, int]] = []
        self.end = 0

    def taken(self, size: int) -> int:
        """The offset of a new place: the smallest hole that is large enough, of equal ones the last, or the end."""
        holes, best, least = self.holes, -1, 0
        for index, (_, room) in enumerate(holes):
            if room >= size and (best < 0 or room <= least):
                best, least = index, room
        if best < 0:
            self.end += size
            return self.end - size
        offset = holes[best][0]
        if least == size:
            del holes[best]
        else:
            holes[best] = (offset + size, least - size)
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
