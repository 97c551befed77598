"""What binds a server now: its pool, the sequences it runs together, the tokens of a step, or nothing."""

from __future__ import annotations

from typing import Literal, NamedTuple

from kvtui.engine.live.interval import Interval
from kvtui.engine.live.snapshot import Snapshot

FULL = 0.9
"""From this share on a pool that requests hold is taken to be what new ones wait for."""

NEAR_BUDGET = 0.85


class Binding(NamedTuple):
    """What binds, and the sentence that says why."""

    what: Literal["pool", "sequences", "tokens", "nothing", "unknown"]
    words: str


def binds(snapshot: Snapshot, interval: Interval) -> Binding:
    """What binds the server in ``snapshot``, with what happened in the last ``interval``.

    Example: 6 of 8 sequences run and 3 wait, at 91 % of the pool: the pool binds.
    """
    if snapshot.state not in ("up", "asleep"):
        return Binding("unknown", snapshot.said or snapshot.state)
    if snapshot.state == "asleep":
        return Binding("nothing", f"it sleeps{f' ({snapshot.said})' if snapshot.said else ''}")
    running, waiting = snapshot.summed("running"), snapshot.summed("waiting")
    shares = [share for rank in snapshot.ranks if (share := rank.pool.used_share) is not None]
    shares += [rank.gauges["used_share"] for rank in snapshot.ranks if "used_share" in rank.gauges]
    used, most = max(shares, default=None), snapshot.most_running
    held = "" if used is None else f"{used:.0%} of the pool is held"
    if interval.preemptions:
        count = round(interval.preemptions)
        words = f"the pool binds: {count:,} request{'s' * (count != 1)} put out of it, {held}"
        return Binding("pool", words.rstrip(", "))
    capacity = sum(rank.waiting_by.get("capacity", 0) for rank in snapshot.ranks)
    if waiting:
        if used is not None and used >= FULL:
            return Binding("pool", f"the pool binds: {waiting:,} wait, {held}")
        if most is not None and running is not None and running >= most * max(1, len(snapshot.ranks)):
            return Binding("sequences", f"the sequences bind: all {running:,} run, {waiting:,} wait")
        if interval.step_tokens and snapshot.step_tokens and interval.step_tokens >= NEAR_BUDGET * snapshot.step_tokens:
            words = f"steps have {interval.step_tokens:,.0f} of {snapshot.step_tokens:,} tokens, {waiting:,} wait"
            return Binding("tokens", f"the tokens of a step bind: {words}")
        if capacity and used is not None and used >= FULL / 2:
            return Binding("pool", f"the pool binds: {waiting:,} wait for room, {held}")
        why = "" if most is not None else "; the server does not tell how many run together"
        return Binding("unknown", f"{waiting:,} wait{f', though only {held}' if held else ''}{why}")
    if running == 0:
        return Binding("nothing", "nothing binds: no request runs")
    if used is not None and used >= FULL:
        return Binding("nothing", f"nothing waits yet, but {held}")
    if running is None and used is None:
        return Binding("unknown", "the server does not tell how full it is")
    return Binding("nothing", f"nothing binds: {running or 0:,} run, none wait{f', {held}' if held else ''}")
