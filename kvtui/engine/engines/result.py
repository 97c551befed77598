"""What an engine allocates for a scenario, in the engine's own units: the common answer of every profile."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from kvtui.engine.engines.placement import RAM, MemoryUse


class Buffer(NamedTuple):
    """One buffer as the engine lists it: ``cells`` entries in each of ``layers`` layers, ``bytes`` in all."""

    name: str
    cells: int
    layers: int
    bytes: int


class GroupShare(NamedTuple):
    """Equal groups: ``groups`` of them with ``layers`` layers of ``kind`` in all, in blocks of ``block_size`` tokens.

    One request of the full context takes ``blocks`` in each of the groups.
    """

    kind: str
    groups: int
    layers: int
    block_size: int
    blocks: int


class Serving(NamedTuple):
    """The cache of one engine for one scenario, on the rank that limits it.

    ``pool_bytes`` is the cache memory of that rank, given (``--kv-pool``) or left over (``pool_is_estimate``).
    ``needed_bytes`` is what one request of the full context takes there, in whole blocks, and ``engine_needed_bytes``
    what the engine's own start-up check compares, where that differs; with ``check_decides`` it starts by that alone,
    even where a request takes more. A request takes ``blocks_per_request`` of ``blocks``, each of ``bytes_per_block``
    over ``groups`` groups of layers; ``padding_layers`` of them hold nothing.
    ``bytes_per_token`` is the growth of one sequence without block rounding. ``state_slots`` bounds the sequences of a
    model with recurrent state. ``kv_cache_tokens`` and ``max_concurrency`` are the figures the engine's log prints.
    ``max_context`` is for one sequence (None: memory sets no bound), ``max_sequences`` for the scenario's context and
    all replicas; both name their ``limit``. ``shares`` says what the blocks of a request are for.
    ``memories`` are all memories of the machine with what they hold, the RAM last, where layers can lie in either.
    ``held`` are the bytes that the engine allocates for its cache on a device of each pipeline stage, and ``rooms`` the
    same, or where that is too little, what the scenario's sequences need there, all of them full. ``states`` are the
    bytes of one sequence's recurrent states there and ``entries`` those of its KV, each empty where the engine keeps
    them as the model says.
    None means that the engine has no such thing. ``refusals`` are reasons other than the pool for which the engine will
    not start as it is told, and ``notes`` say what else a user must know before the launch.
    """

    engine: str
    version: str
    pool_bytes: int
    pool_is_estimate: bool
    needed_bytes: int
    bytes_per_token: int
    kv_cache_tokens: int
    max_concurrency: Fraction
    max_context: int | None
    max_context_limit: str
    max_sequences: int
    max_sequences_limit: str
    held: tuple[int, ...]
    rooms: tuple[int, ...]
    states: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()
    buffers: tuple[Buffer, ...] = ()
    block_size: int | None = None
    groups: int | None = None
    padding_layers: int = 0
    bytes_per_block: int | None = None
    blocks: int | None = None
    blocks_per_request: int | None = None
    state_bytes_per_slot: int | None = None
    state_slots: int | None = None
    engine_needed_bytes: int | None = None
    check_decides: bool = False
    shares: tuple[GroupShare, ...] = ()
    memories: tuple[MemoryUse, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ram(self) -> MemoryUse | None:
        """The machine's RAM, where more of the model lies there than the table that tokens are looked up in."""
        return next((use for use in self.memories if use.number == RAM and use.shares_model), None)

    @property
    def starts(self) -> bool:
        """Whether the engine starts as it is told: a request fits, and nothing else is refused."""
        return self.fits and not self.refusals

    @property
    def lacking(self) -> tuple[MemoryUse, ...]:
        """The memories that do not hold what is to lie there; of devices only where their room is worked out."""
        uses = (use for use in self.memories if use.number == RAM or self.pool_is_estimate)
        return tuple(use for use in uses if use.missing)

    @property
    def fits(self) -> bool:
        """Whether one request of the full context fits the pool, as the engine itself decides at start-up."""
        checked = self.needed_bytes if self.engine_needed_bytes is None else self.engine_needed_bytes
        if self.lacking:
            return False
        return (checked if self.check_decides else max(self.needed_bytes, checked)) <= self.pool_bytes
