"""What a replayed trace looks like: the pool over time, what caches of each size save, and what a higher rate costs.

Each function takes the document of ``kvtui replay --format json``, and gives a figure without panels where that does
not say what it asks. Bands reach from the fast to the slow end of the roofline's; lines are the slow end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Axis, Figure, Floats, Line, Panel, Rule, floats

ReplayDocument = Mapping[str, Any]

USE = ("replay-use", "A replay over time", "When is the pool full, and what do its blocks save?")
SIZES = ("replay-sizes", "Hits by cache size", "How large a cache does this trace want?")
LATENCY = ("replay-latency", "Latency by rate", "How many requests a second does it bear?")
TRADE = ("replay-trade", "Throughput for all and for one", "What does speed for each user cost?")

BUNDLED = "This trace came with kvtui. Yours: kvtui replay TRACE SCENARIO --format json -o results/replay.json"
_WITHOUT_RATES = "Says nothing of rates: kvtui replay TRACE SCENARIO --find rate --format json -o results/replay.json"
_WITHOUT_SERVER = "Says nothing of a server: give kvtui replay a scenario, such as --model Llama-3.1-8B --gpu L40S"
_WITHOUT_PREFIXES = "This trace does not say which prompts begin alike."
_SHARE = Axis("share", "%", low=0, high=100)
_ORDERS = {
    "saved": "least recently used",
    "saved_engine": "with answers",
    "saved_fifo": "oldest out",
    "saved_best": "at best",
}


def use_over_time(document: ReplayDocument) -> Figure:
    """The pool's use, its requests, and the hits so far, over the time of the trace."""
    served = _served(document)
    if served is None or not served["course"]:
        return Figure(*USE, (), _notes(document, _WITHOUT_SERVER))
    course: Sequence[Mapping[str, Any]] = served["course"]
    time = floats(one["seconds"] for one in course)
    axis = Axis("time", "s")
    hits = [_percent(one["prompt_tokens_saved"], one["prompt_tokens_looked_up"]) for one in course]
    panels = (
        Panel(
            "the pool",
            axis,
            _SHARE,
            (
                Line(
                    "blocks used", time, floats(100 * one["pool_blocks_used"] / served["pool_blocks"] for one in course)
                ),
                Line("hits so far", time, floats(hits), dash="dashed"),
            ),
        ),
        Panel(
            "requests",
            axis,
            Axis("requests", "at once"),
            (
                Line("running", time, floats(one["running"] for one in course)),
                Line("waiting", time, floats(one["waiting"] for one in course), dash="dashed"),
                Line("put out so far", time, floats(one["evictions"] for one in course), dash="dotted"),
            ),
        ),
    )
    return Figure(*USE, panels, _notes(document))


def hits_by_size(document: ReplayDocument) -> Figure:
    """What caches of each size save, by four orders, of the whole trace and of its second half."""
    reuse = document.get("reuse")
    if not reuse:
        return Figure(*SIZES, (), _notes(document, _WITHOUT_PREFIXES if document else None))
    sizes = reuse["sizes"]
    tokens = floats(one["cache_tokens"] for one in sizes)
    axis = Axis("cache", "tokens", "log10", "tokens")
    rules = [Rule("y", 100 * reuse["ceiling"], "without bounds")]
    rules += [Rule("x", reuse["knee_tokens"], "knee")] if reuse["knee_tokens"] else []
    rules += [Rule("x", one["cache_tokens"], "the plan's pool") for one in sizes if one["planned"]]
    panels = tuple(
        Panel(
            title,
            axis,
            Axis("prompt tokens saved", "%", low=0),
            tuple(
                Line(name, tokens, floats(100 * one[f"{key}{half}"] for one in sizes), points=True)
                for key, name in _ORDERS.items()
            ),
            rules=tuple(rules) if not half else tuple(rules[1:]),
        )
        for title, half in (("the whole trace", ""), ("its second half, with a warm cache", "_second_half"))
    )
    return Figure(*SIZES, panels, _notes(document))


def latency_by_rate(document: ReplayDocument) -> Figure:
    """Time to the first token and per token, and goodput, over the rate of requests."""
    rows = _rates(document)
    if not rows:
        return Figure(*LATENCY, (), _notes(document, _WITHOUT_RATES if document else None))
    rates = floats(_rate(document, row) for row in rows)
    axis = Axis("rate", "requests/s", "log2")
    quantiles = (("p50", "median"), ("p95", "95 % below"))
    panels = [
        Panel(
            title,
            axis,
            Axis(title, "s", "log10"),
            tuple(_band(name, rates, rows, key, at) for at, name in quantiles),
        )
        for title, key in (("time to first token", "ttft_seconds"), ("time per token", "tpot_seconds"))
    ]
    if all(row["slow"]["goodput"] is not None for row in rows):
        held = document["search"]["answer"]
        rules = [Rule("y", 100 * document["search"]["wanted_goodput"], "wanted")]
        rules += [] if held is None else [Rule("x", held * _base(document), "largest that holds")]
        line = _band("requests within the objectives", rates, rows, "goodput")
        panels.append(Panel("goodput", axis, _SHARE, (line,), rules=tuple(rules)))
    return Figure(*LATENCY, tuple(panels), _notes(document))


def throughput_by_user(document: ReplayDocument) -> Figure:
    """Tokens per second of each device over those of one user, from rate to rate, with the objectives as rules."""
    rows = [row for row in _rates(document) if row["slow"]["tpot_seconds"]["p50"]]
    if not rows:
        return Figure(*TRADE, (), _notes(document, _WITHOUT_RATES if document else None))
    devices = document["pool"]["devices"]
    objective = (document.get("objectives") or {}).get("tpot_seconds")
    lines = tuple(
        Line(
            f"{end} end of the band",
            floats(1 / row[end]["tpot_seconds"]["p50"] for row in rows),
            floats(row[end]["tokens_per_second"] / devices for row in rows),
            dash="solid" if end == "slow" else "dashed",
            points=True,
        )
        for end in ("slow", "fast")
    )
    panel = Panel(
        f"from {_rate(document, rows[0]):.3g} to {_rate(document, rows[-1]):.3g} requests/s",
        Axis("one user", "tokens/s"),
        Axis("a device", "tokens/s", "log10"),
        lines,
        rules=(Rule("x", 1 / objective, "objective"),) if objective else (),
    )
    return Figure(*TRADE, (panel,), _notes(document))


REPLAYED: dict[str, Callable[[ReplayDocument], Figure]] = {
    USE[0]: use_over_time,
    SIZES[0]: hits_by_size,
    LATENCY[0]: latency_by_rate,
    TRADE[0]: throughput_by_user,
}
"""The figures of a replay's document, by id."""


def is_replay(found: object) -> bool:
    """Whether ``found`` is the document of a replay."""
    return isinstance(found, Mapping) and {"kvtui", "trace", "reuse", "search", "served"} <= found.keys()


def _served(document: ReplayDocument) -> Mapping[str, Any] | None:
    """One server's outcome at the slow end: what was asked for, else that of the trace's own rate or whole pool."""
    if document.get("served"):
        found: Mapping[str, Any] = document["served"]["slow"]
        return found
    rows = [row for row in (document.get("search") or {}).get("rows", ()) if not row["problem"]]
    rows += [row for row in document.get("compared") or () if not row["problem"]]
    chosen = min(rows, key=lambda row: abs(row.get("value", 1) - 1), default=None)
    return None if chosen is None else chosen["slow"]


def _rates(document: ReplayDocument) -> list[Mapping[str, Any]]:
    search = document.get("search")
    if not search or search["sought"] != "rate":
        return []
    return [row for row in search["rows"] if not row["problem"] and row["slow"]["requests"] and row["fast"]["requests"]]


def _base(document: ReplayDocument) -> float:
    """Requests per second of the trace itself."""
    trace = document["trace"]
    return float(trace["requests"] / max(trace["seconds"], 1e-3))


def _rate(document: ReplayDocument, row: Mapping[str, Any]) -> float:
    return float(row["value"]) * _base(document)


def _band(name: str, x: Floats, rows: Sequence[Mapping[str, Any]], key: str, at: str | None = None) -> Line:
    """The slow end of ``key``, a share in percent or the quantile ``at`` in seconds, with the band to the fast end."""
    slow, fast = (
        floats(100 * row[end][key] if at is None else row[end][key][at] for row in rows) for end in ("slow", "fast")
    )
    return Line(name, x, slow, low=fast, high=slow, points=True)


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _notes(document: ReplayDocument, missing: str | None = None) -> tuple[str, ...]:
    notes = [missing] if missing else []
    if document.get("bundled"):
        notes.insert(0, BUNDLED)
    elif not document:
        notes.append("Nothing was replayed yet: kvtui replay TRACE SCENARIO --format json -o results/replay.json")
    if document.get("trace"):
        notes.append(f"{plain(document['trace']['name'], 60)}: {document['trace']['requests']:,} requests")
    if document.get("pool"):
        notes.append(plain(document["pool"]["of"], 120))
    return tuple(notes)
