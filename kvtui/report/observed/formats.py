"""Text, CSV and Markdown of what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvtui.engine.live.check import figures
from kvtui.engine.live.interval import Interval
from kvtui.engine.live.names import TITLES
from kvtui.engine.live.snapshot import ServerPool, Snapshot
from kvtui.output.lines import StyledLine, rule, wrap
from kvtui.report.forms import renderer
from kvtui.report.observed.document import Observed
from kvtui.report.observed.facts import advice, plan_rows, rows_of, seconds, title

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
