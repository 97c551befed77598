"""The figures of an observed server under their names, as people read them; every format is made of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvtui.engine.live.names import TITLES
from kvtui.report.observed.document import TIMES

NONE = "–"
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


def seconds(value: float) -> str:
    """``value`` with a unit that suits it: ``340 ms``, ``2.4 s``."""
    return f"{value * 1000:,.0f} ms" if value < 0.9995 else f"{value:,.1f} s"
