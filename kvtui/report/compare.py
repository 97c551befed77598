"""Scenarios side by side: the fields that decide, and how each differs from the first scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.basis.units import format_tokens
from kvtui.output.harmless import clean
from kvtui.report import sections
from kvtui.report.compared import NONE, ComparedValue
from kvtui.report.document import SCHEMA
from kvtui.report.sections import Document

FORMATS = ("text", "json", "csv", "markdown")


@dataclass(frozen=True, slots=True)
class ComparedField:
    """One row: dotted ``keys`` of the document (several for a band), its label, and its values as text.

    ``compared`` values get their difference to the first scenario in percent; ``style`` is that of good or bad news.
    """

    label: str
    keys: tuple[str, ...]
    show: Callable[[Document], str]
    compared: bool = True
    style: Callable[[Document], str] = lambda _: ""


def _gib(key: str) -> Callable[[Document], str]:
    def show(document: Document) -> str:
        size = document["memory"][key]
        return sections.gib(size) if size else NONE

    return show


def _count(key: str, absent: str) -> Callable[[Document], str]:
    def show(document: Document) -> str:
        value = look_up(document, key)
        return absent if value is None else f"{value:,}"

    return show


def _band(key: str, unit: str) -> Callable[[Document], str]:
    def show(document: Document) -> str:
        band = look_up(document, key)
        if band is None:
            return NONE
        return sections.duration(band) if unit == "ms" else sections.band_text(band, unit)

    return show


def _engine(document: Document) -> str:
    engine = document["engine"]
    return f"{engine['name']} {engine['version'] or ''}".rstrip()


def _times(document: Document) -> str:
    found = document["engine"]["max_concurrency"]
    return NONE if found is None else f"{found:,.2f}×"


def _band_keys(key: str) -> tuple[str, str]:
    return f"{key}.low", f"{key}.high"


DECODE, SPEED = "performance.decode_ms_per_token", "performance.tokens_per_second"
DOLLARS = "cost.usd_per_million_tokens"

FIELDS = (
    ComparedField("model", ("model.name",), lambda d: d["model"]["name"], compared=False),
    ComparedField("device", ("scenario.gpu", "scenario.gpus"), sections.devices, compared=False),
    ComparedField("formats", ("scenario.weight_dtype", "scenario.kv_dtype"), sections.formats, compared=False),
    ComparedField("context", ("scenario.context_tokens",), lambda d: format_tokens(d["scenario"]["context_tokens"])),
    ComparedField("batch", ("scenario.batch",), _count("scenario.batch", "")),
    ComparedField("allocation", ("scenario.policy",), lambda d: d["scenario"]["policy"], compared=False),
    ComparedField(
        "fits",
        ("memory.fits",),
        lambda d: "yes" if d["memory"]["fits"] else "no",
        compared=False,
        style=lambda d: "ok" if d["memory"]["fits"] else "bad",
    ),
    ComparedField("devices needed", ("memory.devices_needed",), _count("memory.devices_needed", "none found")),
    ComparedField("weights, GiB", ("memory.weights_bytes",), _gib("weights_bytes")),
    ComparedField("KV cache, GiB", ("memory.kv_bytes",), _gib("kv_bytes")),
    ComparedField("state, GiB", ("memory.state_bytes",), _gib("state_bytes")),
    ComparedField("reserved, GiB", ("memory.reserved_unused_bytes",), _gib("reserved_unused_bytes")),
    ComparedField("pool rest, GiB", ("memory.pool_free_bytes",), _gib("pool_free_bytes")),
    ComparedField("total, GiB ≈", ("memory.total_bytes",), _gib("total_bytes")),
    ComparedField("usable, GiB", ("memory.usable_bytes_per_device",), _gib("usable_bytes_per_device")),
    ComparedField("KV bytes/token", ("model.kv_bytes_per_token",), _count("model.kv_bytes_per_token", NONE)),
    ComparedField("max context", ("capacity.max_context_tokens",), _count("capacity.max_context_tokens", "no bound")),
    ComparedField("max sequences", ("capacity.max_sequences",), _count("capacity.max_sequences", "no bound")),
    ComparedField("decode ≈", _band_keys(DECODE), _band(DECODE, "ms")),
    ComparedField("tokens/s ≈", _band_keys(SPEED), _band(SPEED, "")),
    ComparedField("$/M tokens ≈", _band_keys(DOLLARS), _band(DOLLARS, "$")),
)
ENGINE_FIELDS = (
    ComparedField("engine", ("engine.name", "engine.version"), _engine, compared=False),
    ComparedField("logged tokens", ("engine.kv_cache_tokens",), _count("engine.kv_cache_tokens", NONE)),
    ComparedField("concurrency", ("engine.max_concurrency",), _times),
    ComparedField("blocks", ("engine.blocks",), _count("engine.blocks", NONE)),
    ComparedField("blocks/request", ("engine.blocks_per_request",), _count("engine.blocks_per_request", NONE)),
    ComparedField("block, tokens", ("engine.block_size_tokens",), _count("engine.block_size_tokens", NONE)),
)


def render(
    documents: Sequence[Document], format: str, width: int = 80, color: bool = False, ascii_only: bool = False
) -> str:
    """``documents`` side by side in one of FORMATS; JSON holds them whole.

    Text goes below each other where a column would be too narrow to read. Raises UnknownName for another format.
    """
    known = [clean(document) for document in documents]
    match format:
        case "json":
            from kvtui.output.json import json_text

            return json_text({"schema": SCHEMA, "scenarios": known})
        case "csv":
            return _csv(known)
        case "markdown":
            return _markdown(known)
        case "text":
            from kvtui.report.compare_text import text

            return text(rows(known), width, color, ascii_only)
    raise UnknownName("format", format, FORMATS)


def look_up(document: Document, key: str) -> Any:
    """The value at a dotted ``key``; ``.low`` and ``.high`` are the ends of a band. None where there is none."""
    value: Any = document
    for name in key.split("."):
        match value:
            case None:
                return None
            case list():
                value = value[("low", "high").index(name)]
            case _:
                value = value[name]
    return value


def rows(documents: Sequence[Document]) -> list[tuple[str, list[ComparedValue]]]:
    """Label and cells of each field; those of an engine only where a scenario has one."""
    first = documents[0]
    return [
        (
            f.label,
            [ComparedValue(f.show(d), "" if d is first else _change(f, first, d), f.style(d)) for d in documents],
        )
        for f in fields(documents)
    ]


def fields(documents: Sequence[Document]) -> tuple[ComparedField, ...]:
    """What ``documents`` are compared by: an engine's figures only where one of them has an engine."""
    return FIELDS + ENGINE_FIELDS if any(d["engine"]["name"] != "none" for d in documents) else FIELDS


def change(before: float | None, after: float | None) -> float | None:
    """The difference in percent of ``before``; None where either is absent or ``before`` is zero."""
    if before is None or after is None or before == 0:
        return None
    return 100 * (after - before) / before


def _change(field: ComparedField, first: Document, other: Document) -> str:
    """In words; of a band, the change of its middle."""
    if not field.compared:
        return ""
    middles = [_middle([look_up(d, key) for key in field.keys]) for d in (first, other)]
    found = change(*middles)
    if found is None or found == 0:
        return ""
    return f"{found:+,.0f}%".replace("-", "−") if abs(found) >= 9.95 else f"{found:+.1f}%".replace("-", "−")


def _middle(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    return numbers[0] if len(numbers) == 1 else sum(numbers) / len(numbers)


def _csv(documents: Sequence[Document]) -> str:
    """Exact values, one row per field; changes in percent of the first scenario."""
    from kvtui.output.csv import csv_text

    count = len(documents)
    heads = [*(f"scenario_{i}" for i in range(1, count + 1)), *(f"change_{i}_percent" for i in range(2, count + 1))]
    found: list[list[Any]] = [["field", *heads]]
    for field in fields(documents):
        for key in field.keys:
            values = [look_up(document, key) for document in documents]
            changes = [change(values[0], value) if field.compared else None for value in values[1:]]
            found.append([key, *values, *(None if c is None else round(c, 4) for c in changes)])
    return csv_text(found)


def _markdown(documents: Sequence[Document]) -> str:
    from kvtui.output import markdown

    heads = ["", *(f"scenario {i}" for i in range(1, len(documents) + 1))]
    body = [
        [label, *(f"{c.text} ({c.change})" if c.change else c.text for c in cells)] for label, cells in rows(documents)
    ]
    return markdown.table(heads, body) + "\n"
