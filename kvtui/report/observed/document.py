"""A running server as it was observed, as a document of plain values.

One section for each server: what it is, its pool, its requests, its rates and times since the start or in the last
interval, what binds, what the plan says of the same server, and what is worth changing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kvtui import __version__
from kvtui.engine.live.advisor import ServerFinding
from kvtui.engine.live.beside import PlanBeside
from kvtui.engine.live.binds import Binding
from kvtui.engine.live.check import figures
from kvtui.engine.live.interval import Interval, InTime, Percentiles, lifetime
from kvtui.engine.live.names import SEEN_LIVE
from kvtui.engine.live.snapshot import ServerPool, ServerRank, Snapshot
from kvtui.engine.scenario.values import command_line
from kvtui.report.document import SCHEMA

TIMES = {
    "ttft": "time to the first token",
    "itl": "between tokens",
    "tpot": "per token of a request",
    "queue": "in the queue",
    "e2e": "whole request",
}

NOT_ASKED = InTime()


@dataclass(frozen=True)
class Observed:
    """A ``snapshot`` with what follows from it, and from those before it.

    ``plan_error`` says why there is no plan beside it. ``in_time`` is what met its objectives.
    """

    snapshot: Snapshot
    interval: Interval
    binding: Binding
    findings: tuple[ServerFinding, ...] = ()
    plan: PlanBeside | None = None
    plan_error: str = ""
    in_time: InTime = NOT_ASKED


def document(servers: Sequence[Observed]) -> dict[str, Any]:
    """What was observed of all ``servers``, as plain values: shares of 0 to 1, seconds, units in the names of keys."""
    return {"schema": SCHEMA, "kvtui": __version__, "servers": [section(one) for one in servers]}


def section(found: Observed) -> dict[str, Any]:
    """What was observed of one server."""
    snapshot = found.snapshot
    return {
        "address": snapshot.address,
        "time": round(snapshot.time, 3),
        "state": snapshot.state,
        "said": snapshot.said or None,
        "engine": snapshot.engine or None,
        "engine_seen_live": snapshot.engine in SEEN_LIVE if snapshot.engine else None,
        "version": snapshot.release or None,
        "model": snapshot.model or None,
        "context_tokens": snapshot.context,
        "most_running": snapshot.most_running,
        "pool": _pool(snapshot.pool),
        "kv_used": _share(figures(snapshot, found.interval)["kv_used"]),
        "requests": {
            "running": snapshot.summed("running"),
            "waiting": snapshot.summed("waiting"),
            "waiting_by": _reasons(snapshot),
            "paused": snapshot.summed("paused"),
        },
        "lifetime": _interval(lifetime(snapshot)),
        "interval": _interval(found.interval) if found.interval.seconds else None,
        "in_time": _in_time(found.in_time),
        "ranks": [_rank(rank) for rank in snapshot.ranks],
        "slots": [slot._asdict() for rank in snapshot.ranks for slot in rank.slots],
        "loaded": [model._asdict() for model in snapshot.loaded],
        "devices": [device._asdict() for device in snapshot.devices],
        "binds": found.binding.what,
        "verdict": found.binding.words,
        "findings": [finding._asdict() for finding in found.findings],
        "plan": None if found.plan is None else _plan(found.plan),
        "plan_error": found.plan_error or None,
        "notes": [*snapshot.notes, *(found.plan.notes if found.plan else ())],
    }


def _pool(pool: ServerPool) -> dict[str, Any]:
    return {
        "unit": pool.unit,
        "size": pool.size,
        "used": pool.used,
        "cached": pool.cached,
        "cached_at_least": None if pool.cached is None else pool.cached - pool.spread,
        "empty": pool.empty,
        "block_size_tokens": pool.block_size,
        "tokens": pool.tokens,
        "null_blocks": pool.null,
    }


def _reasons(snapshot: Snapshot) -> dict[str, float]:
    found: dict[str, float] = {}
    for rank in snapshot.ranks:
        for reason, count in rank.waiting_by.items():
            found[reason] = found.get(reason, 0) + count
    return found


def _rank(rank: ServerRank) -> dict[str, Any]:
    return {
        "rank": rank.number,
        "pool": _pool(rank.pool),
        "running": rank.running,
        "waiting": rank.waiting,
        "totals": {key: _plain(value) for key, value in rank.totals.items()},
        "gauges": {key: _plain(value) for key, value in rank.gauges.items()},
        "cached_groups": [group._asdict() for group in rank.cached_groups],
    }


def _interval(found: Interval) -> dict[str, Any]:
    return {
        "seconds": round(found.seconds, 3),
        "tokens_per_second": _share(found.tokens_per_second),
        "prompt_tokens_per_second": _share(found.prompt_tokens_per_second),
        "hit_rate": _share(found.hit_rate),
        "preemptions": _plain(found.preemptions),
        "finished": _plain(found.finished),
        "draft_acceptance": _share(found.accepted),
        "tokens_per_step": _share(found.step_tokens),
        "watts": _share(found.watts),
        "joules_per_token": _share(found.joules_per_token),
        **{f"{name}_seconds": _percentiles(getattr(found, name)) for name in TIMES},
    }


def _percentiles(found: Percentiles | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "p50": round(found.p50, 6),
        "p95": round(found.p95, 6),
        "p95_is_at_least": found.beyond,
        "count": _plain(found.count),
    }


def _plan(plan: PlanBeside) -> dict[str, Any]:
    return {
        "command_line": f"kvtui {command_line(plan.scenario)}",
        "gpu": plan.scenario.device.name if plan.known_device else None,
        "kv_cache_tokens": plan.serving.kv_cache_tokens,
        "max_sequences": plan.serving.max_sequences,
        "rows": [
            {
                "id": row.id,
                "label": row.label,
                "unit": row.unit,
                "predicted": _plain(row.predicted),
                "observed": _plain(row.observed),
                "difference": _plain(row.difference),
                "verdict": row.verdict,
                "meaning": row.meaning or None,
            }
            for row in plan.rows
        ],
    }


def _plain(value: float | Fraction | None) -> int | float | None:
    """A figure without more digits than it has."""
    if value is None or isinstance(value, int):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else round(number, 6)


def _in_time(found: InTime) -> dict[str, Any]:
    return {
        "first_token": _share(found.first_token),
        "per_token": _share(found.per_token),
        "per_token_is_of_tokens": found.of_tokens,
        "goodput": None if found.goodput is None else [_share(share) for share in found.goodput],
    }


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
