"""vLLM's scheduler: which tokens of which request are computed in a step, who waits, and who is put out.

The rules of V1 as 0.26 to 0.33 have them (``v1/core/sched/scheduler.py``), with one step in flight. Running requests
come first, in their order. Where one finds no room, the last of them (or the one of least priority) loses its blocks,
waits at the front, and computes its tokens again later. Waiting requests follow, unless somebody was put out in this
step; the first that does not fit stops those behind it.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from kvtui.engine.replay.content import KeyBook
from kvtui.engine.replay.groups import CacheGroup
from kvtui.engine.replay.pool import Pool
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.scheduling import LinedUp, SchedulerStep, Shortage
from kvtui.engine.replay.tables import BlockTables, Held, Prefix


class QueueOrder(NamedTuple):
    """What differs between releases.

    ``blank_first``: released blocks that nobody can find are taken next (0.26 at the latest; 0.19 puts them last).
    ``others_go_on``: by priority, when a request had to put itself out, those behind it may still run in the same step
    (0.33; 0.32 ends the step). ``resumed_are_told``: a request that runs again is reported with its hit (0.33).
    """

    blank_first: bool = True
    others_go_on: bool = True
    resumed_are_told: bool = True


def order_of(release: tuple[int, ...]) -> QueueOrder:
    """The order of ``release``, (0, 33) for 0.33.0; an empty one is the newest."""
    newest = not release
    return QueueOrder(newest or release >= (0, 26), newest or release >= (0, 33), newest or release >= (0, 33))


class Limits(NamedTuple):
    """What was set at the start of the server. Counts of tokens, blocks and requests.

    ``blocks`` counts the null block. ``threshold`` cuts long prompts while there are other requests (0: never);
    ``reserve`` admits a request only if all its tokens have room; ``watermark`` is the share of the pool that admission
    leaves free; ``ahead`` the draft tokens that need a slot; ``interval`` see :class:`CacheGroup`. Steps of a prompt
    end with blocks of ``whole_blocks`` tokens, so that a recurrent state is there to be found (0: anywhere).
    """

    blocks: int
    groups: tuple[CacheGroup, ...]
    sequences: int
    budget: int
    longest: int
    priority: bool = False
    caching: bool = True
    watermark: float = 0.0
    reserve: bool = True
    threshold: int = 0
    chunked: bool = True
    ahead: int = 0
    interval: int | None = 0
    whole_blocks: int = 0
    order: QueueOrder = QueueOrder()


@dataclass(slots=True, eq=False)
class Ranked(Held):
    """A request under vLLM.

    ``rank`` orders by priority, then by arrival; ``seat`` is its place among those that run, by the order in which they
    were admitted. A quiet one was last counted at step ``since`` and is looked at again at step ``wake``.
    """

    rank: tuple[int, float, int] = (0, 0.0, 0)
    seat: int = 0
    since: int = 0
    wake: int = 0

    def __lt__(self, other: Ranked) -> bool:
        return self.rank < other.rank


_seat = attrgetter("seat")


def _to_block(live: Ranked, computed: int, new: int, limits: Limits, shared: int) -> int:
    """``new`` tokens after ``computed``, cut so that the step ends where a recurrent state is worth keeping.

    That is: with a block, before what is less than one; and where a prefix ends that others have, up to ``shared``
    tokens. A block that no step has room for is computed in several. Example: with blocks of 100, of a prompt of 250
    the steps are at most 100 or 200 tokens, then 50 (``_mamba_block_aligned_split``).
    """
    block, end, whole = limits.whole_blocks, computed + new, max(live.prompt, live.tokens - 1)
    if computed >= whole:
        return new
    if end < whole:
        most = min(limits.budget, limits.threshold or limits.budget)
        if end // block * block > computed or block <= most:
            end = end // block * block
    stops = [(live.tokens - 1) // block * block]
    if computed % block:
        stops.append((computed // block + 1) * block)
    if computed < shared < end:
        stops.append(computed + (shared - computed) // block * block)
    return max(0, min((stop for stop in stops if computed < stop < end), default=end) - computed)


class Scheduler(LinedUp[Ranked]):
    """A :class:`RequestScheduler` by the rules of vLLM, within ``limits``.

    Most requests of most steps get one token and have a slot for it. Those are left alone: a calendar has the step at
    which each of them fills its block or ends, and only then it is looked at, in its turn. By priority anybody may be
    put out at any time, so there all are looked at in every step.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(
            longest=limits.longest,
            most_sequences=limits.sequences,
            block_sizes=tuple(group.block for group in limits.groups),
            usable=limits.blocks - 1,
        )
        self.limits = limits
        self.pool = Pool(limits.blocks, caching=limits.caching, blank_first=limits.order.blank_first)
        self.tables = BlockTables(
            self.pool,
            limits.groups,
            longest=limits.longest,
            in_flight=limits.budget,
            interval=limits.interval,
            ahead=limits.ahead,
        )
        self._waiting: deque[Ranked] | list[Ranked] = [] if limits.priority else deque()
        self._watermark = int(limits.watermark * limits.blocks)
        self._book = KeyBook()
        self._seats = self._step = 0
        self._awake: list[Ranked] = []  # those to look at in the next step, whatever its number
        self._looked_at: list[Ranked] = []
        self._calendar: dict[int, list[Ranked]] = {}
        self._quiet = 0  # how many are quiet
        self._context = 0  # the tokens that those have computed

    @property
    def running(self) -> list[Ranked]:
        """Those that hold blocks, in the order in which they are served."""
        for live in self._running:
            if live.quiet:
                self._count_up(live)
        return self._running

    @property
    def waiting(self) -> list[Ranked]:
        """Those that wait, the next one first."""
        return sorted(self._waiting) if self.limits.priority else list(self._waiting)

    @property
    def used(self) -> int:
        """Blocks that are held."""
        return self.pool.used

    def found(self, block: int) -> bool:
        """Whether a lookup can give ``block``."""
        return self.pool.filled(block)

    def add(self, request: Request) -> Ranked:
        """Let ``request`` wait."""
        self._arrived += 1
        live = Ranked(
            number=self._arrived,
            prompt=request.prompt,
            tokens=request.prompt,
            request=request,
            last=min(request.prompt + request.answer, self.limits.longest),
            rank=(request.priority, request.arrival, self._arrived),
        )
        if self.limits.caching:
            live.keys = request.content.keys(self.tables.fine, self._book)
        if isinstance(self._waiting, deque):
            self._waiting.append(live)
        else:
            heapq.heappush(self._waiting, live)
        return live

    def schedule(self) -> SchedulerStep:
        """Decide what the next step computes, and give it its blocks."""
        limits, running = self.limits, self._running
        step = SchedulerStep(running)
        self.tables.begin_step()
        alone = len(running) + len(self._waiting) <= 1
        most = limits.threshold if limits.threshold and not alone else limits.longest
        budget = self._run(step, most)
        if step.evicted:
            step.shortage = Shortage.BLOCKS
        elif self._waiting:
            step.shortage = self._admit(step, budget, most)
        step.others, step.context = self._quiet, self._context
        return step

    def finish(self, step: SchedulerStep) -> None:
        """The tokens of ``step`` are there; each request that has no more to compute gets the next one or ends."""
        self._context += self._quiet
        self._step = now = self._step + 1
        awake, ended, patient = list[Ranked](), list[Ranked](), not self.limits.priority
        chunks, calendar = step.chunks, self._calendar
        for live in self._looked_at:
            new = chunks.get(live)
            if new is None:
                if live.tables:
                    awake.append(live)
                continue
            live.computed += new
            if live.computed >= live.tokens:
                if live.tokens == live.prompt:
                    step.answered.append(live)
                live.tokens += 1
                if live.tokens >= live.last:
                    ended.append(live)
                    continue
                wait = min(live.quiet_until - live.computed, live.last - 1 - live.tokens)
                if wait > 0 and patient:
                    live.quiet, live.since, live.wake = True, now, now + wait
                    self._quiet += 1
                    self._context += live.computed
                    if live.wake in calendar:
                        calendar[live.wake].append(live)
                    else:
                        calendar[live.wake] = [live]
                    continue
            awake.append(live)
        self._awake = awake
        for live in ended:
            self.tables.free(live)
        if ended:
            gone = set(ended)
            self._running = [live for live in self._running if live not in gone]
            step.finished.extend(ended)

    def _wake(self, live: Ranked) -> None:
        """Look at a quiet request again."""
        self._count_up(live)
        live.quiet = False
        self._quiet -= 1
        self._context -= live.computed

    def _count_up(self, live: Ranked) -> None:
        passed = self._step - live.since
        live.computed += passed
        live.tokens += passed
        live.since = self._step

    def _due(self, most: int) -> list[Ranked]:
        """Those to look at in this step, in the order of their seats.

        The others get their token whoever comes before them, as long as the budget is enough for all, or it is the last
        of all whose prompt is cut. Else everybody is looked at.
        """
        due = self._awake
        for live in self._calendar.pop(self._step, ()):
            if live.quiet and live.wake == self._step:
                self._wake(live)
                due.append(live)
        if not self._quiet:
            return self._running[:] if len(due) == len(self._running) else sorted(due, key=_seat)
        if len(due) > 1:
            due.sort(key=_seat)
        wanted = self._quiet
        for live in due:
            wanted += min(live.tokens - live.computed, most)
        if wanted > self.limits.budget:
            last = due[-1]
            others = wanted - min(last.tokens - last.computed, most)
            if last is not self._running[-1] or others >= self.limits.budget:
                for live in self._running:
                    if live.quiet:
                        self._wake(live)
                return self._running[:]
        return due

    def _run(self, step: SchedulerStep, most: int) -> int:
        """Schedule running requests; the tokens of the budget that are left."""
        limits, allocate, next_token = self.limits, self.tables.allocate, self.tables.next_token
        due = self._looked_at = self._due(most)
        budget = limits.budget - self._quiet
        tokens = step.chunks
        for live in due:
            if budget <= 0:
                break
            computed = live.computed
            missing = live.tokens - computed
            if not live.tables:
                continue
            if missing == 1 and computed < live.quiet_until:
                tokens[live] = 1
                budget -= 1
                continue
            new = min(missing, most, budget, limits.longest - computed - 1)
            if limits.whole_blocks and missing > 1:
                new = _to_block(live, computed, new, limits, live.shared_until)
            if not new:
                continue
            while not (room := next_token(live) if new == 1 else allocate(live, new)):
                quiet = self._quiet
                victim = self._put_out(step)
                budget += quiet - self._quiet
                if victim is live:
                    break
                if victim in tokens:
                    budget += tokens.pop(victim)
            if room:
                tokens[live] = new
                budget -= new
            elif not (limits.priority and limits.order.others_go_on):
                break
        return budget

    def _admit(self, step: SchedulerStep, budget: int, most: int) -> Shortage | None:
        """Let waiting requests run while there are tokens, places and blocks; what those lack who still wait."""
        limits, tables = self.limits, self.tables
        while self._waiting:
            if budget <= 0:
                return Shortage.TOKENS
            if len(self._running) >= limits.sequences:
                return Shortage.SEQUENCES
            live = self._waiting[0]
            prefix = tables.look_up(live)
            new = min(live.tokens - prefix.tokens, most)
            if new > budget:
                if not limits.chunked:
                    return Shortage.TOKENS
                new = budget
            if limits.whole_blocks:
                new = _to_block(live, prefix.tokens, new, limits, prefix.shared_until)
                if not new:
                    return Shortage.TOKENS
            reserve = self._watermark if self._running else 0
            if not tables.allocate(live, new, prefix, whole=limits.reserve, reserve=reserve):
                return Shortage.BLOCKS
            if isinstance(self._waiting, deque):
                self._waiting.popleft()
            else:
                heapq.heappop(self._waiting)
            self._count(live, prefix)
            live.computed = prefix.tokens
            step.hits[live] = prefix.tokens
            step.chunks[live] = new
            self._seats = live.seat = self._seats + 1
            self._running.append(live)
            self._looked_at.append(live)
            budget -= new
        return None

    def _put_out(self, step: SchedulerStep) -> Ranked:
        """Take all blocks from the last running request, or from the one of least priority, and let it wait first."""
        if isinstance(self._waiting, deque):
            victim = self._running.pop()
            if victim.quiet:
                self._wake(victim)
            self._waiting.appendleft(victim)
        else:
            victim = max(self._running, key=lambda live: live.rank)
            self._running.remove(victim)
            heapq.heappush(self._waiting, victim)
        self.tables.free(victim)
        victim.evicted += 1
        step.evicted.append(victim)
        return victim

    def _count(self, live: Ranked, prefix: Prefix) -> None:
        """Enter an admitted request's lookup; those that were put out are counted apart, as vLLM does."""
        if self.limits.caching:
            counts = self.again if live.evicted else self.first
            counts.requests += 1
            counts.queries += live.tokens
            counts.hits += prefix.tokens
