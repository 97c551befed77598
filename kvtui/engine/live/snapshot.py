"""One look at a running server: what it tells of its cache, requests, counters and times.

What a server does not tell is None, or absent from a mapping; nothing is guessed. Counters are totals since the server
started, so that the difference of any two snapshots is a rate (``kvtui.engine.live.interval``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

State = Literal["up", "loading", "asleep", "silent", "refused", "unreadable"]
"""``silent``: no answer; ``refused``: an answer that is none, such as 401; ``unreadable``: one of another kind."""

PoolUnit = Literal["block", "token"]


class Latencies(NamedTuple):
    """A histogram of seconds since the start: ``counts[i]`` requests took at most ``bounds[i]``; the last is infinite.

    ``sum`` are the seconds of all of them.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float

    @property
    def observed(self) -> float:
        """How many were observed in all."""
        return self.counts[-1] if self.counts else 0.0


class ServerPool(NamedTuple):
    """The cache of one rank, in units of blocks or tokens, whichever the engine counts.

    Of ``size`` units requests hold ``used``; ``cached`` hold tokens that another request may find again and can be
    evicted; ``empty`` hold nothing. ``cached`` may be too many by ``spread``, where an engine leaves open which blocks
    of running requests are full. ``tokens`` is the capacity as the engine states it, ``block_size`` the tokens of a
    block, and ``null`` the blocks that the engine keeps to itself besides.
    """

    unit: PoolUnit = "block"
    size: int | None = None
    used: int | None = None
    cached: int | None = None
    empty: int | None = None
    spread: int = 0
    block_size: int | None = None
    tokens: int | None = None
    null: int = 0

    @property
    def used_share(self) -> float | None:
        """The part that requests hold, 0 to 1."""
        return None if self.used is None or not self.size else self.used / self.size

    @property
    def cached_share(self) -> float | None:
        """The part that is cached and can be evicted, 0 to 1."""
        return None if self.cached is None or not self.size else self.cached / self.size

    @property
    def free(self) -> int | None:
        """Units that a new request can have: empty, or cached."""
        return None if self.used is None or self.size is None else max(0, self.size - self.used)

    def in_tokens(self, units: int | None) -> int | None:
        """``units`` of the pool as tokens; None where the size of a block is not told."""
        if units is None or self.unit == "token":
            return units
        return None if self.block_size is None else units * self.block_size

    @property
    def usable_tokens(self) -> int | None:
        """The capacity as the engine states it, less the blocks that it keeps to itself where those are in it.

        Example: vLLM says 1,056 tokens of 33 blocks of 32, of which one is its null block: 1,024 are usable.
        """
        usable = self.in_tokens(self.size)
        if usable is None or self.size is None or self.tokens == self.in_tokens(self.size + self.null):
            return usable
        return self.tokens or usable


UNTOLD_POOL = ServerPool()
"""The pool of a server that tells nothing of it."""


class CachedBlocks(NamedTuple):
    """Blocks that hold a known prefix, by the events of one group of layers; ``kind`` is the engine's word for it."""

    group: int
    kind: str
    blocks: int
    block_size: int | None = None


class ServedSlot(NamedTuple):
    """One slot of llama.cpp: ``tokens`` resident of at most ``limit``, and what it does.

    ``prompt_done`` of the current prompt are computed, ``reused`` of it were found in the slot, ``generated`` came
    after it.
    """

    number: int
    limit: int
    tokens: int
    phase: Literal["idle", "prompt", "generating"]
    prompt_done: int = 0
    reused: int = 0
    generated: int = 0


class LoadedModel(NamedTuple):
    """A model that a desktop server holds, without a word on how full its cache is: an envelope.

    ``context`` is the window of each of ``parallel`` sequences, ``bytes`` what the model takes in all, and
    ``on_device`` of it lie on the accelerator.
    """

    name: str
    context: int | None
    parallel: int | None = None
    bytes: int | None = None
    on_device: int | None = None


class DeviceReading(NamedTuple):
    """An accelerator's counters: bytes, watts, joules since the driver was loaded, and shares of 0 to 1.

    ``busy`` is the share of time that a kernel ran, ``bandwidth`` the share of the memory's peak rate.
    """

    name: str
    memory: int | None = None
    memory_used: int | None = None
    busy: float | None = None
    bandwidth: float | None = None
    watts: float | None = None
    joules: float | None = None


@dataclass(frozen=True, slots=True)
class ServerRank:
    """One data-parallel rank: its ``pool``, its requests, and its counters.

    ``waiting_by`` says why requests wait, where the engine tells. ``totals`` are counters by name (``TOTALS`` in
    ``kvtui.engine.live.names``), ``latencies`` histograms, and ``gauges`` further figures as the engine states them.
    """

    number: int = 0
    pool: ServerPool = UNTOLD_POOL
    running: int | None = None
    waiting: int | None = None
    waiting_by: Mapping[str, float] = field(default_factory=dict)
    paused: int | None = None
    totals: Mapping[str, float] = field(default_factory=dict)
    latencies: Mapping[str, Latencies] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)
    slots: tuple[ServedSlot, ...] = ()
    cached_groups: tuple[CachedBlocks, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A server at one moment, ``time`` in seconds since 1970.

    ``said`` explains a ``state`` that is not up. ``context`` is the longest sequence, ``most_running`` the most that
    run together, ``step_tokens`` the tokens of one step. ``config`` is what labels reveal of the server's settings.
    ``started`` is when its process began, and ``counted`` when the counters were read, if that is another time.
    """

    time: float
    address: str
    state: State = "up"
    said: str = ""
    engine: str = ""
    release: str = ""
    model: str = ""
    ranks: tuple[ServerRank, ...] = ()
    context: int | None = None
    most_running: int | None = None
    step_tokens: int | None = None
    started: float | None = None
    counted: float | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    loaded: tuple[LoadedModel, ...] = ()
    devices: tuple[DeviceReading, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counters_at(self) -> float:
        """When the counters were read."""
        return self.time if self.counted is None else self.counted

    def summed(self, name: Literal["running", "waiting", "paused"]) -> int | None:
        """Requests of all ranks; None where no rank tells."""
        told = [value for rank in self.ranks if (value := getattr(rank, name)) is not None]
        return sum(told) if told else None

    def total(self, name: str) -> float | None:
        """The counter ``name`` over all ranks; None where no rank has it."""
        told = [rank.totals[name] for rank in self.ranks if name in rank.totals]
        return sum(told) if told else None

    @property
    def pool(self) -> ServerPool:
        """The pools of all ranks as one; what one rank does not tell, all do not."""
        if len(self.ranks) == 1:
            return self.ranks[0].pool
        pools = [rank.pool for rank in self.ranks]
        if not pools or len({(pool.unit, pool.block_size) for pool in pools}) > 1:
            return ServerPool()

        def together(name: str) -> int | None:
            values = [getattr(pool, name) for pool in pools]
            return None if None in values else sum(values)

        return pools[0]._replace(
            size=together("size"),
            used=together("used"),
            cached=together("cached"),
            empty=together("empty"),
            tokens=together("tokens"),
            spread=sum(pool.spread for pool in pools),
            null=sum(pool.null for pool in pools),
        )
