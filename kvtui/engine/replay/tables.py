"""The block tables of requests over one pool: looking a prefix up, giving room to new tokens, and giving it back.

One pool serves all groups of layers, so a request pays the sum over its groups. Sizes are those of vLLM: keys are made
for ``fine`` tokens (the greatest common divisor of the groups' blocks), hits end at multiples of ``coarse`` tokens
(their least common multiple) where there are several groups (``v1/core/kv_cache_coordinator.py`` and
``kv_cache_manager.py``, 0.32 and 0.33).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kvtui.engine.replay.groups import CacheGroup, Full
from kvtui.engine.replay.pool import NO_BLOCKS, NULL, BlockArray, KeyArray, Pool
from kvtui.engine.replay.scheduling import LiveRequest


@dataclass(slots=True, eq=False)
class Held(LiveRequest):
    """A request, and how many blocks of each of its tables were entered as cached.

    ``keys`` are those of the blocks of ``fine`` tokens of its prompt, as far as they are known. ``shared_until`` is
    where a prefix ends that some group has cached and another not; ``quiet_until`` the number of computed tokens up to
    which one token more changes no table.
    """

    keys: KeyArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    entered: list[int] = field(default_factory=list)
    shared_until: int = 0
    quiet_until: int = 0


@dataclass(frozen=True, slots=True)
class Prefix:
    """A cached prefix: its blocks per group, its tokens, and up to where single groups have more of it."""

    blocks: tuple[BlockArray, ...]
    tokens: int = 0
    shared_until: int = 0


class BlockTables:
    """``groups`` over ``pool``. ``longest`` is the longest request, ``in_flight`` the most tokens of one step."""

    def __init__(
        self,
        pool: Pool,
        groups: Sequence[CacheGroup],
        *,
        longest: int,
        in_flight: int,
        interval: int | None,
        ahead: int = 0,
    ) -> None:
        self.pool = pool
        self.groups = tuple(groups)
        self.longest = longest
        self.ahead = ahead
        self.fine = math.gcd(*(group.block for group in groups))
        self.coarse = math.lcm(*(group.block for group in groups))
        self._interval = interval
        self._caps = [group.most_blocks(in_flight, longest) for group in groups]
        self._nothing = Prefix((NO_BLOCKS,) * len(groups))
        self._kinds = _kinds(self.groups)
        self._block = groups[0].block
        self._fresh: set[int] = set()  # keys of the states that come to be in this step
        self._plain = len(groups) == 1 and isinstance(groups[0], Full) and not ahead

    def begin_step(self) -> None:
        """What was entered before is computed, and can be continued from."""
        self._fresh.clear()

    def look_up(self, held: Held) -> Prefix:
        """The longest cached prefix of a request, without its last token, which is always computed.

        Full attention proposes a length and the other kinds shorten it, until all agree.
        """
        if not self.pool.caching:
            return self._nothing
        found: list[BlockArray] = [NO_BLOCKS] * len(self.groups)
        length, longest = held.tokens - 1, 0
        reached: dict[int, int] = {}
        while True:
            now = length
            for group, members in self._kinds:
                if isinstance(group, Full) and members[0] in reached:
                    now = min(now, reached[members[0]])
                    continue
                runs, now = group.hit(self.pool, [self._keys(held, member) for member in members], now, self.coarse)
                for member, run in zip(members, runs, strict=True):
                    found[member], reached[member] = run, now
                longest = max(longest, now)
            done = now >= length or len(self._kinds) == 1
            length = now
            if done or (len(self._kinds) == 2 and isinstance(self._kinds[0][0], Full)):
                break
        for group, members in self._kinds:
            if isinstance(group, Full):
                for member in members:
                    found[member] = found[member][: -(-length // group.block)]
        return Prefix(tuple(found), length, longest if longest > length else 0)

    def allocate(
        self, held: Held, new: int, prefix: Prefix | None = None, *, whole: bool = False, reserve: int = 0
    ) -> bool:
        """Give a request room for ``new`` tokens after what it has and what ``prefix`` saves; False: there is none.

        ``whole`` asks first whether all its tokens have room, beside ``reserve`` blocks that must stay free.
        """
        hit = prefix or self._nothing
        computed = min(held.computed + hit.tokens, self.longest)
        if whole and self._needed(held, min(held.tokens, self.longest), hit, computed, capped=True) + reserve > (
            self.pool.free
        ):
            return False
        slots = min(computed + new + self.ahead, self.longest)
        self._leave_behind(held, computed)
        if self._needed(held, slots, hit, computed) + reserve > self.pool.free:
            return False
        if not held.tables:
            self._adopt(held, hit, computed)
        for group, table in zip(self.groups, held.tables, strict=True):
            room = slots if not group.sparse else min(computed + new, self.longest)
            missing = -(-room // group.block) - len(table)
            if missing > 1 and group.sparse:
                table.extend([NULL] * (missing - 1))
                missing = 1
            if missing == 1:
                table.append(self.pool.take_one())
            elif missing > 1:
                table.frombytes(self.pool.take(missing).tobytes())
        if self.pool.caching:
            self._enter(held, min(computed + new, held.tokens))
        held.quiet_until = self._quiet_until(held, computed, computed + new)
        return True

    def next_token(self, held: Held) -> bool:
        """As ``allocate`` for one token of a running request.

        Nearly all calls of a replay are this: at most one block is taken, or one that is full now is entered.
        """
        if not self._plain:
            return self.allocate(held, 1)
        pool, block, table, now = self.pool, self._block, held.tables[0], held.computed + 1
        if now > len(table) * block:
            if not pool.free:
                return False
            table.append(pool.take_one())
        full, inside = divmod(now, block)
        if inside:
            held.quiet_until = (full + 1) * block - 1 if pool.caching else len(table) * block
            return True
        held.quiet_until = now
        if pool.caching:
            first = held.entered[0]
            if first == full - 1 and first >= len(held.keys):
                pool.enter_one(_own_key(held, first), table[first])
            elif first < full:
                pool.enter(self._keys(held, 0, first, full), _blocks(table[first:full]))
            held.entered[0] = full
        return True

    def free(self, held: Held) -> None:
        """Give all blocks back, the last first, so that the start of a prompt stays cached for longest."""
        for table in held.tables:
            if table:
                self.pool.release(_blocks(table)[::-1])
        held.tables, held.entered, held.computed, held.quiet_until = [], [], 0, 0

    def _needed(self, held: Held, tokens: int, hit: Prefix, computed: int, *, capped: bool = False) -> int:
        """How many blocks must be free for ``tokens`` tokens: new ones, and shared ones that nobody holds now."""
        needed = 0
        for at, group in enumerate(self.groups):
            required = -(-tokens // group.block)
            cap = self._caps[at]
            if capped and cap is not None and not group.sparse:
                required = min(required, cap)
            if held.tables:
                missing = max(required - len(held.tables[at]), 0)
                needed += min(missing, 1) if group.sparse else missing
                continue
            blocks, skipped = hit.blocks[at], group.skipped(computed) // group.block
            if group.sparse and len(blocks) and self.pool.key(int(blocks[-1])) in self._fresh:
                return self.pool.blocks  # a state can be continued from only when it is there: in the next step
            missing = max(required - max(skipped, len(blocks)), 0)
            needed += min(missing, 1) if group.sparse else missing
            needed += self.pool.idle(blocks[skipped:])
        return needed

    def _adopt(self, held: Held, hit: Prefix, computed: int) -> None:
        """Share the blocks of a cached prefix, but for those that a window has left behind."""
        held.shared_until = hit.shared_until
        for at, group in enumerate(self.groups):
            skipped = group.skipped(computed) // group.block
            shared = hit.blocks[at][skipped:]
            self.pool.share(shared)
            table = array("i", [NULL]) * skipped
            table.frombytes(shared.tobytes())
            held.tables.append(table)
            held.entered.append(skipped + len(shared))

    def _leave_behind(self, held: Held, computed: int) -> None:
        """Release whole blocks before a window, the latest first; the null block stands for them."""
        for group, table in zip(self.groups, held.tables, strict=False):
            left = []
            for at in range(min(group.skipped(computed) // group.block, len(table)) - 1, -1, -1):
                if table[at] == NULL:
                    if group.sparse:
                        continue
                    break
                left.append(table[at])
                table[at] = NULL
            if left:
                self.pool.release(np.array(left, dtype=np.int32))

    def _enter(self, held: Held, tokens: int) -> None:
        """Let blocks that are full after this step be found: already now, so that the same step can share them."""
        if len(self.groups) > 1:
            tokens = tokens // self.coarse * self.coarse
        resumes = [held.prompt - 1, *([held.shared_until] if held.shared_until else [])]
        for at, group in enumerate(self.groups):
            first, table = held.entered[at], held.tables[at]
            keys = self._keys(held, at, first, tokens // group.block)
            last = first + len(keys)
            if group.sparse:
                self._renew(held, at, tokens)
            if not len(keys):
                continue
            blocks = _blocks(table[first:last])
            kept = group.worth_keeping(first, last, self.coarse, self._interval, resumes)
            if kept is not None or not blocks.all():
                chosen = blocks != NULL
                if kept is not None:
                    chosen &= kept
                keys, blocks = keys[chosen], blocks[chosen]
            self.pool.enter(keys, blocks)
            if group.sparse:
                self._fresh.update(keys.tolist())
            held.entered[at] = last
            self._enter_tail(held, at, tokens)

    def _renew(self, held: Held, at: int, tokens: int) -> None:
        """The state at the end of a prompt counts as new for as long as the step ends before the block after it."""
        size = self.groups[at].block
        last = tokens // size - 1
        if tokens and tokens == (held.prompt - 1) // size * size and held.tables[at][last] != NULL:
            self._fresh.update(self._keys(held, at, last, last + 1).tolist())

    def _enter_tail(self, held: Held, at: int, tokens: int) -> None:
        """Where a full-attention block is coarser than the keys, the last fine key of the prompt is entered as well."""
        group, table = self.groups[at], held.tables[at]
        fine = (held.prompt - 1) // self.fine
        number = fine * self.fine // group.block
        if not isinstance(group, Full) or not 0 < fine * self.fine <= tokens or fine * self.fine % group.block == 0:
            return
        key = int(held.keys[fine - 1]) if fine <= len(held.keys) else _own_key(held, fine - 1)
        self.pool.alias(key * len(self.groups) + at, table[number])

    def _keys(self, held: Held, at: int, first: int = 0, last: int | None = None) -> KeyArray:
        """The keys of blocks ``first`` to ``last`` - 1 of group ``at``; a block of several fine ones has the last's.

        Each group has keys of its own, since its layers hold other values of the same tokens. What is not known of a
        prompt, and every block with tokens of an answer, no other request has: such keys are below 0.
        """
        several = self.groups[at].block // self.fine
        most = held.tokens // self.fine // several
        last = most if last is None else min(last, most)
        known = len(held.keys) // several
        keys = held.keys[first * several + several - 1 : min(last, known) * several : several]
        if last > known:
            own = _own_key(held, 0) - (np.arange(max(first, known), last) * several + several - 1)
            keys = np.concatenate([keys, own]) if len(keys) else own
        groups = len(self.groups)
        return keys if groups == 1 else keys * groups + at

    def _quiet_until(self, held: Held, before: int, computed: int) -> int:
        """From how many computed tokens on one token more changes a table; it had ``before`` when last looked at."""
        until = self.longest
        for group, table in zip(self.groups, held.tables, strict=True):
            block = group.block
            until = min(until, len(table) * block - self.ahead)
            if self.pool.caching:
                step = self.coarse if len(self.groups) > 1 else block
                until = min(until, (computed // step + 1) * step - 1)
            left = group.skipped(before) // block
            if group.skipped(computed) // block > left:
                return 0
            while group.skipped(until - 1) // block > left:
                until -= 1
        return until


def _own_key(held: Held, number: int) -> int:
    """The key of fine block ``number`` of a request that no other request has."""
    return -((held.number << 32) + number + 1)


def _blocks(table: array[int]) -> BlockArray:
    """The memory of ``table`` as an array; while it is used the table keeps its length."""
    return np.frombuffer(table, dtype=np.int32)


def _kinds(groups: Sequence[CacheGroup]) -> list[tuple[CacheGroup, list[int]]]:
    """Equal groups are looked up together, full attention first."""
    kinds: list[tuple[CacheGroup, list[int]]] = []
    for at, group in enumerate(groups):
        equal = (members for one, members in kinds if type(one) is type(group) and one == group)
        found = next(equal, None)
        if found is None:
            kinds.append((group, [at]))
        else:
            found.append(at)
    return sorted(kinds, key=lambda kind: not isinstance(kind[0], Full))
