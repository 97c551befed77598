"""What was seen of each server so far: its snapshots with what happened since the one before, within bounds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kvtui.engine.live.interval import Interval, between
from kvtui.engine.live.snapshot import Snapshot

MOST_BEATS, LEAST_BEATS = 3600, 120
"""Beats of one server, or shared out to three of them: of a fleet each keeps fewer, down to two minutes of seconds."""

MOST_SERVERS = 500
RECENT_SECONDS = 10.0
"""Hits and times are those of the last seconds: in a single one there may be no request at all."""


class Beat(NamedTuple):
    """A ``snapshot``, what happened since the one before (``since``), and in the last seconds (``recent``)."""

    snapshot: Snapshot
    since: Interval
    recent: Interval


class History:
    """The beats of every server by address, in the order in which the servers were first seen."""

    def __init__(self) -> None:
        self._beats: dict[str, list[Beat]] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        """All servers."""
        return tuple(self._beats)

    def add(self, snapshots: Iterable[Snapshot]) -> None:
        """Take ``snapshots`` into account; one that is older than the last of its server is left out."""
        for snapshot in snapshots:
            if snapshot.address not in self._beats and len(self._beats) >= MOST_SERVERS:
                continue
            beats = self._beats.setdefault(snapshot.address, [])
            if beats and snapshot.time < beats[-1].snapshot.time:
                continue
            beats.append(Beat(snapshot, _since(beats, snapshot, 0.0), _since(beats, snapshot, RECENT_SECONDS)))
            most = max(LEAST_BEATS, min(MOST_BEATS, 3 * MOST_BEATS // len(self._beats)))
            if len(beats) > most + most // 8:
                del beats[:-most]

    def until(self, address: str, time: float | None) -> Sequence[Beat]:
        """The beats of a server up to ``time``, of all time for None, the oldest first."""
        beats = self._beats.get(address, [])
        if time is None:
            return beats
        return beats[: bisect_right(beats, time, key=lambda beat: beat.snapshot.time)]

    def span(self) -> tuple[float, float] | None:
        """The time of the first and of the last snapshot of all servers; None without any."""
        ends = [(beats[0].snapshot.time, beats[-1].snapshot.time) for beats in self._beats.values() if beats]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None


def _since(beats: Sequence[Beat], snapshot: Snapshot, seconds: float) -> Interval:
    """What happened in at least the ``seconds`` before ``snapshot``, or since the server is seen."""
    if not snapshot.ranks:
        return Interval(0.0)
    found: Snapshot | None = None
    for beat in reversed(beats):
        before = beat.snapshot
        if not before.ranks or before.counters_at >= snapshot.counters_at:
            continue
        found = before
        if snapshot.counters_at - before.counters_at >= seconds:
            break
    return Interval(0.0) if found is None else between(found, snapshot)
