"""Scenarios side by side: the fields that decide, and how each differs from the first scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.basis.units import format_tokens
from kvtui.output.harmless import clean
from kvtui.report import amounts, sections
from kvtui.report.compared import NONE, ComparedValue
from kvtui.report.document import SCHEMA
from kvtui.report.sections import Document

FORMATS = ("text", "json", "csv", "markdown")


@dataclass(frozen=True, slots=True)
class ComparedField:
    """One row: dotted ``keys`` of the document (several for a band), its label, and its values as text.

    ``compared`` values get their difference to the first scenario in percent; ``style`` is that of good or bad news.
    ``better`` says whether more of it is better than less; 0 where neither is.
    """

    label: str
    keys: tuple[str, ...]
    show: Callable[[Document], str]
    compared: bool = True
    style: Callable[[Document], str] = lambda _: ""
    better: Literal[-1, 0, 1] = 0


def _gib(key: str) -> Callable[[Document], str]:
    def show(document: Document) -> str:
        size = look_up(document, key)
        return amounts.gib(size) if size else NONE

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
        return amounts.duration(band) if unit == "ms" else amounts.band_text(band, unit)

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
CROWD_SPEED, CROWD_DOLLARS = "at_most_users.tokens_per_second", "at_most_users.usd_per_million_tokens"
FULLEST, USABLE = "memory.fullest_device.total_bytes", "memory.usable_bytes_per_device"
LONGEST, MOST = "capacity.max_context_tokens", "capacity.max_sequences"
NEEDED, RESERVED, PER_TOKEN = "memory.devices_needed", "memory.reserved_unused_bytes", "model.kv_bytes_per_token"
MORE: Literal[1] = 1
LESS: Literal[-1] = -1

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
    ComparedField("devices needed", (NEEDED,), _count(NEEDED, "none found"), better=LESS),
    ComparedField("weights, GiB", ("memory.weights_bytes",), _gib("memory.weights_bytes"), better=LESS),
    ComparedField("KV cache, GiB", ("memory.kv_bytes",), _gib("memory.kv_bytes"), better=LESS),
    ComparedField("state, GiB", ("memory.state_bytes",), _gib("memory.state_bytes"), better=LESS),
    ComparedField("reserved, GiB", (RESERVED,), _gib(RESERVED), better=LESS),
    ComparedField("pool rest, GiB", ("memory.pool_free_bytes",), _gib("memory.pool_free_bytes"), better=MORE),
    ComparedField("total, GiB ≈", ("memory.total_bytes",), _gib("memory.total_bytes"), better=LESS),
    ComparedField("fullest, GiB ≈", (FULLEST,), _gib(FULLEST), better=LESS),
    ComparedField("of usable, GiB", (USABLE,), _gib(USABLE), better=MORE),
    ComparedField("KV bytes/token", (PER_TOKEN,), _count(PER_TOKEN, NONE), better=LESS),
    ComparedField("max context", (LONGEST,), _count(LONGEST, "no bound"), better=MORE),
    ComparedField("max sequences", (MOST,), _count(MOST, "no bound"), better=MORE),
    ComparedField("tok/s, max ≈", _band_keys(CROWD_SPEED), _band(CROWD_SPEED, ""), better=MORE),
    ComparedField("$/M, max ≈", _band_keys(CROWD_DOLLARS), _band(CROWD_DOLLARS, "$"), better=LESS),
    ComparedField("decode, batch ≈", _band_keys(DECODE), _band(DECODE, "ms"), better=LESS),
    ComparedField("tok/s, batch ≈", _band_keys(SPEED), _band(SPEED, ""), better=MORE),
    ComparedField("$/M, batch ≈", _band_keys(DOLLARS), _band(DOLLARS, "$"), better=LESS),
)
ENGINE_FIELDS = (
    ComparedField("engine", ("engine.name", "engine.version"), _engine, compared=False),
    ComparedField("logged tokens", ("engine.kv_cache_tokens",), _count("engine.kv_cache_tokens", NONE), better=MORE),
    ComparedField("concurrency", ("engine.max_concurrency",), _times, better=MORE),
    ComparedField("blocks", ("engine.blocks",), _count("engine.blocks", NONE)),
    ComparedField("blocks/request", ("engine.blocks_per_request",), _count("engine.blocks_per_request", NONE)),
    ComparedField("block, tokens", ("engine.block_size_tokens",), _count("engine.block_size_tokens", NONE)),
)


TELLING = 5
"""The first fields: model, device, formats, context and batch, by which scenarios are told from each other."""


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

            return text(names(known), rows(known), width, color, ascii_only)
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
    return [(f.label, [_value(f, first, document) for document in documents]) for f in fields(documents)]


def names(documents: Sequence[Document]) -> list[str]:
    """A name for each of ``documents``: what tells it from the others, or its number."""
    shown = [[f.show(document) for document in documents] for f in (*FIELDS[:TELLING], ENGINE_FIELDS[0])]
    telling = [texts for texts in shown if len(set(texts)) > 1]
    found = [" · ".join(texts[i] for texts in telling) or "scenario" for i in range(len(documents))]
    return [f"{i} {name}" for i, name in enumerate(found, 1)]


def _value(field: ComparedField, first: Document, document: Document) -> ComparedValue:
    text = field.show(document)
    if document is first:
        return ComparedValue(text, style=field.style(document))
    middles = [_middle([look_up(d, key) for key in field.keys]) for d in (first, document)] if field.better else []
    verdict: Literal["better", "worse", ""] = ""
    match middles:
        case [float() | int() as before, float() | int() as after] if before != after:
            verdict = "better" if (after > before) == (field.better > 0) else "worse"
    differs = text != field.show(first)
    return ComparedValue(text, _change(field, first, document), field.style(document), differs, verdict)


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
    if found >= amounts.HUGE:
        return f">{amounts.HUGE - 1:,}%"
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

    heads = ["", *names(documents)]
    body = [
        [
            f"**{label}**" if any(cell.differs for cell in cells) else label,
            *(f"{c.text} ({c.marked_change})" if c.marked_change else c.text for c in cells),
        ]
        for label, cells in rows(documents)
    ]
    return markdown.table(heads, body) + "\n"
