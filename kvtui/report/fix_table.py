"""The columns and rows of the section "make it fit", and what is to be said of them, before anyone lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvtui.engine.basis.units import GIB, format_tokens
from kvtui.output.table import Column, TableRows
from kvtui.report.amounts import dollars, span, three_digits


def columns() -> tuple[Column, ...]:
    """The columns of the table of fixes; what matters least goes first where it is narrow."""
    return (
        Column("name", "change"),
        Column("quality_risk", "risk", priority=1, format=lambda word: str(word).replace(" to ", "–")),
        Column("free_bytes_per_device", "free, GiB", "right", 4, lambda size: f"{size / GIB:,.1f}"),
        Column("max_context_tokens", "context", "right", 3, format_tokens),
        Column("max_sequences", "users", "right", 2, lambda count: f"{count:,}"),
        Column("tokens_per_second", "tokens/s", "right", 6, span),
        Column("usd_per_million_tokens", "$/M tokens", "right", 5, lambda ends: span(ends, shown=_price)),
    )


def table_rows(fixes: Sequence[Mapping[str, Any]]) -> TableRows:
    """Rows of ``columns`` for the ``fixes`` of a report's document."""
    return [{column.key: entry[column.key] for column in columns()} for entry in fixes]


def remarks(fixes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who measured the risks, and what to know before a change is made, each said once."""
    sources: dict[str, dict[str, str]] = {}
    for change in (change for fix in fixes for change in fix["changes"]):
        if change["risk_source"]:
            sources.setdefault(change["risk_source"], {})[change["name"]] = change["quality_risk"]
    said = [
        f"risk: {', '.join(f'{name} {risk}' for name, risk in risks.items())} ({source})"
        for source, risks in sources.items()
    ]
    caveats = {(change["name"], change["caveat"]): None for fix in fixes for change in fix["changes"]}
    return said + [f"{name}: {caveat}" for name, caveat in caveats if caveat]


def _price(value: float) -> str:
    return dollars(value) if value < 10 else three_digits(value)
