"""The tables of a document of a replay: what caches of all sizes save, servers side by side, and what was sought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kvtui.engine.basis.units import format_bytes
from kvtui.output.table import Column
from kvtui.report.replay.document import share_of
from kvtui.report.replay.quantities import brief, duration, percent, rounded


class TitledTable(NamedTuple):
    """A table and what stands over it."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]


def tables_of(known: Mapping[str, Any]) -> list[TitledTable]:
    """Of what was sought or compared; where nothing was, of the cache's sizes."""
    tables = []
    if known["search"]:
        search = known["search"]
        first = Column("value", search["sought"], "right", 0, lambda value: f"{value:,.4g}")
        holds = Column("holds", "holds", "left", 0, lambda held: "yes" if held else "no")
        rows = [{"value": row["value"], "holds": row["holds"], **_row(row)} for row in search["rows"]]
        tables.append(TitledTable(f"{search['sought']}: {search['in_words']}", (first, holds, *_SERVED), rows))
    if known["compared"]:
        rows = [{"name": row["name"], **_row(row)} for row in known["compared"]]
        tables.append(
            TitledTable("side by side, at the slow end", (Column("name", "server"), *_SERVED, _PROBLEM), rows)
        )
    if known["reuse"] and not tables:
        tables.append(TitledTable("what a cache of each size saves", _columns(known), known["reuse"]["sizes"]))
    return tables


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says of one replay, at the slow end where there are two."""
    one = row["slow"] or {}
    looked_up = one.get("prompt_tokens_looked_up")
    return {
        "problem": row["problem"],
        "requests": one.get("requests"),
        "seconds": one.get("seconds"),
        "waiting_p95": one["waiting_seconds"]["p95"] if one else None,
        "ttft_p95": one["ttft_seconds"]["p95"] if one else None,
        "tpot_p95": one["tpot_seconds"]["p95"] if one else None,
        "goodput": one.get("goodput"),
        "hits": share_of(one["prompt_tokens_saved"], looked_up) if looked_up else None,
        "evictions": one.get("evictions"),
        "failed": one.get("failed"),
        "most_used": one["pool_blocks_most"] / one["pool_blocks"] if one else None,
        "empty_slots": one.get("empty_slots"),
        "tokens_padding": one.get("tokens_padding"),
        "tokens_computed": one.get("tokens_computed"),
    }


def _columns(known: Mapping[str, Any]) -> tuple[Column, ...]:
    sized = (Column("cache_bytes", "size", "right", 1, format_bytes),) if known["pool"] else ()
    return (
        Column("cache_tokens", "cache tokens", "right", 0, rounded),
        *sized,
        Column("saved", "saved", "right", 0, percent),
        Column("saved_second_half", "second half", "right", 1, percent),
        Column("saved_engine", "with answers", "right", 3, percent),
        Column("saved_fifo", "oldest out", "right", 4, percent),
        Column("saved_best", "at best", "right", 2, percent),
        Column("planned", "", "left", 0, lambda planned: "◀ the plan's pool" if planned else ""),
    )


_SERVED = (
    Column("requests", "served", "right", 0, lambda count: f"{count:,}"),
    Column("seconds", "done in", "right", 1, duration),
    Column("waiting_p95", "wait p95", "right", 2, brief),
    Column("ttft_p95", "TTFT p95", "right", 0, brief),
    Column("tpot_p95", "TPOT p95", "right", 0, brief),
    Column("goodput", "goodput", "right", 0, percent),
    Column("hits", "hits", "right", 1, percent),
    Column("evictions", "put out", "right", 2, lambda count: f"{count:,}"),
    Column("failed", "failed", "right", 4, lambda count: f"{count:,}"),
    Column("most_used", "pool", "right", 3, percent),
    Column("empty_slots", "empty", "right", 4, percent),
    Column("tokens_padding", "padding", "right", 4, rounded),
    Column("tokens_computed", "computed", "right", 5, rounded),
)
_PROBLEM = Column("problem", "", "left", 1, lambda problem: problem or "")
