"""A server as what is drawn of it: its pool as banks, and the strips of the last minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from kvtui.canvas.blocks import BlockPicture, BlockRun
from kvtui.canvas.palette import Ink
from kvtui.canvas.strips import Strip, nan
from kvtui.engine.basis.units import format_count
from kvtui.engine.live.check import figures
from kvtui.engine.live.history import Beat
from kvtui.engine.live.interval import Interval
from kvtui.engine.live.snapshot import ServerPool, ServerRank, Snapshot


def pool_picture(snapshot: Snapshot) -> BlockPicture | None:
    """The pool of all ranks; None for a server that does not tell how full it is.

    Requests have a colour each where a server tells them apart, which llama.cpp does slot by slot. An engine that only
    tells what is held, and not what is cached, has banks that may be either.
    """
    pool = snapshot.pool
    slots = [slot for rank in snapshot.ranks for slot in rank.slots]
    if slots:
        return _slots_picture(snapshot, pool)
    if pool.used is None or not pool.size:
        return None
    runs = [BlockRun("null", pool.null), BlockRun("held", pool.used)]
    free = pool.size - pool.used
    if pool.cached is None:
        runs.append(BlockRun("unsure" if _may_cache(snapshot) else "empty", free))
    else:
        sure = pool.cached - pool.spread
        runs += [BlockRun("cached", sure), BlockRun("unsure", pool.spread), BlockRun("empty", free - pool.cached)]
    return BlockPicture(tuple(run for run in runs if run.blocks), pool.unit)


def _may_cache(snapshot: Snapshot) -> bool:
    """Whether blocks that no request holds may hold a known prefix."""
    return snapshot.engine != "tgi" and snapshot.config.get("enable_prefix_caching") != "False"


def _slots_picture(snapshot: Snapshot, pool: ServerPool) -> BlockPicture:
    """The cells of llama.cpp by slot. A pool whose size is not known is drawn as one slot's limit, which it has."""
    slots = [slot for rank in snapshot.ranks for slot in rank.slots]
    runs = [BlockRun("request", slot.tokens, slot.number) for slot in slots if slot.phase != "idle"]
    held = sum(run.blocks for run in runs)
    cached = sum(slot.tokens for slot in slots) - held
    size = pool.size or max(held + cached, *(slot.limit for slot in slots))
    over = max(0, held + cached - size)
    runs += [BlockRun("cached", max(0, cached - over)), BlockRun("empty", max(0, size - held - cached))]
    return BlockPicture(tuple(run for run in runs if run.blocks), "token")


BeatFigure = Callable[[Beat], float | None]


def _waiting(beat: Beat) -> float | None:
    return beat.snapshot.summed("waiting")


def _percentile(part: Literal["p50", "p95"]) -> BeatFigure:
    def figure(beat: Beat) -> float | None:
        found = beat.recent.ttft
        return None if found is None else found.p95 if part == "p95" else found.p50

    return figure


def _per_second(interval: Interval, count: float | None) -> float | None:
    return None if count is None or not interval.seconds else count / interval.seconds


STRIPS: tuple[tuple[str, BeatFigure, int, bool, str], ...] = (
    ("held", lambda beat: figures(beat.snapshot, beat.since)["kv_used"], Ink.KV, True, "share"),
    ("cached", lambda beat: beat.snapshot.pool.cached_share, Ink.STATE, True, "share"),
    ("running", lambda beat: beat.snapshot.summed("running"), Ink.GOOD, False, "count"),
    ("waiting", _waiting, Ink.WARN, False, "count"),
    ("put out /s", lambda beat: _per_second(beat.since, beat.since.preemptions), Ink.BAD, False, "rate"),
    ("hits", lambda beat: beat.recent.hit_rate, Ink.ACCENT, True, "share"),
    ("tokens/s", lambda beat: beat.since.tokens_per_second, Ink.BRIGHT, False, "rate"),
    ("TTFT p50", _percentile("p50"), Ink.ACTIVATION, False, "seconds"),
    ("TTFT p95", _percentile("p95"), Ink.WARN, False, "seconds"),
    ("watts", lambda beat: beat.since.watts, Ink.GOLD, False, "rate"),
)
"""Name, figure, ink, whether it is a share of 1, and how it is written."""


def strips(beats: Sequence[Beat], end: float, span: float, at: float) -> list[Strip]:
    """The strips of the ``span`` seconds before ``end``, with the figures of the moment ``at``.

    Those without a single figure are left out.
    """
    first = end - span
    shown = [beat for beat in beats if first <= beat.snapshot.time <= end]
    found = []
    for name, figure, ink, share, form in STRIPS:
        values = [nan(figure(beat)) for beat in shown]
        known = [value for value in values if value == value]
        if not known:
            continue
        until = [value for beat, value in zip(shown, values, strict=True) if beat.snapshot.time <= at]
        now = written(until[-1], form) if until and until[-1] == until[-1] else "–"
        top = 1.0 if share else None
        found.append(Strip(name, spread(shown, values, first, span), now, ink, top, written(max(known), form)))
    return found


def spread(
    beats: Sequence[Beat], values: Sequence[float], first: float, span: float, columns: int = 240
) -> list[float]:
    """``values`` by time in ``columns`` equal parts of the span; the last known one stands until the next beat.

    A part in which nothing was seen for longer than a few beats stays unknown: the server was silent.
    """
    found = [float("nan")] * columns
    reach = max(3, round(columns * 4 / span))
    last = None
    for beat, value in zip(beats, values, strict=True):
        place = min(columns - 1, int((beat.snapshot.time - first) / span * columns))
        if last is not None and place - last <= reach:
            for between in range(last + 1, place):
                found[between] = found[last]
        found[place] = max(value, found[place]) if found[place] == found[place] and last == place else value
        last = place
    return found


def written(value: float, form: str) -> str:
    """A strip's figure in few cells."""
    match form:
        case "share":
            return f"{value:.0%}"
        case "count":
            return f"{value:,.0f}"
        case "seconds":
            return f"{value * 1000:,.0f} ms" if value < 0.9995 else f"{value:,.1f} s"
    return f"{value:.1f}" if value < 9.95 else format_count(value) if value >= 10_000 else f"{value:,.0f}"


def ranks_of(snapshot: Snapshot) -> Sequence[ServerRank]:
    """The ranks where there are several."""
    return snapshot.ranks if len(snapshot.ranks) > 1 else ()
