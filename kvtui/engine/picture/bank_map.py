"""The picture of one device's memory: what each of its equal banks is filled with.

Every bank stands for the same number of bytes, and so for a share of a part of the memory or of a sequence.

*How many* banks each has is settled first, by largest remainder (``banks.bank_counts``): those of the report's parts,
then the cache's among KV and unused room, then KV's among the prefix and the sequences. Every part and every sequence
has its exact share to less than one bank, and what is smaller than a bank may have none. For example, 80 GiB in 80
banks with 15.0 GiB of weights and two sequences of 1.5 GiB have 15 banks of weights and 3 of KV, 2 of the first
sequence and 1 of the second.

*Where* they lie comes second: weights, states, the shared prefix, the sequences, the rest of an engine's pool, what is
free, and activations and overhead at the end. Static reservations and continuous batching put one sequence after the
other. With paged attention they lie mixed, in the order in which the allocator hands out blocks: a bank of a sequence
comes when the sequence is handed the block with the middle of that bank. That order does not depend on the film's
position, so that a bank stays in its place while the film plays. With banks as large as blocks, the example of
``allocator`` is drawn A B A.

What a device needs beyond its capacity goes on behind its last bank, in further banks of the same size: on 80 GiB in 80
banks, a need of 100 GiB is drawn as 80 banks of the device and 20 beyond it, of which each still says what it holds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.picture.allocator import Allocation, Allocator, Owner, first_position
from kvtui.engine.picture.banks import FREE as REST
from kvtui.engine.picture.banks import bank_bytes, bank_counts

FIRST_SEQUENCE = 32
SEQUENCE_CODES = 128
MAX_BANKS = 1_000_000


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
    FREED = 9


class BankCounts(NamedTuple):
    """Banks by what they hold, those beyond the device too; all but ``kv``, ``used``, ``total``, ``overflow`` disjoint.

    ``sequences`` are banks of their own KV, by owner; ``pool`` are those of an engine's pool that no sequence has.
    ``saved`` are free banks that attention scores would take without FlashAttention, where they are asked for; they are
    not in ``free``, nor are ``freed``, which a what-if leaves. ``overflow`` of the banks are beyond the device.
    """

    weights: int
    state: int
    prefix: int
    sequences: tuple[int, ...]
    reserved: int
    padding: int
    pool: int
    saved: int
    free: int
    working: int
    overflow: int
    freed: int = 0

    @property
    def kv(self) -> int:
        """Banks of KV, the shared prefix included."""
        return self.prefix + sum(self.sequences)

    @property
    def used(self) -> int:
        """Banks that are not free."""
        cache = self.state + self.kv + self.reserved + self.padding + self.pool
        return self.weights + cache + self.working

    @property
    def total(self) -> int:
        """All banks of the picture."""
        return self.used + self.saved + self.freed + self.free


@dataclass(frozen=True, eq=False)
class BankMap:
    """What each bank holds: its ``Code``, or FIRST_SEQUENCE + i for sequence i (modulo 128, from 0).

    The first ``banks`` are the device's, all others what is needed beyond it.
    ``owners`` are indices of ``Allocation.sequences``, for banks that hold a sequence's KV or are reserved for it, else
    -1. ``bytes_per_bank`` is exact. ``overflow_bytes`` are needed beyond the device's capacity. ``filling`` is the bank
    that the next token of the longest sequence, or the next block with paged attention, comes next to; None without KV.
    ``freed_bytes`` are those of the cache that a what-if does without.
    """

    codes: bytes
    owners: tuple[int, ...]
    counts: BankCounts
    banks: int
    bytes_per_bank: Fraction
    overflow_bytes: int
    filling: int | None
    freed_bytes: int = 0

    @property
    def inside(self) -> bytes:
        """The banks of the device."""
        return self.codes[: self.banks]

    @property
    def beyond(self) -> bytes:
        """The banks that are drawn beyond the device."""
        return self.codes[self.banks :]


def place(bank: int, modules: int) -> tuple[int, int]:
    """The module of a bank and its cell there: memory is interleaved, neighbouring banks lie on different modules.

    Every round over the modules begins one further, so that no owner's pattern sticks to one of them: of 4 modules,
    banks 0 to 3 are on 0 1 2 3 and banks 4 to 7 on 1 2 3 0. Raises InputError without modules.
    """
    if modules < 1:
        raise InputError(f"modules: {modules:,} is less than 1")
    cell, turn = divmod(bank, modules)
    return (turn + cell) % modules, cell


def bank_map(allocation: Allocation, banks: int, beyond: int = 0, avoided: bool = False, freed: int = 0) -> BankMap:
    """The picture of ``allocation`` in ``banks`` equal banks of the device's usable memory.

    What is needed beyond it has at most ``beyond`` further banks. ``avoided`` draws what FlashAttention avoids, and
    ``freed`` bytes are those that a what-if frees.
    Raises InputError for a number of banks out of range.
    """
    if not 1 <= banks <= MAX_BANKS:
        raise InputError(f"banks: {banks:,} is out of range (1 to {MAX_BANKS:,})")
    capacity, over = allocation.capacity, min(beyond, -(-allocation.overflow * banks // allocation.capacity))
    drawn = _drawn(allocation, capacity * (banks + over) // banks)
    counts, runs = _count(allocation, drawn, banks, over, avoided, freed)
    cached = sum(counts.sequences) + counts.reserved + counts.padding
    first = counts.weights + counts.state + counts.prefix
    if allocation.allocator.policy == "paged":
        order = _order(allocation.allocator, banks, over)
        used = counts.sequences
        own = [owner for owner, number in order if number < used[owner]]
        cache, filled = _sequence_codes(own) + bytes([Code.PADDING]) * (cached - len(own)), len(own)
    else:
        own = [owner for owner, run in enumerate(runs) for _ in range(run)]
        filled = counts.sequences[0]
        cache = b"".join(
            _sequence_codes([owner]) * used + bytes([Code.RESERVED]) * (run - used)
            for owner, (used, run) in enumerate(zip(counts.sequences, runs, strict=True))
        )
    before = ((Code.WEIGHTS, counts.weights), (Code.STATE, counts.state), (Code.PREFIX, counts.prefix))
    behind = (
        (Code.RESERVED, counts.pool),
        (Code.SAVED, counts.saved),
        (Code.FREED, counts.freed),
        (Code.FREE, counts.free),
        (Code.WORKING, counts.working),
    )
    nobodys = [-1] * (banks + over - first - len(own))
    return BankMap(
        codes=_runs(before) + cache + _runs(behind),
        owners=(*[-1] * first, *own, *nobodys),
        counts=counts,
        banks=banks,
        bytes_per_bank=bank_bytes(capacity, banks),
        overflow_bytes=allocation.overflow,
        filling=first + filled - 1 if filled else None,
        freed_bytes=max(0, freed),
    )


def describe(picture: BankMap, allocation: Allocation, bank: int) -> str:
    """What ``bank`` of ``allocation``'s ``picture`` holds, in one line. Raises InputError for a bank it has not."""
    if not 0 <= bank < len(picture.codes):
        raise InputError(f"bank: {bank:,} is out of range (0 to {len(picture.codes) - 1:,})")
    allocator, parts = allocation.allocator, allocation.parts
    code, owner = picture.codes[bank], picture.owners[bank]
    size = format_bytes(int(picture.bytes_per_bank), 1)
    match code:
        case Code.FREE:
            text = f"free · {size}"
        case Code.WEIGHTS:
            text = f"weights · {size} of {format_bytes(parts.weights)}"
        case Code.STATE:
            text = f"recurrent state of {_many(allocator.sequences)} · {size} of {format_bytes(parts.state)}"
        case Code.RESERVED if owner < 0:
            text = f"set aside by {allocator.scenario.engine}, no sequence has it · {size}"
        case Code.RESERVED:
            text = f"reserved for {_name(allocator.owners[owner])}, no token yet · {size}"
        case Code.PADDING:
            padding = format_bytes(parts.reserved_unused)
            text = f"empty ends of last {allocator.block_tokens:,}-token blocks · {size} of {padding}"
        case Code.WORKING:
            text = (
                f"activations ({format_bytes(parts.activation)}) and overhead ({format_bytes(parts.overhead)}) · {size}"
            )
        case Code.PREFIX:
            text = f"prefix that {_many(allocator.sequences)} share · {size} of {format_bytes(allocation.prefix)}"
        case Code.SAVED:
            saved = format_bytes(allocation.saved)
            text = f"free · {size}; without FlashAttention the attention scores would take {saved}"
        case Code.FREED:
            text = f"free · {size}; the model as it is would take {format_bytes(picture.freed_bytes)} more of cache"
        case _:
            text = f"{_tokens(picture, allocation, bank, owner)} · {size}{_mixed(allocator)}"
    if bank < picture.banks:
        return f"bank {bank:,}: {text}"
    return f"bank {bank:,}, beyond the device's {picture.banks:,}: {text}"


class _DrawnBytes(NamedTuple):
    """The bytes that are drawn: an allocation's, or as many of its first ones as there is room for.

    ``used`` and ``spare`` are by owner; ``spare`` is reserved room or padding.
    """

    weights: int
    state: int
    prefix: int
    prefix_spare: int
    used: tuple[int, ...]
    spare: tuple[int, ...]
    pool: int
    working: int

    @property
    def kv(self) -> int:
        return self.prefix + sum(self.used)

    @property
    def room(self) -> int:
        return self.prefix_spare + sum(self.spare)


def _drawn(allocation: Allocation, left: int) -> _DrawnBytes:
    """The first ``left`` bytes of ``allocation``."""
    parts = allocation.parts
    cached, working = parts.kv + parts.reserved_unused, parts.activation + parts.overhead
    weights, state, cache, pool, working = _cut((parts.weights, parts.state, cached, parts.pool_free, working), left)
    used = tuple(sequence.used for sequence in allocation.sequences)
    spare = tuple(sequence.reserved + sequence.padding for sequence in allocation.sequences)
    prefix, prefix_spare, rest = _cut((allocation.prefix, allocation.prefix_padding, sum(used) + sum(spare)), cache)
    if rest < sum(used) + sum(spare):
        if allocation.allocator.policy == "paged":
            given = _given_first(allocation.allocator, rest)
            used = tuple(min(pair) for pair in zip(used, given, strict=True))
            spare = tuple(all_given - own for all_given, own in zip(given, used, strict=True))
        else:
            cut = _cut([size for pair in zip(used, spare, strict=True) for size in pair], rest)
            used, spare = tuple(cut[::2]), tuple(cut[1::2])
    return _DrawnBytes(weights, state, prefix, prefix_spare, used, spare, pool, working)


def _cut(sizes: Iterable[int], left: int) -> list[int]:
    """As much of each of ``sizes`` as is within the first ``left`` bytes of all: 5 and 5 of the first 7 are 5 and 2."""
    cut = []
    for size in sizes:
        cut.append(min(size, left))
        left -= cut[-1]
    return cut


@lru_cache(maxsize=8)
def _given_first(allocator: Allocator, size: int) -> tuple[int, ...]:
    """Bytes of each owner among the first ``size`` bytes that paged sequences are given."""
    one = allocator.bytes_at(0)
    at_rest = _cut((owner.count * one for owner in allocator.owners), size)
    handed = allocator.handed_out(size - sum(at_rest))
    return tuple(rest + blocks for rest, blocks in zip(at_rest, handed, strict=True))


def _count(
    allocation: Allocation, drawn: _DrawnBytes, banks: int, over: int, avoided: bool, freed: int
) -> tuple[BankCounts, list[int]]:
    """The banks of everything, and those of each owner with the reserved room behind what it holds.

    What little is left of the last bank beyond the device goes to the part whose share was cut most.
    """
    capacity = allocation.capacity
    sizes = {
        "weights": drawn.weights * banks,
        "state": drawn.state * banks,
        "cache": (drawn.kv + drawn.room) * banks,
        "pool": drawn.pool * banks,
        "working": drawn.working * banks,
    }
    cells = bank_counts(sizes, capacity * (banks + over), banks + over)
    if over and cells[REST]:
        cells[max(sizes, key=lambda name: sizes[name] - cells[name] * capacity)] += cells[REST]
        cells[REST] = 0
    kv, room = _share_out(cells["cache"], (drawn.kv, drawn.room), capacity, banks)
    prefix, *used = _share_out(kv, (drawn.prefix, *drawn.used), capacity, banks)
    saved = min(cells[REST], (2 * allocation.saved * banks + capacity) // (2 * capacity)) if avoided else 0
    outlined = min(cells[REST] - saved, (2 * max(0, freed) * banks + capacity) // (2 * capacity))
    paged = allocation.allocator.policy == "paged"
    counts = BankCounts(
        weights=cells["weights"],
        state=cells["state"],
        prefix=prefix,
        sequences=tuple(used),
        reserved=0 if paged else room,
        padding=room if paged else 0,
        pool=cells["pool"],
        saved=saved,
        free=cells[REST] - saved - outlined,
        freed=outlined,
        working=cells["working"],
        overflow=over,
    )
    if paged or not room:
        return counts, used
    whole = [own + spare for own, spare in zip(drawn.used, drawn.spare, strict=True)]
    return counts, _at_least(used, _share_out(kv + room, whole, capacity, banks))


def _share_out(cells: int, sizes: Sequence[int], capacity: int, banks: int) -> list[int]:
    """``cells`` for ``sizes`` of bytes by largest remainder; ``cells`` is their sum's share, rounded up or down.

    3 cells for two sizes of one and a half cells each are 2 and 1: of equal remainders the earlier one is rounded up.
    """
    shares = [divmod(size * banks, capacity) for size in sizes]
    counts = [whole for whole, _ in shares]
    left = cells - sum(counts)
    for index in sorted(range(len(shares)), key=lambda i: -shares[i][1])[:left]:
        counts[index] += 1
    return counts


def _at_least(used: Sequence[int], runs: Sequence[int]) -> list[int]:
    """``runs`` of which none is shorter than what is ``used`` of it, with the same sum; the last ones give way.

    Both were rounded on their own, so that a run may have come out one short: used 2 and 0 of runs 1 and 2 gives 2, 1.
    """
    longer = [max(pair) for pair in zip(used, runs, strict=True)]
    excess = sum(longer) - sum(runs)
    for index in range(len(longer) - 1, -1, -1):
        give = min(excess, longer[index] - used[index])
        longer[index] -= give
        excess -= give
    return longer


def _sequence_codes(owners: Sequence[int]) -> bytes:
    return bytes([FIRST_SEQUENCE + owner % SEQUENCE_CODES for owner in owners])


def _runs(counts: Iterable[tuple[Code, int]]) -> bytes:
    return b"".join(bytes([code]) * count for code, count in counts)


@lru_cache(maxsize=8)
def _order(allocator: Allocator, banks: int, over: int) -> tuple[tuple[int, int], ...]:
    """All banks that paged sequences may fill before the picture is full, in physical order, at every position.

    Of each whose it is, and its number (from 0) there. Bank n of an owner covers the bytes from n to n + 1 banks of
    what it holds. The token whose block brings the middle of that stretch to one of its sequences says at which
    position the bank comes; of banks that come at the same position those of earlier owners are first. An owner has at
    most the banks that it would be handed of a memory that held nothing else, and one or two for rounding.
    """
    at_rest, context = allocator.bytes_at(0), allocator.scenario.context
    handed = allocator.handed_out(allocator.capacity * (banks + over) // banks)
    whole = max(1, allocator.capacity // banks)
    most = [
        min((owner.count * at_rest + blocks) // whole + 2, banks + over)
        for owner, blocks in zip(allocator.owners, handed, strict=True)
    ]
    tokens: dict[int, list[int]] = {}
    order = []
    for index, (owner, number) in enumerate(zip(allocator.owners, most, strict=True)):
        if owner.count not in tokens:
            tokens[owner.count] = _tokens_for(allocator, owner.count, banks, max(most))
        needed = (min(token, owner.length) for token in tokens[owner.count][:number])
        order += [(first_position(token, owner.length, context), index, n) for n, token in enumerate(needed)]
    return tuple((index, number) for _, index, number in sorted(order))


def _tokens_for(allocator: Allocator, count: int, banks: int, most: int) -> list[int]:
    """The tokens with which each of ``count`` sequences has its share of the middle of each of ``most`` banks of all.

    Those of the first token of a block; more than any sequence has where that is not enough.
    """
    middles = ((2 * number + 1) * allocator.capacity // (2 * banks * count) for number in range(most))
    return [max(0, (blocks - 1) * allocator.block_tokens + 1) for blocks in _blocks_for(allocator, middles)]


def _blocks_for(allocator: Allocator, sizes: Iterable[int]) -> Iterator[int]:
    """The fewest blocks with which one sequence has more than each of ``sizes`` (ascending) bytes of its own.

    One more than those of the longest sequence where it never has as much. Sizes are mostly equally far apart, so that
    each is looked for where the last distance leads to, then in distances that double.
    """

    def held(blocks: int) -> int:
        return allocator.bytes_at(blocks * allocator.block_tokens)

    end = -(-allocator.share[0].used // allocator.block_tokens) + 1
    blocks = step = 0
    for size in sizes:
        low = min(blocks + max(0, step - 1), end)
        if low < end and held(low) > size:
            low, high = blocks, low
        else:
            high = min(low + 2, end)
            while high < end and held(high) <= size:
                low, high = high, min(end, 3 * high - 2 * low)
        found = low + bisect_right(range(low, high), size, key=held)
        blocks, step = found, found - blocks
        yield blocks


def _tokens(picture: BankMap, allocation: Allocation, bank: int, owner: int) -> str:
    """Whose KV a bank holds, and of which tokens (from 0) for a single sequence."""
    allocator = allocation.allocator
    name, held = _name(allocator.owners[owner]), allocation.sequences[owner].tokens
    if allocator.owners[owner].count > 1 or not held:
        return name
    held_before = zip(picture.owners[:bank], picture.codes, strict=False)
    number = sum(of == owner and code >= FIRST_SEQUENCE for of, code in held_before)
    begin, end = int(number * picture.bytes_per_bank), int((number + 1) * picture.bytes_per_bank)
    if end <= allocator.bytes_at(0):
        return f"{name}, encoder cache"
    first = min(max(allocator.tokens_for(begin + 1), 1), held) - 1
    last = max(first, min(allocator.tokens_for(end), held) - 1)
    span = f"token {first:,}" if first == last else f"tokens {first:,}–{last:,}"
    return f"{name}, what {span} added" if allocator.bounded else f"{name}, {span}"


def _mixed(allocator: Allocator) -> str:
    if allocator.policy != "paged" or allocator.sequences == 1:
        return ""
    return f", in {allocator.block_tokens:,}-token blocks among those of {_many(allocator.sequences - 1, 'other ')}"


def _name(owner: Owner) -> str:
    if owner.count == 1:
        return f"sequence {owner.number:,}"
    return f"sequences {owner.number:,}–{owner.number + owner.count - 1:,}"


def _many(count: int, which: str = "") -> str:
    return f"{count:,} {which}sequence{'' if count == 1 else 's'}"
