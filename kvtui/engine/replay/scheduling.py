"""What the schedulers of all engines have in common: requests under way, what a step does, and what can be asked."""

from __future__ import annotations

from array import array
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Protocol, TypeVar

from kvtui.engine.replay.request import Request


class Shortage(Enum):
    """What those that wait lack: tokens of the step's budget, a place among the sequences, or blocks."""

    TOKENS = "tokens"
    SEQUENCES = "sequences"
    BLOCKS = "blocks"


@dataclass(slots=True, eq=False)
class LiveRequest:
    """A request that has arrived; ``number`` counts arrivals from 1.

    ``prompt`` are its tokens as sent, ``tokens`` those with its answer so far, ``computed`` those whose keys and values
    are in the pool. It ends with ``last`` tokens. ``tables`` are its blocks, a table for each group of layers;
    ``evicted`` is how often it lost them.
    """

    number: int
    request: Request
    prompt: int
    tokens: int
    last: int
    computed: int = 0
    evicted: int = 0
    quiet: bool = False
    tables: list[array[int]] = field(default_factory=list)


@dataclass(slots=True)
class Lookups:
    """Counts of prefix lookups of admitted requests: how many, of how many tokens, and how many tokens they saved."""

    requests: int = 0
    queries: int = 0
    hits: int = 0


@dataclass(slots=True)
class SchedulerStep:
    """What one step does. What it says of requests holds until the step is finished.

    ``chunks`` are the tokens that it computes of each request that was looked at, in the order of scheduling;
    ``others`` is how many quiet ones get one token each, ``context`` how many tokens those have computed before.
    ``padding`` are tokens that are computed for nothing. ``hits`` are the tokens that the cache saved those that were
    admitted; ``evicted`` lost their blocks; ``shortage`` is why the others wait. When the step is done, ``answered``
    have their first token, and ``finished`` all of theirs; ``failed`` got an error instead.
    """

    order: Sequence[LiveRequest] = ()
    chunks: dict[LiveRequest, int] = field(default_factory=dict)
    others: int = 0
    context: int = 0
    padding: int = 0
    shortage: Shortage | None = None
    hits: dict[LiveRequest, int] = field(default_factory=dict)
    evicted: list[LiveRequest] = field(default_factory=list)
    answered: list[LiveRequest] = field(default_factory=list)
    finished: list[LiveRequest] = field(default_factory=list)
    failed: list[LiveRequest] = field(default_factory=list)

    @property
    def computed(self) -> int:
        """How many tokens it computes."""
        return sum(self.chunks.values()) + self.others

    @property
    def tokens(self) -> dict[LiveRequest, int]:
        """How many tokens it computes of each request, in the order of ``order``, which has all that run."""
        if not self.others:
            return self.chunks
        chunks = self.chunks
        return {live: 1 if live.quiet else chunks[live] for live in self.order if live.quiet or live in chunks}


class RequestScheduler(Protocol):
    """Takes requests by ``add``; a step is ``schedule`` and, when it was computed, ``finish``.

    ``first`` counts the prefix lookups of requests that came, ``again`` of those that had been put out.
    """

    first: Lookups
    again: Lookups

    @property
    def longest(self) -> int:
        """The most tokens of a request, prompt and answer."""
        ...

    @property
    def most_sequences(self) -> int:
        """How many requests may run at once."""
        ...

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Tokens in a block, for each group of layers."""
        ...

    @property
    def usable(self) -> int:
        """How many blocks there are for requests; they have the numbers 1 to this."""
        ...

    @property
    def used(self) -> int:
        """How many blocks some request holds now."""
        ...

    @property
    def running(self) -> Sequence[LiveRequest]:
        """Those that hold blocks, in the order in which they are served."""
        ...

    @property
    def queued(self) -> int:
        """How many wait."""
        ...

    @property
    def idle(self) -> bool:
        """Whether nobody runs or waits."""
        ...

    def found(self, block: int) -> bool:
        """Whether what stands in ``block`` can serve another request."""
        ...

    def add(self, request: Request) -> LiveRequest:
        """Let ``request`` wait."""
        ...

    def schedule(self) -> SchedulerStep:
        """Decide what the next step computes, and give it its blocks."""
        ...

    def finish(self, step: SchedulerStep) -> None:
        """The tokens of ``step`` are there; those that have all of theirs give their blocks back."""
        ...


AnyLive = TypeVar("AnyLive", bound=LiveRequest)


class LinedUp(Generic[AnyLive]):
    """What schedulers hold and answer alike: those that run and wait, counts, and the limits of the server."""

    _waiting: Sized

    def __init__(self, *, longest: int, most_sequences: int, block_sizes: tuple[int, ...], usable: int) -> None:
        self.longest, self.most_sequences = longest, most_sequences
        self.block_sizes, self.usable = block_sizes, usable
        self.first, self.again = Lookups(), Lookups()
        self._running: list[AnyLive] = []
        self._arrived = 0

    @property
    def running(self) -> list[AnyLive]:
        """Those that hold blocks, in the order in which they are served."""
        return self._running

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nobody runs or waits."""
        return not self._running and not self._waiting
