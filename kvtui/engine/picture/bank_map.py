"""The picture of one device's memory: what each of its equal banks is filled with.

Every bank stands for the same number of bytes. The counts come first: parts of the report by largest remainder
(``banks.bank_counts``), then the cache's banks shared out to its sequences in the same way, so that every part and
every sequence has its exact share to less than one bank. Then the order: weights, states, the shared prefix, the pool
in the order in which its memory is given out, what is free, and activations and overhead at the end.

Static reservations and continuous batching lie one sequence after the other. Paged pools lie mixed: a bank of a
sequence is placed where the sequence is handed the block that fills half of it, which keeps a bank in its place while
the film plays. Parts smaller than a bank may have none.

What a device needs beyond its capacity is drawn over the end of the picture, one bank per bank's worth but at most half
of all, and what would lie there, or beyond it, is not drawn. That part of the picture is wanted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.picture.banks import FREE as REST
from kvtui.engine.picture.banks import bank_bytes, bank_counts
from kvtui.engine.picture.device_memory import Allocation, Owner, Pool, first_position
from kvtui.engine.planning.grid import Tokens

FIRST_SEQUENCE = 32
SEQUENCE_CODES = 128
MAX_BANKS = 1_000_000

BankCodes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Code(IntEnum):
    """What a bank holds; FIRST_SEQUENCE and above are sequences. WORKING is activations and overhead."""

    FREE = 0
    WEIGHTS = 1
    STATE = 2
    RESERVED = 3
    PADDING = 4
    WORKING = 5
    PREFIX = 6
    OVERFLOW = 7
    SAVED = 8


class BankCounts(NamedTuple):
    """Banks by what they hold, all but ``kv``, ``used`` and ``total`` disjoint.

    ``sequences`` are banks of their own KV, by owner. ``saved`` are free banks that attention scores would take
    without FlashAttention; they are not in ``free``.
    """

    weights: int
    state: int
    prefix: int
    sequences: tuple[int, ...]
    reserved: int
    padding: int
    saved: int
    free: int
    working: int
    overflow: int

    @property
    def kv(self) -> int:
        """Banks of KV, the shared prefix included."""
        return self.prefix + sum(self.sequences)

    @property
    def used(self) -> int:
        """Banks that are not free."""
        return self.weights + self.state + self.kv + self.reserved + self.padding + self.working + self.overflow

    @property
    def total(self) -> int:
        """All banks of the picture."""
        return self.used + self.saved + self.free


@dataclass(frozen=True, eq=False)
class BankMap:
    """What each bank holds: its ``Code``, or FIRST_SEQUENCE + i for sequence i (modulo 128, from 0).

    ``owners`` are indices of ``Allocation.sequences``, for banks that hold a sequence's KV or are reserved for it, else
    -1. ``bytes_per_bank`` is exact. ``overflow_bytes`` are needed beyond the device's capacity. ``filling`` is the bank
    that the next token of the longest sequence, or the next block of a paged pool, comes next to; None without KV.
    """

    codes: BankCodes
    owners: Tokens
    counts: BankCounts
    bytes_per_bank: Fraction
    overflow_bytes: int
    filling: int | None

    @property
    def banks(self) -> int:
        """Banks of the picture."""
        return len(self.codes)


def place(bank: int, modules: int) -> tuple[int, int]:
    """The module of a bank and its cell there: memory is interleaved, neighbouring banks lie on different modules.

    Every round over the modules begins one further, so that no owner's pattern sticks to one of them. Raises InputError
    without modules.
    """
    if modules < 1:
        raise InputError(f"modules: {modules:,} is less than 1")
    cell, turn = divmod(bank, modules)
    return (turn + cell) % modules, cell


def bank_map(allocation: Allocation, banks: int) -> BankMap:
    """The picture of ``allocation`` in ``banks`` equal banks of the device's usable memory.

    Raises InputError for a number of banks out of range.
    """
    if not 1 <= banks <= MAX_BANKS:
        raise InputError(f"banks: {banks:,} is out of range (1 to {MAX_BANKS:,})")
    capacity, drawn = allocation.capacity, _drawn(allocation)
    counts, runs = _count(allocation, drawn, banks)
    pool = sum(counts.sequences) + counts.reserved + counts.padding
    first = counts.weights + counts.state + counts.prefix
    codes = np.repeat(
        np.array(
            [Code.WEIGHTS, Code.STATE, Code.PREFIX, Code.PADDING, Code.SAVED, Code.FREE, Code.WORKING, Code.OVERFLOW],
            dtype=np.uint8,
        ),
        [
            counts.weights,
            counts.state,
            counts.prefix,
            pool,
            counts.saved,
            counts.free,
            counts.working,
            counts.overflow,
        ],
    )
    owners = np.full(banks, -1, dtype=np.int64)
    used = np.array(counts.sequences, dtype=np.int64)
    if allocation.order.policy == "paged":
        order = _order(allocation.order, banks)
        own = order.owner[order.number < used[order.owner]]
        owners[first : first + len(own)] = own
        codes[first : first + len(own)] = _sequence_codes(own)
        last = first + len(own) - 1
    else:
        lengths = np.stack((used, np.array(runs, dtype=np.int64) - used), axis=1).ravel()
        own = np.repeat(np.arange(2 * len(used)), lengths)
        owners[first : first + pool] = own // 2
        codes[first : first + pool] = np.where(own % 2 == 0, _sequence_codes(own // 2), Code.RESERVED)
        last = first + counts.sequences[0] - 1
    codes.flags.writeable = owners.flags.writeable = False
    return BankMap(
        codes=codes,
        owners=owners,
        counts=counts,
        bytes_per_bank=bank_bytes(capacity, banks),
        overflow_bytes=allocation.overflow,
        filling=last if last >= first else None,
    )


def describe(picture: BankMap, allocation: Allocation, bank: int) -> str:
    """What ``bank`` of ``allocation``'s ``picture`` holds, in one line. Raises InputError for a bank it has not."""
    if not 0 <= bank < picture.banks:
        raise InputError(f"bank: {bank:,} is out of range (0 to {picture.banks - 1:,})")
    pool, parts = allocation.order, allocation.parts
    code, owner = int(picture.codes[bank]), int(picture.owners[bank])
    size = format_bytes(int(picture.bytes_per_bank), 1)
    match code:
        case Code.FREE:
            text = f"free · {size}"
        case Code.WEIGHTS:
            text = f"weights · {size} of {format_bytes(parts.weights)}"
        case Code.STATE:
            text = f"recurrent state of {_many(pool.sequences)} · {size} of {format_bytes(parts.state)}"
        case Code.RESERVED:
            text = f"reserved for {_name(pool.owners[owner])}, no token yet · {size}"
        case Code.PADDING:
            padding = format_bytes(parts.reserved_unused)
            text = f"empty ends of last {pool.block_tokens:,}-token blocks · {size} of {padding}"
        case Code.WORKING:
            text = (
                f"activations ({format_bytes(parts.activation)}) and overhead ({format_bytes(parts.overhead)}) · {size}"
            )
        case Code.PREFIX:
            text = f"prefix that {_many(pool.sequences)} share · {size} of {format_bytes(allocation.prefix)}"
        case Code.OVERFLOW:
            text = f"wanted twice: {format_bytes(picture.overflow_bytes)} more is needed than the device has"
        case Code.SAVED:
            saved = format_bytes(allocation.saved)
            text = f"free · {size}; without FlashAttention the attention scores would take {saved}"
        case _:
            text = f"{_tokens(picture, allocation, bank, owner)} · {size}{_mixed(pool)}"
    return f"bank {bank:,}: {text}"


class _DrawnBytes(NamedTuple):
    """The bytes that are drawn: an allocation, or as much of it as does not lie under its overflow.

    ``used`` and ``spare`` are by owner; ``spare`` is reserved room or padding.
    """

    weights: int
    state: int
    prefix: int
    prefix_spare: int
    used: tuple[int, ...]
    spare: tuple[int, ...]
    working: int
    overflow: int

    @property
    def kv(self) -> int:
        return self.prefix + sum(self.used)

    @property
    def room(self) -> int:
        return self.prefix_spare + sum(self.spare)


def _drawn(allocation: Allocation) -> _DrawnBytes:
    parts = allocation.parts
    overflow = min(allocation.overflow, allocation.capacity // 2)
    left = allocation.capacity - overflow if overflow else parts.total
    weights, state, cache, working = _cut(
        (parts.weights, parts.state, parts.kv + parts.reserved_unused, parts.activation + parts.overhead), left
    )
    used = tuple(sequence.used for sequence in allocation.sequences)
    spare = tuple(sequence.reserved + sequence.padding for sequence in allocation.sequences)
    prefix, prefix_spare, rest = _cut((allocation.prefix, allocation.prefix_padding, sum(used) + sum(spare)), cache)
    if rest < sum(used) + sum(spare):
        if allocation.order.policy == "paged":
            given = _given_first(allocation.order, rest)
            used = tuple(min(pair) for pair in zip(used, given, strict=True))
            spare = tuple(all_given - own for all_given, own in zip(given, used, strict=True))
        else:
            cut = _cut([size for pair in zip(used, spare, strict=True) for size in pair], rest)
            used, spare = tuple(cut[::2]), tuple(cut[1::2])
    return _DrawnBytes(weights, state, prefix, prefix_spare, used, spare, working, overflow)


def _cut(sizes: Iterable[int], left: int) -> list[int]:
    """As much of each of ``sizes`` as is within the first ``left`` bytes of all."""
    cut = []
    for size in sizes:
        cut.append(min(size, left))
        left -= cut[-1]
    return cut


@lru_cache(maxsize=8)
def _given_first(pool: Pool, size: int) -> tuple[int, ...]:
    """Bytes of each owner among the first ``size`` bytes that a paged pool gives to sequences."""
    one = pool.bytes_at(0)
    at_rest = _cut((owner.count * one for owner in pool.owners), size)
    [handed] = pool.handed_out([size - sum(at_rest)]).tolist()
    return tuple(rest + blocks for rest, blocks in zip(at_rest, handed, strict=True))


def _count(allocation: Allocation, drawn: _DrawnBytes, banks: int) -> tuple[BankCounts, list[int]]:
    """The banks of everything, and for pools that lie one sequence after the other those of each, used or reserved."""
    capacity = allocation.capacity
    cells = bank_counts(
        {
            "weights": drawn.weights,
            "state": drawn.state,
            "cache": drawn.kv + drawn.room,
            "working": drawn.working,
            "overflow": drawn.overflow,
        },
        capacity,
        banks,
    )
    kv, room = _share_out(cells["cache"], (drawn.kv, drawn.room), capacity, banks)
    prefix, *used = _share_out(kv, (drawn.prefix, *drawn.used), capacity, banks)
    saved = min(cells[REST], (2 * allocation.saved * banks + capacity) // (2 * capacity))
    paged = allocation.order.policy == "paged"
    counts = BankCounts(
        weights=cells["weights"],
        state=cells["state"],
        prefix=prefix,
        sequences=tuple(used),
        reserved=0 if paged else room,
        padding=room if paged else 0,
        saved=saved,
        free=cells[REST] - saved,
        working=cells["working"],
        overflow=cells["overflow"],
    )
    if paged or not room:
        return counts, used
    whole = [own + spare for own, spare in zip(drawn.used, drawn.spare, strict=True)]
    return counts, _at_least(used, _share_out(kv + room, whole, capacity, banks))


def _share_out(cells: int, sizes: Sequence[int], capacity: int, banks: int) -> list[int]:
    """``cells`` for ``sizes`` of bytes by largest remainder; ``cells`` is their sum's share, rounded up or down."""
    shares = [divmod(size * banks, capacity) for size in sizes]
    counts = [whole for whole, _ in shares]
    left = cells - sum(counts)
    for index in sorted(range(len(shares)), key=lambda i: -shares[i][1])[:left]:
        counts[index] += 1
    return counts


def _at_least(used: Sequence[int], runs: Sequence[int]) -> list[int]:
    """``runs`` of which none is shorter than what is ``used`` of it, with the same sum; the last ones give way."""
    longer = [max(pair) for pair in zip(used, runs, strict=True)]
    excess = sum(longer) - sum(runs)
    for index in range(len(longer) - 1, -1, -1):
        give = min(excess, longer[index] - used[index])
        longer[index] -= give
        excess -= give
    return longer


def _sequence_codes(owners: Tokens) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return (FIRST_SEQUENCE + owners % SEQUENCE_CODES).astype(np.uint8)


class _BankOrder(NamedTuple):
    """Banks of a paged pool in physical order: whose each is, and its ``number`` (from 0) among its owner's."""

    owner: Tokens
    number: Tokens


@lru_cache(maxsize=8)
def _order(pool: Pool, banks: int) -> _BankOrder:
    """The order of all banks that sequences of the paged ``pool`` may fill before the device is full.

    A bank comes when half of it is handed out; banks that come at the same position, in the order of their owners.
    """
    at_rest = pool.counts * pool.bytes_at(0)
    [handed] = pool.handed_out([pool.capacity])
    most = np.minimum((at_rest + handed) // max(1, pool.capacity // banks) + 2, banks)
    owner = np.repeat(np.arange(len(most)), most)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(most) - most, most)
    halves = 2 * number + 1
    whole, rest = divmod(pool.capacity, 2 * banks)
    size = (halves * whole + halves * rest // (2 * banks)) // pool.counts[owner]
    token = np.clip((_blocks_for(pool, size) - 1) * pool.block_tokens + 1, 0, pool.lengths[owner])
    order = np.lexsort((number, owner, first_position(token, pool.lengths[owner], pool.scenario.context)))
    return _BankOrder(owner[order], number[order])


def _blocks_for(pool: Pool, sizes: Tokens) -> Tokens:
    """The fewest blocks with which one sequence has more than each of ``sizes`` bytes of its own, or all its blocks."""
    low = np.zeros_like(sizes)
    high = np.full_like(sizes, -(-pool.share[0].used // pool.block_tokens))
    while np.any(low < high):
        middle = (low + high) // 2
        enough = pool.sizes(middle * pool.block_tokens) > sizes
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return low


def _tokens(picture: BankMap, allocation: Allocation, bank: int, owner: int) -> str:
    """Whose KV a bank holds, and of which tokens (from 0) for a single sequence."""
    pool = allocation.order
    name, held = _name(pool.owners[owner]), allocation.sequences[owner].tokens
    if pool.owners[owner].count > 1 or not held:
        return name
    before = picture.owners[:bank] == owner
    number = int(np.count_nonzero(before & (picture.codes[:bank] >= FIRST_SEQUENCE)))
    begin, end = int(number * picture.bytes_per_bank), int((number + 1) * picture.bytes_per_bank)
    if end <= pool.bytes_at(0):
        return f"{name}, encoder cache"
    first = min(max(pool.tokens_for(begin + 1), 1), held) - 1
    last = max(first, min(pool.tokens_for(end), held) - 1)
    span = f"token {first:,}" if first == last else f"tokens {first:,}–{last:,}"
    return f"{name}, what {span} added" if pool.bounded else f"{name}, {span}"


def _mixed(pool: Pool) -> str:
    if pool.policy != "paged" or pool.sequences == 1:
        return ""
    return f", in {pool.block_tokens:,}-token blocks among those of {_many(pool.sequences - 1, 'other ')}"


def _name(owner: Owner) -> str:
    if owner.count == 1:
        return f"sequence {owner.number:,}"
    return f"sequences {owner.number:,}–{owner.number + owner.count - 1:,}"


def _many(count: int, which: str = "") -> str:
    return f"{count:,} {which}sequence{'' if count == 1 else 's'}"
