"""Groups of layers whose blocks come and go together: with full attention, a sliding window, or chunks of attention.

A group says which leading tokens it no longer reads, how long a cached prefix it can continue from, and which of its
blocks are worth being found again. Lengths are in tokens, ``block`` is the group's own block size. The rules are those
of vLLM's managers of one kind of cache, 0.32 and 0.33 (``v1/core/single_type_kv_cache_manager.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from kvtui.engine.replay.pool import NULL, BlockArray, KeyArray, Pool

Hit = tuple[list[BlockArray], int]


class CacheGroup(Protocol):
    """One group of layers."""

    @property
    def block(self) -> int:
        """Tokens in a block."""
        ...

    @property
    def sparse(self) -> bool:
        """Whether only the last block that a step adds is really there; the null block stands for the others."""
        ...

    def skipped(self, computed: int) -> int:
        """How many leading tokens nobody reads any more when ``computed`` tokens are there."""
        ...

    def most_blocks(self, in_flight: int, longest: int) -> int | None:
        """The most blocks that a request holds while ``in_flight`` tokens are computed at once; None: no limit."""
        ...

    def hit(self, pool: Pool, keys: Sequence[KeyArray], longest: int, aligned: int) -> Hit:
        """The cached blocks to continue from, and how many tokens they save.

        ``keys`` are those of the request's blocks, once for each of several equal groups. At most ``longest`` tokens, a
        multiple of ``aligned``; what the group does not read is the null block.
        """
        ...

    def worth_keeping(
        self, first: int, last: int, aligned: int, interval: int | None, resumes: Sequence[int]
    ) -> list[bool] | None:
        """Which of the blocks ``first`` to ``last`` - 1 can ever serve a hit; None: all.

        ``interval`` is how often the end of a prefix is kept: None wherever a hit may end, 0 only where a request may
        resume (``resumes``, in tokens), else once in so many tokens.
        """
        ...


def _found(pool: Pool, keys: Sequence[KeyArray], at: int) -> list[int] | None:
    """The cached block number ``at`` of each group; None unless all are there."""
    blocks = []
    for of_group in keys:
        block = pool.find(int(of_group[at]))
        if block is None:
            return None
        blocks.append(block)
    return blocks


class Full(NamedTuple):
    """Attention to everything before: all blocks are kept until the request ends."""

    block: int

    @property
    def sparse(self) -> bool:
        """All blocks are there."""
        return False

    def skipped(self, computed: int) -> int:
        """Nothing is ever left behind."""
        return 0

    def most_blocks(self, in_flight: int, longest: int) -> int | None:
        """No limit but the length."""
        return None

    def hit(self, pool: Pool, keys: Sequence[KeyArray], longest: int, aligned: int) -> Hit:
        """The longest run of cached blocks from the start."""
        block = self.block
        runs = [pool.run(of_group[: longest // block]) for of_group in keys]
        length = min(map(len, runs)) * block // aligned * aligned
        return [run[: -(-length // block)] for run in runs], length

    def worth_keeping(
        self, first: int, last: int, aligned: int, interval: int | None, resumes: Sequence[int]
    ) -> list[bool] | None:
        """Every block."""
        return None


class Sliding(NamedTuple):
    """Attention to the last ``window`` tokens, the newest among them."""

    block: int
    window: int

    @property
    def sparse(self) -> bool:
        """All blocks are there."""
        return False

    def skipped(self, computed: int) -> int:
        """With a window of 4, the token after 7 computed ones reads tokens 4, 5, 6 and itself: 4 are left behind."""
        return max(0, computed - self.window + 1)

    def most_blocks(self, in_flight: int, longest: int) -> int | None:
        """The window but one, what is computed at once, and one block more since a window may start inside one."""
        return -(-min(self.window - 1 + in_flight, longest) // self.block) + 1

    @property
    def _needed(self) -> int:
        """How many blocks before a position hold its window."""
        return -(-(self.window - 1) // self.block)

    def hit(self, pool: Pool, keys: Sequence[KeyArray], longest: int, aligned: int) -> Hit:
        """The last place before which the whole window is cached; a run from the very start also counts."""
        block, needed = self.block, self._needed
        most = min(longest // block, len(keys[0]))
        runs = [np.full(most, NULL, dtype=np.int32) for _ in keys]
        run = 0
        for at in range(most - 1, -1, -1):
            blocks = _found(pool, keys, at)
            if blocks is None:
                run = 0
                continue
            if not run and (at + 1) * block % aligned:
                continue
            for of_group, found in zip(runs, blocks, strict=True):
                of_group[at] = found
            run += 1
            if run >= needed:
                length = at + run
                break
        else:
            length = run
            while length * block % aligned:
                length -= 1
        return [of_group[:length] for of_group in runs], length * block

    def worth_keeping(
        self, first: int, last: int, aligned: int, interval: int | None, resumes: Sequence[int]
    ) -> list[bool] | None:
        """The window before each place where a hit may end."""
        if aligned % self.block:
            return None
        needed = self._needed
        kept = [False] * (last - first)
        every = aligned if interval is None else interval
        if every:
            in_segment = every // self.block
            if needed >= in_segment:
                return None
            kept = [at % in_segment >= in_segment - needed for at in range(first, last)]
        if interval is not None:
            for tokens in resumes:
                end = tokens // aligned * aligned // self.block
                for at in range(max(first, end - needed), min(last, end)):
                    kept[at - first] = True
        return kept


class Chunked(NamedTuple):
    """Attention within chunks of ``chunk`` tokens: at the end of one, all of it is left behind (Llama 4)."""

    block: int
    chunk: int

    @property
    def sparse(self) -> bool:
        """All blocks are there."""
        return False

    def skipped(self, computed: int) -> int:
        """All whole chunks: with chunks of 8, 13 computed tokens leave 8 behind, and 8 leave 8."""
        return computed // self.chunk * self.chunk

    def most_blocks(self, in_flight: int, longest: int) -> int | None:
        """A chunk and what is computed at once."""
        return -(-min(self.chunk + in_flight, longest) // self.block)

    def hit(self, pool: Pool, keys: Sequence[KeyArray], longest: int, aligned: int) -> Hit:
        """The cached blocks from the start of the chunk in which the prompt ends; chunks before need no lookup."""
        block = self.block
        start = self.skipped(longest) // block
        runs: list[list[int]] = [[NULL] * start for _ in keys]
        for at in range(start, min(longest // block, len(keys[0]))):
            blocks = _found(pool, keys, at)
            if blocks is None:
                break
            for run, found in zip(runs, blocks, strict=True):
                run.append(found)
        return [np.array(run, dtype=np.int32) for run in runs], len(runs[0]) * block

    def worth_keeping(
        self, first: int, last: int, aligned: int, interval: int | None, resumes: Sequence[int]
    ) -> list[bool] | None:
        """Every block."""
        return None


class States(NamedTuple):
    """Recurrent layers, which read the state after the token before and nothing else.

    A block has the state at its end. So a step needs one block for the state that it leaves, and the one before until
    it has been read; of a long prompt only states at the ends of steps exist, which therefore end with blocks. A prefix
    can be continued from the last state of it that is cached (mode "align", 0.28 to 0.33).
    """

    block: int

    @property
    def sparse(self) -> bool:
        """Only the state at the end of a step is there."""
        return True

    def skipped(self, computed: int) -> int:
        """All but the last token, whose block has the state."""
        return max(0, computed - 1)

    def most_blocks(self, in_flight: int, longest: int) -> int | None:
        """The state before a step and the one after it."""
        return 2

    def hit(self, pool: Pool, keys: Sequence[KeyArray], longest: int, aligned: int) -> Hit:
        """The last cached state of the prefix."""
        most = min(longest // self.block, len(keys[0]))
        for at in range(most - 1, -1, -1):
            if (at + 1) * self.block % aligned:
                continue
            blocks = _found(pool, keys, at)
            if blocks is not None:
                runs = [np.full(at + 1, NULL, dtype=np.int32) for _ in keys]
                for run, block in zip(runs, blocks, strict=True):
                    run[at] = block
                return runs, (at + 1) * self.block
        return [np.empty(0, dtype=np.int32) for _ in keys], 0

    def worth_keeping(
        self, first: int, last: int, aligned: int, interval: int | None, resumes: Sequence[int]
    ) -> list[bool] | None:
        """The state at each place where a hit may end; of those, the ones that there are."""
        if interval is None:
            return None
        kept = [False] * (last - first)
        if interval:
            in_segment = interval // self.block
            if in_segment <= 1:
                return None
            kept = [(at + 1) % in_segment == 0 for at in range(first, last)]
        for tokens in resumes:
            at = tokens // aligned * aligned // self.block - 1
            if first <= at < last:
                kept[at - first] = True
        return kept
