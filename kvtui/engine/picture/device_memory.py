"""One device's memory while its sequences grow: what the picture is drawn from.

The device is the most loaded one, the same that ``Plan.per_device`` describes. At the film's position every sequence
holds its share of its final tokens, and has the room that the policy gives it by then: the whole context from the
beginning (static), what it holds (continuous batching), or blocks (paged attention). Blocks are handed out from a free
list in the order in which they are needed, so that the sequences' blocks lie mixed. A common prefix's whole blocks come
first, once.

The free list is never walked. The bytes that all sequences have been handed grow with the position, so that the owners
of any stretch of the pool follow from a bisection on it, with numpy over the sequences. Sequences of one length have
equal caches: beyond 128 sequences, equal ones are grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.model.spec import CacheCounts, cache_bytes
from kvtui.engine.planning import grid
from kvtui.engine.planning.allocation import Slot, busiest_share, grown, reserve, slots
from kvtui.engine.planning.grid import Tokens
from kvtui.engine.planning.parts import Parts, Stage, activation_bytes, busiest_stage, score_matrix_bytes, stage_parts
from kvtui.engine.scenario.scenario import Scenario

Policy = Literal["static", "continuous", "paged"]

SINGLE_SEQUENCES = 128
_HALF = 2**20
_SUM_BITS = 62
_TRIES = 31


@dataclass(frozen=True, slots=True)
class Owner:
    """``count`` alike sequences of the device, ``number`` (from 1) the first of them, finally of ``length`` tokens."""

    number: int
    count: int
    length: int


@dataclass(frozen=True, slots=True)
class SequenceBytes:
    """What the sequences of an owner have at a moment, in bytes: all ``count`` of them together.

    ``tokens`` is what each holds. ``used`` is their own KV, without a shared prefix; ``reserved`` the rest of a static
    reservation; ``padding`` the empty ends of last blocks.
    """

    number: int
    count: int
    tokens: int
    used: int
    reserved: int
    padding: int
    state: int


@dataclass(frozen=True, eq=False)
class Pool:
    """All of a device's allocation that does not change while the film plays, and the order its memory is given out.

    ``stage`` is the device's pipeline stage with equal caches of different layers put together, ``share`` its sequences
    at full context. ``prefix`` counts the tokens of the common prefix's whole blocks.
    """

    scenario: Scenario
    policy: Policy
    stage: Stage
    share: tuple[Slot, ...]
    owners: tuple[Owner, ...]
    prefix: int

    @property
    def block_tokens(self) -> int:
        """Tokens of one block."""
        return self.scenario.block_size

    @property
    def capacity(self) -> int:
        """Usable bytes of the device."""
        return self.scenario.device.usable_bytes

    @cached_property
    def bounded(self) -> bool:
        """Whether some layers keep the last tokens only."""
        return any(cache.growth == "bounded" and cache.entries(0) == 0 for cache, _ in self.stage.caches)

    @cached_property
    def sequences(self) -> int:
        """Sequences of the device."""
        return sum(owner.count for owner in self.owners)

    @cached_property
    def start(self) -> Parts:
        """The device's parts before the first token; all but KV and its room stay so, as far as scores are not kept."""
        return stage_parts(self.scenario, self.stage, grown(self.share, self.scenario, 0), self.scenario.context, 0)

    def bytes_at(self, tokens: int) -> int:
        """Own KV bytes of one sequence that holds ``tokens``: without the shared prefix and without state."""
        size = cache_bytes(self.stage.caches, tokens, self.scenario.kv, self.scenario.layout.tp).kv
        return size - self.prefix_bytes(tokens)

    def prefix_bytes(self, tokens: int) -> int:
        """Bytes of the shared prefix's first ``tokens`` tokens, or of all of it."""
        if not self.prefix:
            return 0
        shared = min(tokens, self.prefix)
        size = cache_bytes(self.stage.caches, shared, self.scenario.kv, self.scenario.layout.tp)
        return size.growing + size.indexer

    def tokens_for(self, size: int) -> int:
        """The fewest tokens with which a sequence has at least ``size`` bytes of its own; 2**41 if no number has."""
        low, high = 0, 2 * MAX_TOKENS
        while low < high:
            middle = (low + high) // 2
            if self.bytes_at(middle) >= size:
                high = middle
            else:
                low = middle + 1
        return low

    @cached_property
    def lengths(self) -> Tokens:
        """Final tokens of each owner's sequences."""
        return np.array([owner.length for owner in self.owners], dtype=np.int64)

    @cached_property
    def counts(self) -> Tokens:
        """Sequences of each owner."""
        return np.array([owner.count for owner in self.owners], dtype=np.int64)

    @cached_property
    def _most_tokens(self) -> int:
        """Tokens beyond which a sequence's bytes need not be told apart: all together they would not fit any device.

        Below it the sum over all sequences fits an int64.
        """
        return self.tokens_for(2**_SUM_BITS // self.sequences)

    def sizes(self, tokens: Tokens) -> Tokens:
        """``bytes_at`` for every element of ``tokens``, exact where all sequences together have fewer than 2**62."""
        kv, tp = self.scenario.kv, self.scenario.layout.tp
        capped = np.minimum(tokens, self._most_tokens)
        total = grid.cache_bytes(_without_state(self.stage.caches), capped, kv, tp)
        if self.prefix:
            total = total - grid.cache_bytes(_shareable(self.stage.caches), np.minimum(capped, self.prefix), kv, tp)
        return total

    def handed_out(self, offsets: Sequence[int]) -> Tokens:
        """Bytes of each owner (columns) among the pool's first bytes up to each of ``offsets`` (rows).

        For paged pools; offset 0 is where the first block of a sequence's own lies, behind states, prefix and what
        sequences have before their first token. Offsets beyond the last block give all. Blocks needed at the same
        position are handed out in the order of the owners.
        """
        targets = np.array(offsets, dtype=np.int64)
        position = self._position_before(targets)
        done = self._handed_at(position, self.lengths, self.counts)
        next_position = np.minimum(position + 1, self.scenario.context)
        step = self._handed_at(next_position, self.lengths, self.counts) - done
        before = np.cumsum(step, axis=-1) - step
        owned: Tokens = done + np.clip((targets - done.sum(axis=-1))[:, None] - before, 0, step)
        return owned

    def _position_before(self, targets: Tokens) -> Tokens:
        """The last position at which no more than each of ``targets`` bytes is handed out."""
        lengths = np.array([slot.used for slot in self.share], dtype=np.int64)
        counts = np.array([slot.sequences for slot in self.share], dtype=np.int64)
        low, high = np.zeros_like(targets), np.full_like(targets, self.scenario.context)
        rows, tries = np.arange(len(targets)), np.arange(1, _TRIES + 1)
        while np.any(low < high):
            stride = np.maximum(1, -(-(high - low) // (_TRIES + 1)))
            trial = np.minimum(low[:, None] + stride[:, None] * tries, high[:, None])
            within = (self._handed_at(trial, lengths, counts).sum(axis=-1) <= targets[:, None]).sum(axis=-1)
            high = np.where(within < _TRIES, trial[rows, np.minimum(within, _TRIES - 1)] - 1, high)
            low = np.where(within > 0, trial[rows, within - 1], low)
        return low

    def _handed_at(self, position: Tokens, lengths: Tokens, counts: Tokens) -> Tokens:
        """Bytes of blocks that sequences of each length (last axis) have at each ``position``."""
        held = scaled(lengths, position[..., None], self.scenario.context)
        room = -(-held // self.block_tokens) * self.block_tokens
        handed: Tokens = counts * (self.sizes(room) - self.bytes_at(0))
        return handed


@dataclass(frozen=True)
class Allocation:
    """One device's memory at a position of the film, in bytes.

    ``parts`` sums up the rest. ``prefix`` is the shared prefix, held once, and ``prefix_padding`` the empty end of its
    last block. ``saved`` bytes of attention scores are not needed, thanks to FlashAttention; they are in no sum.
    ``order`` says how the pool is laid out.
    """

    order: Pool
    position: int
    parts: Parts
    sequences: tuple[SequenceBytes, ...]
    prefix: int
    prefix_padding: int
    saved: int

    @property
    def capacity(self) -> int:
        """Usable bytes of the device."""
        return self.order.capacity

    @property
    def free(self) -> int:
        """Bytes that nothing needs; 0 when more is needed than there is."""
        return max(0, self.capacity - self.parts.total)

    @property
    def overflow(self) -> int:
        """Bytes needed beyond the device's own."""
        return max(0, self.parts.total - self.capacity)


def lay_out(scenario: Scenario) -> Pool:
    """The pool of the scenario's most loaded device, numbered longest sequence first. Raises InputError as a plan."""
    stage = busiest_stage(scenario)
    share = busiest_share(slots(scenario, scenario.context, scenario.batch), scenario.layout.dp)
    policy: Policy = "static"
    if scenario.paged_attention:
        policy = "paged"
    elif scenario.continuous_batching:
        policy = "continuous"
    return Pool(
        scenario=scenario,
        policy=policy,
        stage=stage,
        share=share,
        owners=_owners([(slot.used, slot.sequences) for slot in share]),
        prefix=scenario.shared_prefix // scenario.block_size * scenario.block_size,
    )


def allocate(pool: Pool, position: int) -> Allocation:
    """The pool's device when the longest possible sequence holds ``position`` tokens.

    At the scenario's context its parts are those of ``Plan.per_device``. Raises InputError beyond it.
    """
    scenario = pool.scenario
    if not 0 <= position <= scenario.context:
        raise InputError(f"tokens: {position:,} is out of range (0 to {scenario.context:,})")
    paged = pool.policy == "paged"
    held = {}
    for slot in grown(pool.share, scenario, position):
        used = pool.bytes_at(slot.used)
        held[slot.used] = (used, pool.bytes_at(slot.reserved) - used)
    sequences = []
    for owner in pool.owners:
        tokens = owner.length * position // scenario.context
        used, spare = (owner.count * size for size in held[tokens])
        reserved, padding = (0, spare) if paged else (spare, 0)
        state = owner.count * pool.start.state // pool.sequences
        sequences.append(SequenceBytes(owner.number, owner.count, tokens, used, reserved, padding, state))
    longest = sequences[0].tokens
    prefix = pool.prefix_bytes(longest)
    prefix_padding = pool.prefix_bytes(reserve(scenario, longest, scenario.context)) - prefix
    saved, activation = 0, pool.start.activation
    if scenario.flash_attention:
        saved = score_matrix_bytes(scenario, position, pool.sequences) // scenario.layout.tp
    else:
        activation = activation_bytes(scenario, scenario.context, pool.sequences, position)
    return Allocation(
        order=pool,
        position=position,
        parts=Parts(
            weights=pool.start.weights,
            kv=sum(one.used for one in sequences) + prefix,
            state=pool.start.state,
            activation=activation,
            overhead=pool.start.overhead,
            reserved_unused=sum(one.reserved + one.padding for one in sequences) + prefix_padding,
        ),
        sequences=tuple(sequences),
        prefix=prefix,
        prefix_padding=prefix_padding,
        saved=saved,
    )


def scaled(count: Tokens, by: Tokens, of: int) -> Tokens:
    """⌊count · by / of⌋ exactly, for values up to 2**40 with ``by`` ≤ ``of``, in int64."""
    high, low = by // _HALF, by % _HALF
    whole, rest = np.divmod(count * high, of)
    share: Tokens = whole * _HALF + (rest * _HALF + count * low) // of
    return share


def first_position(tokens: Tokens, length: Tokens, context: int) -> Tokens:
    """The first position at which a sequence of finally ``length`` tokens holds ``tokens`` of them (at most all)."""
    high, low = tokens // _HALF, tokens % _HALF
    whole, rest = np.divmod(context * high, length)
    position: Tokens = whole * _HALF - -(rest * _HALF + context * low) // length
    return position


def _owners(lengths: list[tuple[int, int]]) -> tuple[Owner, ...]:
    """Owners for (length, number of sequences) pairs: single sequences, or groups of one length beyond 128 of them."""
    total = sum(count for _, count in lengths)
    size = 1 if total <= SINGLE_SEQUENCES else -(-total // max(1, SINGLE_SEQUENCES - len(lengths)))
    owners, number = [], 1
    for length, count in lengths:
        for start in range(0, count, size):
            members = min(size, count - start)
            owners.append(Owner(number, members, length))
            number += members
    return tuple(owners)


def _without_state(caches: CacheCounts) -> CacheCounts:
    return tuple((cache, count) for cache, count in caches if cache.growth != "state")


def _shareable(caches: CacheCounts) -> CacheCounts:
    return tuple((cache, count) for cache, count in caches if cache.growth in ("growing", "indexer"))
