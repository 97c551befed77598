"""A compute graph as llama.cpp builds it: what is computed from what, how large each result is, and in which order.

Only what decides over memory is kept of an operation: its result's shape, what it reads, whether it may write over what
it reads, and whether it is a view of something else. Read in ggml's sources (ggml.c, ggml-alloc.c).
"""

from __future__ import annotations

from math import prod

F32, F16, I32, I64 = 4, 2, 4, 8
Shape = tuple[int, ...]


class Node:
    """A result of the graph, of ``size`` bytes: an input, what an operation computes, or a ``view`` of another node.

    ``reads`` are the nodes that it is computed from; weights and caches, which have buffers of their own, are not among
    them. ``shape`` is None for a view with gaps. A node that ``reuses`` may take the place of one that it reads.
    ``cause`` says what it is for. What is stored in a cache is an ``outside`` node, which takes no memory here.
    """

    __slots__ = ("cause", "given", "outside", "reads", "reuses", "shape", "size", "view")

    def __init__(
        self,
        cause: str,
        shape: Shape | None,
        size: int,
        reads: tuple[Node, ...] = (),
        reuses: bool = False,
        view: Node | None = None,
        outside: bool = False,
        given: bool = False,
    ) -> None:
        self.cause = cause
        self.shape = shape
        self.size = size
        self.reads = reads
        self.reuses = reuses
        self.view = view
        self.outside = outside
        self.given = given


class Graph:
    """Nodes in the order in which they are computed, and the inputs in the order in which they are found."""

    def __init__(self) -> None:
        self.inputs: list[Node] = []
        self.nodes: list[Node] = []
        self._seen: set[Node] = set()

    def expand(self, node: Node) -> Node:
        """Puts ``node`` into the graph, behind all that it reads; what one operation reads goes from left to right."""
        seen = self._seen
        if node not in seen:
            seen.add(node)
            for read in node.reads:
                if read not in seen:
                    self.expand(read)
            (self.inputs if node.given else self.nodes).append(node)
        return node


def given(cause: str, shape: Shape, width: int = F32) -> Node:
    """An input: elements of ``width`` bytes, written before the graph is computed."""
    return Node(cause, shape, prod(shape) * width, given=True)


def fresh(cause: str, shape: Shape, *reads: Node, width: int = F32) -> Node:
    """The result of an operation that needs a place of its own, such as a matrix product."""
    return Node(cause, shape, prod(shape) * width, reads)


def onto(cause: str, shape: Shape, *reads: Node) -> Node:
    """The result of an elementwise operation, which may take the place of an operand of its shape."""
    return Node(cause, shape, prod(shape) * F32, reads, True)


def view(of: Node, shape: Shape | None = None) -> Node:
    """``of`` seen in another ``shape``; without one, a part of it or with its axes exchanged."""
    return Node(of.cause, shape, of.size, (of,), False, of.view or of)


def stored(*reads: Node) -> Node:
    """What is written into a cache."""
    return Node("cache", None, 0, reads, outside=True)
