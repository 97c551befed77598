"""A running server as it was observed: a document, and the text, JSON, CSV and Markdown of it.

One section for each server: what it is, its pool, its requests, its rates and times since the start or in the last
interval, what binds, what the plan says of the same server, and what is worth changing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kvtui import __version__
from kvtui.engine.live.advisor import ServerFinding
from kvtui.engine.live.beside import PlanBeside
from kvtui.engine.live.binds import Binding
from kvtui.engine.live.check import figures
from kvtui.engine.live.interval import Interval, InTime, Percentiles, lifetime
from kvtui.engine.live.names import SEEN_LIVE, TITLES
from kvtui.engine.live.snapshot import ServerPool, ServerRank, Snapshot
from kvtui.engine.scenario.values import command_line
from kvtui.output.lines import StyledLine, rule, wrap
from kvtui.report.document import SCHEMA
from kvtui.report.forms import renderer

NONE = "–"
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


FLAT = (
    "address",
    "time",
    "state",
    "engine",
    "version",
    "model",
    "context_tokens",
    "most_running",
    "pool.unit",
    "pool.size",
    "pool.used",
    "pool.cached",
    "pool.empty",
    "pool.block_size_tokens",
    "pool.tokens",
    "kv_used",
    "requests.running",
    "requests.waiting",
    "requests.paused",
    "binds",
    "interval.seconds",
    "interval.tokens_per_second",
    "interval.hit_rate",
    "interval.preemptions",
    "lifetime.hit_rate",
    "lifetime.preemptions",
    "lifetime.ttft_seconds.p50",
    "lifetime.ttft_seconds.p95",
    "lifetime.itl_seconds.p50",
    "lifetime.itl_seconds.p95",
)
"""The figures of a server that one row of CSV has."""


def _flat(one: Mapping[str, Any]) -> dict[str, Any]:
    def value(path: str) -> Any:
        found: Any = one
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return {path: value(path) for path in FLAT}


def text_line(found: Observed) -> str:
    """A server in one line, for a stream of them: ``12:04:07  vLLM  29 of 32 blocks held (91%)  6 run  3 wait``."""
    from datetime import UTC, datetime

    snapshot, interval = found.snapshot, found.interval
    clock = datetime.fromtimestamp(max(0.0, min(snapshot.time, 4e9)), UTC).strftime("%H:%M:%S")
    if snapshot.state not in ("up", "asleep"):
        return f"{clock}  {snapshot.state}: {snapshot.said}"
    return "  ".join([clock, TITLES.get(snapshot.engine, snapshot.engine), *_now(snapshot, interval)])


def _now(snapshot: Snapshot, interval: Interval) -> list[str]:
    """The state of a server in a few words each."""
    said, pool = [], snapshot.pool
    if pool.used is not None and pool.size:
        said.append(f"{pool.used:,} of {pool.size:,} {pool.unit}s held ({pool.used / pool.size:.0%})")
    elif pool.used is not None:
        said.append(f"{pool.used:,} {pool.unit}s held")
    else:
        used = figures(snapshot, interval)["kv_used"]
        if used is not None:
            said.append(f"{used:.0%} held")
    if pool.cached is not None:
        said.append(f"{_spread(pool)} cached")
    for name, word in (("running", "run"), ("waiting", "wait"), ("paused", "paused")):
        count = snapshot.summed(name)  # type: ignore[arg-type]
        if count is not None and (count or name != "paused"):
            said.append(f"{count:,} {word}")
    if interval.tokens_per_second is not None:
        said.append(f"{interval.tokens_per_second:,.0f} tokens/s")
    if interval.hit_rate is not None:
        said.append(f"{interval.hit_rate:.0%} hits")
    if interval.preemptions:
        said.append(f"{interval.preemptions:,.0f} preempted")
    if interval.ttft is not None:
        said.append(f"TTFT p95 {'> ' if interval.ttft.beyond else ''}{seconds(interval.ttft.p95)}")
    said += [f"{model.name} with a window of {model.context:,}" for model in snapshot.loaded if model.context]
    return said


def _spread(pool: ServerPool) -> str:
    assert pool.cached is not None
    return f"{pool.cached - pool.spread:,} to {pool.cached:,}" if pool.spread else f"{pool.cached:,}"


def seconds(value: float) -> str:
    """``value`` with a unit that suits it: ``340 ms``, ``2.4 s``."""
    return f"{value * 1000:,.0f} ms" if value < 0.9995 else f"{value:,.1f} s"


LabelledRows = list[tuple[str, str]]


def rows_of(one: Mapping[str, Any]) -> dict[str, LabelledRows]:
    """Names and texts of the figures of a ``section``, under headings; what was not told is left out."""
    pool, requests = one["pool"], one["requests"]
    unit = pool["unit"]
    cache: LabelledRows = []
    if pool["size"] is not None:
        size = f"{pool['size']:,} {unit}s"
        if unit == "block" and pool["block_size_tokens"]:
            size += f" of {pool['block_size_tokens']:,} tokens"
        cache.append(("pool", size))
    for key in ("used", "cached", "empty"):
        if pool[key] is not None:
            least = pool["cached_at_least"]
            many = f"{least:,} to {pool[key]:,}" if key == "cached" and least != pool[key] else f"{pool[key]:,}"
            share = f" ({pool[key] / pool['size']:.1%})" if pool["size"] else ""
            cache.append(({"used": "held by requests", "cached": "cached, can be evicted"}.get(key, key), many + share))
    if pool["used"] is None and one["kv_used"] is not None:
        cache.append(("held by requests", f"{one['kv_used']:.1%}"))
    if pool["null_blocks"]:
        cache.append(("null block", f"{pool['null_blocks']:,}, the engine's own"))
    if one["context_tokens"]:
        cache.append(("longest sequence", f"{one['context_tokens']:,} tokens"))
    asked = [(name, f"{requests[name]:,}") for name in ("running", "waiting", "paused") if requests[name] is not None]
    if any(requests["waiting_by"].values()):
        asked.append(("waiting for", ", ".join(f"{key} {count:,.0f}" for key, count in requests["waiting_by"].items())))
    if one["most_running"]:
        asked.append(("run together at most", f"{one['most_running']:,}"))
    slots = [
        (f"slot {slot['number']}", f"{slot['tokens']:,} of {slot['limit']:,} tokens, {slot['phase']}")
        for slot in one["slots"]
    ]
    models = [
        (model["name"] or "model", f"a window of {model['context']:,} tokens" if model["context"] else "no window told")
        for model in one["loaded"]
    ]
    timely = one["in_time"]
    further = "further tokens in time" if timely["per_token_is_of_tokens"] else "requests with timely tokens"
    for key, label in (("first_token", "first tokens in time"), ("per_token", further)):
        if timely[key] is not None:
            asked.append((label, f"{timely[key]:.1%}"))
    if timely["goodput"] is not None:
        least, most = timely["goodput"]
        asked.append(("goodput: requests in time in both", f"{least:.1%} to {most:.1%}"))
    found = {"cache": cache, "slots": slots, "loaded": models, "requests": asked}
    for name, title in (("interval", "in the last {seconds:,.0f} s"), ("lifetime", "since the start")):
        if one[name] is not None:
            found[title.format(seconds=one[name]["seconds"])] = _rates(one[name])
    return {title: rows for title, rows in found.items() if rows}


def _rates(found: Mapping[str, Any]) -> LabelledRows:
    rows = []
    for key, label, form in (
        ("tokens_per_second", "tokens/s", "{:,.1f}"),
        ("prompt_tokens_per_second", "prompt tokens/s", "{:,.1f}"),
        ("hit_rate", "prompt tokens found in the cache", "{:.1%}"),
        ("preemptions", "requests put out", "{:,.0f}"),
        ("finished", "requests finished", "{:,.0f}"),
        ("draft_acceptance", "drafted tokens kept", "{:.1%}"),
        ("tokens_per_step", "tokens of a step", "{:,.1f}"),
        ("watts", "power", "{:,.0f} W"),
        ("joules_per_token", "energy of a token", "{:,.2f} J"),
    ):
        if found[key] is not None:
            rows.append((label, form.format(found[key])))
    for name, label in TIMES.items():
        times = found[f"{name}_seconds"]
        if times is not None:
            beyond = "> " if times["p95_is_at_least"] else ""
            rows.append((label, f"p50 {seconds(times['p50'])}, p95 {beyond}{seconds(times['p95'])}"))
    return rows


def plan_rows(one: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Label, predicted, observed and verdict of each line of the plan beside the server."""
    if one["plan"] is None:
        return []
    return [
        (row["label"], _figure(row["predicted"], row["unit"]), _figure(row["observed"], row["unit"]), row["verdict"])
        for row in one["plan"]["rows"]
    ]


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    if unit == "bytes":
        from kvtui.engine.basis.units import format_bytes

        return format_bytes(int(value))
    return f"{value:,.2f}×" if unit == "requests" else f"{value:,} {unit}"


def advice(one: Mapping[str, Any]) -> list[str]:
    """A line for each finding: what was seen, what to change, what it brings."""
    return [
        found["seen"]
        + (f"; {found['flag']}" if found["flag"] else "")
        + (f" ({found['brings']})" if found["brings"] else "")
        for found in one["findings"]
    ]


def title(one: Mapping[str, Any]) -> list[str]:
    """What the server is, in a few words each."""
    name = TITLES.get(one["engine"] or "", "a server")
    return [f"{name} {one['version']}" if one["version"] else name, one["model"] or "", one["address"]]


def _lines(found: Mapping[str, Any], width: int) -> list[StyledLine]:
    lines: list[StyledLine] = []
    for one in found["servers"]:
        if lines:
            lines.append(())
        lines.append((("  ".join(filter(None, title(one))), "heading"),))
        style = "ok" if one["binds"] == "nothing" else "warning"
        if one["state"] != "up":
            lines += [((part, "bad"),) for part in wrap(f"{one['state']}: {one['said'] or ''}", width)]
        else:
            lines += [((part, style),) for part in wrap(one["verdict"], width)]
        for heading, rows in rows_of(one).items():
            lines += [(), rule(heading, width)]
            lines += [((f"{label:<34}", ""), (text, "strong")) for label, text in rows]
        beside = plan_rows(one)
        if beside:
            lines += [(), rule("the plan beside the server", width)]
            lines += [
                ((f"{a:<34}", ""), (f"{b:>18}", "info"), (f"{c:>18}", "strong"), (f"  {d}", "dim"))
                for a, b, c, d in [("", "predicted", "observed", ""), *beside]
            ]
        said = advice(one)
        if said:
            lines += [(), rule("what is worth changing", width)]
            lines += [((part, ""),) for text in said for part in wrap(f"- {text}", width, indent=2)]
        remarks = [*one["notes"], *([one["plan_error"]] if one["plan_error"] else [])]
        if remarks:
            lines += [(), rule("remarks", width)]
            lines += [((part, "dim"),) for text in remarks for part in wrap(f"- {text}", width, indent=2)]
    return lines


def _csv(found: Mapping[str, Any]) -> str:
    from kvtui.output.csv import csv_text

    rows = [_flat(one) for one in found["servers"]]
    return csv_text([list(rows[0]) if rows else ["address"], *(list(row.values()) for row in rows)])


def _markdown(found: Mapping[str, Any]) -> str:
    from kvtui.output import markdown

    blocks = []
    for one in found["servers"]:
        blocks.append(f"# {markdown.escape(' · '.join(filter(None, title(one))))}")
        blocks.append(f"**{markdown.escape(one['verdict'])}**")
        for heading, rows in rows_of(one).items():
            blocks += [f"## {markdown.escape(heading)}", markdown.table(["", ""], rows)]
        if plan_rows(one):
            heads = ["", "predicted", "observed", "verdict"]
            blocks += ["## The plan beside the server", markdown.table(heads, plan_rows(one))]
        said = [*advice(one), *one["notes"]]
        if said:
            blocks += ["## Remarks", "\n".join(f"- {markdown.escape(text)}" for text in said)]
    return "\n\n".join(blocks) + "\n"


render = renderer(_lines, _csv, _markdown)
