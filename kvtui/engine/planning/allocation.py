"""How much cache memory each sequence holds and how much is set aside for it, by allocation policy.

Static reservation sets aside the whole context for every sequence. Continuous batching sets aside what a sequence holds
(Orca, OSDI 2022). Paged attention hands out blocks, so that only the last block of a sequence has unused room
(PagedAttention, arXiv:2309.06180). A prefix that sequences share is stored once, in whole blocks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.scenario.scenario import AVERAGE, Scenario

if TYPE_CHECKING:
    from fractions import Fraction

_FILL_PERCENT = {2: (30, 70), 3: (20, 40, 60), 4: (15, 25, 35, 50)}
_FILL_CYCLE = (10, 20, 30, 40, 15, 45, 25, 55, 35, 65, 5, 50, 18, 70, 12, 85)


class Slot(NamedTuple):
    """``sequences`` alike sequences that hold ``used`` tokens in room for ``reserved``."""

    used: int
    reserved: int
    sequences: int


def fill_percent(batch: int) -> Counter[int]:
    """How full, in percent of the context, each of ``batch`` sequences of an average fill is, with their number.

    The kvcache.io visualiser's deterministic stand-in for a live mix of requests: tables for 2 to 4 sequences, a cycle
    of sixteen values from eight on, the fullest of its first eight for 5 to 7 (so that one more sequence never needs
    less). One is full.
    """
    if batch == 1:
        return Counter((100,))
    if batch in _FILL_PERCENT:
        return Counter(_FILL_PERCENT[batch])
    if batch < 8:
        return Counter(sorted(_FILL_CYCLE[:8], reverse=True)[:batch])
    rounds, rest = divmod(batch, len(_FILL_CYCLE))
    fill = Counter(dict.fromkeys(_FILL_CYCLE, rounds) if rounds else ())
    fill.update(_FILL_CYCLE[:rest])
    return fill


def fills(scenario: Scenario, batch: int) -> Counter[int]:
    """How full, in percent of the context, each of ``batch`` sequences of the scenario is, with their number."""
    return fill_percent(batch) if scenario.fill == AVERAGE else Counter({scenario.fill_percent: batch})


def mean_fill_percent(scenario: Scenario, batch: int) -> int:
    """How full the scenario's ``batch`` sequences are on average, in percent: 100 where all are full."""
    return round(sum(percent * count for percent, count in fills(scenario, batch).items()) / batch)


def mean_fill(scenario: Scenario, batch: int) -> Fraction:
    """How full the scenario's ``batch`` sequences are on average, as a share of the context: 1 where all are full."""
    from fractions import Fraction

    return Fraction(sum(percent * count for percent, count in fills(scenario, batch).items()), 100 * batch)


def slots(scenario: Scenario, context: int, batch: int) -> tuple[Slot, ...]:
    """The ``batch`` sequences of a scenario, each of at most ``context`` tokens, longest first."""
    if scenario.lengths is not None:
        used = Counter(scenario.lengths)
    else:
        used = Counter()
        for percent, count in fills(scenario, batch).items():
            used[max(1, context * percent // 100)] += count
    return tuple(
        Slot(tokens, reserve(scenario, tokens, context), used[tokens]) for tokens in sorted(used, reverse=True)
    )


def busiest_share(sequences: tuple[Slot, ...], replicas: int) -> tuple[Slot, ...]:
    """The part of ``sequences`` that the busiest of ``replicas`` holds when they are dealt out, longest first."""
    return replica_share(sequences, replicas, 0)


def replica_share(sequences: tuple[Slot, ...], replicas: int, replica: int) -> tuple[Slot, ...]:
    """The part of ``sequences`` that ``replica`` (from 0) of ``replicas`` holds: every ``replicas``-th from its own."""
    share, dealt = [], -replica
    for slot in sequences:
        count = -(-(dealt + slot.sequences) // replicas) - -(-dealt // replicas)
        dealt += slot.sequences
        if count:
            share.append(Slot(slot.used, slot.reserved, count))
    return tuple(share)


def grown(sequences: tuple[Slot, ...], scenario: Scenario, position: int) -> tuple[Slot, ...]:
    """``sequences`` when the longest possible one would hold ``position`` tokens: each grows in proportion to its end.

    A sequence of finally L tokens holds ⌊L · position / context⌋, in the room that the policy gives it by then.
    """
    context = scenario.context
    return tuple(
        Slot(held := slot.used * position // context, reserve(scenario, held, context), slot.sequences)
        for slot in sequences
    )


def reserve(scenario: Scenario, used: int, context: int) -> int:
    """Tokens of room that the scenario's policy gives a sequence that holds ``used`` and may grow to ``context``."""
    if scenario.paged_attention:
        return -(-used // scenario.block_size) * scenario.block_size
    return used if scenario.continuous_batching else context
