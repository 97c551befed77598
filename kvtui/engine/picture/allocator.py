"""One device's cache memory while its sequences grow: who holds how much, and in which order it was handed out.

The device is the most loaded one, the same that ``Plan.per_device`` describes. The film's *position* is the tokens that
the longest possible sequence holds; a sequence that ends at L of the scenario's C tokens holds ⌊L · position / C⌋ by
then. What a sequence has room for depends on the policy: with a static reservation the whole context from the
beginning, with continuous batching just what it holds, with paged attention the blocks that it holds and the rest of
its last one. The whole blocks of a common prefix are stored once, before all others.

Paged blocks come from a free list in the order in which the sequences need them, so that their blocks lie mixed. For
example, with C = 32, blocks of 16 tokens and sequences A and B that end at 32 and 16 tokens: A needs its first block at
position 1, B its only one at position 2, A its second at position 17. The memory reads A B A, and in Llama-3.1-8B,
whose blocks have 2 MiB, its first 3 MiB are 2 MiB of A's and 1 MiB of B's.

The free list is never walked, which would take as many steps as there are blocks. What all sequences together have been
handed can only grow with the position, so a bisection over positions finds where a given byte was handed out
(``Allocator.handed_out``). Sequences of one length hold the same; beyond 128 sequences equal ones are one owner.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.engines.result import Serving
from kvtui.engine.model.spec import cache_bytes
from kvtui.engine.planning.allocation import Slot, busiest_share, grown, reserve, slots
from kvtui.engine.planning.parts import Parts, score_matrix_bytes
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.reserved import device_holds, fullest_stage
from kvtui.engine.planning.stages import Stage
from kvtui.engine.scenario.scenario import Scenario

Policy = Literal["static", "continuous", "paged"]

SINGLE_SEQUENCES = 128


@dataclass(frozen=True, slots=True)
class Owner:
    """``count`` sequences of the device that all end at ``length`` tokens; ``number`` (from 1) is the first of them."""

    number: int
    count: int
    length: int


@dataclass(frozen=True, slots=True)
class SequenceBytes:
    """What the ``count`` sequences of an owner have at one position, in bytes of all of them together.

    Each holds ``tokens``. ``used`` is their own KV, without a shared prefix; ``reserved`` the rest of a static
    reservation; ``padding`` the empty ends of their last blocks; ``state`` recurrent and conv state.
    """

    number: int
    count: int
    tokens: int
    used: int
    reserved: int
    padding: int
    state: int


@dataclass(frozen=True, eq=False)
class Allocator:
    """Hands a device's cache memory to its sequences: all that stays the same while the film plays.

    ``stage`` is the device's pipeline stage and ``share`` its sequences as they are at full context, longest first;
    ``owners`` are the same sequences, in that order. ``prefix`` counts the tokens of the common prefix's whole blocks.
    ``serving`` is what the scenario's engine allocates, None without one.
    """

    scenario: Scenario
    policy: Policy
    stage: Stage
    share: tuple[Slot, ...]
    owners: tuple[Owner, ...]
    prefix: int
    serving: Serving | None = None

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
        """The device's parts before the first token.

        Weights, state and overhead stay so to the end, and so do activations where FlashAttention keeps no scores.
        """
        return device_holds(self.scenario, self.serving, self.stage, grown(self.share, self.scenario, 0), 0)

    @cached_property
    def room(self) -> int:
        """Cache memory that the engine sets aside; 0 without one."""
        if self.serving is None:
            return 0
        return device_holds(self.scenario, self.serving, self.stage, self.share).cache

    def bytes_at(self, tokens: int) -> int:
        """KV bytes of one sequence that holds ``tokens``, less what a shared prefix holds for it; no state.

        In Llama-3.1-8B, 1,000 tokens behind a shared prefix of 992 are 8 tokens of 131,072 bytes.
        """
        size = cache_bytes(self.stage.caches, tokens, self.scenario.kv, self.scenario.layout.tp).kv
        return size - self.prefix_bytes(tokens)

    def prefix_bytes(self, tokens: int) -> int:
        """Bytes of the shared prefix's first ``tokens`` tokens, or of all of it if it is shorter.

        Only caches that keep every token can be shared: a window's or a state's content differs by sequence.
        """
        if not self.prefix:
            return 0
        shared = min(tokens, self.prefix)
        size = cache_bytes(self.stage.caches, shared, self.scenario.kv, self.scenario.layout.tp)
        return size.growing + size.indexer

    def tokens_for(self, size: int) -> int:
        """The fewest tokens with which a sequence has ``size`` bytes of its own or more; 2**41 if it never has.

        In Llama-3.1-8B, at 131,072 bytes a token, 131,073 bytes take two tokens.
        """
        low, high = 0, 2 * MAX_TOKENS
        while low < high:
            middle = (low + high) // 2
            if self.bytes_at(middle) >= size:
                high = middle
            else:
                low = middle + 1
        return low

    def handed_out(self, offset: int) -> list[int]:
        """Bytes of each owner among the blocks' first ``offset`` bytes.

        For paged attention. Offset 0 is the first byte of the first block, behind the states, the shared prefix and
        what sequences hold before their first token (an encoder's cache). An offset beyond the last block gives all.

        A byte is handed out at the first position whose total exceeds its offset. Up to the position before that one,
        each owner has what it needed by then; of the blocks that come at that very position, those of earlier owners
        come first. In the example above, 3 MiB give A 2 MiB and B 1 MiB: at position 1 all have 2 MiB, which is not
        more than 3 MiB, at position 2 they have 4 MiB, and the 1 MiB beyond position 1 is B's.
        """
        context = self.scenario.context
        position = bisect_right(range(context + 1), offset, key=self._handed_by) - 1
        done, then = self._handed_at(position), self._handed_at(min(position + 1, context))
        left, owned = offset - sum(done), []
        for had, has in zip(done, then, strict=True):
            owned.append(min(has, had + left))
            left -= owned[-1] - had
        return owned

    def _handed_by(self, position: int) -> int:
        """Bytes of blocks that all sequences together have at ``position``."""
        return sum(slot.sequences * self._block_bytes(slot.used, position) for slot in self.share)

    def _handed_at(self, position: int) -> list[int]:
        """Bytes of blocks that each owner has at ``position``."""
        of_one = {slot.used: self._block_bytes(slot.used, position) for slot in self.share}
        return [owner.count * of_one[owner.length] for owner in self.owners]

    def _block_bytes(self, length: int, position: int) -> int:
        """Bytes of the blocks of one sequence that ends at ``length`` tokens."""
        held = length * position // self.scenario.context
        return self.bytes_at(-(-held // self.block_tokens) * self.block_tokens) - self.bytes_at(0)


@dataclass(frozen=True)
class Allocation:
    """One device's memory at a position of the film, in bytes, as ``allocator`` handed it out.

    ``sequences`` has one entry per owner. ``prefix`` is the shared prefix, held once, and ``prefix_padding`` the empty
    end of its last block. ``parts`` is the sum of all that, with weights, activations and overhead. ``saved`` bytes of
    attention scores are not needed, thanks to FlashAttention; they are in no sum.
    """

    allocator: Allocator
    position: int
    parts: Parts
    sequences: tuple[SequenceBytes, ...]
    prefix: int
    prefix_padding: int
    saved: int

    @property
    def capacity(self) -> int:
        """Usable bytes of the device."""
        return self.allocator.capacity

    @property
    def free(self) -> int:
        """Bytes that nothing needs; 0 when more is needed than there is."""
        return max(0, self.capacity - self.parts.total)

    @property
    def overflow(self) -> int:
        """Bytes needed beyond the device's own."""
        return max(0, self.parts.total - self.capacity)


def allocator_of(plan: Plan) -> Allocator:
    """The allocator of the plan's most loaded device; its sequence 1 is the longest."""
    scenario = plan.scenario
    stage = fullest_stage(scenario, plan.serving)
    share = busiest_share(slots(scenario, scenario.context, scenario.batch), scenario.layout.dp)
    policy: Policy = "static"
    if scenario.paged_attention:
        policy = "paged"
    elif scenario.continuous_batching:
        policy = "continuous"
    return Allocator(
        scenario=scenario,
        policy=policy,
        stage=stage,
        share=share,
        owners=_owners([(slot.used, slot.sequences) for slot in share]),
        prefix=scenario.shared_prefix // scenario.block_size * scenario.block_size,
        serving=plan.serving,
    )


def allocate(allocator: Allocator, position: int) -> Allocation:
    """The device's memory when the longest possible sequence holds ``position`` tokens.

    At position C, the scenario's context, its parts are those of ``Plan.per_device``. For example, of three sequences
    of Llama-3.1-8B in static reservations of 4,000 tokens each has, at position 1,000, 1,000 · 131,072 bytes used and
    3,000 · 131,072 reserved. Raises InputError for a position below 0 or above C.
    """
    scenario = allocator.scenario
    if not 0 <= position <= scenario.context:
        raise InputError(f"tokens: {position:,} is out of range (0 to {scenario.context:,})")
    paged = allocator.policy == "paged"
    held = {}
    for slot in grown(allocator.share, scenario, position):
        used = allocator.bytes_at(slot.used)
        held[slot.used] = (used, allocator.bytes_at(slot.reserved) - used)
    sequences = []
    for owner in allocator.owners:
        tokens = owner.length * position // scenario.context
        used, spare = (owner.count * size for size in held[tokens])
        reserved, padding = (0, spare) if paged else (spare, 0)
        state = owner.count * allocator.start.state // allocator.sequences
        sequences.append(SequenceBytes(owner.number, owner.count, tokens, used, reserved, padding, state))
    longest = sequences[0].tokens
    prefix = allocator.prefix_bytes(longest)
    prefix_padding = allocator.prefix_bytes(reserve(scenario, longest, scenario.context)) - prefix
    saved, activation = 0, allocator.start.activation
    if scenario.flash_attention:
        saved = score_matrix_bytes(scenario, position, allocator.sequences) // scenario.layout.tp
    elif allocator.serving is None and scenario.model.hidden is not None:
        activation += score_matrix_bytes(scenario, position, allocator.sequences) // scenario.layout.tp
    parts = Parts(
        weights=allocator.start.weights,
        kv=sum(one.used for one in sequences) + prefix,
        state=allocator.start.state,
        activation=activation,
        overhead=allocator.start.overhead,
        reserved_unused=sum(one.reserved + one.padding for one in sequences) + prefix_padding,
    )
    return Allocation(
        allocator=allocator,
        position=position,
        parts=parts._replace(pool_free=max(0, allocator.room - parts.cache)),
        sequences=tuple(sequences),
        prefix=prefix,
        prefix_padding=prefix_padding,
        saved=saved,
    )


def first_position(tokens: int, length: int, context: int) -> int:
    """The first position at which a sequence that ends at ``length`` tokens holds ``tokens`` (≤ ``length``) of them.

    ⌈tokens · context / length⌉: one that ends at 32 of 64 tokens holds its 17th at position 34.
    """
    return -(-tokens * context // length)


def _owners(lengths: list[tuple[int, int]]) -> tuple[Owner, ...]:
    """Owners for (length, number of sequences) pairs: single sequences, or groups of one length if they exceed 128.

    The size of the groups is such that about 128 owners remain: 1,000 sequences of one length are 125 owners of 8.
    More lengths than that stay apart, since sequences of different lengths hold different numbers of bytes.
    """
    total = sum(count for _, count in lengths)
    size = 1 if total <= SINGLE_SEQUENCES else -(-total // max(1, SINGLE_SEQUENCES - len(lengths)))
    owners, number = [], 1
    for length, count in lengths:
        for start in range(0, count, size):
            members = min(size, count - start)
            owners.append(Owner(number, members, length))
            number += members
    return tuple(owners)
